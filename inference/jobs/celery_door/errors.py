"""What can be wrong with a message.

RoundhouseError
├── NotAuthenticated
│   ├── BadSignature        nobody known has signed this message
│   └── KeyEnded            its key was revoked, or its time is over
└── Invalid
    ├── BadMessage          it cannot be read
    ├── UnknownEnvelope     it is written by rules that this release does not know
    └── StaleMessage        it was sent too long ago, or is from the future
"""

from registry.errors import Invalid, NotAuthenticated


class BadSignature(NotAuthenticated):
    """The signature does not fit the message, or the key is unknown."""

    code = "bad_signature"


class KeyEnded(NotAuthenticated):
    """The API key was revoked, or has expired. Ask an administrator for a valid one."""

    code = "key_ended"


class BadMessage(Invalid):
    """The message cannot be read."""

    code = "bad_message"


class UnknownEnvelope(Invalid):
    """This release reads envelopes of version 1."""

    code = "unknown_envelope"


class StaleMessage(Invalid):
    """The message was sent too long ago, or its sender's clock is wrong."""

    code = "stale_message"
