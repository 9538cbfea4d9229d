"""Clients of the API: a key, or somebody who is logged in."""

from rest_framework.test import APIClient

from tests.support.factories import a_key, a_person

V1 = "/api/v1"


def by_key(text: str) -> APIClient:
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {text}")


def client_with(*scopes: str, **more) -> APIClient:
    """Somebody with a new key of these scopes, of all where none is named."""
    return by_key(a_key(*scopes, **more)[1])


def signed_in(person) -> APIClient:
    client = APIClient()
    client.force_login(person)
    return client


def client_for(*roles: str, **more) -> APIClient:
    """Somebody new with these roles."""
    return signed_in(a_person(*roles, **more))
