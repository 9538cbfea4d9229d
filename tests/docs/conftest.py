"""One served Roundhouse with the examples in it, for everything that the pages tell people to paste."""

import pytest

from tests.processes import clean_environment, free_port, serving


@pytest.fixture(scope="package")
def environment(tmp_path_factory):
    """The environment of a shell that has pasted the first lines of docs/clients.md."""
    port = free_port()
    with serving(tmp_path_factory.mktemp("docs"), "--demo", GRPC_PORT=port) as served:
        served.wait_ready()
        key = served.credentials["api_key"]
        yield clean_environment(URL=served.url, KEY=key, GRPC=f"127.0.0.1:{port}")
