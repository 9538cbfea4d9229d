"""Memory of processes, as far as the system reports it."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_memory(pid: int | None = None) -> tuple[int, int]:
    """Address space and resident memory of a process, or of this one; zeros if unknown or ended."""
    try:
        size, resident = Path(f"/proc/{pid or 'self'}/statm").read_bytes().split()[:2]
    except (OSError, ValueError):
        return 0, 0
    return int(size) * _PAGE, int(resident) * _PAGE
