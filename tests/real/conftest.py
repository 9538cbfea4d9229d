"""Two ways of running versions, one after the other on the same data, and the table at the end."""

from collections.abc import Iterator

import pytest

from tests.real.corpus import write_licences
from tests.real.installation import Installation, installed
from tests.real.locales import use_locale
from tests.real.report import Table, rendered
from tests.support.missing import missing
from tests.support.private import PrivateRedis

_table: Table = {}


@pytest.fixture(scope="session", autouse=True)
def prepared() -> None:
    """Fetch and export before the first server starts; the locale is found by all processes that follow."""
    use_locale()
    write_licences()


@pytest.fixture(scope="session")
def table() -> Table:
    return _table


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session", params=["inprocess", "workers"])
def installation(request, prepared, data) -> Iterator[Installation]:
    if request.param == "inprocess":
        with installed(data, EXECUTOR="inprocess", WEB_PROCESSES=1) as one:
            yield one
        return
    if not PrivateRedis.is_installed():
        missing("no redis-server to start")
    redis = PrivateRedis().start()
    try:
        with installed(data, EXECUTOR="workers", REDIS_URL=redis.url) as one:
            yield one
    finally:
        redis.stop()


@pytest.fixture
def executor(installation) -> str:
    return installation.served.variables["EXECUTOR"]


def pytest_terminal_summary(terminalreporter) -> None:
    if _table:
        terminalreporter.section("real files")
        for line in rendered(_table):
            terminalreporter.write_line(line)
