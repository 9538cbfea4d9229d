"""What a hostile file runs has neither network nor files, where the kernel lets the child give them up."""

import socket

import pytest

from inference.checks.probe import probe
from inference.confinement import parent as probing
from inference.confinement.child import leave_network
from inference.engine.backends import SessionOptions
from tests.support import onnx_models

CALLING = "tests.support.hostile:Calling"
STAYING = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import inference.{} as child;"
    "child.give_up = lambda *_: {{}}; child.main()"
)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture
def file_with_port(tmp_path, listener):
    path = tmp_path / "port"
    path.write_text(str(listener.getsockname()[1]))
    return path


def test_the_child_reaches_no_one(file_with_port, listener):
    result = probe(file_with_port, SessionOptions(), backend=CALLING)
    if not result.network_confined:
        pytest.skip("this kernel refuses both network namespaces and seccomp here")

    assert result.message in {"refused: Operation not permitted", "refused: Network is unreachable"}
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_left_in_the_network_it_does(file_with_port, listener, monkeypatch):
    """Negative control, and what a container that refuses namespaces gets: the same child, with the network open."""
    monkeypatch.setattr(probing, "_START", STAYING)

    result = probe(file_with_port, SessionOptions(), backend=CALLING)

    assert (result.message, result.network_confined) == ("connected", False)
    listener.accept()[0].close()


@pytest.mark.parametrize("start", [probing._START, STAYING], ids=["confined", "open"])
def test_a_good_file_passes_either_way(tmp_path, monkeypatch, start):
    monkeypatch.setattr(probing, "_START", start)

    result = probe(onnx_models.identity(tmp_path / "m.onnx"), SessionOptions())

    assert result.code == "passed"
    assert not (result.network_confined and start == STAYING)


def test_a_file_that_is_ended_tells_it_too(tmp_path):
    result = probe(onnx_models.endless(tmp_path / "m.onnx"), SessionOptions(), time_limit_s=1.5)
    passed = probe(onnx_models.identity(tmp_path / "n.onnx"), SessionOptions())

    assert result.code == "timed_out"
    assert result.network_confined == passed.network_confined


def test_without_linux_it_reports_that_it_cannot(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())

    assert leave_network() is False
