"""`manage.py import_mlflow`, with the recorded answers of a server."""

import copy

import pytest
from django.core.management import CommandError, call_command

from inference.sources import mlflow
from inference.sources.mlflow import MlflowServer, read_flavours, read_uri
from registry.catalogue.models import Model, Version
from registry.errors import AddressNotAllowed, Invalid
from registry.record.fetcher import default_fetcher
from registry.traffic.models import SplitRequest
from tests.support.factories import a_model
from tests.support.mlflow_answers import FOLDER, ML_MODEL, PLACE, RUN, RUN_ANSWER, VERSION, mlflow_answering
from tests.support.model_files import put_outside
from tests.support.processes import ROOT
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
DEMAND = (ROOT / "examples" / "demand" / "model.onnx").read_bytes()
PLACE_OF_1 = "/api/2.0/mlflow/model-versions/get-download-uri?name=demand&version=1"
RUN_PATH = f"/api/2.0/mlflow/runs/get?run_id={RUN}"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("URI", "TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


@pytest.fixture
def server():
    with mlflow_answering(DEMAND) as answers:
        yield answers


def run(capsys, server, *words):
    call_command("import_mlflow", *(words or ["models:/demand@champion"]), "--server", server.url)
    return capsys.readouterr().out


@pytest.mark.parametrize("uri", ["models:/demand@champion", "models:/demand/1"])
def test_a_version_comes_with_what_is_known_of_its_run(server, capsys, uri):
    out = run(capsys, server, uri)

    version = Version.objects.select_related("model").get()
    assert (version.model.slug, version.model.task, version.status) == ("demand", "tensor", "ready")
    assert version.origin["training"] == {
        "run_url": f"{server.url}/#/experiments/1/runs/{RUN}",
        "git_commit": "a" * 40,
        "data_set": "sales-2026 (digest c42e9dfe, training)",
        "metrics": {"rmse": 1.5, "mae": 0.7},
        "tags": {"mlflow.model": "demand/1", "stage": "ok", "team": "supply"},
    }
    assert SplitRequest.objects.get().arms == {"1": 10_000}
    assert "demand version 1 is registered but not live." in out


def test_the_same_file_is_not_imported_again(server, capsys):
    run(capsys, server)

    out = run(capsys, server, "models:/demand/1")

    assert "Nothing was imported: demand version 1 has this file" in out
    assert Version.objects.count() == 1


def test_the_server_and_a_token_from_mlflows_own_variables(server, monkeypatch):
    server.authorization = "Bearer s3cret"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{server.url}/")
    with pytest.raises(CommandError, match="answered 401: set MLFLOW_TRACKING_TOKEN"):
        call_command("import_mlflow", "models:/demand/1")

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret")
    call_command("import_mlflow", "models:/demand/1", "--name", "hourly")

    assert Model.objects.get().slug == "hourly"


def test_a_name_and_a_password(server, monkeypatch, capsys):
    server.authorization = "Basic bWU6c2VjcmV0"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")

    run(capsys, server)

    assert Version.objects.exists()


def test_weights_beside_the_model_are_fetched(server, capsys):
    model, data = put_outside(a_classifier(["no", "yes"]))
    server.files |= {f"{FOLDER}/model.onnx": model, f"{FOLDER}/model.onnx.data": data}

    run(capsys, server, "models:/demand/1")

    version = Version.objects.get()
    assert [file["name"] for file in version.origin["files"]] == ["model.onnx", "model.onnx.data"]
    assert version.status == "ready"


def test_an_existing_model_keeps_its_task_and_its_configuration(server, capsys):
    a_model("demand", task="classification")
    with pytest.raises(CommandError, match="labels"):
        run(capsys, server)

    with pytest.raises(CommandError, match="cannot be changed"):
        run(capsys, server, "models:/demand/1", "--task", "ranking")


def test_a_run_that_has_more_than_is_kept(server, capsys):
    answer = copy.deepcopy(RUN_ANSWER)
    data = answer["run"]["data"]
    data["metrics"] = [
        {"key": "nan", "value": float("nan")},
        *({"key": f"m{n}", "value": n} for n in range(60)),
    ]
    data["tags"] += [{"key": "long", "value": "x" * 501}, {"key": "two\nlines", "value": "x"}]
    answer["run"]["inputs"]["dataset_inputs"] *= 100
    server.answers[RUN_PATH] = answer

    out = run(capsys, server)

    training = Version.objects.get().origin["training"]
    assert len(training["metrics"]) == 50 and len(training["data_set"]) == 500
    assert "not carried over: metric nan: " in out and "not carried over: tag long: " in out
    assert "not carried over: metric m59: a training record has at most 50." in out


def test_a_version_without_a_run(server, capsys):
    version = copy.deepcopy(VERSION)
    version["model_version"]["run_id"] = ""
    server.answers["/api/2.0/mlflow/model-versions/get?name=demand&version=1"] = version

    run(capsys, server, "models:/demand/1")

    assert Version.objects.get().origin["training"] == {"tags": {"mlflow.model": "demand/1", "stage": "ok"}}


class TestRefused:
    def refused(self, server, said, *words):
        with pytest.raises(CommandError, match=said):
            call_command("import_mlflow", *(words or ["models:/demand/1"]), "--server", server.url)
        assert not Model.objects.exists()

    def test_what_the_server_does_not_have(self, server):
        self.refused(server, "answered 404: Model Version .* not found", "models:/demand/7")

    @pytest.mark.parametrize(
        "uri",
        [
            "models:/demand/latest",
            "models:/demand/Production",
            "demand",
            "models:/demand@a/b",
            "runs:/1/model",
        ],
    )
    def test_what_names_no_single_version(self, server, uri):
        self.refused(server, "Write models:/name@alias", uri)
        assert server.requests == []

    def test_another_flavour(self, server):
        server.files[f"{FOLDER}/MLmodel"] = ML_MODEL.replace("  onnx:", "  sklearn:").encode()
        self.refused(server, "flavours are sklearn, python_function.*docs/exporting.md")

    @pytest.mark.parametrize(
        "uri",
        ["s3://bucket/model", "file:///var/model", "mlflow-artifacts://elsewhere:1/x", "runs:/1/model"],
    )
    def test_files_that_the_server_does_not_hand_out(self, server, uri):
        server.answers[PLACE_OF_1] = {"artifact_uri": uri}
        self.refused(server, "does not hand them out.*then use import_model")

    @pytest.mark.parametrize("path", ["../../secret", "a/../../b", "a\\b", "/"])
    def test_paths_that_lead_elsewhere(self, server, path):
        server.answers[PLACE_OF_1] = {"artifact_uri": f"mlflow-artifacts:/{path}"}
        self.refused(server, "names a file")

    def test_a_model_file_that_leads_elsewhere(self, server):
        description = ML_MODEL.replace("data: model.onnx", "data: ../../../etc/passwd")
        server.files[f"{FOLDER}/MLmodel"] = description.encode()
        self.refused(server, "names a file")

    def test_a_redirect_is_not_followed(self, server):
        """With the token, it would be sent wherever the server says."""
        server.answers[PLACE_OF_1] = f"{server.url}/elsewhere"
        self.refused(server, "redirect")
        assert all("elsewhere" not in path for path, _ in server.requests)

    @pytest.mark.parametrize(
        "body", [b"<html>", b"[]", b"[" * 100_000, b"{}"], ids=["page", "list", "deep", "empty"]
    )
    def test_what_is_no_mlflow_server(self, server, body):
        server.answers["/api/2.0/mlflow/model-versions/get?name=demand&version=1"] = body
        self.refused(server, "no MLflow server|may be too old")

    def test_a_file_that_is_too_large(self, server, settings):
        settings.UPLOAD_BYTES = 100
        self.refused(server, "could not be asked")

    def test_a_server_that_is_not_there(self, server):
        server.url = "http://127.0.0.1:1"
        self.refused(server, "at http://127.0.0.1:1 could not be asked")

    @pytest.mark.parametrize(
        "url",
        ["databricks", "file:///x", "http://", "http://me:pw@127.0.0.1/", "http://h/?a", "http://h:99999"],
    )
    def test_addresses_that_are_none(self, server, url):
        server.url = url
        self.refused(server, "Name the MLflow server|no user name")
        assert server.requests == []

    def test_without_a_server(self):
        with pytest.raises(CommandError, match="--server, or in MLFLOW_TRACKING_URI"):
            call_command("import_mlflow", "models:/demand/1")

    def test_a_token_that_would_be_two_headers(self, server, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a\r\nX-Evil: 1")
        self.refused(server, "must be ASCII, and one line")
        assert server.requests == []


def test_only_the_named_server_may_be_on_a_private_address(server):
    """Negative control: what everybody's fetcher refuses."""
    with pytest.raises((AddressNotAllowed, Invalid)):
        default_fetcher().fetch(f"{server.url}/")

    assert MlflowServer(server.url).find(read_uri("models:/demand/1")).file == "model.onnx"


def test_nothing_is_left_of_a_download(server, capsys, settings):
    run(capsys, server)

    assert list((settings.DATA_DIR / "tmp" / "checks").glob("mlflow-*")) == []


def test_flavours_of_descriptions():
    assert read_flavours(ML_MODEL)["onnx"]["data"] == "model.onnx"
    assert list(read_flavours(ML_MODEL)) == ["onnx", "python_function"]
    assert read_flavours("flavors:\r\n  onnx:\r\n    data: 'a b.onnx'\r\nrun_id: x\r\n") == {
        "onnx": {"data": "a b.onnx"}
    }
    assert read_flavours("other:\n  onnx:\n    data: x\n") == {}
    assert read_flavours("") == {}


def test_names_with_signs_are_as_mlflow_writes_them():
    uri = read_uri("models:/my%20model@a")

    assert (uri.name, uri.alias, uri.version) == ("my model", "a", "")
    assert mlflow.read_uri("models:/a/12").version == "12"


def test_a_place_may_name_the_server_itself(server, capsys):
    host = server.url.removeprefix("http://")
    server.answers[PLACE_OF_1] = {"artifact_uri": PLACE["artifact_uri"].replace(":/", f"://{host}/", 1)}

    run(capsys, server, "models:/demand/1")

    assert Version.objects.get().status == "ready"
