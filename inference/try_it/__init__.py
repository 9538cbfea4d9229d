"""The "Try it" panel on the pages of Models and versions: a request editor, and the views that receive its requests."""
