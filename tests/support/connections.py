"""What the kernel knows of a server's connections on this machine."""

from pathlib import Path

_HELD = {"01", "04", "08"}  # established, or closed by one side with something still to be sent


def server_sides(port: int) -> dict[int, str]:
    """The connections that a server holds or has still to send something on: the client's port, and which timer runs."""
    found = {}
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, _queues, timer, *_ = row.split()
        if int(local[-4:], 16) == port and state in _HELD:
            found[int(remote[-4:], 16)] = timer[:2]
    return found


KEEPALIVE = "02"  # the timer that asks whether somebody is still there


def port_of(connection) -> int:
    return connection.getsockname()[1]
