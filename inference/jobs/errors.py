"""What can go wrong with jobs.

RoundhouseError
├── Conflict
│   ├── JobIdTaken          the sender's own id stands for another job
│   └── JobEnded            it has ended, so it cannot be cancelled; or has not, so it cannot be retried
├── Invalid
│   ├── BadOrder            a job that could never be answered
│   └── BadBody
│       └── UnsupportedInput  a media type or a compression that is not read here
└── TooManyRequests
    └── TooManyJobs         the caller's own jobs fill its room
"""

from inference.errors import BadBody, TooManyRequests
from registry.errors import Conflict, Invalid


class JobIdTaken(Conflict):
    """This id stands for another job; choose a new one."""

    code = "job_id_taken"


class JobEnded(Conflict):
    """The job's state does not allow this."""

    code = "job_state"


class BadOrder(Invalid):
    """The job cannot be accepted."""

    code = "bad_job"


class TooManyJobs(TooManyRequests):
    """You have as many jobs, rows or bytes open as you may; wait for some to end."""

    code = "too_many_jobs"


class UnsupportedInput(BadBody):
    """Send application/json, or a file as text/csv, application/x-ndjson or application/octet-stream."""

    code = "unsupported_media_type"
