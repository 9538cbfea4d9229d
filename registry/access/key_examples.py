"""Commands shown with a new API key, ready to be run. Rooms that know what a key is for add them."""

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from registry.access.models import ApiKey
from registry.access.policies import Right, rights_of_scopes
from registry.kit.registrations import Registrations


@dataclass(frozen=True, slots=True)
class KeyExample:
    id: str  # of the element on the page
    title: str
    text: str


# Each takes a new key and its text, and returns a command, or None if the key cannot be used for it.
KEY_EXAMPLES: Registrations[Callable[[ApiKey, str], KeyExample | None]] = Registrations("key example")


def examples_of(key: ApiKey, text: str) -> list[KeyExample]:
    return [example for make in KEY_EXAMPLES if (example := make(key, text)) is not None]


def list_models_example(key: ApiKey, text: str) -> KeyExample | None:
    if Right.READ not in rights_of_scopes(frozenset(key.scopes)):
        return None
    command = f"curl {settings.PUBLIC_URL}/api/v1/models \\\n  -H 'Authorization: Bearer {text}'"
    return KeyExample("rh-key-models", "List Models with curl", command)
