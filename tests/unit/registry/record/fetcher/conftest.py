import pytest

from registry.record.fetcher import Fetcher
from tests.support.internet import OK, Internet


@pytest.fixture
def answers():
    """Path to raw answer; a test adds its own."""
    return {}


@pytest.fixture
def internet(answers):
    internet = Internet(lambda request: answers.get(request.split(b" ")[1].decode(), OK))
    yield internet
    internet.close()


@pytest.fixture
def fetcher(internet):
    return Fetcher(resolve=internet.resolve, connect=internet.connect)
