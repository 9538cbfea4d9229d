import pytest
from django.core.management import CommandError, call_command

from registry.intake.checklist import dispatch
from registry.intake.checklist.services import end_line, start_run
from registry.record.models import AuditRecord
from tests.support.factories import a_version, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_is_sent(monkeypatch):
    monkeypatch.setattr(dispatch, "_send", lambda *_: None)


def checks_of(version):
    return f"/api/v1/models/{version.model.slug}/versions/{version.number}/checks"


def test_the_newest_run_is_shown_with_its_lines(api):
    version = an_uploaded_version()
    assert api.get(checks_of(version)).status_code == 404
    run = start_run(version_id=version.pk, runtime_version="1.23.0", by=an_actor())
    end_line(
        run=run, step="gate", state="failed", code="external_data", reason="No.", advice="Do.", facts={"n": 1}
    )

    shown = api.get(checks_of(version))

    body = shown.json()
    first, second = body["lines"][:2]
    assert (body["number"], body["state"], body["version"]) == (1, "running", 1)
    assert body["runtime_version"] == "1.23.0"
    assert (first["step"], first["title"]) == ("gate", "File")
    assert (first["code"], first["advice"]) == ("external_data", "Do.")
    assert (first["facts"], second["state"]) == ({"n": 1}, "waiting")
    assert api.get(checks_of(version), headers={"If-None-Match": shown["ETag"]}).status_code == 304


def test_a_check_is_asked_for_again(api):
    version = a_version()

    answer = api.post(checks_of(version), headers={"Idempotency-Key": "one"})
    again = api.post(checks_of(version), headers={"Idempotency-Key": "one"})

    assert (answer.status_code, answer.json()["status"]) == (202, "ready")
    assert again["Idempotency-Replayed"] == "true"
    assert AuditRecord.objects.filter(action="ask_check").count() == 1


def test_the_command_asks_too(capsys):
    version = a_version()

    call_command("check_version", version.model.slug, "1")

    assert "A worker will check" in capsys.readouterr().out
    assert AuditRecord.objects.get(action="ask_check").source == "command"
    with pytest.raises(CommandError, match="has no version 7"):
        call_command("check_version", version.model.slug, "7")


def test_listing_asks_a_bounded_number_of_queries(api, django_assert_max_num_queries):
    version = an_uploaded_version()
    start_run(version_id=version.pk, runtime_version="1", by=an_actor())
    api.get(checks_of(version))

    with django_assert_max_num_queries(8):
        api.get(checks_of(version))
