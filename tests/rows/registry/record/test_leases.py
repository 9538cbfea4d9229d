from datetime import timedelta

import pytest
from django.utils import timezone

from registry.record import leases
from registry.record.models import Lease

pytestmark = pytest.mark.django_db


def _run_out(name: str) -> None:
    Lease.objects.filter(name=name).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_one_holder_at_a_time():
    assert leases.claim("beat", holder="one", for_s=60)
    assert not leases.claim("beat", holder="other", for_s=60)


def test_the_holder_renews():
    leases.claim("beat", holder="one", for_s=10)
    first = Lease.objects.get().expires_at

    assert leases.claim("beat", holder="one", for_s=60)
    assert Lease.objects.get().expires_at > first + timedelta(seconds=40)


def test_what_has_run_out_goes_to_who_asks():
    leases.claim("beat", holder="one", for_s=60)
    _run_out("beat")

    assert leases.claim("beat", holder="other", for_s=60)
    assert not leases.claim("beat", holder="one", for_s=60)


def test_what_is_given_back_is_free_at_once():
    leases.claim("beat", holder="one", for_s=60)

    leases.release("beat", holder="one")

    assert leases.claim("beat", holder="other", for_s=60)


def test_only_the_holder_gives_back():
    leases.claim("beat", holder="one", for_s=60)

    leases.release("beat", holder="other")

    assert not leases.claim("beat", holder="other", for_s=60)


def test_leases_do_not_know_each_other():
    assert leases.claim("beat", holder="one", for_s=60)
    assert leases.claim("sweep", holder="other", for_s=60)
