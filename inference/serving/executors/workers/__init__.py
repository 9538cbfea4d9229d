"""Versions in the workers of a pool: one Celery message per batch, one reply lane per sending process."""
