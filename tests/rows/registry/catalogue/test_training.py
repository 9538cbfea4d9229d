"""Where a version comes from: what is accepted, where it is kept, and who sees it."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from registry.access.policies import Role
from registry.catalogue.models import Model, Version
from registry.catalogue.services import register_version
from registry.catalogue.validation import checked_training
from registry.errors import Invalid
from registry.record.models import AuditRecord
from registry.traffic.services import ask_for_split
from tests.support.clients import V1
from tests.support.factories import a_file, a_model, a_person, a_version, an_actor, an_uploaded_version
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db
FILE = ROOT / "examples" / "ripeness" / "model.onnx"
RECORD = {
    "run_url": "https://mlflow.example.org/#/experiments/1/runs/4f2c",
    "git_commit": "4f2c1e9",
    "data_set": "sales-2026 (s3)",
    "metrics": {"rmse": 1.5, "rows": 12},
    "tags": {"team": "supply"},
}


def test_a_record_is_kept_beside_what_was_done_with_the_files():
    version = an_uploaded_version(origin={"files": [], "changes": ["merged"]}, training=RECORD)

    stored = Version.objects.get(pk=version.pk)
    assert stored.origin == {"files": [], "changes": ["merged"], "training": RECORD}
    registered = AuditRecord.objects.get(action="register_version", object_id=str(version.pk))
    assert json.loads(registered.after_json)["origin"]["training"] == RECORD


def test_what_is_empty_is_not_kept():
    empty = {"run_url": "", "git_commit": None, "data_set": " ", "metrics": {}, "tags": {}}

    assert checked_training(empty) == {}
    assert an_uploaded_version(training=empty).origin == {}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"run_url": "javascript:alert(1)"}, "`run_url`"),
        ({"run_url": "https://"}, "`run_url`"),
        ({"run_url": "https://me:secret@host/"}, "`run_url`"),
        ({"run_url": "https://ho st/"}, "`run_url`"),
        ({"run_url": "http://[::1"}, "`run_url`"),
        ({"run_url": "https://x/" + "a" * 1000}, "`run_url`"),
        ({"git_commit": 4}, "`git_commit`"),
        ({"data_set": "a\0b"}, "`data_set`"),
        ({"data_set": "a\ud800"}, "`data_set`"),
        ({"author": "me"}, "no field author"),
        ({"metrics": [1]}, "`metrics`"),
        ({"metrics": {"a": float("nan")}}, "'a'"),
        ({"metrics": {"a": float("inf")}}, "'a'"),
        ({"metrics": {"a": 10**400}}, "'a'"),
        ({"metrics": {"a": True}}, "'a'"),
        ({"metrics": {"a": "1"}}, "'a'"),
        ({"metrics": {"": 1}}, "`metrics`"),
        ({"metrics": {str(n): n for n in range(51)}}, "at most 50 metrics; got 51"),
        ({"tags": {"a": 1}}, "'a'"),
        ({"tags": {"a": "b" * 501}}, "'a'"),
        ({"tags": {"a\nb": "c"}}, "`tags`"),
        ({"tags": {str(n): "" for n in range(51)}}, "at most 50 tags; got 51"),
        ([], "JSON object"),
    ],
)
def test_a_record_that_is_refused(record, said):
    with pytest.raises(Invalid, match=said):
        checked_training(record)


def test_a_record_within_an_origin_is_checked_too():
    with pytest.raises(Invalid, match="run_url"):
        register_version(
            model=a_model(), file=a_file(), origin={"training": {"run_url": "javascript:x"}}, by=an_actor()
        )


class TestApi:
    @pytest.fixture
    def upload(self, api):
        a_model("fruit")
        content = FILE.read_bytes()
        path = api.post(f"{V1}/uploads", {"size_bytes": len(content)})["Location"]
        api.put(f"{path}?offset=0", content, content_type="application/octet-stream")
        return path

    def test_complete_takes_a_record_and_versions_show_it(self, api, upload):
        done = api.post(f"{upload}/complete", {"model": "fruit", "training": RECORD})

        assert done.status_code == 201, done.content
        assert done.json()["origin"] == {"training": RECORD}
        assert api.get(f"{V1}/models/fruit/versions/1").json()["origin"]["training"] == RECORD

    def test_a_wrong_record_leaves_the_upload_open(self, api, upload):
        wrong = api.post(
            f"{upload}/complete", {"model": "fruit", "training": {"run_url": "file:///etc/passwd"}}
        )

        assert (wrong.status_code, api.get(upload).json()["status"]) == (422, "open")
        assert "run_url" in wrong.json()["detail"]
        assert not Version.objects.exists()


def overview(client, version):
    return client.get(reverse("admin:registry_version_change", args=[version.pk]), {"tab": "overview"}).text


class TestPages:
    def test_the_version_page_shows_it_and_links_the_run(self, client, signed_in):
        version, plain = an_uploaded_version(training=RECORD), an_uploaded_version()
        signed_in(Role.VIEWER)

        told, nothing = overview(client, version), overview(client, plain)

        assert f'href="{RECORD["run_url"]}" target="_blank" rel="noopener noreferrer"' in told
        for word in ("Where it comes from", "4f2c1e9", "sales-2026 (s3)", "rmse: ", "team: supply"):
            assert word in told and word not in nothing

    def test_names_are_text_and_never_looked_up(self, client, signed_in):
        hostile = {"metrics": {"items": 1.0, "<b>": 2.0}, "tags": {"items": "<script>"}}
        version = an_uploaded_version(training=hostile)
        signed_in(Role.VIEWER)

        text = overview(client, version)

        assert "could not be shown" not in text
        assert "&lt;b&gt;: " in text and "items: &lt;script&gt;" in text

    def test_whoever_approves_sees_it_for_each_requested_version(self, client):
        model = a_model(needs_approval=True)
        versions = [a_version(model, training={"git_commit": f"commit-{n}"}) for n in (1, 2, 3)]
        asked = ask_for_split(
            model=model, arms={versions[0]: 5000, versions[1]: 5000}, comment="x", by=an_actor()
        )
        client.force_login(a_person(Role.APPROVER))

        text = client.get(reverse("admin:registry_splitrequest_change", args=[asked.pk])).text

        assert "Where version 1 comes from" in text and "commit-1" in text and "commit-2" in text
        assert "commit-3" not in text


class TestCommand:
    def test_import_model_reads_a_file(self, tmp_path):
        (tmp_path / "training.json").write_text(json.dumps(RECORD))

        call_command("import_model", "fruit", str(FILE), "--training", str(tmp_path / "training.json"))

        assert Version.objects.get().origin == {"training": RECORD}

    @pytest.mark.parametrize(
        ("content", "said"),
        [("no JSON", "not valid JSON"), ("[]", "JSON object"), ('{"metrics": {"a": NaN}}', "finite number")],
        ids=["text", "list", "not finite"],
    )
    def test_a_wrong_file_is_refused_before_anything_is_made(self, tmp_path, content, said):
        (tmp_path / "training.json").write_text(content)

        with pytest.raises(CommandError, match=said):
            call_command("import_model", "fruit", str(FILE), "--training", str(tmp_path / "training.json"))
        assert not Model.objects.exists()
