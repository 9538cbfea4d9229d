"""Errors of jobs and of their storage.

RoundhouseError
├── Conflict
│   ├── JobIdTaken          another job has this id
│   └── JobEnded            wrong status: ended, so it cannot be cancelled; or not failed, so it cannot be retried
├── NotFound
│   └── NotInStore          the store has no such file
├── Invalid
│   ├── BadJob              the job cannot be accepted
│   ├── BadStore            a store with invalid settings
│   ├── BadStorePath        a path that could lead out of its store
│   └── BadBody
│       └── UnsupportedInput  unknown media type or compression
├── TooManyRequests
│   └── TooManyJobs         the caller's quota of open jobs is used up
└── StoreUnavailable        the store does not respond, or this process may not access it
"""

from inference.errors import BadBody, TooManyRequests
from registry.errors import Conflict, Invalid, NotFound, RoundhouseError


class JobIdTaken(Conflict):
    """Another job has this id; choose a new one."""

    code = "job_id_taken"


class JobEnded(Conflict):
    """The job's status does not allow this."""

    code = "job_state"


class BadJob(Invalid):
    """The job cannot be accepted."""

    code = "bad_job"


class TooManyJobs(TooManyRequests):
    """You have reached the limit of open jobs, rows or bytes; wait for some jobs to end."""

    code = "too_many_jobs"


class UnsupportedInput(BadBody):
    """Send application/json, or a file as text/csv, application/x-ndjson or application/octet-stream."""

    code = "unsupported_media_type"


class NotInStore(NotFound):
    """The store has no such file."""

    code = "not_in_store"


class BadStore(Invalid):
    """The store's settings are invalid."""

    code = "bad_store"


class BadStorePath(Invalid):
    """A path in a store must be relative, with / between names, and no name may start with a dot."""

    code = "bad_store_path"


class StoreUnavailable(RoundhouseError):
    """The store does not respond; try again."""

    code = "store_unavailable"
    retryable = True
