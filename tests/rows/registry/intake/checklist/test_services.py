"""From asking for a check to its end, and what is refused on the way."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from registry.access.policies import task_actor
from registry.catalogue.models import Version
from registry.catalogue.services import archive_version
from registry.catalogue.task_kinds import TaskFacts
from registry.errors import Conflict, Invalid, NotFound, StaleState
from registry.intake.checklist import dispatch, services
from registry.intake.checklist.models import STEPS, CheckRun
from registry.intake.checklist.selectors import newest_run
from registry.record.models import AuditRecord, Event
from registry.record.sentences import describe
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


def end_line(run, step, state="passed", **more):
    return services.end_line(run=run, step=step, state=state, **more)


def end(run, signature=SIGNATURE):
    return services.end_run(run=run, signature=signature, by=an_actor())


def ask(version):
    return services.ask_check(version=version, by=an_actor())


def lose(run):
    """Have the worker fall silent in the middle of a step, 16 minutes ago."""
    services.start_line(run=run, step="probe")
    CheckRun.objects.filter(pk=run.pk).update(touched_at=timezone.now() - timedelta(minutes=16))
    return run


def lose_and_sweep(version):
    lose(start(version))
    services.sweep()


def states(run):
    return {line.step: line.state for line in run.lines.all()}


def status_of(version):
    return Version.objects.get(pk=version.pk).status


def failure_of(version):
    return Version.objects.get(pk=version.pk).failure


@pytest.fixture
def fresh():
    """A version that nothing has checked yet."""
    return an_uploaded_version()


@pytest.fixture
def run(fresh):
    """Its first run."""
    return start(fresh)


def test_who_asks_gets_a_check_sent_and_is_remembered(fresh, sent, committed):
    with committed():
        ask(fresh)

    assert sent == [fresh.pk]
    assert AuditRecord.objects.first().action == "ask_check"
    assert start(fresh).asked_by == "tester"


def test_a_first_check_that_passes_makes_the_version_ready(fresh, run):
    assert status_of(fresh) == "checking"
    assert list(states(run)) == list(STEPS)
    for step in STEPS:
        services.start_line(run=run, step=step)
        end_line(run, step, facts={"seen": step})
    ended = end(run)

    assert (ended.state, ended.reason, status_of(fresh)) == ("passed", "", "ready")
    assert Version.objects.get(pk=fresh.pk).signature == SIGNATURE
    assert newest_run(fresh).lines.first().facts == {"seen": "gate"}


def test_a_first_check_that_fails_says_the_first_reason(fresh, run):
    end_line(run, "gate")
    end_line(run, "probe", "failed", code="crashed", reason="It crashed.")
    end_line(run, "warmup", "failed", reason="It was slow.")
    ended = end(run, None)

    assert (ended.state, ended.reason) == ("failed", "It crashed.")
    assert (status_of(fresh), failure_of(fresh)) == ("failed", "It crashed.")
    assert states(ended)["golden"] == "skipped"
    assert Event.objects.get().kind == "check_failed"


def test_a_recheck_leaves_a_ready_version_alone_and_tells_of_a_failure():
    version = a_version()
    run = start(version)
    end_line(run, "conformance", "failed", reason="Example 2 differs.")

    end(run, None)

    assert status_of(version) == "ready"
    event = Event.objects.get()
    assert (event.kind, event.data["failure"]) == ("recheck_failed", "Example 2 differs.")
    sentence = describe(AuditRecord.objects.first())
    assert sentence == "checked version 1 again: check 1 failed: Example 2 differs."


def test_a_recheck_that_passes_is_recorded():
    version = a_version()

    end(start(version), None)

    assert (newest_run(version).state, status_of(version)) == ("passed", "ready")
    record = AuditRecord.objects.first()
    assert (record.action, describe(record)) == ("recheck", "checked version 1 again: check 1 passed")
    assert not Event.objects.exists()


def test_a_recheck_that_passes_updates_what_is_known_of_the_task():
    version = a_version()
    found = TaskFacts("a" * 16, may_pad=False)

    services.end_run(run=start(version), signature=SIGNATURE, task=found, by=an_actor())

    version.refresh_from_db()
    assert (version.preprocessing, version.may_pad, version.status) == ("a" * 16, False, "ready")
    record = AuditRecord.objects.first()
    assert describe(record) == (
        f"checked version 1 again: check 1 passed, and found pre-processing {'a' * 16}, and found that padding may change"
        " its answers"
    )
    assert record.before == {"preprocessing": "", "may_pad": True}


def test_a_recheck_that_fails_leaves_it():
    version = a_version(preprocessing="a" * 16)
    run = start(version)
    end_line(run, "conformance", "failed", reason="Example 2 differs.")

    services.end_run(run=run, signature=SIGNATURE, task=TaskFacts("b" * 16), by=an_actor())

    version.refresh_from_db()
    assert version.preprocessing == "a" * 16


def test_without_a_signature_a_first_check_fails(fresh, run):
    assert end(run, None).state == "failed"
    assert "no signature" in failure_of(fresh)


@pytest.mark.parametrize("step", ["golden", "diff"])
def test_a_step_that_is_advice_fails_alone(fresh, run, step):
    end_line(run, step, "failed", reason="Below the floor.")

    ended = end(run)

    assert (ended.state, states(ended)[step], status_of(fresh)) == ("passed", "failed", "ready")


def test_what_runs_when_the_run_ends_has_failed(run):
    services.start_line(run=run, step="probe")

    ended = end(run)

    assert (states(ended)["probe"], ended.state) == ("failed", "failed")


@pytest.mark.parametrize("verb", [start, ask])
def test_while_one_runs_there_is_no_other(fresh, run, verb):
    with pytest.raises(Conflict, match="being checked now"):
        verb(fresh)


def test_who_asked_for_an_earlier_run_did_not_ask_for_this_one():
    version = a_version()
    ask(version)
    end(start(version))

    robot = task_actor("nightly")
    run = services.start_run(version_id=version.pk, runtime_version="1", by=robot)

    assert (version.check_runs.get(number=1).asked_by, run.asked_by) == ("tester", "task nightly")


def test_an_archived_version_is_not_checked_again():
    archived = a_version()
    archive_version(version=archived, reason="old", by=an_actor())

    with pytest.raises(Conflict, match="unarchive it"):
        start(archived)


def test_there_is_no_check_of_what_is_not_there():
    with pytest.raises(NotFound):
        services.start_run(version_id=10**9, runtime_version="1", by=an_actor())


class TestFailedVersion:
    @pytest.fixture
    def failed(self, fresh, run):
        end_line(run, "gate", "failed", reason="The disk was full.")
        end(run, None)
        return fresh

    def test_who_asks_gets_it_checked_again(self, failed, sent, committed):
        with committed():
            asked = ask(failed)

        assert (asked.status, asked.failure, sent) == ("checking", "", [failed.pk])
        asked, started = AuditRecord.objects.order_by("-seq")[:2]
        assert (asked.action, started.action) == ("ask_check", "start_check")
        assert asked.actor_name == started.actor_name == "tester"
        assert "The disk was full." in started.before_json

    def test_passed_this_time_it_is_ready_and_live_nowhere(self, failed):
        ask(failed)

        ended = end(start(failed))

        assert (ended.number, ended.state, status_of(failed)) == (2, "passed", "ready")
        assert not Split.objects.exists()

    def test_a_message_that_nobody_asked_for_does_nothing(self, failed):
        """Negative control: without the question, a message that comes twice would check a bad file for ever."""
        with pytest.raises(Conflict, match="request another"):
            start(failed)

        assert (status_of(failed), failed.check_runs.count()) == ("failed", 1)


class TestLines:
    def test_a_step_ends_once(self, run):
        end_line(run, "gate")

        with pytest.raises(Conflict, match="cannot become"):
            end_line(run, "gate", "failed", reason="x")
        with pytest.raises(Conflict, match="cannot become"):
            services.start_line(run=run, step="gate")

    def test_a_failed_step_always_has_a_reason(self, run):
        assert end_line(run, "gate", "failed").reason

    def test_an_unknown_step_or_end_is_refused(self, run):
        with pytest.raises(NotFound, match="gate, probe"):
            services.start_line(run=run, step="dance")
        with pytest.raises(Invalid):
            end_line(run, "gate", "waiting")

    @pytest.mark.both
    def test_what_no_database_keeps_is_made_to_fit(self, run):
        facts = {"name\0": ["\ud800", float("nan"), float("inf"), 1, None, True, {"deep": (1, b"x")}]}

        line = end_line(run, "gate", reason="a" * 600, facts=facts)

        assert line.facts == {"name\ufffd": ["?", "nan", "inf", 1, None, True, {"deep": [1, "b'x'"]}]}
        assert len(line.reason) == 500

    def test_a_line_skipped_without_a_beginning_took_no_time(self, run):
        assert end_line(run, "golden", "skipped").seconds is None
        assert end_line(run, "gate").seconds == 0


@pytest.mark.both
class TestSweep:
    @pytest.fixture
    def silent(self, run):
        """A run whose worker has said nothing for 16 minutes."""
        return lose(run)

    def test_a_run_whose_worker_went_away_ends_once_and_may_be_run_again(self, silent):
        assert (services.sweep(), services.sweep()) == (1, 0)

        run = newest_run(silent.version)
        assert (run.state, run.reason) == ("failed", services.WORKER_LOST)
        assert (states(run)["probe"], states(run)["diff"]) == ("failed", "skipped")
        record = AuditRecord.objects.get(action="give_up_check")
        assert describe(record).endswith("of version 1: its worker was lost")
        assert start(silent.version).number == 2
        assert status_of(silent.version) == "checking"

    def test_its_worker_is_told_when_it_comes_back(self, silent):
        services.sweep()

        with pytest.raises(StaleState, match="stop working"):
            end_line(silent, "probe")
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
        assert (newest_run(silent.version).state, status_of(silent.version)) == ("running", "checking")
        assert sent == []

    def test_a_ready_version_whose_check_was_lost_is_left_to_people(self, sent, committed):
        run = lose(start(a_version()))

        with committed():
            services.sweep()

        assert sent == []
        assert "check the version again" in run.lines.get(step="probe").advice

    def test_who_gets_the_message_late_leaves_what_has_passed_meanwhile(self):
        version = a_version()

        with pytest.raises(Conflict, match="passed its check in the meantime"):
            start(version, only_unfinished=True)
        assert start(version).number == 1

    def test_the_third_worker_that_is_lost_is_the_last(self, fresh, sent, committed):
        with committed():
            for _ in range(3):
                lose_and_sweep(fresh)

        assert sent == [fresh.pk] * 2
        assert status_of(fresh) == "failed"
        assert "lost 3 times" in failure_of(fresh)
        assert Event.objects.get().kind == "check_failed"
        with pytest.raises(Conflict, match="request another"):
            start(fresh)

    def test_who_asks_again_gets_one_more_try_each_time(self, fresh):
        for _ in range(3):
            lose_and_sweep(fresh)

        ask(fresh)
        lose_and_sweep(fresh)

        assert (status_of(fresh), fresh.check_runs.count()) == ("failed", 4)

    def test_a_run_that_was_heard_of_ends_the_row(self, fresh):
        for _ in range(2):
            lose_and_sweep(fresh)
        end(start(fresh), None)
        ask(fresh)

        lose_and_sweep(fresh)

        assert status_of(fresh) == "checking"
