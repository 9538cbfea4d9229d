"""Takes a child out of the network, where the kernel lets it."""

import ctypes

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000


def leave_network() -> bool:
    """Give this process a network of its own in which nothing is up, not even the loopback; False: it was refused.

    Call it before the first thread starts. What is open stays open, device nodes and sockets of the file system
    are not the network's. Containers often refuse both ways; then the rest of the child's limits must do.
    """
    try:
        unshare = ctypes.CDLL(None).unshare
    except (AttributeError, TypeError):  # not Linux
        return False
    # With the right to make one there is no need to become nobody, which a process without it has to.
    return bool(unshare(_NEW_NETWORK) == 0 or unshare(_NEW_USER | _NEW_NETWORK) == 0)
