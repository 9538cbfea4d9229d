"""Stubs that were not made for this server: a Predictor outside any package, and a ModelService in the package `model`.

They name no Model, so the default one answers: in the demo `ripeness`.
"""

import json
import subprocess

import pytest

from tests.support.peers import tritonclient_python
from tests.support.processes import post

PREDICTOR = """
syntax = "proto3";
message Features { repeated float features = 1; }
message Answer { float prediction = 1; float confidence = 2; }
service Predictor { rpc Predict(Features) returns (Answer); }
"""
MODEL = """
syntax = "proto3";
package model;
message PredictRequest { repeated float input = 1; repeated int32 shape = 2; }
message PredictResponse { repeated float output = 1; }
message BatchRequest { repeated PredictRequest requests = 1; }
message BatchResponse { repeated PredictResponse responses = 1; }
service ModelService {
  rpc Predict(PredictRequest) returns (PredictResponse);
  rpc BatchPredict(BatchRequest) returns (BatchResponse);
}
"""
CALLS = """
import json, sys
import grpc
import model_pb2, model_pb2_grpc, predictor_pb2, predictor_pb2_grpc

address, key = sys.argv[1:]
told = {"timeout": 20, "metadata": [("authorization", f"Bearer {key}")]}
row = [0.21, 0.79, 0.31]
one = model_pb2.PredictRequest(input=row, shape=[1, 3])
two = model_pb2.PredictRequest(input=[*row, 0.82, 0.18, 0.88], shape=[2, 3])
with grpc.insecure_channel(address) as channel:
    answer = predictor_pb2_grpc.PredictorStub(channel).Predict(predictor_pb2.Features(features=row), **told)
    service = model_pb2_grpc.ModelServiceStub(channel)
    single = service.Predict(one, **told)
    batch = service.BatchPredict(model_pb2.BatchRequest(requests=[one, two]), **told)
print(json.dumps({
    "prediction": answer.prediction, "confidence": answer.confidence, "output": list(single.output),
    "batch": [list(response.output) for response in batch.responses],
}))
"""


@pytest.fixture(scope="module")
def answers(embedded, tmp_path_factory):
    python, folder = tritonclient_python(), tmp_path_factory.mktemp("stubs")
    for name, text in (("predictor.proto", PREDICTOR), ("model.proto", MODEL), ("calls.py", CALLS)):
        (folder / name).write_text(text)
    _run(python, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--grpc_python_out=.", "predictor.proto",
         "model.proto", cwd=folder)  # fmt: skip
    key = embedded.credentials["api_key"]
    return json.loads(_run(python, "calls.py", f"127.0.0.1:{embedded.grpc_port}", key, cwd=folder))


def _run(*command, cwd):
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_predictor_answers_with_the_best_class_and_its_score(answers):
    best = max(range(3), key=answers["output"].__getitem__)

    assert (answers["prediction"], answers["confidence"]) == (best, answers["output"][best])
    assert answers["confidence"] > 0.9


def test_predictor_answers_with_the_numbers_of_data_over_http(answers, embedded):
    row = {"data": [0.21, 0.79, 0.31]}
    status, over_http = post(f"{embedded.url}/predict", row, **embedded.authorization)

    assert status == 200
    assert answers["prediction"] == over_http["prediction"]
    assert answers["confidence"] == pytest.approx(over_http["confidence"])


def test_model_service_answers_one_and_many(answers):
    first, second = answers["batch"]

    assert first == pytest.approx(answers["output"])
    assert (len(second), second[:3]) == (6, pytest.approx(first))
    assert second[3:] != pytest.approx(first)
