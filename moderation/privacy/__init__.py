"""How long contents are kept, how they are erased, who looked at restricted ones, and packages of evidence."""
