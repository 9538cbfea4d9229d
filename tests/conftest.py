"""What all tests share: no network, services found or named as missing, one place to make things."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from django.apps import apps
from django.db.models.signals import post_migrate
from django.test import TransactionTestCase

from tests.browser import EXECUTABLE, chromium
from tests.emptying import Beginning
from tests.processes import serving
from tests.settings import DATABASE_URL, SERVICE_REDIS_URL

IN_CI = bool(os.environ.get("CI"))
WITH_SERVICES = bool(os.environ.get("ROUNDHOUSE_TEST_SERVICES"))
_DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "profile"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "long" not in config.getoption("markexpr"):
        _deselect(config, items, lambda item: item.get_closest_marker("long") is None)
    if WITH_SERVICES:
        # The second run is for what touches database or broker; the rest has just passed.
        _deselect(config, items, _touches_services)
    _begin_with_long_ones(items)
    missing = _missing_services()
    for item in items:
        if missing and (item.get_closest_marker("service") or WITH_SERVICES):
            _skip(item, missing)
        if item.get_closest_marker("browser") and EXECUTABLE is None:
            _skip(item, "no Chromium: install the distribution's package `chromium`")


def _begin_with_long_ones(items: list[pytest.Item]) -> None:
    """Files are shared out one by one: what takes long must not be begun last, with nothing left for the other core."""
    items.sort(key=lambda item: not (item.get_closest_marker("early") or item.get_closest_marker("browser")))


def _touches_services(item: pytest.Item) -> bool:
    if item.get_closest_marker("browser") or item.get_closest_marker("any_database"):
        return False
    names = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("django_db") or names & _DATABASE_FIXTURES)


def _deselect(config, items, keep) -> None:
    dropped = [item for item in items if not keep(item)]
    items[:] = [item for item in items if keep(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)


def _skip(item: pytest.Item, reason: str) -> None:
    if IN_CI:
        item.add_marker(pytest.mark.usefixtures("fail_instead_of_skip"))
        item.user_properties.append(("missing", reason))
    else:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def fail_instead_of_skip(request: pytest.FixtureRequest) -> None:
    pytest.fail(f"in CI nothing is skipped: {dict(request.node.user_properties)['missing']}")


@pytest.fixture(scope="session")
def profile() -> str:
    """The profile that this run is for: what starts its own servers starts those of the other one in the other run."""
    return "production" if WITH_SERVICES else "embedded"


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
def demo(tmp_path_factory):
    """The product as a newcomer starts it."""
    with serving(tmp_path_factory.mktemp("demo"), "--demo", WEB_PROCESSES=1) as served:
        served.wait_ready()
        yield served


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started
