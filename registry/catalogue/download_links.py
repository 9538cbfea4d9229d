"""Links that let their bearer take one version's file for a short time, in the name of whoever asked."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.core.signing import BadSignature, Signer

from registry.catalogue.errors import BadLink, LinkExpired
from registry.catalogue.models import Version


@dataclass(frozen=True, slots=True)
class Link:
    """`asker` is a mark of registry.access.policies; `expires_at` counts seconds since 1970."""

    version_id: int
    asker: str
    expires_at: int

    @property
    def expires(self) -> datetime:
        return datetime.fromtimestamp(self.expires_at, UTC)


def file_name_of(version: Version) -> str:
    """What the file is called where it leaves the store; made of nothing but a slug and a number."""
    return f"{version.model.slug}-v{version.number}.onnx"


def signed(link: Link) -> str:
    """Write the link as text that fits into an address."""
    return _signer().sign_object([link.version_id, link.asker, link.expires_at])


def read_link(text: str) -> Link:
    """Return what was signed; raise BadLink for any other text, LinkExpired when it is too late."""
    try:
        link = Link(*_signer().unsign_object(text))
    except (BadSignature, UnicodeEncodeError):
        raise BadLink from None
    if time.time() >= link.expires_at:
        raise LinkExpired
    return link


def _signer() -> Signer:
    return Signer(salt="roundhouse download", sep=".")
