"""When processes loaded a Model's versions, as marks in its charts."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inference.serving.models import EngineReport, HeldVersion
from inference.serving.stewards.marks import loaded_marks
from registry.kit.admin.plots import MarkKind
from tests.support.engines import an_engine, holding
from tests.support.factories import a_model, a_version

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def loaded(version, *, ago_s, **more):
    engine = an_engine(holding(version, **more))
    HeldVersion.objects.filter(engine=engine).update(since=NOW - timedelta(seconds=ago_s))
    return engine


def last_hour(model):
    return list(loaded_marks(model, NOW - timedelta(hours=1), NOW))


def test_processes_that_load_at_the_same_time_are_one_mark():
    version, other = a_version(a_model("fruit")), a_version()
    loaded(version, ago_s=630)
    loaded(version, ago_s=600)
    loaded(version, ago_s=60)
    loaded(other, ago_s=60)

    marks = last_hour(version.model)

    assert [(mark.sentence, NOW - mark.at, mark.kind) for mark in marks] == [
        ("v1 loaded by 2 processes", timedelta(seconds=630), MarkKind.DEPLOY),
        ("v1 loaded by 1 process", timedelta(seconds=60), MarkKind.DEPLOY),
    ]
    assert marks[0].url == f"/admin/registry/version/{version.pk}/change/"


@pytest.mark.parametrize("held", [{"use": "on_demand"}, {"use": "kept"}, {"state": "loading"}], ids=str)
def test_what_is_not_live_and_loaded_is_no_mark(held):
    version = a_version()
    loaded(version, ago_s=60, **held)

    assert last_hour(version.model) == []


def test_a_lost_process_and_earlier_loads_are_no_marks():
    version = a_version()
    loaded(version, ago_s=3700)
    lost = loaded(version, ago_s=60)
    EngineReport.objects.filter(pk=lost.pk).update(lost_at=NOW)

    assert last_hour(version.model) == []
