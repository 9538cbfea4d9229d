"""Start-up checks: what a model file may change in the runtime, and what Redis must be (asked of a real one)."""

import pytest
import redis

from roundhouse import system_checks
from roundhouse.system_checks import check_redis, check_runtime_environment
from tests.support.missing import missing
from tests.support.private import PrivateRedis
from tests.support.processes import ROOT

PRODUCT = ("platform", "registry", "inference", "moderation")
NEVER = ("register_custom_ops" + "_library", "register_execution_provider" + "_library")


@pytest.mark.parametrize("value", ["1", "0", "true"])
def test_files_may_not_configure_the_runtime(monkeypatch, value):
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", value)

    (error,) = check_runtime_environment()

    assert (error.id, error.hint) == ("roundhouse.E005", "Unset it.")
    assert "ORT_LOAD_CONFIG_FROM_MODEL" in error.msg


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_unset_passes(monkeypatch, value):
    monkeypatch.delenv("ORT_LOAD_CONFIG_FROM_MODEL", raising=False)
    if value is not None:
        monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", value)

    assert check_runtime_environment() == []


def mentions(word, folders):
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 10
    return [str(path.relative_to(ROOT)) for path in sources if word in path.read_text()]


@pytest.mark.parametrize("name", NEVER)
def test_the_product_loads_no_foreign_libraries_into_the_runtime(name):
    assert mentions(name, PRODUCT) == []


def test_the_search_would_find_it():
    """Negative control: a name that the product does use."""
    assert "inference/engine/onnx_backend.py" in mentions("InferenceSession", PRODUCT)


@pytest.fixture
def server(settings):
    if not PrivateRedis.is_installed():
        missing("no redis-server is installed")
    server = PrivateRedis().start()
    settings.REDIS_URL = server.url
    yield server
    server.stop()


def test_redis_that_evicts_is_refused(server):
    assert check_redis() == []
    redis.Redis.from_url(server.url).config_set("maxmemory-policy", "allkeys-lru")
    assert [found.id for found in check_redis()] == ["roundhouse.E006"]


@pytest.mark.parametrize(
    ("release", "is_recent"),
    [("6.2.0", True), ("7.0.15", True), ("8.0", True), ("10.1.2", True), ("6.0.16", False), ("5.0.7", False), ("", False)],
)  # fmt: skip
def test_releases(release, is_recent):
    assert system_checks._is_recent(release) is is_recent


def test_old_redis_is_refused(server, monkeypatch):
    monkeypatch.setattr(system_checks, "_is_recent", lambda release: False)
    assert [found.id for found in check_redis()] == ["roundhouse.E007"]


def test_missing_redis_is_reported(server):
    server.kill()
    assert [found.id for found in check_redis()] == ["roundhouse.W001"]
