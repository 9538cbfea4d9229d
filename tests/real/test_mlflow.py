"""`manage.py import_mlflow` against a real MLflow server, which its package brings."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.real.packages import REAL, environment
from registry.errors import FetchFailed
from registry.record.fetcher import Fetcher
from tests.real.importing import Checkout
from tests.support.processes import ROOT, free_port, wait_until

HERE = Path(__file__).parent
DEMAND = ROOT / "examples" / "demand" / "model.onnx"
_LIMIT_S = 300


@pytest.fixture(scope="session", autouse=True)
def prepared() -> None:
    """The other third-party files are not needed here."""


@pytest.fixture(scope="module")
def mlflow_environment() -> Path:
    return environment(REAL / "venv-mlflow", HERE / "mlflow.txt")


@pytest.fixture(scope="module")
def server(mlflow_environment, tmp_path_factory) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of a server with three registered models, and what their script printed."""
    data, port = tmp_path_factory.mktemp("mlflow"), free_port()
    url, binaries = f"http://127.0.0.1:{port}", mlflow_environment / "bin"
    variables = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "GIT_PYTHON_REFRESH": "quiet"}
    variables.pop("PYTHONPATH", None)
    command = [
        binaries / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{data / 'mlflow.db'}", "--artifacts-destination", data / "artifacts",
    ]  # fmt: skip
    with (data / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=variables, cwd=data, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: _is_up(port), within_s=120, what="MLflow's server answers")
        printed = subprocess.run(
            [binaries / "python", HERE / "mlflow_models.py", url, DEMAND],
            env=variables, cwd=data, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
        assert printed.returncode == 0, printed.stderr
        yield url, json.loads(printed.stdout.splitlines()[-1])
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _is_up(port: int) -> bool:
    try:
        fetcher = Fetcher(allowed_hosts=[("127.0.0.1", port)])
        return fetcher.fetch(f"http://127.0.0.1:{port}/health").status == 200
    except FetchFailed:
        return False


@pytest.fixture
def manage(tmp_path):
    """Runs a command in an installation of its own."""
    checkout = Checkout()
    assert checkout.manage("migrate", DATA=tmp_path).returncode == 0
    return lambda *arguments: checkout.manage(*arguments, DATA=tmp_path)


def versions(manage):
    code = (
        "import json; from registry.catalogue.models import Version;"
        "print(json.dumps([[v.model.slug, v.model.title, v.status, v.origin] for v in Version.objects.all()]))"
    )
    return json.loads(manage("shell", "-v0", "-c", code).stdout)


def test_a_version_with_its_run(server, manage):
    url, run = server

    first = manage("import_mlflow", "models:/Hourly%20demand@champion", "--server", url)
    second = manage("import_mlflow", "models:/Hourly%20demand/1", "--server", url)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    ((slug, title, status, origin),) = versions(manage)
    assert (slug, title, status) == ("hourly-demand", "Hourly demand", "ready")
    assert origin["training"].pop("data_set").startswith("sales-2026 (digest ")
    assert origin["training"] == {
        "run_url": f"{url}/#/experiments/{run['experiment']}/runs/{run['run']}",
        "git_commit": "4f2c1e9" + "0" * 33,
        "metrics": {"rmse": 1.5},
        "tags": {"mlflow.model": "Hourly demand/1", "team": "supply"},
    }
    assert "not carried over: metric diverged" in first.stdout
    assert "Nothing was imported: hourly-demand version 1 has this file" in second.stdout


def test_weights_beside_the_model(server, manage):
    done = manage("import_mlflow", "models:/identity/1", "--server", server[0])

    assert done.returncode == 0, done.stderr
    ((_, _, status, origin),) = versions(manage)
    assert (status, len(origin["files"])) == ("ready", 2)


def test_what_is_refused(server, manage):
    for uri, said in (
        ("models:/echo/1", "It has no ONNX flavour; its flavours are python_function"),
        ("models:/identity/7", "answered 404: Model Version "),
        ("models:/identity@none", "alias none not found"),
        ("models:/nothing/1", "answered 404: "),
    ):
        done = manage("import_mlflow", uri, "--server", server[0])
        assert done.returncode == 1 and said in done.stderr, (uri, done.stderr)
    assert versions(manage) == []
