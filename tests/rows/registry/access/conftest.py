import pytest
from rest_framework.test import APIClient

from registry.access.keys import ring


@pytest.fixture(autouse=True)
def fresh_ring():
    """Keys of one test are unknown to the next, whose rows may carry the same numbers."""
    ring.clear()
    yield
    ring.clear()


@pytest.fixture
def api():
    """A client of the API that says which key it uses, or who is logged in."""

    def client(*, key: str | None = None, user=None) -> APIClient:
        made = APIClient()
        if key is not None:
            made.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
        if user is not None:
            made.force_login(user)
        return made

    return client
