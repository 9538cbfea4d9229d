"""How stored decisions would change: counted by kind of change, language and violation, with samples."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from moderation.policies.rules import Ruling

MAX_SAMPLES = 20
_SHORTEST = timedelta(hours=1)  # a rate from less would be a guess


class Changes:
    """Adds up decisions, each with what it was and what it would be."""

    def __init__(self) -> None:
        self.considered = 0
        self._undecided: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._samples: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._languages: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._codes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._reviews = [0, 0]
        self._first: datetime | None = None
        self._last: datetime | None = None

    @property
    def changed(self) -> int:
        return self._counts.total()

    def note_undecided(self, reason: str, received_at: datetime, before: Ruling) -> None:
        """One that cannot be decided again; for the rates it stays as it is."""
        self._note(received_at)
        self._undecided[reason] += 1
        if before is Ruling.REVIEW:
            self._reviews[0] += 1
            self._reviews[1] += 1

    def add(
        self,
        request_id: str,
        received_at: datetime,
        language: str,
        rulings: tuple[Ruling, Ruling],
        codes: tuple[Sequence[str], Sequence[str]],
    ) -> None:
        """`rulings` and `codes`: before and after."""
        self._note(received_at)
        self._languages[language][0] += 1
        for side in (0, 1):
            self._reviews[side] += rulings[side] is Ruling.REVIEW
            for code in codes[side]:
                self._codes[code][side] += 1
        if rulings[0] is rulings[1]:
            return
        self._languages[language][1] += 1
        change = (rulings[0].value, rulings[1].value)
        self._counts[change] += 1
        if len(self._samples[change]) < MAX_SAMPLES:
            self._samples[change].append(request_id)

    def result(self, people: Any = None) -> dict[str, Any]:
        """As JSON. `people` makes reviews a day into hours."""
        days = self._days()
        before, after = (reviews / days for reviews in self._reviews)
        return {
            "considered": self.considered,
            "undecided": dict(self._undecided.most_common()),
            "changed": self.changed,
            "changes": [
                {"from": before, "to": after, "count": count, "samples": self._samples[before, after]}
                for (before, after), count in self._counts.most_common()
            ],
            "by_language": [
                {"language": language, "considered": considered, "changed": changed}
                for language, (considered, changed) in sorted(
                    self._languages.items(), key=lambda one: -one[1][0]
                )
            ],
            "by_code": [
                {"code": code, "before": counts[0], "after": counts[1]}
                for code, counts in sorted(self._codes.items())
            ],
            "rates": {
                "days": days,
                "reviews_per_day_before": before,
                "reviews_per_day_after": after,
                "more_per_day": after - before,
            },
            **({"people": people(after - before)} if people is not None else {}),
        }

    def _note(self, received_at: datetime) -> None:
        self.considered += 1
        self._first = min(self._first or received_at, received_at)
        self._last = max(self._last or received_at, received_at)

    def _days(self) -> float:
        if self._first is None or self._last is None:
            return 1.0
        return max(self._last - self._first, _SHORTEST) / timedelta(days=1)
