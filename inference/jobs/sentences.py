"""What the records of jobs and job storage say."""

from registry.record.sentences import RecordedChange, Sentence, changed_values, counted, listed, quoted

_STORE_VALUES = {
    "kind": "kind",
    "root": "folder or bucket",
    "prefix": "prefix",
    "may_read": "jobs may read",
    "may_write": "jobs may write",
    "for_people": "people may use it",
    "tenants": "tenants",
}


def _add_store(change: RecordedChange) -> str:
    after = change.after
    rights = " and ".join(
        word for word, may in (("read", after["may_read"]), ("write", after["may_write"])) if may
    )
    tenants = f", for {listed(after['tenants'])}" if after["tenants"] else ""
    place = "folder" if after["kind"] == "folder" else "bucket"
    return f"added job storage {change.label}: {place} {quoted(after['root'])}, jobs may {rights}{tenants}"


def _change_store(change: RecordedChange) -> str:
    values = changed_values(change, _STORE_VALUES)
    storage = f"job storage {change.label}"
    return f"changed {storage}: {values}" if values else f"saved {storage} without changing it"


def _remove_store(change: RecordedChange) -> str:
    return f"removed job storage {change.label}"


def _cancel_job(change: RecordedChange) -> str:
    return f"cancelled job {_job(change)}, which was {change.before['status']}"


def _retry_job(change: RecordedChange) -> str:
    tried = change.after["chunks_tried"]  # none if the job failed before it had parts
    parts = f"{counted(tried, 'failed part')} of " if tried else ""
    return f"queued {parts}job {_job(change)} again"


def _job(change: RecordedChange) -> str:
    return change.object_id[:8]


JOB_SENTENCES = {
    "add_store": Sentence(_add_store),
    "change_store": Sentence(_change_store),
    "remove_store": Sentence(_remove_store),
    "cancel_job": Sentence(_cancel_job),
    "retry_job": Sentence(_retry_job),
}
