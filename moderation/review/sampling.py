"""Which verdicts another person gives again."""

import hashlib


def is_reviewed_twice(verdict_id: int, share: float) -> bool:
    """Evenly spread, and the same whenever it is asked, so that a crash neither adds nor drops one."""
    digest = hashlib.blake2b(str(verdict_id).encode(), digest_size=8, person=b"second review").digest()
    return int.from_bytes(digest, "big") < share * 2**64
