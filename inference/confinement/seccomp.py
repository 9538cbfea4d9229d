"""Seccomp: a process gives up system calls: sockets, other programs and processes, and what changes files it may only read."""

import ctypes
import os
import platform
import struct

from inference.confinement.errors import NotConfined

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _ALL_THREADS = 1, 1

# linux/filter.h, linux/seccomp.h
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER_OR_EQUAL, _JUMP_IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x0001_0000
_X32_BIT = 0x4000_0000
_NONE = -1  # this architecture has no such call

_ARCHITECTURES = {"x86_64": (0xC000_003E, 0), "aarch64": (0xC000_00B7, 1)}
# name: number on x86_64, on aarch64
_REFUSED = {
    # sockets
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # other programs and processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, _NONE), "vfork": (58, _NONE),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "process_madvise": (440, 440), "kcmp": (312, 272),
    # memory and messages that processes of one user share
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # files that may only be read: modes, owners, attributes, times
    "chmod": (90, _NONE), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, _NONE), "fchown": (93, 55), "lchown": (94, _NONE), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "utime": (132, _NONE), "utimes": (235, _NONE), "futimesat": (261, _NONE), "utimensat": (280, 88),
    # the system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432), "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "open_by_handle_at": (304, 265), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161),
    "setdomainname": (171, 162),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_TO_ITSELF_ONLY = {"kill": (62, 129), "tgkill": (234, 131)}
_OF_ITSELF_ONLY = {"prlimit64": (302, 261)}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_calls() -> None:
    """Refuse these calls to all threads of this process, from now on. They fail with “Operation not permitted”."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise NotConfined(f"the list of system calls for {machine or 'this machine'} is not known")
    instructions = b"".join(_instructions(*_ARCHITECTURES[machine]))
    program = _Program(len(instructions) // 8, instructions)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        number = {"x86_64": 317, "aarch64": 277}[machine]
        result = libc.syscall(ctypes.c_long(number), _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))
    except (AttributeError, OSError, TypeError):
        raise NotConfined("this system is not Linux") from None
    if result != 0:
        raise NotConfined(f"the kernel refuses a seccomp filter ({os.strerror(ctypes.get_errno())})")


def _instructions(architecture: int, column: int) -> list[bytes]:
    program = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_JUMP_IF_EQUAL, architecture, yes=1),
        _step(_RETURN, _KILL_PROCESS),  # a call by another architecture's numbers
        _step(_LOAD, _NUMBER_AT),
        _step(_JUMP_IF_GREATER_OR_EQUAL, _X32_BIT, no=1),
        _step(_RETURN, _ERRNO | _EPERM),
    ]
    for numbers in _REFUSED.values():
        if numbers[column] != _NONE:
            program += [_step(_JUMP_IF_EQUAL, numbers[column], no=1), _step(_RETURN, _ERRNO | _EPERM)]
    # Its flags are in memory, where a filter cannot look; the C library then uses `clone`.
    program += [_step(_JUMP_IF_EQUAL, _CLONE3[column], no=1), _step(_RETURN, _ERRNO | _ENOSYS)]
    program += _unless_first_argument(_CLONE[column], _JUMP_IF_ANY_BIT, _CLONE_THREAD)
    for numbers in _TO_ITSELF_ONLY.values():
        program += _unless_first_argument(numbers[column], _JUMP_IF_EQUAL, os.getpid())
    for numbers in _OF_ITSELF_ONLY.values():
        program += _unless_first_argument(numbers[column], _JUMP_IF_EQUAL, 0)
    return [*program, _step(_RETURN, _ALLOW)]


def _unless_first_argument(number: int, jump: int, value: int) -> list[bytes]:
    """Refuse the call unless its first argument is as wanted."""
    return [
        _step(_JUMP_IF_EQUAL, number, no=4),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(jump, value, yes=1),
        _step(_RETURN, _ERRNO | _EPERM),
        _step(_RETURN, _ALLOW),
    ]


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
