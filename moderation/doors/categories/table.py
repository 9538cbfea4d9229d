"""The mappings of this process: a snapshot, so that no request reads the database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.db.models import Count, Max

from moderation.doors.categories.models import CategoryMapping
from moderation.doors.categories.protocols import usual_categories


@dataclass(frozen=True, eq=False)
class CategoryTable:
    mapped: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)
    stamp: Any = None  # which rows these are

    def categories_of(self, protocol: str, detector: str, label: str) -> tuple[str, ...]:
        """What a detector's label counts for."""
        mapped = self.mapped.get((protocol, detector, label))
        return usual_categories(protocol, label) if mapped is None else mapped


@lru_cache(maxsize=256)
def categories_fed(
    table: CategoryTable, protocol: str, detector: str, labels: tuple[str, ...]
) -> frozenset[str]:
    """The categories for which any of these labels counts."""
    return frozenset(
        category for label in labels for category in table.categories_of(protocol, detector, label)
    )


_table = CategoryTable()


def current() -> CategoryTable:
    return _table


def refresh() -> None:
    """Follow the rows; if nothing has changed, this is one small query."""
    global _table
    # Rows are never changed and their ids never used again, so a change shows in one of these numbers.
    stamp = CategoryMapping.objects.aggregate(count=Count("pk"), last=Max("pk"))
    if stamp != _table.stamp:
        rows = CategoryMapping.objects.values_list("protocol", "detector", "label", "category")
        _table = CategoryTable(read_mappings(rows), stamp)


def read_mappings(rows: Iterable[tuple[str, str, str, str]]) -> dict[tuple[str, str, str], tuple[str, ...]]:
    mapped: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for protocol, detector, label, category in rows:
        mapped[protocol, detector, label] += [category] if category else []
    return {key: tuple(categories) for key, categories in mapped.items()}
