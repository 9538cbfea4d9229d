"""What the tests of the intake share."""

import pytest

from registry.access.keys import ring
from tests.support.clients import client_with


@pytest.fixture(autouse=True)
def fresh(settings, tmp_path):
    """A data folder and a key ring of its own; gives the folder."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    ring.clear()
    yield settings.DATA_DIR
    ring.clear()


@pytest.fixture
def api(db):
    """Somebody whose key has every scope."""
    return client_with()
