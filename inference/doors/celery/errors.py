"""Errors in Celery messages.

RoundhouseError
├── NotAuthenticated
│   ├── BadSignature        unknown key, or wrong signature
│   └── KeyEnded            the key was revoked or has expired
└── Invalid
    ├── BadMessage          the message cannot be read
    ├── UnknownEnvelope     a version of the envelope that this release does not know
    └── StaleMessage        sent too long ago, or in the future
"""

from registry.errors import Invalid, NotAuthenticated


class BadSignature(NotAuthenticated):
    """The signature does not match the message, or the key is unknown."""

    code = "bad_signature"


class KeyEnded(NotAuthenticated):
    """The API key was revoked or has expired. Ask an administrator for a new one."""

    code = "key_ended"


class BadMessage(Invalid):
    """The message cannot be read."""

    code = "bad_message"


class UnknownEnvelope(Invalid):
    """This release supports envelope version 1."""

    code = "unknown_envelope"


class StaleMessage(Invalid):
    """The message was sent too long ago, or its sender's clock is wrong."""

    code = "stale_message"
