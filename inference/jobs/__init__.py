"""Predictions that nobody waits for: the row is the truth, a message only a hint."""
