"""docker-compose.yml: each of our commands runs unchanged, with this machine's services."""

import json
import re
import shlex
import signal
import subprocess
import sys
import uuid

import psycopg
import pytest
import yaml

from tests.support.processes import ROOT, clean_environment, free_port, get, wait_until
from tests.support.services import DATABASE_URL, SERVICE_REDIS_URL

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def test_all_services_are_defined():
    assert set(COMPOSE["services"]) == {"migrate", "web", "console", "worker", "beat", "postgres", "redis"}


def test_dockerfile_copies_what_exists():
    lines = (ROOT / OURS["web"]["build"]["dockerfile"]).read_text().splitlines()
    sources = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]

    assert all((ROOT / source).exists() for source in sources)


def test_redis_does_not_evict():
    assert "--maxmemory-policy noeviction" in COMPOSE["services"]["redis"]["command"]


@pytest.fixture
def environment(tmp_path):
    """The services' own environment, with this machine's addresses instead of the containers'."""
    name = f"compose_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    given = {
        "ROUNDHOUSE_PUBLIC_URL": "https://models.example.org",
        "ROUNDHOUSE_SECRET_KEY": "k" * 40,
        "ROUNDHOUSE_AUDIT_KEY": "a" * 40,
        "ROUNDHOUSE_TRUSTED_PROXIES": "1",
        "POSTGRES_PASSWORD": "p",
    }
    variables = {
        key: re.sub(
            r"\$\{(\w+)(:-)?[^}]*\}",
            lambda match: given.get(match[1], "") if match[2] else given[match[1]],
            str(value),
        )
        for key, value in OURS["web"]["environment"].items()
    }
    variables |= {
        "ROUNDHOUSE_DATA": str(tmp_path),
        "ROUNDHOUSE_BIND": "127.0.0.1",
        "ROUNDHOUSE_PORT": str(free_port()),
        "ROUNDHOUSE_GRPC_PORT": str(free_port()),
        "ROUNDHOUSE_DATABASE_URL": DATABASE_URL.rpartition("/")[0] + f"/{name}",
        "ROUNDHOUSE_REDIS_URL": SERVICE_REDIS_URL,
    }
    yield {**clean_environment(), **variables}
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _start(name, environment, log):
    program, *arguments = shlex.split(OURS[name]["command"])
    assert program == "python"
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    )


def _own_settings(name) -> dict[str, str]:
    """What a service has beyond those of all."""
    theirs = COMPOSE["x-roundhouse"]["environment"]
    return {key: value for key, value in OURS[name]["environment"].items() if key not in theirs}


def _is_whole(url) -> bool:
    status, body = get(url)
    return status == 200 and json.loads(body)["status"] == "ready"


@pytest.mark.service
def test_every_command_runs(environment, tmp_path):
    with (tmp_path / "log").open("wb") as log:
        assert _start("migrate", environment, log).wait(timeout=60) == 0
        running = [_start(name, environment, log) for name in ("web", "worker", "beat")]
        # Its container gives it the usual port; on this machine the first web service has that.
        console = {**environment, **_own_settings("console"), "ROUNDHOUSE_PORT": str(free_port())}
        running.append(_start("console", console, log))
        urls = [
            f"http://127.0.0.1:{each['ROUNDHOUSE_PORT']}/readyz?verbose" for each in (environment, console)
        ]
        try:
            wait_until(
                lambda: all(map(_is_whole, urls)) and "beat leads" in (tmp_path / "log").read_text(),
                within_s=45,
                what="all of it ready",
            )
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            statuses = [process.wait(timeout=30) for process in running]

    assert statuses == [0, 0, 0, 0]
