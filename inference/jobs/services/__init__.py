"""Writes of jobs."""

from inference.jobs.services.accepting import Order, accept
from inference.jobs.services.cancelling import cancel
from inference.jobs.services.retrying import retry
from inference.jobs.services.sweeping import expire_jobs, sweep_jobs

__all__ = ["Order", "accept", "cancel", "expire_jobs", "retry", "sweep_jobs"]
