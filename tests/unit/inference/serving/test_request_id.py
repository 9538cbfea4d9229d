import hashlib
import string
import struct
import time
from base64 import urlsafe_b64encode

import pytest
from django.conf import settings

from inference.serving import request_id

MADE = {"version_id": 7, "split": 3, "arm": "B", "routing_key": "anna"}


def test_id_says_who_answered():
    said = request_id.read(request_id.make(**MADE, row=5))

    assert (said.version_id, said.split, said.arm, said.row) == (7, 3, "B", 5)
    assert said.key_hash == request_id.hash_of("anna")


@pytest.mark.parametrize(
    ("chosen_by", "bucket"),
    [
        (0, 0),
        (9_999, 9_999),
        (request_id.ONLY_ARM, None),
        (request_id.BY_VERSION, None),
        (request_id.BY_ALIAS, None),
        (request_id.NOT_SAID, None),
    ],
)
def test_id_says_how_the_version_was_chosen(chosen_by, bucket):
    before = int(time.time() * 1000)
    said = request_id.read(request_id.make(**MADE, chosen_by=chosen_by))

    assert (said.chosen_by, said.bucket) == (chosen_by, bucket)
    assert before <= said.at_ms <= int(time.time() * 1000)


def test_an_id_of_the_first_format_is_still_ours():
    """Outcomes may come back long after an update."""
    at_ms = 1_764_000_000_123
    body = struct.pack(">BIIcQHQQ", 1, 7, 3, b"b", at_ms, 5, 99, 12_345)
    key = hashlib.blake2b(settings.SECRET_KEY.encode(), person=b"request-id", digest_size=32).digest()
    old = urlsafe_b64encode(body + hashlib.blake2b(body, key=key, digest_size=8).digest()).decode()

    assert request_id.read(old) == (7, 3, "b", at_ms, 5, 99, request_id.NOT_SAID)


def test_no_arm_and_no_key():
    said = request_id.read(request_id.make(version_id=7, split=0, arm="", routing_key=None))

    assert (said.arm, said.key_hash) == ("", 0)


def test_ids_of_equal_answers_differ():
    assert len({request_id.make(**MADE) for _ in range(1_000)}) == 1_000


def test_no_changed_id_is_believed():
    made = request_id.make(**MADE)

    for position, own in enumerate(made):
        for other in set(string.ascii_letters + string.digits + "-_=") - {own}:
            assert request_id.read(made[:position] + other + made[position + 1 :]) is None


@pytest.mark.parametrize(
    "text", ["", "x", "ünï", "A" * 56, "=" * 8, "A" * 60, "é" * 60, "\ud800" * 60, "A" * 1_000], ids=ascii
)
def test_foreign_text_is_no_id(text):
    assert request_id.read(text) is None


def test_an_id_has_one_spelling():
    made = request_id.make(**MADE)

    assert request_id.read(made + "\n") is None
    assert request_id.read("!" + made) is None
    assert request_id.read(made.rstrip("=")) is None
