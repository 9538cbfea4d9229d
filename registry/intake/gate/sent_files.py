"""Files that were sent, as open descriptors. What they were called is shown and compared, and never opened."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.intake.gate.errors import NotOnnx, Truncated
from registry.intake.gate.wording import shown

_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # a pipe would wait for its other end


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file, or a span of one, that somebody sent."""

    name: str
    descriptor: int
    size: int
    start: int = 0  # where its bytes begin behind the descriptor

    @property
    def label(self) -> str:
        """The name without folders, which is what a model may call it by."""
        return self.name.replace("\\", "/").rpartition("/")[2]

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a span of its bytes in pieces; raise Truncated where they end before."""
        at, end = self.start + start, self.start + start + size
        while at < end:
            piece = os.pread(self.descriptor, min(_PIECE, end - at), at)
            if not piece:
                raise Truncated(f"{shown(self.label)} became shorter while it was read; send it again.")
            yield piece
            at += len(piece)


@contextmanager
def opened(path: Path, name: str) -> Iterator[SentFile]:
    """Open a regular file; raise NotOnnx for a link, a folder, a device or a pipe."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            raise _not_a_file(name) from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(name)
        yield SentFile(name, descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _not_a_file(name: str) -> NotOnnx:
    return NotOnnx(f"{shown(name)} is a link, a folder, a device or a pipe; send the file itself.")
