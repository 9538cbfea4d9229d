"""Serving settings as values: names, limits and defaults."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from registry.errors import Invalid

PROVIDERS = ("CPUExecutionProvider", "CUDAExecutionProvider")
GRAPH_LEVELS = ("disabled", "basic", "extended", "all")
MERGING = ("proven", "never", "always")  # whether requests share a run: as proven, or as a person decided


@dataclass(frozen=True, slots=True)
class ServingValues:
    """How a version is loaded, batched and limited. None means the default of the installation or the engine."""

    target_p99_ms: float | None = None
    max_batch_rows: int = 64
    batch_memory_bytes: int | None = None
    merging: str = "proven"
    max_wait_ms: float = 0.0
    max_queue_rows: int = 1024
    max_queue_bytes: int = 64 * 2**20
    max_output_bytes: int = 64 * 2**20
    soft_limit_s: float = 10.0
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    device_id: int = 0
    intra_op_threads: int | None = None
    graph_level: str = "all"
    arena_limit_bytes: int | None = None
    allow_non_finite: bool = False

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "providers": list(self.providers)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ServingValues":
        """Read stored values; names from another release are ignored, missing ones get their defaults."""
        fields = {name: value for name, value in values.items() if name in NAMES}
        if "providers" in fields:
            fields["providers"] = tuple(fields["providers"])
        return cls(**fields)


NAMES = tuple(field.name for field in fields(ServingValues))
DEFAULTS = ServingValues()


def checked_values(current: ServingValues, changes: Mapping[str, Any]) -> ServingValues:
    """Return the values after the changes; raise Invalid naming the setting that is wrong."""
    if unknown := sorted(str(name) for name in changes.keys() - set(NAMES)):
        raise Invalid(
            f"There is no serving setting {', '.join(unknown)}; the settings are {', '.join(NAMES)}."
        )
    for name, value in changes.items():
        if (problem := _RULES[name](value)) is not None:
            raise Invalid(f"`{name}` must be {problem}; got {value!r}.")
    values = ServingValues.from_json({**current.to_json(), **changes})
    if values.target_p99_ms is not None and values.max_wait_ms >= values.target_p99_ms:
        raise Invalid("`max_wait_ms` must be below `target_p99_ms`, or waiting alone would miss the target.")
    if values.max_queue_rows < values.max_batch_rows:
        raise Invalid("`max_queue_rows` must be at least `max_batch_rows`, so that a full batch fits.")
    return values


Rule = Callable[[Any], str | None]


def _whole(low: int, high: int, *, optional: bool = False) -> Rule:
    def check(value: Any) -> str | None:
        if (value is None and optional) or (type(value) is int and low <= value <= high):
            return None
        return f"a whole number from {low:,} to {high:,}{' or null' if optional else ''}"

    return check


def _number(low: float, high: float, *, optional: bool = False) -> Rule:
    def check(value: Any) -> str | None:
        if (value is None and optional) or (type(value) in {int, float} and low <= value <= high):
            return None
        return f"a number from {low:g} to {high:,g}{' or null' if optional else ''}"

    return check


def _providers(value: Any) -> str | None:
    is_usable = isinstance(value, (list, tuple)) and value and all(name in PROVIDERS for name in value)
    return (
        None
        if is_usable and len(set(value)) == len(value)
        else f"a list of {', '.join(PROVIDERS)}, each at most once"
    )


def _yes_or_no(value: Any) -> str | None:
    return None if type(value) is bool else "true or false"


def _one_of(names: Sequence[str]) -> Rule:
    return lambda value: None if value in names else f"one of {', '.join(names)}"


_RULES: Mapping[str, Rule] = {
    "target_p99_ms": _number(0.1, 600_000, optional=True),
    "max_batch_rows": _whole(1, 65_536),
    "batch_memory_bytes": _whole(2**20, 2**40, optional=True),
    "merging": _one_of(MERGING),
    "max_wait_ms": _number(0, 10_000),
    "max_queue_rows": _whole(1, 1_048_576),
    "max_queue_bytes": _whole(2**10, 2**40),
    "max_output_bytes": _whole(2**10, 2**40),
    "soft_limit_s": _number(0.01, 600),
    "providers": _providers,
    "device_id": _whole(0, 63),
    "intra_op_threads": _whole(1, 256, optional=True),
    "graph_level": _one_of(GRAPH_LEVELS),
    "arena_limit_bytes": _whole(2**20, 2**40, optional=True),
    "allow_non_finite": _yes_or_no,
}
