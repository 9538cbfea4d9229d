"""What the records of erasures, looks and packages say."""

from collections.abc import Mapping
from typing import Any

from registry.record.sentences import RecordedChange, Sentence


def _request(change: RecordedChange) -> str:
    return f"requested {change.label}, by {change.after['by']}"


def _erase(change: RecordedChange) -> str:
    return f"erased {counted(change.after)} for {change.label}"


def _finish(change: RecordedChange) -> str:
    kept = change.after["kept"]
    cases = ", ".join(map(str, change.after["kept_in_cases"]))
    on_hold = f"; {kept} kept on legal hold, in cases {cases}" if kept else ""
    return f"finished {change.label}{on_hold}"


def _look(change: RecordedChange) -> str:
    return f"looked at {change.label}, which is restricted"


def _package(change: RecordedChange) -> str:
    return f"downloaded the evidence package of {change.label}, {change.after['files']} files"


def counted(counts: Mapping[str, Any]) -> str:
    """“12 contents, 1 strike”."""
    named = [
        (name.replace("_", " "), count) for name, count in counts.items() if isinstance(count, int) and count
    ]
    return ", ".join(f"{count:,} {name if count != 1 else name.removesuffix('s')}" for name, count in named)


PRIVACY_SENTENCES = {
    "request_erasure": Sentence(_request),
    "erase_contents": Sentence(_erase, stands_alone=True),
    "finish_erasure": Sentence(_finish),
    "look_at_restricted": Sentence(_look),
    "download_evidence": Sentence(_package),
}
