"""Downloads from `manage.py serve`: what they cost, and whether slow readers keep others from predictions."""

import hashlib
import socket
import sqlite3
from contextlib import ExitStack, closing

import pytest

from tests.served.conftest import WEB_THREADS
from tests.support import walk
from tests.support.connections import port_of, server_sides
from tests.support.processes import get, growing_at_most, post

THREADS = WEB_THREADS
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


def answered(connection) -> tuple[list[bytes], bytes]:
    """All that came until the connection ended: lines of the head in small letters, and the body."""
    head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    return head.lower().split(b"\r\n"), body


def test_head_on_the_wire(served, link):
    with begun(served, link, "HEAD") as connection:
        head, body = answered(connection)

    assert head[0].startswith(b"http/1.1 200")
    assert b"content-length: %d" % SIZE in head
    assert body == b""


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("1-3", 1, 3),
        (f"{SIZE - 3}-", SIZE - 3, SIZE - 1),
        ("-2", SIZE - 2, SIZE - 1),
        (f"4096-{4096 + (2 << 20)}", 4096, 4096 + (2 << 20)),
    ],
)
def test_a_range_on_the_wire(served, link, asked, first, last):
    with begun(served, link, lines=[f"Range: bytes={asked}"]) as connection:
        head, body = answered(connection)

    assert head[0].startswith(b"http/1.1 206")
    assert b"content-range: bytes %d-%d/%d" % (first, last, SIZE) in head
    assert b"content-length: %d" % (last - first + 1) in head
    assert body == bytes(last - first + 1)


def test_who_has_the_file_or_asks_beyond_it_gets_none_of_it(served, link):
    with begun(served, link, "HEAD") as connection:
        tag = next(line for line in answered(connection)[0] if line.startswith(b"etag: ")).removeprefix(
            b"etag: "
        )
    with begun(served, link, lines=[f"If-None-Match: {tag.decode()}"]) as connection:
        unchanged, nothing = answered(connection)
    with begun(served, link, lines=[f"Range: bytes={SIZE}-"]) as connection:
        beyond, _ = answered(connection)

    assert unchanged[0].startswith(b"http/1.1 304")
    assert nothing == b""
    assert beyond[0].startswith(b"http/1.1 416")
    assert b"content-range: bytes */%d" % SIZE in beyond


def test_slow_readers_keep_nobody_from_anything(served, link):
    """Twice as many stand still as there are threads; the control is that all of them are really being answered."""
    key = served.credentials["api_key"]
    with ExitStack() as held:
        slow = [held.enter_context(begun(served, link)) for _ in range(2 * THREADS)]
        statuses = {status_of(connection) for connection in slow}
        predicted, _ = post(
            f"{served.url}/api/v1/models/ripeness/predict", {"data": [0.2, 0.8, 0.3]},
            Authorization=f"Bearer {key}", **{"Content-Type": "application/json"},
        )  # fmt: skip
        page, _ = get(f"{served.url}/admin/login/")
        with begun(served, link, lines=["Range: bytes=0-9"]) as connection:
            another = status_of(connection)
        still_held = len({port_of(connection) for connection in slow} & server_sides(served.port).keys())

    assert statuses == {200}
    assert (predicted, page, another) == (200, 200, 206)
    assert still_held == 2 * THREADS


def test_the_command_gives_the_same_bytes(served, tmp_path):
    done = served.manage("export_artifact", "large", "1", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "large-v1.onnx").stat().st_size == SIZE
