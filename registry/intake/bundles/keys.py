"""Keys of bundles: the one that signs what is exported here, and those of the installations that are trusted."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings

from registry.intake.errors import BundleKeyMissing

_PURPOSE = b"roundhouse bundle"
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class BundleKey:
    """A secret that two installations share. Its id says which one it is, and nothing else about it."""

    name: str
    secret: str = field(repr=False)

    @property
    def id(self) -> str:
        return self.sign(b"key id")[:_ID_LENGTH]

    def sign(self, content: bytes) -> str:
        """The HMAC-SHA256 of the content, in hexadecimal."""
        key = hmac.digest(self.secret.encode(), _PURPOSE, "sha256")
        return hmac.digest(key, content, "sha256").hex()


def can_sign() -> bool:
    """Whether versions can be exported here."""
    return bool(settings.BUNDLE_SECRET)


def own_key() -> BundleKey:
    """The key that signs what is exported here; raise BundleKeyMissing if there is none."""
    if not can_sign():
        raise BundleKeyMissing
    return BundleKey("this installation", settings.BUNDLE_SECRET)


def trusted_keys() -> Mapping[str, BundleKey]:
    """The trusted keys by id. The own one is not among them, unless the settings name it."""
    keys = (BundleKey(name, secret) for name, secret in settings.TRUSTED_BUNDLE_KEYS.items())
    return {key.id: key for key in keys}
