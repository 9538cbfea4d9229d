"""`manage.py grpc` as a service of its own."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.processes import ROOT, clean_environment, free_port, manage


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


def test_it_serves_until_it_is_told_to_end_and_names_a_taken_port(tmp_path):
    where = {"DATA": tmp_path / "data", "GRPC_PORT": free_port()}
    assert manage("migrate", "--no-input", DATA=where["DATA"]).returncode == 0

    with _running(**where) as process:
        said = next(line for line in process.stdout if "gRPC is served" in line)
        with grpc.insecure_channel(f"127.0.0.1:{where['GRPC_PORT']}") as channel:
            request = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
        second = manage("grpc", **where)
        process.send_signal(signal.SIGTERM)

        assert str(where["GRPC_PORT"]) in said
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert second.returncode == 1
        assert f"gRPC cannot listen on 127.0.0.1:{where['GRPC_PORT']}" in second.stderr
        assert process.wait(timeout=60) == 0
