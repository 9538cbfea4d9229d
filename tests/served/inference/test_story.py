"""Ids as callers get them, over every protocol, and the story that the running product tells of each."""

import json

import grpc

from inference.doors.grpc.generated import predictor_pb2
from tests.support.processes import ROOT, get, post

ROWS = json.loads((ROOT / "examples" / "ripeness" / "sample.json").read_text())["inputs"]["features"]


def _post(served, path, body):
    headers = {"Content-Type": "application/json", **served.authorization}
    status, answer = post(f"{served.url}{path}", body, **headers)
    assert status == 200, answer
    return answer


def _rest(served):
    body = {"inputs": {"features": ROWS}}
    return _post(served, "/api/v1/models/ripeness/predict", body)["request_id"]


def _open_inference(served):
    tensor = {"name": "features", "datatype": "FP32", "shape": [len(ROWS), 3], "data": ROWS}
    answer = _post(served, "/v2/models/ripeness/versions/1/infer", {"inputs": [tensor]})
    return answer["parameters"]["request_id"]


def _grpc(served):
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        predict = channel.unary_unary(
            "/roundhouse.Predictor/Predict",
            request_serializer=predictor_pb2.FeaturesRequest.SerializeToString,
            response_deserializer=predictor_pb2.FeaturesResponse.FromString,
        )
        _, call = predict.with_call(
            predictor_pb2.FeaturesRequest(features=ROWS[0]),
            timeout=30,
            metadata=[
                ("authorization", served.authorization["Authorization"]),
                ("x-model", "ripeness"),
            ],
        )
        return dict(call.trailing_metadata())["x-request-id"]


def test_ids_of_every_protocol_have_a_story(embedded):
    ids = [_rest(embedded), _open_inference(embedded), _grpc(embedded)]

    told = []
    for each in ids:
        status, text = get(f"{embedded.url}/api/v1/story/{each}", **embedded.authorization)
        assert status == 200, text
        story = json.loads(text)
        assert (story["request_id"], story["model"]) == (each, "ripeness")
        told.append(story["chapters"][0]["sentences"][1])

    assert "was the only arm of split" in told[0]
    assert told[1] == "The caller named version 1, so the split did not decide."
    assert "was the only arm of split" in told[2]


def test_a_terminal_tells_the_same(embedded):
    text = _rest(embedded)

    told = embedded.manage("story", text)

    assert told.returncode == 0, told.stderr
    assert "Version 1 of ripeness answered." in told.stdout
    assert embedded.manage("story", text[:-4]).returncode == 1
