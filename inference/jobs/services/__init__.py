"""Services that change jobs and stores."""

from inference.jobs.kinds import SubmittedJob
from inference.jobs.services.acceptance import accept
from inference.jobs.services.changes import cancel, retry
from inference.jobs.services.completion import deliver_results, sweep_deliveries
from inference.jobs.services.storage import StoreSettings, add_store, change_store, remove_store
from inference.jobs.services.sweeps import expire_jobs, remove_job, sweep_jobs

__all__ = [
    "StoreSettings",
    "SubmittedJob",
    "accept",
    "add_store",
    "cancel",
    "change_store",
    "deliver_results",
    "expire_jobs",
    "remove_job",
    "remove_store",
    "retry",
    "sweep_deliveries",
    "sweep_jobs",
]
