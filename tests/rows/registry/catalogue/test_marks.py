"""Changed serving settings and crashes as marks in the charts of a Model."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.catalogue.marks import crash_marks, settings_marks
from registry.catalogue.services import change_serving, record_crash
from registry.kit.admin.plots import MarkKind
from tests.support.factories import a_version, an_actor

pytestmark = pytest.mark.django_db


def recent(source, model):
    now = timezone.now()
    return list(source(model, now - timedelta(hours=1), now + timedelta(minutes=1)))


def test_changed_settings_say_of_which_version_and_why():
    version, other = a_version(), a_version()
    for each in (version, other):
        settings = change_serving(version=each, changes={"max_wait_ms": 3}, reason="faster", by=an_actor())
        url = f"/admin/registry/servingsettings/{settings.pk}/change/"

    (mark,) = recent(settings_marks, other.model)

    assert mark.sentence.startswith("settings of v1 by ")
    assert mark.sentence.endswith(": faster")
    assert (mark.kind, mark.url) == (MarkKind.CHANGE, url)


def test_a_crash_names_the_process():
    version, other = a_version(), a_version()
    for each in (version, other):
        record_crash(
            version=each, signal="SIGSEGV", process="web", source=f"web-{each.pk}",
            crashed_at=timezone.now() - timedelta(minutes=5), by=an_actor(),
        )  # fmt: skip

    (mark,) = recent(crash_marks, version.model)

    assert mark.sentence == "v1 crashed a web process with SIGSEGV"
    assert mark.kind is MarkKind.STOP
    assert recent(settings_marks, version.model) == []
