"""What the process holds, as the pool reads it."""

import subprocess
import sys

import numpy as np

from inference.engine.memory import device_used_bytes, resident_bytes

MIB = 1 << 20


def test_resident_memory_grows_with_what_is_touched_and_falls_when_it_is_freed():
    before = resident_bytes()
    touched = np.ones(64 * MIB, np.uint8)
    held = resident_bytes()
    del touched

    assert held - before > 60 * MIB
    assert resident_bytes() < held - 60 * MIB


def test_a_device_that_does_not_answer_holds_nothing_known():
    assert device_used_bytes(10_000) == 0


HEAPS = """
import sys, threading
from inference.engine.memory import limit_heaps
if sys.argv[1] == "limited":
    limit_heaps(1)
gate = threading.Barrier(9)
threads = [threading.Thread(target=lambda: (bytearray(1000), gate.wait(), gate.wait())) for _ in range(8)]
for thread in threads:
    thread.start()
gate.wait()
maps = open("/proc/self/maps").read().splitlines()
print(sum(1 for line in maps if line.split()[0].split("-")[0].endswith("000000") and " rw-p 00000000 00:00 0" in line))
gate.wait()
"""


def test_heaps_can_be_bounded():
    """With the negative control beside it: unbounded, the same threads get heaps of their own, at 64 MiB marks."""
    count = {
        mode: int(subprocess.run([sys.executable, "-c", HEAPS, mode], check=True, capture_output=True).stdout)
        for mode in ("limited", "free")
    }

    assert count["limited"] < count["free"]
