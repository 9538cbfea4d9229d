"""Reading lines of a body that is too large to hold."""

from collections.abc import Callable, Iterable, Iterator

from registry.errors import Invalid
from registry.intake.examples import rows

_PIECE = 2**20


def pieces_of(read: Callable[[int], bytes], length: int) -> Iterator[bytes]:
    """The body in pieces; raise Invalid where it ends before its announced length."""
    missing = length
    try:
        while missing and (piece := read(min(missing, _PIECE))):
            missing -= len(piece)
            yield piece
    except OSError:  # how servers say that the caller has hung up
        pass
    if missing:
        raise Invalid(f"The body ended {missing:,} bytes early; send it again.")


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends. One that is longer than any good one is handed on as soon as that is known."""
    rest: list[bytes] = []
    held = 0
    for piece in pieces:
        first, *more = piece.split(b"\n")
        rest.append(first)
        held += len(first)
        if more:
            yield b"".join(rest)
            yield from more[:-1]
            rest, held = [more[-1]], len(more[-1])
        if held > rows.MAX_LINE_BYTES + 1:
            yield b"".join(rest)  # refused by whoever reads it
            rest, held = [], 0
    if held:
        yield b"".join(rest)
