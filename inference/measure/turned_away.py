"""What was turned away, in words: the error codes, how often each occurred, and what it means."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from inference.measure.counts import Counts
from inference.measure.traffic import percent
from inference.tensors.errors import InferenceError
from registry.errors import RoundhouseError

_CODES_NAMED = 3

# For operators. The errors' own sentences tell callers what to do, and stand in for codes that are not listed. A code
# that other parts of Roundhouse use for something else must be listed.
_MEANINGS = {
    "bad_body": "The body could not be read: it was not valid JSON, or the connection was lost.",
    "bad_request": "The body was not a request that the protocol knows.",
    "body_too_large": "The body was longer than accepted here.",
    "body_too_slow": "The body arrived too slowly.",
    "cancelled": "The caller hung up before the version ran.",
    "cannot_load": "The version could not be loaded. Its page says why.",
    "database_unavailable": "The database did not respond.",
    "deadline_exceeded": "The answer was not ready before the caller's deadline.",
    "engine_error": "The version did not answer.",
    "internal_error": "Something went wrong on the server; its log has the error.",
    "invalid_input": "The input did not fit the version's signature.",
    "invalid_output": "The version answered with numbers that are not finite, which JSON cannot represent.",
    "limits_unavailable": "The counter of strict limits did not respond.",
    "loading": "The version was still being loaded.",
    "missing_tensor": "An input of the version was missing.",
    "no_live_version": "The Model had no live version.",
    "not_a_prediction": "The body had none of the forms of a prediction, or several.",
    "not_approved": "The request named a version that is not approved.",
    "not_found": "The request named a version or an alias that does not exist, or is not ready.",
    "out_of_memory": "The device did not have enough memory for the run.",
    "overloaded": "More requests were waiting than could be answered in time.",
    "routes_too_old": "The database had not responded for five minutes, so it was unknown which version should answer.",
    "run_crashed": "The version crashed the process that ran it.",
    "run_failed": "The version failed on this input.",
    "run_timed_out": "The version ran longer than its time limit.",
    "stopped": "An operator had stopped the Model.",
    "stopping": "The process was shutting down.",
    "too_large": "The request was larger than the version accepts.",
    "too_many_requests": "The caller exceeded its limit or its fair share.",
    "unknown_field": "The body had a field that is not used.",
    "unsupported_media_type": "The body had a media type or an encoding that is not accepted.",
    "version_broken": "The version had crashed processes, and waits for a person to clear it.",
    "workers_unreachable": "The workers could not be reached.",
}


def meaning_of(code: str) -> str:
    """One sentence about an error code; empty for a code that no longer exists."""
    return _MEANINGS.get(code) or _sentences().get(code, "")


@cache
def _sentences() -> dict[str, str]:
    return {kind.code: (kind.__doc__ or "").partition("\n")[0] for kind in _kinds()}


def _kinds() -> Iterator[type[RoundhouseError] | type[InferenceError]]:
    todo: list[type[RoundhouseError] | type[InferenceError]] = [RoundhouseError, InferenceError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        yield kind


@dataclass(frozen=True, slots=True)
class CodeLine:
    """How many requests got one error code."""

    code: str
    requests: int
    share: float  # of all requests
    meaning: str

    @property
    def count(self) -> str:
        return f"{self.requests:,}"

    @property
    def percent(self) -> str:
        return percent(self.share)


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The requests of a period that got an error instead of an answer."""

    requests: int
    share: float  # of all requests
    codes: list[CodeLine]  # the most frequent first

    @property
    def sentence(self) -> str:
        """Such as `612 requests were turned away (20.4 % of all): 600 stopped, 12 overloaded`."""
        were = "request was" if self.requests == 1 else "requests were"
        return f"{self.requests:,} {were} turned away ({percent(self.share)} of all): {self._named_codes(_CODES_NAMED)}"

    @property
    def short(self) -> str:
        """Such as `600 turned away: stopped` or `612 turned away: 600 stopped, 12 with other codes`."""
        most_frequent = self.codes[0].code if len(self.codes) == 1 else self._named_codes(1)
        return f"{self.requests:,} turned away: {most_frequent}"

    def _named_codes(self, most: int) -> str:
        named = [f"{line.requests:,} {line.code}" for line in self.codes[:most]]
        others = sum(line.requests for line in self.codes[most:])
        return ", ".join([*named, *([f"{others:,} with other codes"] if others else [])])


def turned_away(parts: Iterable[Counts]) -> TurnedAway | None:
    """What was turned away in these counts; None if nothing was."""
    total = Counts()
    for counts in parts:
        total.add_all(counts)
    requests = sum(total.codes.values())
    if not requests:
        return None
    codes = sorted(total.codes.items(), key=lambda item: (-item[1], item[0]))
    return TurnedAway(
        requests,
        requests / total.requests,
        [CodeLine(code, count, count / total.requests, meaning_of(code)) for code, count in codes],
    )
