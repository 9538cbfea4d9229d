"""Settings of the tests: the product's own, in a data folder that is thrown away.

Rows are kept in PostgreSQL where one answers or can be started, else in SQLite. ROUNDHOUSE_TEST_EMBEDDED=1 takes SQLite
all the same, and the messages that go with it.
"""

import atexit
import os
import shutil
import tempfile

from tests.support.services import DATABASE_URL, SERVICE_REDIS_URL

_data = tempfile.mkdtemp(prefix="roundhouse-tests-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
_ENVIRONMENT = {
    "ROUNDHOUSE_DATA": _data,
    "ROUNDHOUSE_ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "ROUNDHOUSE_LOG_LEVEL": "warning",
}
if DATABASE_URL and SERVICE_REDIS_URL and not os.environ.get("ROUNDHOUSE_TEST_EMBEDDED"):
    _ENVIRONMENT |= {"ROUNDHOUSE_DATABASE_URL": DATABASE_URL, "ROUNDHOUSE_REDIS_URL": SERVICE_REDIS_URL}

for _name in [name for name in os.environ if name.startswith("ROUNDHOUSE_") and "_TEST_" not in name]:
    del os.environ[_name]
os.environ.update(_ENVIRONMENT)

from roundhouse.settings import *  # noqa: E402, F403, TID251

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if "postgresql" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    # Pools of dead test databases would keep them from being dropped. What a crash would lose is no loss here.
    DATABASES["default"]["OPTIONS"] = {"options": "-c synchronous_commit=off"}  # noqa: F405
else:
    # A file, as in the product: threads that share a database in memory lock each other out of tables.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}  # noqa: F405
