"""The Checks panel: what it says about a run, who may start another, and what its script gets."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.console import checks
from registry.intake.checklist import dispatch, services
from registry.intake.checklist.models import STEPS
from registry.traffic.services import ask_for_split, set_approval_rule
from tests.support.factories import SIGNATURE, a_version, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"
PROFILE = [[1, 0.4], [8, 1.1], [64, 6.0]]


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    ids = []
    monkeypatch.setattr(dispatch, "_send", lambda version_id, *_: ids.append(version_id))
    return ids


@pytest.fixture
def ask_again(client, django_capture_on_commit_callbacks):
    def ask(version):
        with django_capture_on_commit_callbacks(execute=True):
            return client.post(page_of(version, "check_again"), follow=True)

    return ask


def page_of(version, name="change"):
    return reverse(f"admin:registry_version_{name}", args=[version.pk])


def text_of(client, version):
    return client.get(page_of(version), {"tab": "checks"}).text


def told(client, version):
    return client.get(page_of(version, "checks")).json()


def start(version):
    return services.start_run(version_id=version.pk, runtime_version="1.23.0", by=an_actor())


def end_line(run, step, state="passed", **more):
    return services.end_line(run=run, step=step, state=state, **more)


def end(run, signature=SIGNATURE):
    return services.end_run(run=run, signature=signature, by=an_actor())


def test_a_version_without_a_run_says_so(client, viewer):
    assert "has not been checked yet" in text_of(client, a_version())
    assert "Waiting for a worker" in text_of(client, an_uploaded_version())


def test_a_run_is_shown_step_by_step_until_it_ends(client, viewer):
    version = an_uploaded_version()
    run = start(version)
    end_line(run, "gate")
    services.start_line(run=run, step="probe")

    running = told(client, version)
    page = text_of(client, version)
    for step in STEPS[1:]:
        end_line(run, step)
    end(run)
    ended = told(client, version)

    assert running["is_open"] is True
    assert "Check 1 is running: Loads. 1 of 8 steps done." in running["said"]
    assert 'data-open="yes"' in page
    assert running["lines"].count("rh-step-waiting") == 6
    assert (ended["is_open"], "Check 1 passed in" in ended["said"]) == (False, True)
    assert 'data-open="no"' in text_of(client, version)


def test_the_header_follows_a_check_and_then_says_what_comes_next(client, operator):
    version = an_uploaded_version()
    waiting = text_of(client, version)
    run = start(version)
    for step in STEPS:
        end_line(run, step)
    end(run)
    link = f'Next: <a class="rh-link" href="{page_of(version, "a_b")}">Ask for share</a>.'

    assert 'id="rh-head" data-live-s="3"' in waiting
    assert "Next:" not in waiting
    assert 'id="rh-head" data-live-s' not in text_of(client, version)
    assert link in text_of(client, version)
    assert link in told(client, version)["said"]


def test_an_open_request_comes_next_and_nothing_for_those_who_may_not_ask(client, viewer):
    version = a_version()
    run = start(version)
    end(run)
    assert "Next:" not in text_of(client, version)

    model = set_approval_rule(model=version.model, needed=True, reason="x", by=an_actor())
    asked = ask_for_split(model=model, arms={version: 10_000}, comment="x", by=an_actor())

    assert f"Request {asked.pk} awaits approval</a>" in told(client, version)["said"]


def test_a_line_shows_reason_next_step_facts_plot_and_changes(client, viewer):
    version = an_uploaded_version()
    run = start(version)
    facts = {"size_bytes": 2048, "operators": ["Add", "Gemm"], "is_quantized": False, "load_s": 0.25}
    end_line(run, "gate", facts=facts)
    end_line(run, "warmup", facts={"profile": PROFILE, "footprint_bytes": 5 * 2**20})
    end_line(run, "signature", facts=SIGNATURE)
    changes = [{"effect": "breaking", "sentence": "The input 'x' is gone."}]
    said = {"code": "breaking", "reason": "It breaks callers.", "advice": "Tell them."}
    end_line(run, "diff", **said, facts={"changes": changes})
    end(run)

    page = text_of(client, version)

    for text in ("2 KiB", "Add, Gemm", "Quantized", "250 ms", "5 MiB", "It breaks callers.", "Tell them.",
                 "The input &#x27;x&#x27; is gone.", "<polyline", "rows in a batch", "but needs a look"):  # fmt: skip
        assert text in page, text


def test_how_far_a_long_step_is_can_be_seen_without_a_click(client, viewer):
    version = an_uploaded_version()
    run = start(version)
    services.start_line(run=run, step="golden")
    services.note_progress(run=run, step="golden", facts={"rows": 1_200})

    lines = told(client, version)["lines"]

    assert "<dd>1,200</dd>" in lines
    assert "<details" not in lines


def test_what_a_worker_writes_is_escaped(client, viewer):
    version = an_uploaded_version()
    run = start(version)
    evil = {
        EVIL: EVIL,
        "changes": [{"effect": EVIL, "sentence": EVIL}],
        "profile": EVIL,
        "inputs": [{"name": EVIL}],
    }
    end_line(run, "gate", "failed", code="x", reason=EVIL, advice=EVIL, facts=evil)
    end(run, None)

    assert EVIL not in text_of(client, version)
    assert EVIL not in "".join(map(str, told(client, version).values()))


def test_an_operator_asks_again_and_the_page_waits(client, operator, sent, ask_again):
    version = a_version()
    end(start(version))
    assert "Check again" in text_of(client, version)

    page = ask_again(version).text

    assert f"Check of {version} requested." in page
    assert sent == [version.pk]
    assert told(client, version)["is_open"] is True
    assert f"{operator.username} requested a check" in told(client, version)["said"]
    start(version)
    assert "Check 2 is running" in told(client, version)["said"]


def test_a_version_that_failed_can_be_checked_again_and_the_page_says_when_that_helps(
    client, operator, sent, ask_again
):
    version = an_uploaded_version()
    end(start(version), None)
    page = text_of(client, version)

    ask_again(version)

    assert "Check again" in page and "it gets no traffic until a split includes it" in page
    assert sent == [version.pk]
    assert told(client, version)["is_open"] is True


def test_a_page_follows_a_first_check_whose_worker_was_lost(client, viewer):
    version = an_uploaded_version()
    lost = start(version)
    type(lost).objects.filter(pk=lost.pk).update(touched_at=timezone.now() - timedelta(hours=1))
    services.sweep()

    told_now = told(client, version)

    assert told_now["is_open"] is True
    assert "went away" in told_now["said"]


def test_a_page_does_not_wait_for_ever(client, viewer, monkeypatch):
    version = a_version()
    services.ask_check(version=version, by=an_actor())
    monkeypatch.setattr(checks, "_WAIT_LIMIT", timedelta(0))

    assert told(client, version)["is_open"] is False


def test_a_refusal_is_said_on_the_page(operator, ask_again):
    version = a_version()
    start(version)

    assert "is being checked now" in ask_again(version).text


def test_a_viewer_gets_no_button(client, viewer):
    assert "check-again" not in text_of(client, a_version())


def test_the_poll_and_the_page_ask_few_queries(client, operator, django_assert_max_num_queries):
    version = an_uploaded_version()
    for _ in range(3):
        run = start(version)
        for step in STEPS:
            end_line(run, step, facts={"a": 1})
        end(run)
    client.get(page_of(version, "checks"))

    with django_assert_max_num_queries(11):  # the last answer, which says what comes next
        client.get(page_of(version, "checks"))
    with django_assert_max_num_queries(32):
        text_of(client, version)
