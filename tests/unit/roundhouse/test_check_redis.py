"""What Redis must be, asked of a real one."""

import pytest
import redis

from roundhouse import system_checks
from roundhouse.system_checks import check_redis
from tests.support.missing import missing
from tests.support.private import PrivateRedis


@pytest.fixture
def server(settings):
    if not PrivateRedis.is_installed():
        missing("no redis-server is installed")
    server = PrivateRedis().start()
    settings.REDIS_URL = server.url
    yield server
    server.stop()


def test_one_that_evicts_is_refused(server):
    assert check_redis() == []
    redis.Redis.from_url(server.url).config_set("maxmemory-policy", "allkeys-lru")
    assert [found.id for found in check_redis()] == ["roundhouse.E006"]


@pytest.mark.parametrize(
    ("release", "is_recent"),
    [("6.2.0", True), ("7.0.15", True), ("8.0", True), ("10.1.2", True), ("6.0.16", False), ("5.0.7", False), ("", False)],
)  # fmt: skip
def test_releases(release, is_recent):
    assert system_checks._is_recent(release) is is_recent


def test_an_old_one_is_refused(server, monkeypatch):
    monkeypatch.setattr(system_checks, "_is_recent", lambda release: False)
    assert [found.id for found in check_redis()] == ["roundhouse.E007"]


def test_one_that_is_away_is_said(server):
    server.kill()
    assert [found.id for found in check_redis()] == ["roundhouse.W001"]
