"""Memory of processes and devices, as far as the system reports it."""

import ctypes
from contextlib import suppress

from inference.confinement.memory import process_memory

_M_ARENA_MAX = -8  # glibc's malloc.h
_CUDART = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")


def limit_heaps(count: int = 2) -> None:
    """Limit how many heaps glibc uses for the threads of this process. Call it before they start.

    It creates up to eight per core. Weights that one thread loads and another frees leave all of them full of holes:
    with 20 models of 2.5 MB loaded and unloaded in 8 threads, around 110 MB remained instead of 70.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, count)


def resident_bytes() -> int:
    """This process's resident memory; 0 if unknown (not Linux).

    Returns freed blocks to the system first; otherwise a load that reuses them would seem to need no memory. That takes
    milliseconds, so call it around loads, never around a request.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return process_memory()[1]


def device_used_bytes(device_id: int) -> int:
    """Memory that all processes together use on a CUDA device; 0 without a CUDA runtime."""
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
