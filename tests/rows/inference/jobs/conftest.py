import pytest

from tests.support import house


@pytest.fixture
def engine(transactional_db):
    with house.an_engine() as started:
        yield started
