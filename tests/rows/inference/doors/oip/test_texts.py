"""Texts in the protocol: over HTTP in JSON and in binary, over gRPC raw and in contents."""

import json

import numpy as np
import orjson
import pytest

from inference.doors.errors import BadRequest
from inference.doors.grpc import inference_service, predictor_service
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.generated import predictor_pb2
from inference.engine.loop import complete
from inference.pipelines.errors import TextTooLong
from inference.serving import runtime
from inference.tensors.errors import WrongDtype
from registry.access.keys import ring
from tests.support.grpc_callers import GrpcCaller
from tests.support.text_models import SENTIMENTS, WORDS, put_names, put_tone
from tests.support.wire import in_binary, packed, received, unpacked

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
TEXTS = np.array(["good", "bad bad", "parcel"], object)
LABELS = ["positive", "negative", "neutral"]


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path):
    ring.clear()
    put_tone(tmp_path)
    put_names(tmp_path)
    put_tone(tmp_path, "strict", long_texts="refuse", max_tokens=3)
    runtime.start()
    yield
    runtime.stop()


def in_json(texts, shape=None, **more):
    entry = {"name": "text", "datatype": "BYTES", "shape": shape or [len(texts)], "data": texts}
    return {"inputs": [entry], **more}


def of_http(answer):
    """The outputs by name; of a refusal, what it says."""
    assert answer.status_code == 200, answer.content
    return received(answer.headers, answer.content)[1]


@pytest.mark.parametrize("shape", [[3], [3, 1]], ids=["rows", "rows and an axis of one"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_texts_over_http(ask, shape, binary):
    if binary:
        text, data = in_binary(
            {"text": ("BYTES", TEXTS.reshape(shape))}, parameters={"binary_data_output": True}
        )
        head = json.dumps(text).encode()
        answer = ask("POST", "tone/infer", head + data, **{"Inference-Header-Content-Length": str(len(head))})
    else:
        answer = ask("POST", "tone/infer", in_json(TEXTS.tolist(), shape))

    outputs = of_http(answer)
    assert outputs["label"].tolist() == LABELS
    assert outputs["scores"].shape == (3, len(SENTIMENTS))
    assert outputs["confidence"].tolist() == outputs["scores"].max(axis=1).tolist()
    assert outputs["tokens_given"].tolist() == outputs["tokens_used"].tolist() == [1, 2, 1]


def test_entities_are_json_in_a_text(ask):
    outputs = of_http(ask("POST", "names/infer", in_json(["ann lee", "met"])))

    found = [orjson.loads(text) for text in outputs["entities"].tolist()]
    assert [[(one["label"], one["start"], one["end"]) for one in entities] for entities in found] == [
        [("PER", 0, 7)],
        [],
    ]


def test_requested_outputs_and_classes(ask):
    outputs = [{"name": "scores", "parameters": {"classification": 1}}, {"name": "label"}]

    answer = ask("POST", "tone/infer", in_json(["good"], outputs=outputs)).json()

    assert [one["name"] for one in answer["outputs"]] == ["scores", "label"]
    assert answer["outputs"][0]["data"][0].endswith(":2:positive")
    assert len(answer["parameters"]["preprocessing"]) == 16


def test_the_models_own_tensors_are_still_accepted(ask):
    good = WORDS.index("good")
    tensors = [
        {"name": name, "datatype": "INT64", "shape": [1, 2], "data": data}
        for name, data in (("input_ids", [good, good]), ("attention_mask", [1, 1]))
    ]

    (output,) = ask("POST", "tone/infer", {"inputs": tensors}).json()["outputs"]

    assert (output["name"], output["data"]) == ("logits", [0.0, 0.0, 8.0])


def test_metadata_and_configuration_describe_texts_and_answers(ask):
    metadata, config = ask("GET", "tone").json(), ask("GET", "tone/config").json()

    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert {one["name"]: (one["datatype"], one["shape"]) for one in metadata["outputs"]} == {
        "label": ("BYTES", [-1]),
        "confidence": ("FP64", [-1]),
        "scores": ("FP64", [-1, 3]),
        "tokens_given": ("INT32", [-1]),
        "tokens_used": ("INT32", [-1]),
    }
    assert [one["name"] for one in config["input"]] == ["text"]
    assert config["input"][0]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize(
    ("path", "body", "code", "said"),
    [
        ("strict/infer", in_json(["a", "bad " * 4]), "text_too_long", "Text 2 has 4 tokens"),
        ("tone/infer", in_json(["a", "b"], [1, 2]), "wrong_rank", "expects 1"),
        ("tone/infer", in_json(["a"] * 257), "too_many_items", "at most 256"),
        ("tone/infer", in_json(["a"], outputs=[{"name": "logits"}]), "unknown_output", "'label'"),
        ("tone/infer", {"inputs": []}, "missing_tensor", "'text' is missing"),
    ],
    ids=["too long", "two columns", "too many", "output of the model", "nothing"],
)
def test_what_does_not_fit_is_refused(ask, path, body, code, said):
    refused = ask("POST", path, body)

    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert said in refused.json()["error"]


def test_bytes_that_are_no_utf_8_are_refused(ask):
    text, data = in_binary({"text": ("BYTES", np.array([b"\xff\xfe"], object))})
    head = json.dumps(text).encode()

    refused = ask("POST", "tone/infer", head + data, **{"Inference-Header-Content-Length": str(len(head))})

    assert (refused.status_code, refused.json()["code"]) == (400, "wrong_dtype")
    assert "not valid UTF-8" in refused.json()["error"]


def a_message(texts, shape=None, *, is_raw, model="tone"):
    shape = shape or [len(texts)]
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=shape)
    if is_raw:
        return pb.ModelInferRequest(
            model_name=model, inputs=[tensor], raw_input_contents=[packed(np.array(texts, object), "BYTES")]
        )
    tensor.contents.bytes_contents.extend(text.encode() for text in texts)
    return pb.ModelInferRequest(model_name=model, inputs=[tensor])


@pytest.mark.parametrize("shape", [[3], [3, 1]], ids=["rows", "rows and an axis of one"])
@pytest.mark.parametrize("is_raw", [False, True], ids=["contents", "raw"])
def test_texts_over_grpc(key, shape, is_raw):
    caller = GrpcCaller(key, x_model="tone")

    answer = complete(inference_service.model_infer(a_message(TEXTS, shape, is_raw=is_raw), caller))

    raw = dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))
    assert unpacked(raw["label"], "BYTES").tolist() == LABELS
    assert np.frombuffer(raw["scores"]).reshape(3, 3).argmax(axis=1).tolist() == [2, 0, 1]
    assert np.frombuffer(raw["tokens_given"], np.int32).tolist() == [1, 2, 1]
    assert caller.told == [answer.parameters["request_id"].string_param]


