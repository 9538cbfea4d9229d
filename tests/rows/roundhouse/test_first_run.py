import json
import re
import shutil

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse

from registry.access import keys
from registry.access.models import ApiKey
from registry.catalogue.models import Version
from registry.intake.examples.models import GoldenResult, GoldenSet
from registry.record.models import AuditRecord
from registry.traffic.models import Split
from roundhouse import first_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    keys.ring.clear()
    yield
    keys.ring.clear()


def roles_of(username: str) -> set[str]:
    return set(User.objects.get(username=username).groups.values_list("name", flat=True))


def test_a_new_installation_gets_two_people_and_a_key(client):
    said = first_run.prepare()

    password = re.search(r"operator / (\S+)", said)[1]
    assert client.post("/admin/login/", {"username": "operator", "password": password}).status_code == 302
    assert keys.admit(re.search(r"rh_\S+", said)[0]).principal.tenant == "default"
    assert (roles_of("operator"), roles_of("approver")) == ({"operator", "admin"}, {"approver"})
    assert not User.objects.filter(is_superuser=True).exists()
    assert {record.source for record in AuditRecord.objects.all()} == {"command"}


def test_no_two_installations_share_a_secret():
    first = set(re.findall(r"\S{16,}", first_run.prepare()))
    User.objects.all().delete()
    ApiKey.objects.all().delete()

    second = set(re.findall(r"\S{16,}", first_run.prepare()))

    assert not {
        word for word in first & second if "http" not in word and "/" not in word and "manage" not in word
    }


def test_the_second_start_creates_nothing():
    first_run.prepare()
    before = (User.objects.count(), ApiKey.objects.count())

    assert "rh_" not in first_run.prepare()
    assert (User.objects.count(), ApiKey.objects.count()) == before


def test_the_demo_saves_its_credentials_and_creates_new_ones_if_they_are_lost(monkeypatch, tmp_path):
    monkeypatch.setattr(first_run, "_import_examples", lambda by: None)
    first_run.prepare_demo()
    kept = json.loads((tmp_path / "first-run.json").read_text())
    first_run.prepare_demo()
    assert json.loads((tmp_path / "first-run.json").read_text()) == kept

    (tmp_path / "first-run.json").unlink()
    first_run.prepare_demo()

    fresh = json.loads((tmp_path / "first-run.json").read_text())
    assert fresh["api_key"] != kept["api_key"]
    assert User.objects.get(username="operator").check_password(fresh["operator_password"])
    assert (tmp_path / "first-run.json").stat().st_mode & 0o777 == 0o600


def test_the_demos_words_are_printed_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(first_run, "_import_examples", lambda by: None)
    with pytest.raises(CommandError, match="No credentials are saved"):
        call_command("credentials")

    first_run.prepare_demo()
    call_command("credentials")

    printed = capsys.readouterr().out
    assert json.loads((tmp_path / "first-run.json").read_text())["api_key"] in printed
    assert "Ctrl-C" not in printed  # nothing is running here


def test_a_file_of_an_older_release_is_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(first_run, "_import_examples", lambda by: None)
    first_run.prepare_demo()
    path = tmp_path / "first-run.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "admin_user": kept.pop("operator_user")}))

    first_run.prepare_demo()

    assert json.loads(path.read_text())["operator_user"] == "operator"


def test_an_examples_other_files_come_with_its_model(monkeypatch, tmp_path):
    folder, sent = tmp_path / "tone", []
    folder.mkdir()
    for name in ("model.onnx", "about.json", "sample.json", "golden.zip", "tokenizer.json", "config.json"):
        (folder / name).write_text('{"title": "Tone", "notes": "", "task": "text-classification"}')
    monkeypatch.setattr(first_run, "EXAMPLES", tmp_path)
    monkeypatch.setattr(first_run, "import_version", lambda **given: sent.append(given))

    first_run.prepare_demo()

    assert [path.name for path in sent[0]["data"]] == ["config.json", "tokenizer.json"]


def test_examples_of_pictures_are_measured_on_their_golden_sets_which_pages_show(
    client, monkeypatch, tmp_path
):
    for slug in ("figures", "shapes"):
        shutil.copytree(first_run.EXAMPLES / slug, tmp_path / "examples" / slug)
    monkeypatch.setattr(first_run, "EXAMPLES", tmp_path / "examples")

    first_run.prepare_demo()
    first_run.prepare_demo()

    results = {
        row.version.model.slug: (row.golden_set.metric, row.value) for row in GoldenResult.objects.all()
    }
    assert results == {"figures": ("accuracy", 1.0), "shapes": ("map50", pytest.approx(1, abs=0.1))}
    assert GoldenSet.objects.count() == 2
    client.force_login(User.objects.get(username="operator"))
    for golden_set in GoldenSet.objects.all():
        assert client.get(reverse("golden-picture", args=[golden_set.pk, 12])).status_code == 200


def test_examples_of_scores_go_live(monkeypatch, tmp_path):
    slugs = {"picks": "recommendation", "clicks": "ranking", "parcels": "tabular-classification"}
    for slug in slugs:
        shutil.copytree(first_run.EXAMPLES / slug, tmp_path / "examples" / slug)
    monkeypatch.setattr(first_run, "EXAMPLES", tmp_path / "examples")

    said = first_run.prepare_demo()

    versions = {version.model.slug: version for version in Version.objects.select_related("model")}
    assert {slug: version.model.task for slug, version in versions.items()} == slugs
    assert {version.status for version in versions.values()} == {"ready"}
    assert Split.objects.count() == 3
    assert versions["picks"].task_files.keys() == {"users.txt", "items.txt"}
    assert "/models/picks/predict -d '{" in said
    assert "/models/clicks/predict -d '{" in said
