"""The changes of the last day on the home page: grouped, linked, important ones marked."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.catalogue.services import ModelChanges, edit_model
from registry.console import changes
from registry.console.changes import group_title, grouped
from registry.record.models import AuditRecord
from registry.traffic.services import stop_model
from tests.support.factories import a_live_model, a_model, a_person, an_actor

NOW = timezone.now()


def a_record(action="edit_model", *, minutes=0, actor="ada", slug="fruit", label="fruit", kind="model"):
    return AuditRecord(
        action=action, at=NOW + timedelta(minutes=minutes), actor_name=actor, model_slug=slug, object_label=label,
        object_kind=kind,
    )  # fmt: skip


IMPORT = [
    a_record("create_model"),
    a_record("set_approval_rule"),
    a_record("register_version", label="fruit 1"),
    a_record("start_check", label="fruit 1"),
    a_record("pass_check", label="fruit 1", minutes=4),
    a_record("move_alias", label="fruit@champion", minutes=4),
    a_record("set_split", label="fruit split 1", minutes=4),
]


def test_the_steps_of_an_import_are_one_group_in_words():
    (group,) = grouped(IMPORT)

    assert group == IMPORT
    assert group_title(group) == (
        "imported fruit 1: created the Model, registered version 1, passed its check, set split 1"
    )


@pytest.mark.parametrize(
    "other",
    [a_record(minutes=10), a_record(minutes=4, actor="bob"), a_record(minutes=4, slug="corn")],
    ids=["later", "somebody else", "another Model"],
)
def test_what_does_not_belong_together_is_not_grouped(other):
    assert [len(group) for group in grouped([*IMPORT, other])] == [len(IMPORT), 1]


def test_emergencies_stand_alone():
    """What happened at night must not hide behind an upload."""
    before, after = a_record("edit_model"), a_record("edit_model", minutes=2)
    emergencies = [a_record(action, minutes=1) for action in ("stop_model", "roll_back", "start_model")]

    assert grouped([before, *emergencies, after]) == [[before], *([one] for one in emergencies), [after]]


def test_an_important_change_of_somebody_else_ends_a_group():
    asked = a_record("ask_for_split")
    approved = a_record("approve_request", minutes=1, actor="bob")
    edited = a_record("edit_model", minutes=2)

    assert grouped([asked, approved, edited]) == [[asked], [approved], [edited]]


def test_steps_of_tasks_do_not_end_a_group():
    registered, checked = a_record("register_version"), a_record("pass_check", actor="task check")
    asked = a_record("ask_for_split", minutes=1)

    assert grouped([registered, checked, asked]) == [[registered, asked], [checked]]


def test_records_without_a_model_are_grouped_by_what_was_done():
    people = [a_record("create_person", slug="", label=name, kind="user") for name in ("bob", "eve")]
    key = a_record("issue_key", slug="", label="ci", kind="apikey")

    assert grouped([people[0], key, people[1]]) == [people, [key]]
    assert group_title(people) == "created person bob, created person eve"


def test_many_steps_are_counted():
    records = [a_record("set_split", label=f"fruit split {number}") for number in range(7)]

    assert group_title(records) == "fruit: set split 0, set split 1, set split 2, set split 3 and 3 more"


@pytest.mark.django_db
class TestPage:
    @pytest.fixture
    def page(self, client):
        client.force_login(a_person("operator", "admin"))
        return lambda: (
            client.get("/admin/").text.partition('id="rh-home-changes"')[2].partition("</section>")[0]
        )

    def test_changes_link_to_what_they_changed(self, page):
        model = a_live_model(100)

        text = page()

        assert f"imported {model.slug} 1: " in text
        assert f'href="/admin/registry/version/{model.versions.get().pk}/change/"' in text
        assert f'href="/admin/registry/split/{model.splits.get().pk}/change/"' in text

    def test_important_changes_stay_however_much_else_changed(self, page, monkeypatch):
        monkeypatch.setattr(changes, "_READ", 5)
        model = a_live_model(100, slug="important-one")
        stop_model(model=model, text="x", by=an_actor())
        others = [a_model(needs_approval=True) for _ in range(3)]
        for _ in range(2):
            for other in others:
                other = type(other).objects.get(pk=other.pk)
                edit_model(model=other, changes=ModelChanges(title=f"{timezone.now()}"), by=an_actor())

        text = page()

        assert "important-one" in text.partition('class="rh-important"')[2]
        assert "There were more changes" in text

    def test_a_single_change_names_its_model(self, page):
        model = a_model("lonely")
        AuditRecord.objects.all()._raw_delete("default")
        stop_model(model=model, text="wrong", by=an_actor())

        assert "lonely: stopped the Model" in page()
