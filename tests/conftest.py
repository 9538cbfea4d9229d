"""What all tests share: the rules of the four layers, no network, services that are found or named as missing."""

import os
import socket
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from typing import Any

import pytest
from django.apps import apps
from django.db.models.signals import post_migrate
from django.test import TransactionTestCase
from whitenoise.middleware import WhiteNoiseMiddleware
from xdist.scheduler import LoadScopeScheduling

from tests.support.browser import EXECUTABLE, chromium
from tests.support.emptying import Beginning
from tests.support.missing import missing
from tests.support.private import PrivateRedis
from tests.support.processes import ROOT
from tests.support.services import DATABASE_URL, SERVICE_REDIS_URL

IN_CI = bool(os.environ.get("CI"))
EMBEDDED = bool(os.environ.get("ROUNDHOUSE_TEST_EMBEDDED"))
_DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _check_layers(items)
    if "long" not in config.getoption("markexpr"):
        kept = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = kept
    missing = _missing_services()
    for item in items:
        if missing and item.get_closest_marker("service"):
            _skip(item, missing)
        if item.get_closest_marker("browser") and EXECUTABLE is None:
            _skip(item, "no Chromium: install the distribution's package `chromium`")
    if missing and IN_CI and not EMBEDDED:
        raise pytest.UsageError(f"in CI the tests run on PostgreSQL and Redis: {missing}")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Sharing(config, log)


class _Sharing(LoadScopeScheduling):
    """Each test goes to the next free process.

    Those of the two servers stay in one process, which begins with them. Modules of chaos, and those that drive Chromium,
    stay in one process too: each process would start servers, or a browser, of its own for them.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module.startswith("tests/served/"):
            return "served"
        if module.startswith("tests/chaos/") or _drives_a_browser(module):
            return module
        return nodeid.partition("[")[0]


@cache
def _drives_a_browser(module: str) -> bool:
    return "pytest.mark.browser" in (ROOT / module).read_text()


def _check_layers(items: list[pytest.Item]) -> None:
    """A test of the units has no database, so that no database is made for it."""
    for item in items:
        layer = item.path.relative_to(ROOT / "tests").parts[0]
        names = set(getattr(item, "fixturenames", ()))
        has_database = item.get_closest_marker("django_db") or names & _DATABASE_FIXTURES
        if has_database and layer != "rows" and layer != "chaos":
            raise pytest.UsageError(f"{item.nodeid} uses the database: it belongs to tests/rows")


def _skip(item: pytest.Item, reason: str) -> None:
    if IN_CI:
        item.add_marker(pytest.mark.usefixtures("fail_instead_of_skip"))
        item.user_properties.append(("missing", reason))
    else:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def fail_instead_of_skip(request: pytest.FixtureRequest) -> None:
    pytest.fail(f"in CI nothing is skipped: {dict(request.node.user_properties)['missing']}")


def _missing_services() -> str | None:
    if DATABASE_URL is None:
        return "no PostgreSQL at 127.0.0.1:5432 or ROUNDHOUSE_TEST_DATABASE_URL, and none installed to start"
    if SERVICE_REDIS_URL is None:
        return "no Redis at 127.0.0.1:6379 or ROUNDHOUSE_TEST_REDIS_URL, and none installed to start"
    return None


@pytest.fixture(autouse=True, scope="session")
def tables_that_can_be_emptied() -> None:
    """Keep the triggers out: tests with real transactions end by emptying every table. Their own test installs them."""
    post_migrate.disconnect(dispatch_uid="registry.triggers", sender=apps.get_app_config("registry"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """The test database; what a test with real transactions leaves in it is taken out quickly."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        beginning = Beginning()
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda test: beginning.restore())
        yield


@pytest.fixture(autouse=True, scope="session")
def static_files_are_listed_once() -> Iterator[None]:
    """Each test client builds the middleware again, and WhiteNoise would walk all static folders for each."""
    list_files = WhiteNoiseMiddleware.add_files_from_finders
    files: dict[str, Any] = {}

    def add_known_files(middleware: WhiteNoiseMiddleware) -> None:
        if not files:
            list_files(middleware)
            files.update(middleware.files)
        middleware.files.update(files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add_known_files)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Let tests reach this machine only."""
    real_connect = socket.socket.connect

    def connect(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = address[0]
            if host != "localhost" and not ip_address(host.split("%")[0]).is_loopback:
                raise AssertionError(f"a test tried to reach {host}")
        return real_connect(self, address)

    socket.socket.connect = connect
    yield
    socket.socket.connect = real_connect


@pytest.fixture(scope="module")
def redis_server():
    """A Redis that nobody else uses."""
    if not PrivateRedis.is_installed():
        missing("no redis-server is installed")
    server = PrivateRedis().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started
