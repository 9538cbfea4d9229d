"""What the tests of this folder share."""

import pytest

from registry.access.keys import ring
from tests.support.clients import client_with


@pytest.fixture(autouse=True)
def fresh_ring():
    ring.clear()
    yield
    ring.clear()


@pytest.fixture
def api(db):
    """Somebody whose key has every scope."""
    return client_with()
