"""Limits of Models: set by who may edit them, recorded, and announced to every route table."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from inference.serving.routes import read_table
from registry.access.limits import NO_LIMITS, CallerLimits
from registry.catalogue.models import Model
from registry.catalogue.services import edit_model
from registry.errors import Invalid
from registry.record.models import AuditRecord
from tests.support.factories import a_live_model, a_model, an_actor

pytestmark = pytest.mark.django_db
SOME = CallerLimits(600, 8, is_exact=True)


def limit(model, limits):
    return edit_model(model=model, changes={"limits": limits}, by=an_actor())


def test_limits_are_set_recorded_and_kept_by_other_edits():
    model = a_model(title="kept")

    limited = limit(model, SOME)
    record = AuditRecord.objects.first()
    edit_model(model=model, changes={"title": "new"}, by=an_actor())

    assert (limited.limits, limited.title) == (SOME, "kept")
    assert Model.objects.get().limits == SOME
    assert record.before.items() >= NO_LIMITS.columns().items()
    assert record.after.items() >= SOME.columns().items()


def test_a_change_reaches_the_route_table():
    model, other = a_live_model(100), a_live_model(100)
    before = read_table()
    assert before.routes[model.slug].limits == NO_LIMITS

    limit(model, SOME)
    after = read_table(before)

    assert after.routes[model.slug].limits == SOME
    assert after.routes[other.slug] is before.routes[other.slug]


@pytest.mark.parametrize(
    "limits",
    [CallerLimits(0), CallerLimits(concurrency=10_001), CallerLimits(is_exact=True)],
    ids=["no rate", "too many", "exact alone"],
)
def test_what_cannot_be_a_limit_is_refused(limits):
    with pytest.raises(Invalid):
        limit(a_model(), limits)

    assert Model.objects.get().limits == NO_LIMITS


class TestCommand:
    def run(self, *words: str) -> str:
        out = StringIO()
        call_command("set_model_limits", *words, stdout=out)
        return out.getvalue()

    def test_limits_are_set_all_at_once_and_taken_away(self):
        model = a_model("fraud")

        told = self.run("fraud", "--rate-per-minute", "600", "--concurrency", "8", "--exact")
        assert "fraud: 600 a minute (strict), 8 at once" in told
        assert Model.objects.get().limits == SOME

        self.run("fraud", "--concurrency", "2", "--reason", "less")
        assert Model.objects.get().limits == CallerLimits(concurrency=2)
        assert AuditRecord.objects.first().reason == "less"

        assert "none" in self.run(model.slug, "--none")
        assert Model.objects.get().limits == NO_LIMITS

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            ([], "Give a limit"),
            (["--none", "--concurrency", "2"], "Give a limit"),
            (["--exact"], "needs a rate"),
        ],
        ids=["nothing", "both", "exact alone"],
    )
    def test_what_is_wrong_ends_with_a_sentence(self, words, says):
        a_model("fraud")

        with pytest.raises(CommandError, match=says):
            self.run("fraud", *words)
