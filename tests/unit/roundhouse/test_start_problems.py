"""Impossible starts: a clear message, an exit status, nothing half-done."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from roundhouse.env import BadEnvironment, read_environment
from tests.support.processes import ROOT, clean_environment, free_port, manage

NEEDED_IN_PRODUCTION = [
    f"ROUNDHOUSE_{name}" for name in ("SECRET_KEY", "AUDIT_KEY", "DATABASE_URL", "REDIS_URL", "PUBLIC_URL")
]
WRONG = {
    "port-word": ({"PORT": "http"}, ["ROUNDHOUSE_PORT is 'http'", "from 1 to 65,535"]),
    "two-at-once": ({"PORT": "0", "WEB_THREADS": "many"}, ["2 setting(s)", "ROUNDHOUSE_PORT", "ROUNDHOUSE_WEB_THREADS"]),
    "typo": ({"PROT": "8001"}, ["ROUNDHOUSE_PROT", "did you mean ROUNDHOUSE_PORT?"]),
    "mysql": ({"DATABASE_URL": "mysql://u:hunter2@h/d"}, ["ROUNDHOUSE_DATABASE_URL: use postgresql://"]),
    "redis-without-number": ({"REDIS_URL": "redis://h:6379"}, ["end the address with a database number"]),
    "workers-without-redis": ({"EXECUTOR": "workers"}, ["ROUNDHOUSE_EXECUTOR is 'workers'", "set ROUNDHOUSE_REDIS_URL"]),
    "pool-with-a-dot": ({"POOL": "gpu.large"}, ["ROUNDHOUSE_POOL is 'gpu.large'", "such as gpu-large"]),
    "short-secret": ({"SECRET_KEY": "hunter2"}, ["ROUNDHOUSE_SECRET_KEY: use at least 32 characters"]),
    "missing-secret-file": ({"SECRET_KEY_FILE": "/nowhere"}, ["ROUNDHOUSE_SECRET_KEY_FILE cannot be read"]),
    "every-host": ({"ALLOWED_HOSTS": "*"}, ["name the hosts"]),
    "bare-production": ({"PROFILE": "production"}, ["5 setting(s)", *NEEDED_IN_PRODUCTION]),
    "redis-by-http": ({"REDIS_URL": "http://:hunter2@h/0"}, ["ROUNDHOUSE_REDIS_URL"]),
    "four-kinds": (
        {"DEBUG": "maybe", "LOG_LEVEL": "loud", "PUBLIC_URL": "models.example.org", "PROFILE": "staging"},
        ["4 setting(s)", "use true or false", "use one of: debug", "use scheme and host", "embedded, production"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_environment_is_explained(variables, said):
    with pytest.raises(BadEnvironment) as caught:
        read_environment({f"ROUNDHOUSE_{name}": value for name, value in variables.items()})

    assert all(text in str(caught.value) for text in said)
    assert "hunter2" not in str(caught.value)


def refused(result, *said):
    assert result.returncode == 1
    assert all(text in result.stderr for text in said), result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_environment_ends_the_start_at_once(tmp_path):
    variables, said = WRONG["two-at-once"]

    refused(manage("serve", DATA=tmp_path / "data", **variables), *said)
    assert not (tmp_path / "data").exists()


def test_occupied_port(tmp_path):
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]

        result = manage("serve", DATA=tmp_path / "data", PORT=port)

    refused(result, f"Cannot listen on 127.0.0.1:{port}: Address already in use.")
    assert not (tmp_path / "data" / "roundhouse.sqlite3").exists()


def test_data_folder_is_a_file(tmp_path):
    (tmp_path / "data").write_text("")

    refused(manage("serve", DATA=tmp_path / "data"), "cannot be used: File exists")


needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="mounting a small disk needs root and mount namespaces",
)  # fmt: skip


@pytest.fixture
def serve_on_mount(tmp_path):
    """Run serve with its data folder on a private file system that is gone afterwards, made ready by a command."""
    data = tmp_path / "data"
    data.mkdir()

    def serve(size, before):
        script = (
            f"mount -t tmpfs -o size={size} none {data} && {before.format(data)};"
            f"{sys.executable} {ROOT}/manage.py serve --demo; s=$?; ls -A {data}; exit $s"
        )
        environ = clean_environment(DATA=data, PORT=free_port(), GRPC_PORT=0)
        command = ["unshare", "-m", "sh", "-c", script]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    return serve


@needs_mount
def test_full_disk(serve_on_mount):
    result = serve_on_mount("64k", "dd if=/dev/zero of={}/fill bs=1k count=60 2>/dev/null")

    refused(result, "is full")
    assert "first-run.json" not in result.stdout


@needs_mount
def test_read_only_data_folder(serve_on_mount):
    result = serve_on_mount("1m", "mount -o remount,ro {} 2>/dev/null")

    refused(result, "Read-only file system")
    assert result.stdout == ""
