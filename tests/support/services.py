"""The PostgreSQL and the Redis that the tests use: those of this machine, or private ones."""

import atexit
import os

from tests.support.private import PrivatePostgres, PrivateRedis, lets_in


def _service_url(variable, usual, private):
    """The given address; else the usual one; else a private server's, where the binaries are; else none."""
    if variable not in os.environ:
        if lets_in(usual):
            os.environ[variable] = usual
        elif private.is_installed():
            server = private().start()
            atexit.register(server.stop)
            os.environ[variable] = server.url  # inherited by the other test processes
    return os.environ.get(variable)


DATABASE_URL = _service_url(
    "ROUNDHOUSE_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/test", PrivatePostgres
)
SERVICE_REDIS_URL = _service_url("ROUNDHOUSE_TEST_REDIS_URL", "redis://127.0.0.1:6379/9", PrivateRedis)
