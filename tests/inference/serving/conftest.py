"""What tests of serving share."""

import pytest

from tests.private import PrivateRedis


@pytest.fixture(scope="module")
def redis_server():
    if not PrivateRedis.is_installed():
        pytest.skip("redis-server is not installed")
    server = PrivateRedis().start()
    yield server
    server.stop()
