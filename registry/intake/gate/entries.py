"""Pairs of key and value, which stand at models, graphs, nodes, values, functions and tensors."""

from registry.intake.gate.errors import MemoryMarker, RuntimeConfig, TooMuch
from registry.intake.gate.limits import GateLimits
from registry.intake.gate.schema import ENTRY
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown

# What stands behind it is read as an address: a hostile file would show, or change, this process's memory.
_MARKER = b"_ORT_MEM_ADDR_"
_RUNTIME_KEYS = frozenset({b"ort_config"})


def check_entry(file: WireFile, limits: GateLimits, start: int, end: int, owner: object) -> bytes:
    """Check a pair for the runtime's marker of addresses; give its key. The owner is named in the refusal."""
    key = b""
    for what, begin, stop in file.fields(ENTRY, start, end):
        if stop - begin > limits.max_text_bytes:
            raise TooMuch(
                f"The entry {shown(key)} of {owner} has {stop - begin:,} bytes; leave it out, the limit is"
                f" {limits.max_text_bytes:,}."
            )
        text = file.text(begin, stop)
        if _MARKER in text:
            raise MemoryMarker(
                f"The entry {shown(text if what == 'key' else key)} of {owner} names an address in memory, which only the"
                " runtime may; export the file again."
            )
        if what == "key":
            key = text
    return key


def check_settings(key: bytes) -> None:
    """Refuse a key of the model under which the runtime looks for its own settings."""
    if key.lower() in _RUNTIME_KEYS:
        raise RuntimeConfig(
            f"The metadata key {shown(key)} carries settings of the runtime; remove it, the version's own settings decide."
        )
