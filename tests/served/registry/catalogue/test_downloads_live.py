"""Downloads from `manage.py serve`: what they cost, and whether slow readers keep others from predictions."""

import hashlib
import socket
import sqlite3
from contextlib import ExitStack, closing

import pytest

from tests.served.conftest import WEB_THREADS
from tests.support import walk
from tests.support.processes import get, growing_at_most, post, wait_until

THREADS, PLACES = WEB_THREADS, 2
SIZE = 96 << 20
ASK = "/api/v1/models/large/versions/1/download"


@pytest.fixture(scope="module")
def served(embedded, tmp_path_factory):
    """A Model `large` whose file became large: what is sent is not run."""
    small = walk.write_worse_model(tmp_path_factory.mktemp("large") / "model.onnx")
    imported = embedded.manage("import_model", "large", small)
    assert imported.returncode == 0, imported.stderr
    content = bytes(1 << 20) * (SIZE >> 20)
    sha256 = hashlib.sha256(content).hexdigest()
    place = embedded.data / "artifacts" / sha256[:2]
    place.mkdir(exist_ok=True)
    (place / sha256).write_bytes(content)
    with closing(sqlite3.connect(embedded.data / "roundhouse.sqlite3")) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")  # they call Django's own functions
        database.execute(
            "UPDATE registry_artifact SET sha256 = ?, size_bytes = ? WHERE id = (SELECT artifact_id FROM "
            "registry_version JOIN registry_model ON registry_model.id = model_id WHERE slug = 'large')",
            (sha256, SIZE),
        )
    return embedded


@pytest.fixture
def link(served):
    key = served.credentials["api_key"]
    status, told = post(
        served.url + ASK, {}, Authorization=f"Bearer {key}", **{"Content-Type": "application/json"}
    )
    assert status == 201, told
    assert told["url"].startswith(served.url)
    return told["url"]


def begun(served, link, method="GET", lines=()):
    """A connection that asked, and reads nothing by itself."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", served.port))
    path = link.removeprefix(served.url)
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""])
    connection.sendall(head.encode())
    return connection


def status_of(connection):
    return int(connection.recv(12).split()[1])


def test_a_large_file_comes_whole_without_being_in_memory(served, link):
    digest = hashlib.sha256()
    with growing_at_most(served.find("granian"), 24), begun(served, link) as connection:
        reader = connection.makefile("rb")
        head = list(iter(reader.readline, b"\r\n"))
        while piece := reader.read(1 << 20):
            digest.update(piece)

    assert head[0].startswith(b"HTTP/1.1 200")
    assert b"content-length: %d\r\n" % SIZE in [line.lower() for line in head]
    assert b'etag: "%s"\r\n' % digest.hexdigest().encode() in [line.lower() for line in head]


def test_head_and_range_on_the_wire(served, link):
    with begun(served, link, "HEAD") as connection:
        head = connection.makefile("rb").read()
    with begun(served, link, lines=[f"Range: bytes={SIZE - 3}-"]) as connection:
        rest = connection.makefile("rb").read()

    assert head.endswith(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % SIZE in head.lower()
    assert rest.startswith(b"HTTP/1.1 206")
    assert rest.endswith(b"\r\n\r\n\0\0\0")


def test_slow_readers_take_their_places_and_no_more(served, link):
    """As many stand still as there are threads; the control is that all places are really taken."""
    key = served.credentials["api_key"]
    with ExitStack() as held:
        slow = [held.enter_context(begun(served, link)) for _ in range(THREADS)]
        statuses = sorted(status_of(connection) for connection in slow)
        answered, _ = post(
            f"{served.url}/api/v1/models/ripeness/predict", {"data": [0.2, 0.8, 0.3]},
            Authorization=f"Bearer {key}", **{"Content-Type": "application/json"},
        )  # fmt: skip
        refused = get(link)[0]

    assert statuses == [200] * PLACES + [503] * (THREADS - PLACES)
    assert (answered, refused) == (200, 503)
    wait_until(
        lambda: all(_is_let_in(served, link) for _ in range(PLACES + 1)),
        within_s=10,
        what="the places of those who hung up",
    )


def _is_let_in(served, link):
    with begun(served, link, "HEAD") as connection:
        return status_of(connection) == 200


def test_the_command_gives_the_same_bytes(served, tmp_path):
    done = served.manage("export_artifact", "large", "1", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "large-v1.onnx").stat().st_size == SIZE
