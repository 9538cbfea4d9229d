"""Lists that apps add to in `AppConfig.ready`: panels, links, gates, event kinds, rights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Registrations(Generic[T]):
    """Named items of one kind, in order.

    The room that reads the list owns it: `PANELS: Registrations[Panel] = Registrations("panel")`.
    An app adds to it in its `AppConfig.ready`: `PANELS.add("jobs", Panel(...), order=20)`.
    """

    def __init__(self, kind: str, *, on_change: Callable[[], None] = lambda: None) -> None:
        """`on_change` is called whenever the list changes, for instance to clear a cache."""
        self.kind = kind
        self._on_change = on_change
        self._items: dict[str, tuple[int, T]] = {}

    def add(self, name: str, item: T, *, order: int = 100) -> None:
        """Add an item. Adding it twice is fine; another item with the same name is an error."""
        known = self._items.get(name)
        if known is not None and known[1] != item:
            raise ValueError(f"Another {self.kind} has the name {name!r}; choose another name.")
        self._items[name] = (order, item)
        self._on_change()

    def items(self) -> list[tuple[str, T]]:
        """Names and items by order, then in the sequence in which they were added."""
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
        """Add or replace items while the block runs; for tests."""
        before = dict(self._items)
        self._items.update({name: (100, item) for name, item in items.items()})
        self._on_change()
        try:
            yield
        finally:
            self._items = before
            self._on_change()
