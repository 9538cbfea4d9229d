"""Asynchronous predictions. The database row is authoritative; messages are only hints."""
