"""What a key looks like: `rh_<prefix>_<secret>`. The prefix is shown and searched; the secret is kept by nobody."""

import hashlib
import re
import secrets
import string

_ALPHABET = string.ascii_lowercase + string.digits
_FORM = re.compile(r"rh_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")


def new_key_text() -> tuple[str, str]:
    """Return a fresh prefix and the full text that carries it."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return prefix, f"rh_{prefix}_{secrets.token_urlsafe(32)}"


def digest_of(text: str) -> str:
    """SHA-256 is enough: the secret has 256 random bits, there is nothing to guess slowly."""
    return hashlib.sha256(text.encode()).hexdigest()


def prefix_of(text: str) -> str | None:
    """Return the prefix, or None for what cannot be a key."""
    form = _FORM.fullmatch(text)
    return form[1] if form else None
