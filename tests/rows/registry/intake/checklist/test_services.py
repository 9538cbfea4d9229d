"""From asking for a check to its end, and what is refused on the way."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from registry.access.policies import task_actor
from registry.catalogue.models import Version
from registry.catalogue.services import archive_version
from registry.errors import Conflict, Invalid, NotFound, StaleState
from registry.intake.checklist import dispatch, services
from registry.intake.checklist.models import STEPS, CheckRun
from registry.intake.checklist.selectors import newest_run
from registry.record.models import AuditRecord, Event
from registry.traffic.models import Split
from tests.support.factories import SIGNATURE, a_version, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Do at the end of a `with` what waits for the commit."""
    return partial(django_capture_on_commit_callbacks, execute=True)


@pytest.fixture
def sent(monkeypatch):
    """The ids of versions for which a check was sent to the worker."""
    ids = []
    monkeypatch.setattr(dispatch, "_send", lambda version_id, *_: ids.append(version_id))
    return ids


def start(version, **more):
    return services.start_run(version_id=version.pk, runtime_version="1.23.0", by=an_actor(), **more)


def end(run, signature=SIGNATURE):
    return services.end_run(run=run, signature=signature, by=an_actor())


def lose(run):
    """Have the worker fall silent in the middle of a step, 16 minutes ago."""
    services.start_line(run=run, step="probe")
    CheckRun.objects.filter(pk=run.pk).update(touched_at=timezone.now() - timedelta(minutes=16))
    return run


def states(run):
    return {line.step: line.state for line in run.lines.all()}


def status_of(version):
    return Version.objects.get(pk=version.pk).status


def test_who_asks_gets_a_check_sent_and_is_remembered(sent, committed):
    version = an_uploaded_version()

    with committed():
        services.ask_check(version=version, by=an_actor())

    assert sent == [version.pk]
    assert AuditRecord.objects.first().action == "ask_check"
    assert start(version).asked_by == "tester"


def test_a_first_check_that_passes_makes_the_version_ready():
    version = an_uploaded_version()

    run = start(version)
    assert status_of(version) == "checking"
    assert list(states(run)) == list(STEPS)
    for step in STEPS:
        services.start_line(run=run, step=step)
        services.end_line(run=run, step=step, state="passed", facts={"seen": step})
    ended = end(run)

    assert (ended.state, ended.reason, status_of(version)) == ("passed", "", "ready")
    assert Version.objects.get(pk=version.pk).signature == SIGNATURE
    assert newest_run(version).lines.first().facts == {"seen": "gate"}


def test_a_first_check_that_fails_says_the_first_reason():
    version = an_uploaded_version()
    run = start(version)

    services.end_line(run=run, step="gate", state="passed")
    services.end_line(run=run, step="probe", state="failed", code="crashed", reason="It crashed.")
    services.end_line(run=run, step="warmup", state="failed", reason="It was slow.")
    ended = end(run, None)

    assert (ended.state, ended.reason) == ("failed", "It crashed.")
    assert (status_of(version), Version.objects.get(pk=version.pk).failure) == ("failed", "It crashed.")
    assert states(ended)["golden"] == "skipped"
    assert Event.objects.get().kind == "check_failed"


def test_a_recheck_leaves_a_ready_version_alone_and_tells_of_a_failure():
    version = a_version()
    run = start(version)
    services.end_line(run=run, step="conformance", state="failed", reason="Example 2 differs.")

    end(run, None)

    assert status_of(version) == "ready"
    event = Event.objects.get()
    assert (event.kind, event.data["failure"]) == ("recheck_failed", "Example 2 differs.")


def test_a_recheck_that_passes_is_recorded():
    version = a_version()

    end(start(version), None)

    assert (newest_run(version).state, status_of(version)) == ("passed", "ready")
    assert AuditRecord.objects.first().action == "recheck"
    assert not Event.objects.exists()


def test_without_a_signature_a_first_check_fails():
    version = an_uploaded_version()

    assert end(start(version), None).state == "failed"
    assert "no signature" in Version.objects.get(pk=version.pk).failure


