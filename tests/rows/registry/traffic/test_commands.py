import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from registry.catalogue.models import Version
from registry.record.models import AuditRecord
from tests.support.factories import a_live_model, a_split, a_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return a_live_model(90, 10)


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_a_split_is_set_by_percentages(model):
    told = run("set_split", model.slug, "1=87.5", "2=12.5", "--reason", "more", "--expect", "1")

    assert "is current" in told
    assert sorted(model.splits.get(status="current").shares().values()) == [1_250, 8_750]
    record = AuditRecord.objects.first()
    assert (record.source, "manage.py set_split" in record.actor_name) == ("command", True)


@pytest.mark.parametrize(
    "words",
    ["1=90 2=9", "1=90 2=ten", "1", "1=99.999 2=0.001", "9=100", "1=100 --expect 7", "1=nan 2=1", "1=inf"],
    ids=["sum", "word", "no share", "too fine", "no such version", "stale", "not a number", "endless"],
)
def test_what_is_wrong_ends_with_a_sentence(words, model):
    with pytest.raises(CommandError):
        run("set_split", model.slug, *words.split(), "--reason", "x")

    assert model.splits.count() == 1


def test_an_unknown_model_is_named():
    with pytest.raises(CommandError, match="no Model named 'ghost'"):
        run("stop_model", "ghost", "--text", "x")


def test_reshuffling_and_aliases():
    """Stopping, freezing and rolling back: tests/rows/registry/test_incidents.py."""
    model = a_live_model(90, 10)

    run("reshuffle", model.slug, "--reason", "x")
    run("move_alias", model.slug, "next", "2", "--reason", "x")
    run("retire_alias", model.slug, "next", "--reason", "x")

    actions = AuditRecord.objects.order_by("-seq").values_list("action", flat=True)[:3]
    assert list(actions) == ["retire_alias", "move_alias", "reshuffle"]
    assert model.splits.count() == 2


def test_a_version_is_archived_and_brought_back():
    version = a_version()

    run("archive_version", version.model.slug, "1", "--reason", "x")
    assert Version.objects.get(pk=version.pk).status == "archived"
    run("unarchive_version", version.model.slug, "1", "--reason", "x")
    assert Version.objects.get(pk=version.pk).status == "ready"


def test_live_at_tells_people_and_programs(model):
    moment = timezone.now().isoformat()
    a_split(model, 50, 50)

    told = run("live_at", model.slug, moment)
    read = json.loads(run("live_at", model.slug, "--json"))

    assert "split 1 was live: version 1 90 %, version 2 10 %" in told
    assert (read["split"], read["arms"]) == (2, {"1": 5_000, "2": 5_000})
    assert "nothing was live" in run("live_at", model.slug, "2001-01-01")
    with pytest.raises(CommandError, match="not a time"):
        run("live_at", model.slug, "noon")
