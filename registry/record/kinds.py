"""The table of event kinds. Apps and rooms above add theirs when Django starts."""

from collections.abc import Mapping
from types import MappingProxyType

_kinds = {
    "split_changed": "Another split of a Model is current.",
    "check_failed": "A version did not pass its checks.",
    "worker_lost": "A worker stopped reporting.",
    "worker_back": "A lost worker reports again, or another has taken its place.",
    "test": "Somebody tries whether a subscription reaches its receiver.",
}
KINDS: Mapping[str, str] = MappingProxyType(_kinds)


def register_kind(kind: str, sentence: str) -> None:
    """Add a kind of event; the sentence tells people when it happens."""
    if _kinds.setdefault(kind, sentence) != sentence:
        raise ValueError(f"the event kind {kind} is taken: {_kinds[kind]}")
