"""Reviewing: people decide cases, authors learn of it and appeal, and each restriction has its statement of reasons."""
