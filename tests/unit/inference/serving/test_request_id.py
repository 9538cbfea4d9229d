import string

import pytest

from inference.serving import request_id

MADE = {"version_id": 7, "split": 3, "arm": "B", "routing_key": "anna"}


def test_id_says_who_answered():
    said = request_id.read(request_id.make(**MADE, row=5))

    assert (said.version_id, said.split, said.arm, said.row) == (7, 3, "B", 5)
    assert said.key_hash == request_id.hash_of("anna")


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


@pytest.mark.parametrize("text", ["", "x", "ünï", "A" * 56, "=" * 8, "A" * 1_000], ids=ascii)
def test_foreign_text_is_no_id(text):
    assert request_id.read(text) is None


def test_an_id_has_one_spelling():
    made = request_id.make(**MADE)

    assert request_id.read(made + "\n") is None
    assert request_id.read("!" + made) is None
    assert request_id.read(made.rstrip("=")) is None
