import pytest

from tests.inference.jobs import house


@pytest.fixture
def engine(transactional_db):
    with house.an_engine() as started:
        yield started
