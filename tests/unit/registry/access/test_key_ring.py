import threading

import pytest
from django.db import DatabaseError

from registry.access import key_ring
from registry.access.key_ring import (
    DOWN_S,
    REFRESH_S,
    REFUSE_S,
    TRUST_S,
    USED_S,
    KeyRing,
    Principal,
    digest_of,
    new_key_text,
)
from registry.errors import NotAuthenticated
from registry.kit.compute_lock import ComputeLock
from tests.support.together import at_once, in_threads

WAIT_S = 20


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Shelf:
    """A store in memory that counts questions and can be cut off."""

    def __init__(self):
        self.by_digest: dict[str, Principal] = {}
        self.finds = self.confirmations = 0
        self.used: list[dict[int, float]] = []
        self.is_down = False

    def add(self, **more) -> str:
        _, text = new_key_text()
        number = len(self.by_digest) + 1
        terms = {"scopes": frozenset(), "models": None, "expires_at": None, **more}
        self.by_digest[digest_of(text)] = Principal(number, f"k{number}", 1, "acme", **terms)
        return text

    def revoke(self, text: str) -> None:
        del self.by_digest[digest_of(text)]

    def find(self, prefix, digest):
        self.finds += 1
        self._check()
        return self.by_digest.get(digest)

    def still_valid(self, key_ids):
        self.confirmations += 1
        self._check()
        return {found.key_id: found for found in self.by_digest.values() if found.key_id in key_ids}

    def write_used(self, used_s_ago):
        self._check()
        self.used.append(dict(used_s_ago))

    def _check(self):
        if self.is_down:
            raise DatabaseError("no route to host")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def ring(shelf, clock):
    return KeyRing(shelf, clock=clock, room=5)


@pytest.fixture
def known(ring, shelf):
    """A key that the ring has seen, whose look-up is the first."""
    text = shelf.add()
    ring.admit(text)
    return text


def test_what_cannot_be_a_key_costs_no_question(ring, shelf):
    for text in ["", "rh_", "rh_short_x", "Bearer", "rh_" + "a" * 8 + "_" + "é" * 43, "x" * 10_000]:
        with pytest.raises(NotAuthenticated):
            ring.admit(text)

    assert shelf.finds == 0


def test_knowledge_is_renewed_after_its_time(ring, shelf, clock, known):
    clock.now += REFRESH_S - 0.1
    ring.admit(known)
    assert shelf.finds == 1

    clock.now += 0.2
    ring.admit(known)

    assert shelf.finds == 2


def test_a_revoked_key_is_refused_within_a_minute_even_if_nobody_tends_the_ring(ring, shelf, clock, known):
    shelf.revoke(known)
    refused_after = None

    for second in range(61):
        clock.now = 1000.0 + second
        try:
            ring.admit(known)
        except NotAuthenticated:
            refused_after = second
            break

    assert refused_after == REFRESH_S


def test_a_refreshed_ring_drops_a_revoked_key_at_once(ring, shelf):
    kept, revoked = shelf.add(), shelf.add()
    ring.admit(kept), ring.admit(revoked)
    shelf.revoke(revoked)

    ring.refresh()

    with pytest.raises(NotAuthenticated):
        ring.admit(revoked)
    finds = shelf.finds
    ring.admit(kept)
    assert shelf.finds == finds


def test_a_refreshed_ring_never_asks_on_the_hot_path(ring, shelf, clock, known):
    for _ in range(100):
        clock.now += 10
        ring.refresh()
        ring.admit(known)

    assert shelf.finds == 1


def test_a_forgotten_key_is_asked_about_again(ring, shelf):
    text = shelf.add()
    key_id = ring.admit(text).principal.key_id

    ring.forget(key_id)
    ring.admit(text)

    assert shelf.finds == 2


def test_the_keys_of_one_tenant_are_forgotten_together(ring, shelf):
    one, two = shelf.add(), shelf.add()
    tenant_id = ring.admit(one).principal.tenant_id
    ring.admit(two)

    ring.forget_tenant(tenant_id + 1)
    ring.admit(one), ring.admit(two)
    assert shelf.finds == 2

    ring.forget_tenant(tenant_id)
    ring.admit(one), ring.admit(two)
    assert shelf.finds == 4


