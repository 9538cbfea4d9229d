"""Clients of the API: somebody who is logged in, or a key."""

from typing import Any

from rest_framework.test import APIClient

from tests.support.factories import a_key, a_person


def client_of(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def client_for(*roles: str, **more: Any) -> APIClient:
    """Somebody new with these roles."""
    return client_of(a_person(*roles, **more))


def key_client(text: str | None = None) -> APIClient:
    """A key, or a new one with every scope."""
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {text or a_key()[1]}")
