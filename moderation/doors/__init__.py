"""Doors: protocols in which contents arrive. A door only translates."""
