import pytest
from django.db import transaction
from django.db.models import F

from registry.catalogue.models import Model, RouteClock
from registry.catalogue.route_changes import lock_model, stamp
from tests.support.factories import a_model, seconds

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def test_numbers_and_moments_go_up_and_mark_their_model():
    one, two = a_model(), a_model()

    with transaction.atomic():
        first, second = stamp(lock_model(one)), stamp(lock_model(two))

    assert second.revision == first.revision + 1
    assert second.at >= first.at
    assert Model.objects.get(pk=one.pk).revision == first.revision


def test_a_clock_that_was_set_back_does_not_turn_history_around():
    model = a_model()
    RouteClock.objects.update(at=F("at") + seconds(3600))
    ahead = RouteClock.objects.get().at

    assert stamp(model).at >= ahead
