"""Landlock: a process gives up all files but those it names. Linux 5.13 and newer, no privileges needed.

What Landlock does not govern, such as modes and owners of files, `seccomp` refuses. Whether a file exists can still be seen.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from inference.confinement.errors import NotConfined

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_VERSION_WANTED = 1
_PATH_BENEATH = 1
_O_PATH = getattr(os, "O_PATH", 0)
_PR_SET_NO_NEW_PRIVS = 38

# include/uapi/linux/landlock.h
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _READ_FILE | _READ_DIR | _EXECUTE  # seccomp refuses to run what may be read
_WRITE = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_BIND_AND_CONNECT = 0b11
_SOCKETS_AND_SIGNALS = 0b11

# Before version 3 a file could be truncated by whoever may see it.
OLDEST = 3
_RIGHTS_BY_VERSION = {3: (1 << 15) - 1, 5: (1 << 16) - 1}


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock; 0 if it has none."""
    return max(0, _call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_WANTED))


def restrict_files(
    *, readable: Iterable[Path], writable: Iterable[Path] = (), listable: Iterable[Path] = ()
) -> None:
    """Leave this thread, and those it starts, these files and folders only. Paths that do not exist are skipped.

    `listable`: folders whose names may be read, but none of the files in them.
    """
    found = version()
    if found < OLDEST:
        raise NotConfined("the kernel has no Landlock of version 3 or newer")
    handled = _RIGHTS_BY_VERSION[max(known for known in _RIGHTS_BY_VERSION if known <= found)]
    ruleset = _Ruleset(
        handled, _BIND_AND_CONNECT if found >= 4 else 0, _SOCKETS_AND_SIGNALS if found >= 6 else 0
    )
    size = 8 * (1 + (found >= 4) + (found >= 6))
    rules = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if rules < 0:
        raise NotConfined(f"the kernel refuses Landlock's rules ({os.strerror(ctypes.get_errno())})")
    try:
        for paths, rights in ((readable, _READ), (writable, _READ | _WRITE), (listable, _READ_DIR)):
            for path in paths:
                _allow(rules, path, rights & handled)
        _forgo_privileges()
        if _call(_RESTRICT_SELF, rules, 0) != 0:
            raise NotConfined(f"the kernel refuses Landlock ({os.strerror(ctypes.get_errno())})")
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _FILE_RIGHTS
        rule = _PathBeneath(rights, opened)
        if _call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            raise NotConfined(f"the kernel refuses a rule of Landlock ({os.strerror(ctypes.get_errno())})")
    finally:
        os.close(opened)


def _forgo_privileges() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NotConfined("the kernel does not let a process give up privileges")


def _call(number: int, *arguments: object) -> int:
    try:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
    except (AttributeError, OSError, TypeError):  # not Linux
        return -1
    return int(syscall(ctypes.c_long(number), *arguments))
