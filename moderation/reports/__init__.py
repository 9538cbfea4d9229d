"""Reports: somebody says that a content breaks the rules; a person looks at it, and the reporter is answered."""
