"""The .proto files: what is downloaded, and what was generated of them."""

import subprocess

import pytest
from google.protobuf import descriptor_pool

from inference.doors.grpc import generate
from inference.doors.grpc.generated import open_inference_pb2 as pb
from tests.support.peers import tritonclient_python

GENERATED = generate.HERE / "generated"


@pytest.mark.urls("tests.support.routes")
@pytest.mark.parametrize("name", ["open_inference.proto", "predictor.proto"])
def test_protos_are_downloaded(client, name):
    response = client.get(f"/api/v1/protos/{name}")

    assert response.status_code == 200
    for option in ("go_package", "java_package"):
        assert f"option {option} = " in response.content.decode()


@pytest.mark.urls("tests.support.routes")
@pytest.mark.parametrize("name", ["nobody.proto", "..", "__init__.py"])
def test_nothing_else_is(client, name):
    assert client.get(f"/api/v1/protos/{name}").status_code == 404


def test_the_messages_stay_out_of_the_shared_pool():
    assert pb.ModelInferRequest.DESCRIPTOR.full_name == "inference.ModelInferRequest"
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")


def test_generated_code_is_what_the_protos_say(tmp_path):
    python = tritonclient_python()

    subprocess.run([python, generate.__file__, tmp_path], check=True, timeout=60)

    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in GENERATED.iterdir() if path.is_file()}
    assert made == kept
