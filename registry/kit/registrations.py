"""How an app adds to what the apps below it show, check and allow: one list per kind, filled in `AppConfig.ready`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Registrations(Generic[T]):
    """Everything of one kind that was added, by name and in order.

    The room that reads the list owns it: `PANELS: Registrations[Panel] = Registrations("panel")`.
    Whoever has something for it adds it in its `AppConfig.ready`: `PANELS.add("jobs", Panel(...), order=20)`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, tuple[int, T]] = {}

    def add(self, name: str, item: T, *, order: int = 100) -> None:
        """Add an item; one of the same name that differs is a mistake of whoever wrote the second."""
        known = self._items.get(name)
        if known is not None and known[1] != item:
            raise ValueError(f"Another {self.kind} has the name {name!r}; choose a name of your own.")
        self._items[name] = (order, item)

    def items(self) -> list[tuple[str, T]]:
        """Names and items, the lowest order first, then as they were added."""
        ordered = sorted(self._items.items(), key=lambda entry: entry[1][0])
        return [(name, item) for name, (_order, item) in ordered]

    def __iter__(self) -> Iterator[T]:
        return iter([item for _name, item in self.items()])

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __getitem__(self, name: str) -> T:
        return self._items[name][1]

    @contextmanager
    def changed(self, **items: T) -> Iterator[None]:
        """Add or replace items for as long as the block runs; for tests."""
        before = dict(self._items)
        self._items.update({name: (100, item) for name, item in items.items()})
        try:
            yield
        finally:
            self._items = before
