"""Versions in the workers of a pool: one Celery message per batch, one reply lane per process that asks."""
