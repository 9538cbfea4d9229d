"""docs/clients.md, pasted block by block into processes that call a served Roundhouse."""

import json
import shutil
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.served.docs.snippets import ALONE, check_printed, run, snippets_of
from tests.support.missing import missing
from tests.support.peers import requests_python, tritonclient_python
from tests.support.processes import ROOT

PAGE = snippets_of(ROOT / "docs" / "clients.md")
TRIED = [snippet for snippet in PAGE if snippet.kind not in {None, "generated"}]
RETRYING = [next(snippet for snippet in TRIED if snippet.kind == kind) for kind in ("requests", "fetch")]


def _program(name, package):
    path = shutil.which(name)
    if path is None:
        missing(f"no {name}: install the distribution's package `{package}`")
    return path


def _ask(snippet, folder, environment):
    match snippet.kind:
        case "curl":
            _program("curl", "curl")
            return run(["bash", "-eu"], snippet, folder, environment)
        case "fetch":
            return run([_program("node", "nodejs")], snippet, folder, environment, ".mjs")
        case "client":
            return run(ALONE, snippet, folder, environment)
        case "requests":
            return run([requests_python(), "-P"], snippet, folder, environment)
        case "tritonclient":
            return run([tritonclient_python(), "-P"], snippet, folder, environment)
        case "huggingface_hub":
            return run([sys.executable, "-P"], snippet, folder, environment)
    raise AssertionError(f"nobody runs {snippet.kind}")


@pytest.mark.parametrize("snippet", TRIED, ids=str)
def test_prints_what_the_page_says(snippet, environment, folder):
    made = _ask(snippet, folder, environment)

    check_printed(made, snippet)


def test_every_runnable_block_is_run():
    for snippet in PAGE:
        assert snippet.kind or snippet.language not in {"python", "javascript"}, f"line {snippet.line}"
        assert snippet.prints or not snippet.kind, f"line {snippet.line}"


@contextmanager
def _refusing_first(url, **problem):
    """Something before Roundhouse that refuses one request and passes the others on; and when they came."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(time.monotonic())
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(came) == 1:
                status, kind, answer = 503, "application/problem+json", json.dumps(problem).encode()
            else:
                passed = urllib.request.Request(url + self.path, body, dict(self.headers))
                with urllib.request.urlopen(passed, timeout=10) as response:
                    status, kind, answer = 200, "application/json", response.read()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            if problem["retryable"]:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()


@pytest.mark.parametrize("snippet", RETRYING, ids=str)
def test_retries_retryable_errors(snippet, environment, tmp_path):
    with _refusing_first(environment["ROUNDHOUSE_URL"], detail="Loading.", retryable=True) as (url, came):
        made = _ask(snippet, tmp_path, {**environment, "ROUNDHOUSE_URL": url})

    check_printed(made, snippet)
    assert len(came) == 2
    assert came[1] - came[0] >= 1


@pytest.mark.parametrize("snippet", RETRYING, ids=str)
def test_does_not_retry_other_errors(snippet, environment, tmp_path):
    with _refusing_first(environment["ROUNDHOUSE_URL"], detail="Stopped.", retryable=False) as (url, came):
        made = _ask(snippet, tmp_path, {**environment, "ROUNDHOUSE_URL": url})

    assert made.returncode != 0
    assert "Stopped." in made.stderr
    assert len(came) == 1
