"""Asynchronous predictions. The database row is the truth; messages are only hints."""
