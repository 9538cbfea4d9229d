"""Which entries of lists are in a text, and which hash entries are near a picture. A library."""
