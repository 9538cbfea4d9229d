"""What the records of Models, versions, aliases and downloads say."""

from registry.record.sentences import (
    Importance,
    RecordedChange,
    Sentence,
    changed_values,
    counted,
    listed,
    quoted,
    size,
)

_MODEL_VALUES = {
    "title": "title",
    "owner": "owner",
    "key_source": "routing key",
    "key_field": "routing key field",
    "pool": "pool",
    "bake_minutes": "minutes that a replaced version stays warm",
    "rate_per_minute": "requests a minute",
    "concurrency": "requests at once",
    "exact_rate": "strict limit",
}
_SERVING_VALUES = {
    "target_p99_ms": "latency target",
    "max_batch_rows": "rows per batch",
    "batch_memory_bytes": "memory per batch",
    "max_wait_ms": "longest wait for a batch",
    "max_queue_rows": "rows in the queue",
    "max_queue_bytes": "memory of the queue",
    "max_output_bytes": "largest answer",
    "soft_limit_s": "time limit",
    "intra_op_threads": "threads",
    "device_id": "device",
    "graph_level": "graph optimisation",
    "arena_limit_bytes": "memory arena",
    "allow_non_finite": "permission for NaN and infinity",
}


def _version(change: RecordedChange) -> str:
    return f"version {change.name}"


def _alias(change: RecordedChange) -> str:
    return f"alias {change.name}"


def _create_model(change: RecordedChange) -> str:
    return f"created the Model with task {change.after['task']}"


def _edit_model(change: RecordedChange) -> str:
    values = changed_values(
        change, _MODEL_VALUES, ignored={"owner_id"} if "owner" in change.before else set()
    )
    return f"changed {values}" if values else "saved the Model without changing it"


def _register_version(change: RecordedChange) -> str:
    origin = _origin(change.after.get("derived_from"), change.model_slug)
    return f"registered {_version(change)} ({size(change.after['size_bytes'])}){origin}"


def _origin(parent: str | None, slug: str) -> str:
    """Another Model is not named, because who may see this record may not see that Model."""
    if not parent:
        return ""
    model, _, number = parent.rpartition(" ")
    return f", derived from {f'version {number}' if model == slug else 'a version of another Model'}"


def _convert_version(change: RecordedChange) -> str:
    return f"converted {_version(change)} from {change.after.get('format', 'another format')}"


def _start_check(change: RecordedChange) -> str:
    return f"started checking {_version(change)}"


def _pass_check(change: RecordedChange) -> str:
    return f"marked {_version(change)} as ready: it passed its checks"


def _fail_check(change: RecordedChange) -> str:
    return f"marked {_version(change)} as failed: {change.after['failure']}"


def _archive_version(change: RecordedChange) -> str:
    return f"archived {_version(change)}"


def _unarchive_version(change: RecordedChange) -> str:
    return f"restored {_version(change)} from the archive as {change.after['status']}"


def _change_serving(change: RecordedChange) -> str:
    values = changed_values(change, _SERVING_VALUES, none="default", ignored={"revision"})
    name, _, rest = values.partition(": ")
    if len(change.before) == 1:
        return f"changed the {name} of {_version(change)}: {rest}"
    settings = f"the serving settings of {_version(change)}"
    return f"changed {settings}: {values}" if values else f"saved {settings} without changing them"


def _move_alias(change: RecordedChange) -> str:
    old, new = change.before["version"], change.after["version"]
    if old is None:
        return f"pointed {_alias(change)} to version {new}"
    return f"moved {_alias(change)} from version {old} to {new}"


def _retire_alias(change: RecordedChange) -> str:
    return f"retired {_alias(change)}, which pointed to version {change.before['version']}"


def _guard_alias(change: RecordedChange) -> str:
    keys = [f"key {key['name']}" for key in change.after["keys"]]
    return f"guarded {_guarded(change)}: only {listed([*change.after['people'], *keys])} may move it"


def _unguard_alias(change: RecordedChange) -> str:
    return f"removed the guard of {_guarded(change)}: everyone with the right may move it"


def _guarded(change: RecordedChange) -> str:
    return f"alias {change.label.rpartition('@')[2]}"


def _break_version(change: RecordedChange) -> str:
    return f"marked {_version(change)} as broken: it is refused because it crashed its processes"


def _clear_crashes(change: RecordedChange) -> str:
    crashes = counted(change.before["crashes"], "crash", "crashes")
    return f"cleared {crashes} of {_version(change)}: it runs like any other version again"


def _make_download_link(change: RecordedChange) -> str:
    return f"created a link to download {_version(change)} ({size(change.after['size_bytes'])})"


def _export_artifact(change: RecordedChange) -> str:
    return f"copied the file of {_version(change)} to {quoted(change.after['path'])}"


CATALOGUE_SENTENCES = {
    "create_model": Sentence(_create_model, step="created the Model"),
    "edit_model": Sentence(_edit_model, step="edited it"),
    "register_version": Sentence(_register_version, step="registered version {number}"),
    "convert_version": Sentence(_convert_version, step=""),
    "start_check": Sentence(_start_check, step=""),
    "pass_check": Sentence(_pass_check, step="passed its check"),
    "fail_check": Sentence(_fail_check, step="failed its check"),
    "archive_version": Sentence(_archive_version),
    "unarchive_version": Sentence(_unarchive_version),
    "change_serving": Sentence(_change_serving, step="changed serving settings"),
    "move_alias": Sentence(_move_alias, Importance.LIVE, step=""),
    "retire_alias": Sentence(_retire_alias, Importance.LIVE),
    "guard_alias": Sentence(_guard_alias, Importance.ACCESS),
    "unguard_alias": Sentence(_unguard_alias, Importance.ACCESS),
    "break_version": Sentence(_break_version, Importance.LIVE),
    "clear_crashes": Sentence(_clear_crashes, Importance.LIVE),
    "make_download_link": Sentence(_make_download_link),
    "export_artifact": Sentence(_export_artifact),
}
