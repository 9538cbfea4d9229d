from datetime import timedelta

import pytest
from django.utils import timezone

from registry.record import leases
from registry.record.models import Lease
from tests.support.together import at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def _claim(holder: str, name: str = "beat") -> bool:
    return leases.claim(name, holder=holder, for_s=60)


def test_one_holder_at_a_time():
    assert _claim("one")
    assert not _claim("other")
    assert _claim("other", "sweep"), "leases do not know each other"


def test_the_holder_renews():
    leases.claim("beat", holder="one", for_s=10)
    first = Lease.objects.get().expires_at

    assert _claim("one")
    assert Lease.objects.get().expires_at > first + timedelta(seconds=40)


def test_what_has_run_out_goes_to_who_asks():
    _claim("one")
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert _claim("other")
    assert not _claim("one")


@pytest.mark.parametrize(("by", "is_free"), [("one", True), ("other", False)], ids=["holder", "another"])
def test_the_holder_alone_gives_it_back(by, is_free):
    _claim("one")

    leases.release("beat", holder=by)

    assert _claim("other") is is_free


@pytest.mark.django_db(transaction=True)
def test_two_threads_of_a_process_do_not_share_one():
    with leases.held("chore", for_s=60) as lease:
        (other,) = at_once([_has_it])

    assert lease is not None and not other
    assert _has_it()


def _has_it():
    with leases.held("chore", for_s=60) as lease:
        return lease is not None


def test_a_lease_that_another_took_is_not_renewed():
    with leases.held("chore", for_s=60) as lease:
        Lease.objects.update(holder="another")

        assert not lease.renew()
