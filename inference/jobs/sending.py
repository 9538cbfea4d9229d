"""Results and errors on their way out: few at once, because a slow reader holds its thread for as long as it likes."""

from collections.abc import Iterator

from registry.catalogue.sending import free_place, take_place


class Sent:
    """Pieces that hold one of the process's places for downloads, until it is closed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        take_place()
        self._pieces: Iterator[bytes] | None = pieces

    def __iter__(self) -> "Sent":
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            raise StopIteration
        return next(self._pieces)

    def close(self) -> None:
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            return
        if hasattr(pieces, "close"):
            pieces.close()
        free_place()
