import pytest

from registry.record.fetcher import Fetcher
from tests.support.internet import OK, Internet, Server


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
def serve(internet):
    """Lets another server answer: a function of the connection and of the server, which knows when all is over."""
    servers = []

    def start(behave):
        servers.append(Server(lambda connection: behave(connection, servers[-1])))
        internet.port = servers[-1].port

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def fetcher(internet):
    return Fetcher(resolve=internet.resolve, connect=internet.connect)