@pytest.mark.parametrize("step", ["golden", "diff"])
def test_a_step_that_is_advice_fails_alone(step):
    version = an_uploaded_version()
    run = start(version)
    services.end_line(run=run, step=step, state="failed", reason="Below the floor.")

    ended = end(run)

    assert (ended.state, states(ended)[step], status_of(version)) == ("passed", "failed", "ready")


def test_what_runs_when_the_run_ends_has_failed():
    run = start(an_uploaded_version())
    services.start_line(run=run, step="probe")

    ended = end(run)

    assert (states(ended)["probe"], ended.state) == ("failed", "failed")


def test_only_one_run_at_a_time_and_asking_meanwhile_is_refused():
    version = an_uploaded_version()
    start(version)

    with pytest.raises(Conflict, match="being checked now"):
        start(version)
    with pytest.raises(Conflict, match="being checked now"):
        services.ask_check(version=version, by=an_actor())


def test_who_asked_for_an_earlier_run_did_not_ask_for_this_one():
    version = a_version()
    services.ask_check(version=version, by=an_actor())
    end(start(version))

    robot = task_actor("nightly")
    run = services.start_run(version_id=version.pk, runtime_version="1", by=robot)

    assert (version.check_runs.get(number=1).asked_by, run.asked_by) == ("tester", "task nightly")


def test_an_archived_version_is_not_checked_again():
    archived = a_version()
    archive_version(version=archived, reason="old", by=an_actor())

    with pytest.raises(Conflict, match="bring it back"):
        start(archived)


class TestFailedVersion:
    @pytest.fixture
    def failed(self):
        version = an_uploaded_version()
        run = start(version)
        services.end_line(run=run, step="gate", state="failed", reason="The disk was full.")
        end(run, None)
        return version

    def test_who_asks_gets_it_checked_again(self, failed, sent, committed):
        with committed():
            asked = services.ask_check(version=failed, by=an_actor())

        assert (asked.status, asked.failure, sent) == ("checking", "", [failed.pk])
        records = AuditRecord.objects.filter(action__in=["ask_check", "start_check"]).order_by("-seq")[:2]
        assert [(record.action, record.actor_name) for record in records] == [
            ("ask_check", "tester"), ("start_check", "tester"),
        ]  # fmt: skip
        assert "The disk was full." in records[1].before_json

    def test_passed_this_time_it_is_ready_and_live_nowhere(self, failed):
        services.ask_check(version=failed, by=an_actor())

        ended = end(start(failed))

        assert (ended.number, ended.state, status_of(failed)) == (2, "passed", "ready")
        assert not Split.objects.exists()

    def test_a_message_that_nobody_asked_for_does_nothing(self, failed):
        """Negative control: without the question, a message that comes twice would check a bad file for ever."""
        with pytest.raises(Conflict, match="ask for another"):
            start(failed)

        assert (status_of(failed), failed.check_runs.count()) == ("failed", 1)


def test_there_is_no_check_of_what_is_not_there():
    with pytest.raises(NotFound):
        services.start_run(version_id=10**9, runtime_version="1", by=an_actor())


class TestLines:
    def test_a_step_ends_once(self):
        run = start(an_uploaded_version())
        services.end_line(run=run, step="gate", state="passed")

        with pytest.raises(Conflict, match="cannot become"):
            services.end_line(run=run, step="gate", state="failed", reason="x")
        with pytest.raises(Conflict, match="cannot become"):
            services.start_line(run=run, step="gate")

    def test_a_failed_step_always_has_a_reason(self):
        line = services.end_line(run=start(an_uploaded_version()), step="gate", state="failed")

        assert line.reason

    def test_an_unknown_step_or_end_is_refused(self):
        run = start(an_uploaded_version())

        with pytest.raises(NotFound, match="gate, probe"):
            services.start_line(run=run, step="dance")
        with pytest.raises(Invalid):
            services.end_line(run=run, step="gate", state="waiting")

    def test_what_no_database_keeps_is_made_to_fit(self):
        facts = {"name\0": ["\ud800", float("nan"), float("inf"), 1, None, True, {"deep": (1, b"x")}]}
        run = start(an_uploaded_version())

        line = services.end_line(run=run, step="gate", state="passed", reason="a" * 600, facts=facts)

        assert line.facts == {"name\ufffd": ["?", "nan", "inf", 1, None, True, {"deep": [1, "b'x'"]}]}
        assert len(line.reason) == 500

    def test_progress_is_seen_while_a_step_runs(self):
        run = start(an_uploaded_version())
        services.start_line(run=run, step="golden")

        services.note_progress(run=run, step="golden", facts={"rows": 10})

        assert run.lines.get(step="golden").facts == {"rows": 10}

    def test_a_line_skipped_without_a_beginning_took_no_time(self):
        run = start(an_uploaded_version())

        assert services.end_line(run=run, step="golden", state="skipped").seconds is None
        assert services.end_line(run=run, step="gate", state="passed").seconds == 0