class TestCutOff:
    def test_a_known_key_is_trusted_and_its_age_is_told(self, ring, shelf, clock):
        text = shelf.add()
        assert ring.admit(text).stale_s == 0
        shelf.is_down = True

        ages = []
        for _ in range(4):
            clock.now += 70
            ages.append(ring.admit(text).stale_s)

        assert ages == [70, 140, 210, 280]

    def test_trust_ends(self, ring, shelf, clock, known):
        shelf.is_down = True
        clock.now += TRUST_S - 1
        assert ring.admit(known).stale_s == TRUST_S - 1

        clock.now += 2

        with pytest.raises(DatabaseError):
            ring.admit(known)

    def test_an_unknown_key_is_nobodys_to_judge(self, ring, shelf):
        text = shelf.add()
        shelf.is_down = True

        with pytest.raises(DatabaseError):
            ring.admit(text)

    def test_callers_do_not_wait_for_the_database_again_and_again(self, ring, shelf, clock, known):
        shelf.is_down = True
        clock.now += REFRESH_S

        for _ in range(100):
            ring.admit(known)

        assert shelf.finds == 2

    def test_when_a_refresher_has_seen_the_outage_no_caller_waits_at_all(self, ring, shelf, clock, known):
        shelf.is_down = True

        for _ in range(20):
            clock.now += 10
            with pytest.raises(DatabaseError):
                ring.refresh()
            ring.admit(known)

        assert shelf.finds == 1

    def test_when_the_database_is_back_a_revoked_key_is_refused(self, ring, shelf, clock, known):
        shelf.is_down = True
        clock.now += 100
        assert ring.admit(known).stale_s == 100
        shelf.is_down = False
        shelf.revoke(known)

        clock.now += DOWN_S

        with pytest.raises(NotAuthenticated):
            ring.admit(known)

    def test_an_expired_key_is_refused_without_the_database(self, ring, shelf, clock):
        text = shelf.add(expires_at=0.0)
        with pytest.raises(NotAuthenticated):
            ring.admit(text)
        shelf.is_down = True

        with pytest.raises(NotAuthenticated):
            ring.admit(text)


class TestBounds:
    def test_a_refused_key_is_not_asked_about_again_for_a_while(self, ring, shelf, clock):
        _, unknown = new_key_text()
        for _ in range(10):
            with pytest.raises(NotAuthenticated):
                ring.admit(unknown)
        assert shelf.finds == 1

        clock.now += REFUSE_S + 1
        with pytest.raises(NotAuthenticated):
            ring.admit(unknown)

        assert shelf.finds == 2

    def test_a_flood_of_unknown_keys_leaves_the_known_ones_alone(self, ring, shelf, known):
        for _ in range(50):
            with pytest.raises(NotAuthenticated):
                ring.admit(new_key_text()[1])
        finds = shelf.finds

        ring.admit(known)

        assert shelf.finds == finds
        assert len(ring._refused) == 5

    def test_one_key_too_many_costs_the_oldest_only(self, ring, shelf):
        texts = [shelf.add() for _ in range(6)]
        for text in texts:
            ring.admit(text)
        assert shelf.finds == 6

        for text in texts[1:]:
            ring.admit(text)

        assert shelf.finds == 6
        assert len(ring._entries) == 5


class TestLastUsed:
    def test_uses_are_written_together_and_at_most_each_minute(self, ring, shelf, clock):
        one, two = shelf.add(), shelf.add()
        ring.admit(one), ring.admit(two)
        ring.refresh()
        assert [sorted(batch) for batch in shelf.used] == [[1, 2]]

        for _ in range(12):
            clock.now += 10
            ring.admit(one)
            ring.refresh()

        assert [sorted(batch) for batch in shelf.used[1:]] == [[1], [1]]

    def test_an_unused_key_is_not_written_again(self, ring, shelf, clock):
        ring.admit(shelf.add())
        ring.refresh()
        clock.now += 2 * USED_S

        ring.refresh()

        assert len(shelf.used) == 1


def test_many_threads_with_one_new_key_ask_once(ring, shelf):
    text = shelf.add()

    seen = at_once([lambda: ring.admit(text).principal.key_id] * 16)

    assert seen == [1] * 16
    assert shelf.finds == 1


def test_a_thread_that_waits_for_another_ones_question_releases_the_compute_lock(ring, shelf, monkeypatch):
    """The look-up releases the lock and takes it again: a thread that held both locks would block it."""
    lock = ComputeLock(patience_s=5)
    monkeypatch.setattr(key_ring, "compute_lock", lock)
    strangers = [new_key_text()[1] for _ in range(2)]
    is_asked, wants_lock, find, held = threading.Event(), threading.Event(), shelf.find, []

    def find_slowly(prefix, digest):
        with lock.released():
            if not is_asked.is_set():
                is_asked.set()
                assert wants_lock.wait(WAIT_S)
        held.append(lock.is_mine)
        return find(prefix, digest)

    shelf.find = find_slowly

    def admit(number):
        if number:
            assert is_asked.wait(WAIT_S)
        with lock.held():
            if number:
                wants_lock.set()
            with pytest.raises(NotAuthenticated):
                ring.admit(strangers[number])

    assert in_threads(2, admit) == []
    assert held == [True, True]
