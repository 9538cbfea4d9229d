"""Two running Roundhouses for all tests of this layer: as a newcomer starts it, and on PostgreSQL and Redis.

They are shared, so a test brings Models of its own where it changes anything, and ends what it began.
"""

import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inference.pipelines.object_detection import ObjectDetection
from inference.tensors.signature import Signature
from tests.support.browser import log_in, open_page
from tests.support.missing import missing
from tests.support.private import PrivateRedis, a_database
from tests.support.processes import Served, free_port, serving
from tests.support.services import DATABASE_URL

WEB_THREADS = 16


@pytest.fixture(scope="session")
def picture_host() -> Iterator[str]:
    """Another server, whose `/picture.png` the demo may fetch; everything else is missing there."""
    (picture,) = ObjectDetection.example_of({}, {}, Signature((), ())).values()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_there = self.path == "/picture.png"
            self.send_response(200 if is_there else 404)
            self.end_headers()
            self.wfile.write(b64decode(picture) if is_there else b"")

        def log_message(self, *_: object) -> None:
            """It says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, picture_host: str) -> Iterator[Served]:
    """The demo in one web process, so that what it takes in memory and threads can be told."""
    with serving(
        tmp_path_factory.mktemp("embedded"), "--demo", WEB_PROCESSES=1, WEB_THREADS=WEB_THREADS,
        GRPC_PORT=free_port(), PREDICT_BINARY_MB=16, FETCH_ALLOWED_HOSTS=f"127.0.0.1:9,{picture_host}",
        ITEM_HOSTS="127.0.0.1",
    ) as served:  # fmt: skip
        served.wait_ready()
        yield served


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo in two web processes that load nothing and one worker that runs everything."""
    if DATABASE_URL is None or not PrivateRedis.is_installed():
        missing("no PostgreSQL, or no redis-server to start")
    redis = PrivateRedis().start()
    try:
        with (
            a_database(DATABASE_URL) as url,
            serving(
                tmp_path_factory.mktemp("production"), "--demo", DATABASE_URL=url, REDIS_URL=redis.url,
                EXECUTOR="workers", WEB_THREADS=WEB_THREADS, GRPC_PORT=free_port(),
            ) as served,
        ):  # fmt: skip
            served.wait_ready()
            yield served
    finally:
        redis.stop()


@pytest.fixture
def page(embedded, browser):
    """A page of the embedded server, as the administrator; nothing may complain."""
    page, complaints = open_page(browser)
    log_in(
        page, embedded.url, embedded.credentials["operator_user"], embedded.credentials["operator_password"]
    )
    yield page
    assert complaints == []
    page.context.close()
