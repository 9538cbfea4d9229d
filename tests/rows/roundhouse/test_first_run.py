import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse

from moderation.policies.models import Policy
from moderation.policies.rules import DetectorRule, RuleState, read_rules
from moderation.policies.services import create_policy
from registry.access import keys
from registry.access.models import ApiKey
from registry.access.policies import command_actor
from registry.catalogue.models import Version
from registry.intake.examples.models import GoldenResult, GoldenSet
from registry.record.models import AuditRecord
from registry.traffic.models import Split
from roundhouse import first_run

pytestmark = pytest.mark.django_db
LABELS_OF_PERSONAL_DATA = {  # as config.json of its package states them
    "GIVEN_NAME", "SURNAME", "EMAIL", "PHONE", "URL", "TAX_ID", "BANK_ACCOUNT", "ROUTING_NUMBER", "GOVERNMENT_ID", "PASSPORT",
    "DRIVERS_LICENSE", "BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE", "ZIP_CODE",
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    keys.ring.clear()
    yield
    keys.ring.clear()


def use_examples(monkeypatch, folder, name="examples"):
    monkeypatch.setitem(first_run.DEMOS, name, replace(first_run.DEMOS[name], folder=folder))


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
    monkeypatch.setattr(first_run, "_import_examples", lambda *_: None)
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


def models_without_versions(folders, _tell, by):
    for folder in folders:
        about = json.loads((folder / "about.json").read_text())
        first_run._create_example(folder.name, about, by)


def test_the_demo_has_a_policy_and_somebody_to_edit_it(monkeypatch, client):
    monkeypatch.setattr(first_run, "_import_examples", models_without_versions)

    said = first_run.prepare_demo()
    first_run.prepare_demo()
    first_run.prepare_demo("real")

    policy = Policy.objects.get()
    content = json.loads(first_run.DEMOS["examples"].policy.read_text())
    assert (policy.name, policy.current.number, policy.current.content) == ("default", 1, content)
    assert '/api/v1/moderate -d \'{"text": ' in said
    password = re.search(r"moderator  moderator / (\S+)", said)[1]
    assert client.post("/admin/login/", {"username": "moderator", "password": password}).status_code == 302
    assert roles_of("moderator") == {"reviewer", "policy_editor"}


def test_a_default_policy_of_ones_own_stays(monkeypatch):
    monkeypatch.setattr(first_run, "_import_examples", models_without_versions)
    create_policy(name="ours", by=command_actor("test"))

    first_run.prepare_demo()

    assert [(policy.name, policy.current) for policy in Policy.objects.all()] == [("ours", None)]


@pytest.mark.parametrize(
    ("name", "folders"),
    [("examples", ["abuse", "names", "contraband"]), ("real", ["real/toxicity", "real/nsfw", "contraband"])],
)
def test_a_demos_policy_asks_its_own_models_for_labels_that_they_have(name, folders):
    demo, examples = first_run.DEMOS[name], first_run.DEMOS["examples"].folder
    labels = {Path(folder).name: labels_of(examples / folder) for folder in folders}
    if name == "real":
        labels["personal-data"] = LABELS_OF_PERSONAL_DATA

    rules = read_rules(json.loads(demo.policy.read_text()))

    asked = [
        (rule.detector, label)
        for rule in rules.rules
        if isinstance(rule, DetectorRule)
        for label in rule.labels
    ]
    assert [(model, label) for model, label in asked if label not in labels[model]] == []
    assert {rule.code for rule in rules.rules} >= {
        "toxic_language", "sensitive_info", "detected_weapon", "detected_drugs", "spam",
    }  # fmt: skip
    assert [rule.name for rule in rules.rules if rule.state is RuleState.SHADOW] == ["links"]


def labels_of(folder) -> set[str]:
    """What an example's model may say, and the patterns beside it."""
    config = json.loads((folder / "about.json").read_text()).get("task_config", {})
    patterns = {label for pattern in config.get("patterns", []) for label in pattern}
    return {label.removeprefix("B-") for label in config.get("labels", [])} | patterns


def test_the_demos_words_are_printed_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(first_run, "_import_examples", lambda *_: None)
    with pytest.raises(CommandError, match="No credentials are saved"):
        call_command("credentials")

    first_run.prepare_demo()
    call_command("credentials")

    printed = capsys.readouterr().out
    assert json.loads((tmp_path / "first-run.json").read_text())["api_key"] in printed
    assert "Ctrl-C" not in printed  # nothing is running here


def test_a_file_of_an_older_release_is_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(first_run, "_import_examples", lambda *_: None)
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
    use_examples(monkeypatch, tmp_path)
    monkeypatch.setattr(first_run, "import_version", lambda **given: sent.append(given))

    first_run.prepare_demo()

    assert [path.name for path in sent[0]["data"]] == ["config.json", "tokenizer.json"]


def test_examples_of_pictures_are_measured_on_their_golden_sets_which_pages_show(
    client, monkeypatch, tmp_path
):
    for slug in ("figures", "shapes", "contraband"):
        shutil.copytree(first_run.DEMOS["examples"].folder / slug, tmp_path / "examples" / slug)
    use_examples(monkeypatch, tmp_path / "examples")

    first_run.prepare_demo()
    first_run.prepare_demo()

    results = {
        row.version.model.slug: (row.golden_set.metric, row.value) for row in GoldenResult.objects.all()
    }
    assert results == {
        "figures": ("accuracy", 1.0),
        "shapes": ("map50", pytest.approx(1, abs=0.1)),
        "contraband": ("map50", pytest.approx(0.9, abs=0.1)),
    }
    assert GoldenSet.objects.count() == 3
    client.force_login(User.objects.get(username="operator"))
    for golden_set in GoldenSet.objects.all():
        assert client.get(reverse("golden-picture", args=[golden_set.pk, 12])).status_code == 200


@pytest.fixture
def real_models(monkeypatch, tmp_path):
    """Three examples under the names of public models, as examples/real/models.py leaves those. The demo adds contraband."""
    folder = tmp_path / "models"
    for slug, example, more in (
        ("toxicity", "tone", {"version_notes": "small-model 1.0. Licence: MIT.\n\nCopyright 2020 Ada"}),
        ("nsfw", "figures", {"picture": "docs/pictures/home.png"}),
        ("personal-data", "names", {}),
    ):
        shutil.copytree(first_run.DEMOS["examples"].folder / example, folder / slug)
        about = json.loads((folder / slug / "about.json").read_text())
        about.pop("golden_metric", None)
        (folder / slug / "about.json").write_text(json.dumps({**about, **more}))
    use_examples(monkeypatch, folder, "real")
    return folder


def test_the_demo_of_public_models_shows_their_licences_and_requests(client, real_models):
    told: list[str] = []

    said = first_run.prepare_demo("real", told.append)

    assert [line.partition(",")[0] for line in told] == [
        line
        for slug in ("contraband", "nsfw", "personal-data", "toxicity")
        for line in (f"Registering {slug}", "  checked and live")
    ] + ["Publishing the default policy"]
    picture = first_run.ROOT / "docs" / "pictures" / "home.png"
    toxicity, personal_data, nsfw, contraband = [line for line in said.splitlines() if "/predict" in line]
    assert 'models/toxicity/predict -d \'{"text": ' in toxicity
    assert "models/personal-data/predict -d '{" in personal_data
    assert nsfw.endswith(f"/nsfw/predict -H 'Content-Type: image/png' --data-binary @{picture}")
    assert contraband.endswith(f"-d @{first_run.ROOT / 'examples' / 'contraband' / 'sample.json'}")
    requests = first_run.requests_to_answer("real")
    assert [request.name for request in requests] == [
        "toxicity", "personal-data", "nsfw", "contraband", "moderation",
    ]  # fmt: skip
    assert requests[2].body == picture.read_bytes()
    assert all(request.headers["Authorization"].split()[1] in said for request in requests)
    version = Version.objects.get(model__slug="toxicity")
    assert version.notes.startswith("small-model 1.0. Licence: MIT.")
    client.force_login(User.objects.get(username="operator"))
    page = client.get(reverse("admin:registry_version_change", args=[version.pk])).content.decode()
    assert "small-model 1.0. Licence: MIT." in page and "Copyright 2020 Ada" in page

    told.clear()
    first_run.prepare_demo("real", told.append)

    assert told == []
    assert Version.objects.count() == 4
    assert [request.name for request in first_run.requests_to_answer("examples")] == ["moderation"]


def test_serve_says_how_to_fetch_models_that_are_not_there(monkeypatch, tmp_path):
    use_examples(monkeypatch, tmp_path / "missing", "real")

    with pytest.raises(CommandError, match="with `make demo-real`"):
        call_command("serve", demo="real")

    assert not User.objects.exists()


def test_serve_quotes_the_refusal_of_a_model(monkeypatch, real_models, settings, capsys):
    """A machine may lack what a model needs; that is no fault of ours to trace back."""
    monkeypatch.delenv("ROUNDHOUSE_DEFAULT_MODELS", raising=False)
    monkeypatch.setenv("ROUNDHOUSE_LOG_LEVEL", "warning")
    settings.PORT = settings.GRPC_PORT = 0
    (real_models / "nsfw" / "model.onnx").write_bytes(b"<html>404</html>")

    with pytest.raises(CommandError, match="The file is a web page"):
        call_command("serve", demo="real")

    assert capsys.readouterr().out.splitlines()[2:] == ["Registering nsfw"]  # contraband went before it


def test_examples_of_scores_go_live(monkeypatch, tmp_path):
    slugs = {"picks": "recommendation", "clicks": "ranking", "parcels": "tabular-classification"}
    for slug in slugs:
        shutil.copytree(first_run.DEMOS["examples"].folder / slug, tmp_path / "examples" / slug)
    use_examples(monkeypatch, tmp_path / "examples")

    said = first_run.prepare_demo()

    versions = {version.model.slug: version for version in Version.objects.select_related("model")}
    assert {slug: version.model.task for slug, version in versions.items()} == slugs
    assert {version.status for version in versions.values()} == {"ready"}
    assert Split.objects.count() == 3
    assert versions["picks"].task_files.keys() == {"users.txt", "items.txt"}
    assert "/models/picks/predict -d '{" in said
    assert "/models/clicks/predict -d '{" in said
