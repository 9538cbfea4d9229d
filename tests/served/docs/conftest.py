"""Code that the pages tell people to paste."""

import pytest

from tests.support.processes import clean_environment


@pytest.fixture(scope="package")
def environment(embedded):
    """The environment of a shell that has pasted the first lines of docs/clients.md."""
    key = embedded.credentials["api_key"]
    return clean_environment(URL=embedded.url, KEY=key, GRPC=f"127.0.0.1:{embedded.grpc_port}")