class TestSweep:
    @pytest.fixture
    def silent(self):
        """A run whose worker has said nothing for 16 minutes."""
        return lose(start(an_uploaded_version()))

    def test_a_run_whose_worker_went_away_ends_and_may_be_run_again(self, silent):
        assert (services.sweep(), services.sweep()) == (1, 0)

        run = newest_run(silent.version)
        assert AuditRecord.objects.filter(action="give_up_check").count() == 1
        assert (run.state, run.reason) == ("failed", services.WENT_AWAY)
        assert (states(run)["probe"], states(run)["diff"]) == ("failed", "skipped")
        assert start(silent.version).number == 2
        assert status_of(silent.version) == "checking"

    def test_its_worker_is_told_when_it_comes_back(self, silent):
        services.sweep()

        with pytest.raises(StaleState, match="stop working"):
            services.end_line(run=silent, step="probe", state="passed")
        with pytest.raises(StaleState):
            end(silent)

    def test_a_worker_that_still_speaks_is_left_alone(self, silent):
        services.note_progress(run=silent, step="probe", facts={})

        assert services.sweep() == 0

    def test_what_no_worker_has_begun_is_asked_for_again(self, sent, committed):
        old, _new = an_uploaded_version(), an_uploaded_version()
        Version.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(minutes=6))

        with committed():
            services.sweep()

        assert sent == [old.pk]

    def test_a_first_check_whose_worker_was_lost_is_asked_for_again(self, silent, sent, committed):
        with committed():
            services.sweep()
            services.sweep()  # until a worker takes it
        run = start(silent.version, only_unfinished=True)
        with committed():
            services.sweep()

        assert sent == [silent.version_id] * 2
        assert (run.number, status_of(silent.version)) == (2, "checking")

    def test_before_the_sweep_it_stays_and_nobody_is_asked(self, silent, sent):
        """Negative control."""
        assert (newest_run(silent.version).state, status_of(silent.version), sent) == (
            "running",
            "checking",
            [],
        )

    def test_a_ready_version_whose_check_was_lost_is_left_to_people(self, sent, committed):
        run = lose(start(a_version()))

        with committed():
            services.sweep()

        assert sent == []
        assert "check the version again" in run.lines.get(step="probe").advice

    def test_who_gets_the_message_late_leaves_what_has_passed_meanwhile(self):
        version = a_version()

        with pytest.raises(Conflict, match="passed its check meanwhile"):
            start(version, only_unfinished=True)
        assert start(version).number == 1

    def test_the_third_worker_that_is_lost_is_the_last(self, sent, committed):
        version = an_uploaded_version()

        with committed():
            for _ in range(3):
                lose(start(version))
                services.sweep()

        assert sent == [version.pk] * 2
        assert status_of(version) == "failed"
        assert "lost 3 times" in Version.objects.get(pk=version.pk).failure
        assert Event.objects.get().kind == "check_failed"
        with pytest.raises(Conflict, match="ask for another"):
            start(version)

    def test_who_asks_again_gets_one_more_try_each_time(self):
        version = an_uploaded_version()
        for _ in range(3):
            lose(start(version))
            services.sweep()

        services.ask_check(version=version, by=an_actor())
        lose(start(version))
        services.sweep()

        assert (status_of(version), version.check_runs.count()) == ("failed", 4)

    def test_a_run_that_was_heard_of_ends_the_row(self):
        version = an_uploaded_version()
        for _ in range(2):
            lose(start(version))
            services.sweep()
        end(start(version), None)
        services.ask_check(version=version, by=an_actor())

        lose(start(version))
        services.sweep()

        assert status_of(version) == "checking"