def test_entities_over_grpc(key):
    message = a_message(["ann lee"], is_raw=True, model="names")

    answer = complete(inference_service.model_infer(message, GrpcCaller(key, x_model="tone")))

    (entities,) = unpacked(answer.raw_output_contents[0], "BYTES")
    assert [entity["text"] for entity in orjson.loads(entities)] == ["ann lee"]


def test_what_does_not_fit_is_refused_over_grpc(key):
    with pytest.raises(TextTooLong, match="The text has 4 tokens"):
        complete(
            inference_service.model_infer(
                a_message(["bad " * 4], is_raw=False, model="strict"), GrpcCaller(key, x_model="tone")
            )
        )
    message = a_message(["x"], is_raw=True)
    message.raw_input_contents[0] = b"\1\0\0\0\xff"
    with pytest.raises(WrongDtype, match="not valid UTF-8"):
        complete(inference_service.model_infer(message, GrpcCaller(key, x_model="tone")))


def test_metadata_over_grpc(key):
    metadata = inference_service.model_metadata(
        pb.ModelMetadataRequest(name="names"), GrpcCaller(key, x_model="tone")
    )
    config = inference_service.model_config(
        pb.ModelConfigRequest(name="names"), GrpcCaller(key, x_model="tone")
    ).config

    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [("text", "BYTES", [-1])]
    assert [one.name for one in metadata.outputs] == ["entities", "tokens_given", "tokens_used"]
    assert [one.name for one in config.input] == ["text"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (predictor_service.predict_features, predictor_pb2.FeaturesRequest(features=[1, 2])),
        (predictor_service.predict, predictor_pb2.PredictRequest(input=[1, 2], shape=[1, 2])),
        (
            predictor_service.batch_predict,
            predictor_pb2.BatchPredictRequest(requests=[predictor_pb2.PredictRequest(input=[1])]),
        ),
    ],
    ids=["features", "predict", "batch"],
)
def test_calls_for_numbers_name_the_service_that_takes_texts(key, call, message):
    with pytest.raises(BadRequest, match=r"tone expects text \(BYTES\).*use GRPCInferenceService"):
        complete(call(message, GrpcCaller(key, x_model="tone")))
