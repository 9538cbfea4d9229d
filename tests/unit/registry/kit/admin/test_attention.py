import pytest

from registry.kit.actors import Actor, Source
from registry.kit.admin import attention
from registry.kit.admin.attention import AttentionItem, ItemKind, Severity, attention_for
from registry.kit.registrations import Registrations

BY = Actor("ada", Source.ADMIN)
JOBS = ItemKind("failed jobs", "admin:inference_job_changelist", "?status__exact=failed")
STOPS = ItemKind("stopped Models", "admin:registry_hold_changelist")


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    sources = Registrations("source of attention")
    monkeypatch.setattr(attention, "ATTENTION", sources)
    return sources


def an_item(sentence="x", severity=Severity.WARNING, kind=JOBS, **more):
    return AttentionItem(kind, severity, sentence, **more)


def test_lines_are_in_order_of_severity_then_of_registration(sources):
    sources.add("late", lambda _by: [an_item("c", Severity.NOTICE), an_item("a", Severity.CRITICAL)], order=2)
    sources.add("early", lambda _by: [an_item("b"), an_item("d", Severity.NOTICE)], order=1)

    assert [line.sentence for line in attention_for(BY).lines] == ["a", "b", "d", "c"]


def test_items_of_one_kind_and_severity_collapse_from_four_on(sources):
    sources.add("jobs", lambda _by: [an_item(name=f"fruit-{number % 5}") for number in range(4)])
    sources.add("stops", lambda _by: [an_item(kind=STOPS)] * 3)

    jobs, *stops = attention_for(BY).lines

    assert jobs.sentence == "4 failed jobs: fruit-0, fruit-1, fruit-2 and 1 more"
    assert jobs.link == "/admin/inference/job/?status__exact=failed"
    assert (jobs.item, len(jobs.items)) == (None, 4)
    assert len(stops) == 3


def test_what_goes_beyond_the_limit_is_not_counted_exactly(sources):
    sources.add("jobs", lambda _by: [an_item() for _ in range(attention.READ_AT_MOST + 1)])

    (line,) = attention_for(BY).lines

    assert line.sentence == "More than 50 failed jobs"
    assert len(line.items) == 50


def test_items_about_one_subject_are_one_line_with_the_others_as_notes(sources):
    sources.add(
        "mild", lambda _by: [an_item("3 jobs wait.", Severity.NOTICE, subject="worker", notes=["a note"])]
    )
    sources.add("bad", lambda _by: [an_item("No worker.", subject="worker", notes=["Start one."])])

    (line,) = attention_for(BY).lines

    assert line.item.sentence == "No worker."
    assert line.item.notes == ("Start one.", "3 jobs wait.", "a note")


def test_a_source_that_fails_is_named_and_the_others_are_read(sources):
    def fail(_by):
        raise ZeroDivisionError

    sources.add("broken source", fail)
    sources.add("jobs", lambda _by: [an_item("a")])

    found = attention_for(BY)

    assert found.failed == ["broken source"]
    assert [line.sentence for line in found.lines] == ["a"]


def test_a_model_gets_the_worst_badge(sources):
    sources.add(
        "models",
        lambda _by: [
            an_item(model_id=1, badge="frozen", severity=Severity.NOTICE),
            an_item(model_id=1, badge="errors", severity=Severity.CRITICAL),
            an_item(model_id=2),
        ],
    )

    assert {pk: item.badge for pk, item in attention_for(BY).models.items()} == {1: "errors"}
