"""`manage.py grpc` as a service of its own."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.processes import ROOT, clean_environment, free_port, manage


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc") / "data"
    assert manage("migrate", "--no-input", DATA=folder).returncode == 0
    return folder


@contextmanager
def _running(**variables):
    process = subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "grpc"],
        env=clean_environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_serves_until_it_is_told_to_end(data):
    port = free_port()
    with _running(DATA=data, GRPC_PORT=port) as process:
        said = next(line for line in process.stdout if "gRPC is served" in line)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)
        process.send_signal(signal.SIGTERM)

        assert str(port) in said
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert process.wait(timeout=20) == 0


def test_a_taken_port_ends_it_with_a_sentence(data):
    port = free_port()
    with _running(DATA=data, GRPC_PORT=port) as process:
        assert next(line for line in process.stdout if "gRPC is served" in line)

        second = manage("grpc", DATA=data, GRPC_PORT=port)

    assert second.returncode == 1
    assert f"gRPC cannot listen on 127.0.0.1:{port}" in second.stderr
