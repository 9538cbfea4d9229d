"""Those who call the API from tests."""

from rest_framework.test import APIClient

from tests.support.factories import a_key

V1 = "/api/v1"


def by_key(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def client_with(*scopes: str, **more) -> APIClient:
    """Somebody with a new key of these scopes, of all where none is named."""
    return by_key(a_key(*scopes, **more)[1])


def signed_in(person) -> APIClient:
    client = APIClient()
    client.force_login(person)
    return client
