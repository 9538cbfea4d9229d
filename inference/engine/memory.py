"""What this process and its device hold, as far as the system tells."""

import ctypes
from contextlib import suppress
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE = 4096
_M_ARENA_MAX = -8  # glibc's malloc.h
_CUDART = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")


def limit_heaps(count: int = 2) -> None:
    """Bound the number of heaps that glibc spreads the threads of this process over; call it before they start.

    It makes up to eight per core, and weights that are loaded by one thread and freed by another leave each of
    them full of holes: measured with 20 models of 2.5 MB coming and going under 8 threads, 110 MB stay
    instead of 70, and never the same amount twice.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, count)


def resident_bytes() -> int:
    """Read this process's resident memory; 0 where the system does not tell (not Linux).

    Freed blocks are given back to the system first: a load that is served from them would seem to take
    nothing. That takes milliseconds, so call it around loads, never around a request.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


def device_used_bytes(device_id: int) -> int:
    """Read what all processes together hold on a CUDA device; 0 where no CUDA runtime answers."""
    for name in _CUDART:
        try:
            cudart = ctypes.CDLL(name)
        except OSError:
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        if (
            cudart.cudaSetDevice(device_id) == 0
            and cudart.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)) == 0
        ):
            return total.value - free.value
    return 0
