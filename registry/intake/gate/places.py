"""Where a tensor says that its data is: a plain file name, and numbers."""

from typing import NamedTuple

from registry.intake.gate.errors import BadDataPlace
from registry.intake.gate.limits import GateLimits
from registry.intake.gate.schema import ENTRY, TENSOR
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown

_KEYS = frozenset({"location", "offset", "length", "checksum"})
_EXTERNAL = 1
_MOST_NAME_BYTES = 255  # what a disk allows a name
_MOST_DIGITS = 18


class Place(NamedTuple):
    location: str
    offset: int
    length: int | None  # None: as many as the tensor needs


def read_place(file: WireFile, limits: GateLimits, start: int, end: int, told: str) -> Place:
    """Read where the tensor between two offsets has its data; raise BadDataPlace. The name is opened nowhere."""
    entries: dict[str, bytes] = {}
    location_kind = 0
    for what, begin, stop in file.fields(TENSOR, start, end):
        if what == "data_location":
            location_kind = file.number(begin)
        elif what == "external_data":
            key, text = _entry(file, limits, begin, stop, told)
            if key in entries:
                raise BadDataPlace(f"{told} gives its {key} twice; export the model again.")
            entries[key] = text
    if location_kind != _EXTERNAL or "location" not in entries:
        raise BadDataPlace(f"{told} does not say plainly where its data is; export the model again.")
    length = _number(entries["length"], "length", told) if "length" in entries else None
    return Place(
        _location(entries["location"], told), _number(entries.get("offset", b"0"), "offset", told), length
    )


def _entry(file: WireFile, limits: GateLimits, start: int, end: int, told: str) -> tuple[str, bytes]:
    texts = {"key": b"", "value": b""}
    for what, begin, stop in file.fields(ENTRY, start, end):
        if stop - begin > limits.max_name_bytes:
            raise BadDataPlace(
                f"{told} takes {stop - begin:,} bytes to say where its data is; export it again."
            )
        texts[what] = file.text(begin, stop)
    key = texts["key"].decode(errors="replace")
    if key not in _KEYS:
        raise BadDataPlace(
            f"{told} says {shown(key)} of its data, which nobody reads; {', '.join(sorted(_KEYS))} are known."
            " Export the model again."
        )
    return key, texts["value"]


def _number(text: bytes, what: str, told: str) -> int:
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise BadDataPlace(
            f"{told} has the {what} {shown(text)}, which is no whole number from 0; export it again."
        )
    return int(text)


def _location(name: bytes, told: str) -> str:
    text = name.decode(errors="replace")
    is_plain = text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text and not set(text) & {"/", "\\"}
    if not is_plain or text in {"", ".", ".."} or len(name) > _MOST_NAME_BYTES:
        raise BadDataPlace(
            f"{told} has its data in {shown(name)}, which is not a plain file name; export the model with its data in one"
            " file beside it."
        )
    return text
