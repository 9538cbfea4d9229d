"""The gRPC services over a real connection, and a serving that remembers what it was asked."""

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import grpc
import numpy as np
import pytest
import uvloop
from django.db import DatabaseError
from django.test import override_settings
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from inference.doors import entry
from inference.doors.grpc import callers
from inference.doors.grpc.codes import code_of
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.generated import predictor_pb2
from inference.doors.grpc.server import GrpcServer, ListenAddress, PortTaken
from inference.doors.memory import RequestMemory
from inference.engine.combiner import Priority
from inference.engine.loop import EngineLoop
from inference.serving import runtime, services
from inference.tensors.errors import WrongRank
from registry.access import keys
from registry.access.keys import admit, ring
from registry.errors import Stopped
from roundhouse.problems import status_of
from tests.rows.inference.doors.fake_serving import FakeServing
from tests.support.errors import told_errors
from tests.support.factories import a_key
from tests.support.processes import wait_until
from tests.support.wire import unpacked

pytestmark = pytest.mark.django_db
OIP = "inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def served():
    loop = EngineLoop.in_thread(uvloop.new_event_loop)
    with override_settings(PREDICT_BINARY_BYTES=64 << 20):
        server = GrpcServer(ListenAddress("127.0.0.1", 0), loop, max_calls=4).start()
    yield server
    server.stop()
    loop.close()


@pytest.fixture(autouse=True)
def roomy(settings):
    settings.PREDICT_BINARY_BYTES = 64 << 20
    settings.DEFAULT_MODELS = {}


@pytest.fixture(autouse=True)
def serving(monkeypatch):
    fake = FakeServing()
    fake.install(monkeypatch)
    return fake


def _known_key(*scopes):
    """A key that the server's threads need not look up: they do not see this test's transaction."""
    text = a_key(*scopes)[1]
    admit(text)
    return text


def _refusal(ask, *arguments, **more):
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        ask(*arguments, **more)
    return caught.value


@pytest.fixture
def call(served):
    ring.clear()
    key = _known_key()
    channel = grpc.insecure_channel(
        f"127.0.0.1:{served.port}", options=[("grpc.max_receive_message_length", -1)]
    )

    def ask(method, request, answer, *, key=key, timeout=10, **metadata):
        service, _, name = method.rpartition("/")
        ask_it = channel.unary_unary(
            f"/{service or OIP}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        more = {name.replace("_", "-"): text for name, text in metadata.items()}
        given = {"authorization": f"Bearer {key}", **more}
        response, made = ask_it.with_call(request, metadata=tuple(given.items()), timeout=timeout)
        ask.trailing = dict(made.trailing_metadata())
        return response

    ask.channel = channel
    yield ask
    channel.close()
    ring.clear()


def _infer(model="scores", **more):
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 2])
    raw = more.pop("raw", np.array([[1, 2]], np.float32).tobytes())
    return pb.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[raw], **more)


def _parameter(**choice):
    return pb.InferParameter(**choice)


def test_server_calls_need_no_key(call, serving):
    assert call("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse, key="").live
    assert call("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse, key="").ready
    serving.is_ready = False
    assert not call("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse, key="").ready


def test_describing_calls(call):
    server = call("ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse)
    model = call("ModelMetadata", pb.ModelMetadataRequest(name="scores"), pb.ModelMetadataResponse)
    config = call("ModelConfig", pb.ModelConfigRequest(name="scores"), pb.ModelConfigResponse).config
    (stats,) = call(
        "ModelStatistics", pb.ModelStatisticsRequest(name="scores"), pb.ModelStatisticsResponse
    ).model_stats
    index = call("RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse).models

    assert (server.name, "classification" in server.extensions) == ("roundhouse", True)
    assert (model.platform, list(model.versions)) == ("onnx_onnxv1", ["1", "2"])
    assert list(model.inputs[0].shape) == [-1, 2]
    assert (config.max_batch_size, config.input[0].data_type, list(config.output[0].dims)) == (32, 11, [3])
    assert (stats.inference_count, stats.batch_stats[0].batch_size) == (4, 4)
    assert stats.inference_stats.compute_infer.ns == 8_000_000
    assert abs(stats.last_inference - time.time() * 1000) < 60_000
    assert [(model.version, model.state) for model in index] == [("1", "READY"), ("2", "UNAVAILABLE")]
    assert call("ModelReady", pb.ModelReadyRequest(name="scores", version="1"), pb.ModelReadyResponse).ready


CONTENTS = {
    "BOOL": ("bool_contents", [True, False]), "INT8": ("int_contents", [-1, 2]), "INT16": ("int_contents", [-300, 2]),
    "INT32": ("int_contents", [-1, 2**31 - 1]), "INT64": ("int64_contents", [-(2**63), 2]),
    "UINT8": ("uint_contents", [0, 255]), "UINT16": ("uint_contents", [0, 65535]),
    "UINT32": ("uint_contents", [0, 2**32 - 1]), "UINT64": ("uint64_contents", [0, 2**64 - 1]),
    "FP32": ("fp32_contents", [0.5, -1.0]), "FP64": ("fp64_contents", [0.1, 1e300]),
    "BYTES": ("bytes_contents", [b"a", "ÿ".encode()]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("datatype", "field", "values"), [(name, *rest) for name, rest in CONTENTS.items()], ids=CONTENTS.keys()
)
def test_typed_contents_are_read(call, datatype, field, values):
    contents = pb.InferTensorContents(**{field: values})
    tensor = _tensor(name=f"in_{datatype}", datatype=datatype, contents=contents)

    answer = call(
        "ModelInfer", pb.ModelInferRequest(model_name="echo", inputs=[tensor]), pb.ModelInferResponse
    )

    expected = [value.decode() if isinstance(value, bytes) else value for value in values]
    assert unpacked(answer.raw_output_contents[0], datatype).tolist() == expected


def test_what_the_caller_wants_reaches_serving(call, serving):
    request = _infer(
        model_version="2", id="mine",
        parameters={"timeout": _parameter(int64_param=2_000_000), "priority": _parameter(uint64_param=2),
                    "country": _parameter(string_param="fr")},
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="y")],
    )  # fmt: skip

    answer = call("ModelInfer", request, pb.ModelInferResponse, x_routing_key="k", timeout=60)
    (made,) = serving.calls

    assert (answer.id, answer.model_name, answer.model_version) == ("mine", "scores", "2")
    assert answer.parameters["request_id"].string_param == call.trailing["x-request-id"] == "rid-1"
    assert (answer.parameters["arm"].string_param, answer.parameters["split"].int64_param) == ("A", 7)
    assert (made.request.version, made.outputs, made.routing_key) == (2, ["y"], "k")
    assert (made.within_s, made.priority, made.fields["country"]) == (2.0, Priority.BULK, "fr")


def test_deadline_is_the_calls_own(call, serving):
    call("ModelInfer", _infer("scores@canary"), pb.ModelInferResponse, timeout=3)
    call("ModelInfer", _infer(), pb.ModelInferResponse, timeout=None)
    near, none = serving.calls

    assert 2.0 < near.within_s < 3.1  # gRPC rounds up what is left
    assert (near.request.alias, none.within_s) == ("canary", 5.0)


def test_a_tensor_beyond_grpcs_usual_limit(call):
    x = np.ones((1_000_000, 2), np.float32)
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=x.shape)
    request = pb.ModelInferRequest(model_name="scores", inputs=[tensor], raw_input_contents=[x.tobytes()])

    answer = call("ModelInfer", request, pb.ModelInferResponse)

    assert len(answer.raw_output_contents[0]) == 12_000_000


@pytest.mark.parametrize(
    "packing", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"]
)
def test_a_message_beyond_the_limit_is_refused_however_it_is_packed(call, serving, packing):
    infer = call.channel.unary_unary(f"/{OIP}/ModelInfer")
    message = _infer(raw=bytes(66 << 20)).SerializeToString()

    metadata = (("authorization", f"Bearer {_known_key()}"),)
    refused = _refusal(infer, message, metadata=metadata, timeout=30, compression=packing)

    assert refused.code() is StatusCode.RESOURCE_EXHAUSTED
    assert serving.calls == []


def _tensor(**change):
    return pb.ModelInferRequest.InferInputTensor(
        **{"name": "x", "datatype": "FP32", "shape": [1, 2], **change}
    )


def _request(*tensors, raw=(), **more):
    return pb.ModelInferRequest(model_name="scores", inputs=tensors, raw_input_contents=raw, **more)


RAW = [b"\0" * 8]
FLOATS = pb.InferTensorContents(fp32_contents=[1, 2])
REFUSED = {
    "no-such-model": (_infer("nobody"), StatusCode.NOT_FOUND, "unknown_model"),
    "no-model": (_infer(""), StatusCode.NOT_FOUND, "unknown_model"),
    "version-in-words": (_infer(model_version="new"), StatusCode.NOT_FOUND, "not_found"),
    "fewer-raw": (_request(_tensor(), _tensor(name="z"), raw=RAW), StatusCode.INVALID_ARGUMENT, "bad_request"),
    "more-raw": (_request(_tensor(), raw=RAW * 2), StatusCode.INVALID_ARGUMENT, "bad_request"),
    "raw-and-contents": (_request(_tensor(contents=FLOATS), raw=RAW), StatusCode.INVALID_ARGUMENT, "bad_tensor"),
    "negative-shape": (_request(_tensor(shape=[-1, -2]), raw=RAW), StatusCode.INVALID_ARGUMENT, "bad_tensor"),
    "same-name": (_request(_tensor(), _tensor(), raw=RAW * 2), StatusCode.INVALID_ARGUMENT, "bad_request"),
    "no-datatype": (_request(_tensor(datatype=""), raw=RAW), StatusCode.INVALID_ARGUMENT, "bad_tensor"),
    "wrong-field": (
        _request(_tensor(contents=pb.InferTensorContents(fp64_contents=[1, 2]))),
        StatusCode.INVALID_ARGUMENT, "bad_tensor",
    ),
    "typed-half": (_request(_tensor(datatype="FP16", contents=FLOATS)), StatusCode.INVALID_ARGUMENT, "bad_tensor"),
    "unknown-output": (
        _infer(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="z")]),
        StatusCode.INVALID_ARGUMENT, "unknown_output",
    ),
    "shared-memory": (
        _request(_tensor(parameters={"shared_memory_region": pb.InferParameter(string_param="r")})),
        StatusCode.INVALID_ARGUMENT, "bad_parameter",
    ),
    "too-many": (_request(*[_tensor()] * 257), StatusCode.INVALID_ARGUMENT, "bad_request"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "code", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_with_its_reason(call, request_, code, word):
    refused = _refusal(call, "ModelInfer", request_, pb.ModelInferResponse)

    assert (refused.code(), dict(refused.trailing_metadata())["x-error-code"]) == (code, word)
    assert refused.details().endswith(".")


SERVINGS = {
    "wrong-rank": (WrongRank("Input 'x' has 1 axis."), StatusCode.INVALID_ARGUMENT),
    "database": (DatabaseError("secret dsn"), StatusCode.UNAVAILABLE),
    "planted": (RuntimeError("secret path"), StatusCode.INTERNAL),
}


@pytest.mark.parametrize(("error", "code"), SERVINGS.values(), ids=SERVINGS.keys())
def test_what_serving_raises(call, serving, error, code):
    serving.error = error

    refused = _refusal(call, "ModelInfer", _infer(), pb.ModelInferResponse)

    assert refused.code() is code
    assert "secret" not in refused.details()


def test_every_error_has_a_code():
    for kind in told_errors():
        if kind.__module__ == "moderation.errors":
            continue  # contents are not moderated over gRPC
        status, code = status_of(kind()), code_of(kind)
        assert code is not None, kind
        # Deadlines have a code of their own, and a caller's cancellation is nobody's fault.
        ours = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED}
        assert (status == 503) == (code in ours), kind


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
def test_a_load_takes_nothing_from_its_caller(call, serving, name):
    given = {name: pb.ModelRepositoryParameter(bytes_param=b"x")}
    request = pb.RepositoryModelLoadRequest(model_name="scores", parameters=given)

    refused = _refusal(call, "RepositoryModelLoad", request, pb.RepositoryModelLoadResponse)

    assert refused.code() is StatusCode.INVALID_ARGUMENT
    assert dict(refused.trailing_metadata())["x-error-code"] == "bad_parameter"
    assert f"'{name}'" in refused.details()
    assert serving.control == []


@pytest.mark.parametrize("key", ["", "nonsense"], ids=["none", "nonsense"])
def test_strangers_learn_nothing(call, serving, key):
    asked = {
        "ModelInfer": _infer(), "ModelMetadata": pb.ModelMetadataRequest(name="scores"),
        "ServerMetadata": pb.ServerMetadataRequest(),
        "ModelReady": pb.ModelReadyRequest(name="scores"), "ModelConfig": pb.ModelConfigRequest(name="scores"),
        "ModelStatistics": pb.ModelStatisticsRequest(), "RepositoryIndex": pb.RepositoryIndexRequest(),
        "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name="scores"),
        "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name="scores"),
        "roundhouse.Predictor/Predict": predictor_pb2.FeaturesRequest(),
        "roundhouse.ModelService/Predict": predictor_pb2.PredictRequest(),
        "roundhouse.ModelService/BatchPredict": predictor_pb2.BatchPredictRequest(),
        "Predictor/Predict": predictor_pb2.FeaturesRequest(),
        "model.ModelService/Predict": predictor_pb2.PredictRequest(),
        "model.ModelService/BatchPredict": predictor_pb2.BatchPredictRequest(),
    }  # fmt: skip

    for method, request in asked.items():
        refused = _refusal(call, method, request, pb.ModelInferResponse, key=key)
        assert refused.code() is StatusCode.UNAUTHENTICATED, method
    assert serving.calls == serving.control == []


def test_keys_do_what_their_scopes_say(call, serving):
    predictor, reader, writer = (
        _known_key(scope) for scope in ("predict", "registry.read", "registry.write")
    )
    request = pb.RepositoryModelLoadRequest(model_name="scores")
    load = ("RepositoryModelLoad", request, pb.RepositoryModelLoadResponse)
    infer = ("ModelInfer", _infer(), pb.ModelInferResponse)

    for key, denied in ((predictor, load), (reader, infer), (reader, load)):
        assert _refusal(call, *denied, key=key).code() is StatusCode.PERMISSION_DENIED
    call(*infer, key=predictor)
    call(*load, key=writer)
    assert [(verb, model) for verb, model, _ in serving.control] == [("load", "scores")]


def _stream(call):
    return call.channel.stream_stream(
        f"/{OIP}/ModelStreamInfer",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=pb.ModelStreamInferResponse.FromString,
    )


def test_a_stream_answers_each_request_and_survives_a_bad_one(call):
    key = _known_key()
    requests = iter([_infer(id="1"), _infer("nobody", id="2"), _infer(id="3")])

    answers = list(_stream(call)(requests, metadata=(("authorization", f"Bearer {key}"),), timeout=10))

    assert [answer.infer_response.id for answer in answers] == ["1", "2", "3"]
    assert [bool(answer.error_message) for answer in answers] == [False, True, False]


class TestCounting:
    """Each request is counted once, whatever becomes of it."""

    def test_an_answer_and_an_error(self, call, serving):
        call("ModelInfer", _infer(), pb.ModelInferResponse)
        _refusal(call, "ModelInfer", _infer(raw=b"1234567"), pb.ModelInferResponse)
        _refusal(call, "ModelInfer", _infer(model_version="first"), pb.ModelInferResponse)

        assert serving.counted() == (1, {("", "bad_tensor"): 1, ("", "not_found"): 1})

    def test_an_error_after_the_version_was_chosen_has_its_arm(self, call, serving):
        tensor = pb.ModelInferRequest.InferInputTensor(name="y", datatype="FP32", shape=[1, 2])
        raw = np.array([[1, 2]], np.float32).tobytes()
        request = pb.ModelInferRequest(model_name="scores", inputs=[tensor], raw_input_contents=[raw])

        _refusal(call, "ModelInfer", request, pb.ModelInferResponse)

        assert serving.counted() == (0, {("A", "missing_tensor"): 1})

    def test_a_model_that_stands_still(self, call, serving):
        serving.error = Stopped("scores is stopped.")

        _refusal(call, "ModelInfer", _infer(), pb.ModelInferResponse)
        TestPredictor().features_refused(call)
        TestModelService().batch_refused(call)

        assert serving.counted() == (0, {("", "stopped"): 3})

    def test_strangers_and_unknown_models_are_not_counted(self, call, serving):
        _refusal(call, "ModelInfer", _infer(), pb.ModelInferResponse, key="rh_nobody")
        _refusal(call, "ModelInfer", _infer("nobody"), pb.ModelInferResponse)
        _refusal(call, "ModelMetadata", pb.ModelMetadataRequest(name="nobody"), pb.ModelMetadataResponse)

        assert serving.counted() == (0, {})

    def test_each_request_of_a_stream(self, call, serving):
        requests = iter([_infer(), _infer("nobody"), _infer(raw=b"1234567"), _infer()])
        metadata = (("authorization", f"Bearer {_known_key()}"),)

        list(_stream(call)(requests, metadata=metadata, timeout=10))

        assert serving.counted() == (2, {("", "bad_tensor"): 1})

    def test_each_run_of_a_batch(self, call, serving):
        TestModelService().batch(call, 1, 3, 2, version="")

        assert serving.counted() == (4, {})


@pytest.fixture
def memory(monkeypatch):
    """A memory that only this test's calls are counted in."""
    small = RequestMemory(16 << 20)
    monkeypatch.setattr(callers, "memory", small)
    return small


class TestMemory:
    """What a call holds is counted before it is parsed, and given back when its answer is sent."""

    TYPED = pb.InferTensorContents(int_contents=[300] * 200_000)  # half a mebibyte, and 16 once parsed

    def _ask(self, call, *, streams, **more):
        request = _infer(**more)
        if not streams:
            return call("ModelInfer", request, pb.ModelInferResponse)
        metadata = (("authorization", f"Bearer {_known_key()}"),)
        (answer,) = _stream(call)(iter([request]), metadata=metadata, timeout=10)
        if answer.error_message:
            raise AssertionError(answer.error_message)
        return answer.infer_response

    @pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
    def test_it_is_given_back(self, call, memory, streams):
        for _ in range(3):
            assert self._ask(call, streams=streams).raw_output_contents

        wait_until(lambda: memory.held == 0, within_s=10, what="the memory of calls that are over")

    @pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
    def test_a_call_without_room_is_refused_and_may_come_again(self, call, memory, serving, streams):
        memory.held = memory.limit

        with pytest.raises((grpc.RpcError, AssertionError), match="All 16 MiB that requests may use"):
            self._ask(call, streams=streams)

        assert serving.calls == []

    def test_what_would_take_too_much_is_not_parsed(self, call, memory, serving):
        message = pb.ModelInferRequest(model_name="scores", inputs=[_tensor(contents=self.TYPED)])

        refused = _refusal(call, "ModelInfer", message, pb.ModelInferResponse)

        assert (refused.code(), serving.calls) == (StatusCode.INVALID_ARGUMENT, [])
        assert "When parsed, this body would take" in refused.details()

    def test_where_there_is_plenty_it_is(self, call, serving):
        """Negative control: the same message is only of the wrong type."""
        message = pb.ModelInferRequest(model_name="scores", inputs=[_tensor(contents=self.TYPED)])

        assert "int_contents" in _refusal(call, "ModelInfer", message, pb.ModelInferResponse).details()

    def test_what_is_no_message_is_told(self, call):
        metadata = (("authorization", f"Bearer {_known_key()}"),)
        infer = call.channel.unary_unary(f"/{OIP}/ModelInfer")

        refused = _refusal(infer, b"\xff" * 20, metadata=metadata, timeout=10)

        assert refused.code() is StatusCode.INVALID_ARGUMENT


def test_streams_leave_room_for_others(call):
    metadata = (("authorization", f"Bearer {_known_key()}"),)
    may_end = threading.Event()

    def held():
        yield _infer()
        may_end.wait(10)

    streams = [_stream(call)(held(), metadata=metadata, timeout=10) for _ in range(2)]
    try:
        assert [next(stream).error_message for stream in streams] == ["", ""]
        refused = _refusal(next, _stream(call)(iter([_infer()]), metadata=metadata, timeout=10))
        assert refused.code() is StatusCode.RESOURCE_EXHAUSTED
        assert call("ModelInfer", _infer(), pb.ModelInferResponse).model_name == "scores"
    finally:
        may_end.set()
    assert [list(stream) for stream in streams] == [[], []]
    assert len(list(_stream(call)(iter([_infer()]), metadata=metadata, timeout=10))) == 1


class TestPredictor:
    def features(self, call, *values, **metadata):
        request = predictor_pb2.FeaturesRequest(features=values)
        return call("roundhouse.Predictor/Predict", request, predictor_pb2.FeaturesResponse, **metadata)

    def test_classification(self, call):
        answer = self.features(call, 1, 2, x_model="scores")

        assert (answer.prediction, answer.confidence, list(answer.outputs)) == (2, 3, [1, 2, 3])
        assert call.trailing["x-request-id"] == "rid-1"

    def test_the_default_model_answers_where_none_is_named(self, call, serving, settings):
        settings.DEFAULT_MODELS = {"predict": "scores@champion"}

        self.features(call, 1, 2)

        assert (serving.calls[0].route.slug, serving.calls[0].request.alias) == ("scores", "champion")

    def features_refused(self, call):
        assert _refusal(self.features, call, 1, 2, x_model="scores").code() is StatusCode.UNAVAILABLE

    @pytest.mark.parametrize(
        ("metadata", "values", "code"),
        [
            ({}, (1, 2), StatusCode.NOT_FOUND),
            ({"x_model": "nobody"}, (1, 2), StatusCode.NOT_FOUND),
            ({"x_model": "pair"}, (1, 2), StatusCode.INVALID_ARGUMENT),
            ({"x_model": "scores"}, (1, 2, 3), StatusCode.INVALID_ARGUMENT),
        ],
        ids=["none-named", "unknown", "two-outputs", "another-length"],
    )
    def test_what_cannot_be_answered(self, call, metadata, values, code):
        assert _refusal(self.features, call, *values, **metadata).code() is code


class TestModelService:
    def predict(self, call, *numbers, shape):
        request = predictor_pb2.PredictRequest(input=numbers, shape=shape)
        return call(
            "roundhouse.ModelService/Predict", request, predictor_pb2.PredictResponse, x_model="scores"
        )

    def test_predict_keeps_the_shape(self, call):
        answer = self.predict(call, 1, 2, 3, 4, shape=[2, 2])

        assert (list(answer.output), list(answer.shape)) == ([1, 2, 3, 3, 4, 7], [2, 3])

    def test_shape_and_numbers_must_agree(self, call):
        refused = _refusal(self.predict, call, 1, 2, 3, shape=[2, 2])

        assert refused.code() is StatusCode.INVALID_ARGUMENT

    def batch(self, call, *shapes, version="1"):
        requests = [predictor_pb2.PredictRequest(input=range(rows * 2), shape=[rows, 2]) for rows in shapes]
        request = predictor_pb2.BatchPredictRequest(requests=requests)
        metadata = {"x_model": "scores", "x_model_version": version}
        method = "roundhouse.ModelService/BatchPredict"
        answer = call(method, request, predictor_pb2.BatchPredictResponse, **metadata)
        return [list(response.shape) for response in answer.responses], answer.responses

    def batch_refused(self, call):
        assert _refusal(self.batch, call, 1, 3).code() is StatusCode.UNAVAILABLE

    def test_a_batch_is_one_run_and_each_request_gets_its_own_rows(self, call, serving):
        shapes, responses = self.batch(call, 1, 3, 2)

        assert shapes == [[1, 3], [3, 3], [2, 3]]
        assert list(responses[2].output) == [0, 1, 1, 2, 3, 5]
        assert len(serving.calls) == 1

    @pytest.mark.parametrize(
        ("merged_rows", "runs"), [(1, [1, 3, 2, 2, 9]), (4, [4, 4, 9])], ids=["none", "four"]
    )
    def test_a_batch_is_cut_where_more_rows_would_share_a_run_than_were_proven(
        self, call, serving, monkeypatch, merged_rows, runs
    ):
        described = serving.describe
        monkeypatch.setattr(
            services, "describe", lambda *asked: replace(described(*asked), merged_rows=merged_rows)
        )

        shapes, responses = self.batch(call, 1, 3, 2, 2, 9)

        assert shapes == [[1, 3], [3, 3], [2, 3], [2, 3], [9, 3]]
        assert list(responses[2].output) == [0, 1, 1, 2, 3, 5]
        assert [len(made.inputs["x"]) for made in serving.calls] == runs

    def test_a_batch_that_another_version_answered_is_run_again_apart(self, call, serving):
        """A split may give the call to a version whose rows must not share a run."""
        shapes, _ = self.batch(call, 1, 3, 2, version="")

        assert shapes == [[1, 3], [3, 3], [2, 3]]
        assert [len(made.inputs["x"]) for made in serving.calls] == [6, 1, 3, 2]

    def test_an_empty_batch_is_answered_empty(self, call, serving):
        assert self.batch(call)[0] == []
        assert serving.calls == []


def test_health(call, serving, served):
    def status(service):
        stub = health_pb2_grpc.HealthStub(call.channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status

    served._health.update()
    serves = health_pb2.HealthCheckResponse.SERVING
    names = ("", OIP, "roundhouse.Predictor", "Predictor", "model.ModelService")
    assert {name: status(name) for name in names} == dict.fromkeys(names, serves)
    serving.is_ready = False
    served._health.update()
    assert status(OIP) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert _refusal(status, "nobody").code() is StatusCode.NOT_FOUND


def test_reflection_names_services_and_their_messages(call):
    database = ProtoReflectionDescriptorDatabase(call.channel)

    assert set(database.get_services()) == {
        OIP, "roundhouse.Predictor", "roundhouse.ModelService", "Predictor", "model.ModelService",
        "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip
    file = database.FindFileContainingSymbol("inference.ModelInferRequest")
    assert file.package == "inference"
    assert database.FindFileContainingSymbol("grpc.health.v1.Health").package == "grpc.health.v1"


def test_a_taken_port_is_named(served):
    with pytest.raises(PortTaken, match=str(served.port)):
        GrpcServer(ListenAddress("127.0.0.1", served.port), served._loop)


def test_two_servers_share_a_port_where_both_say_so(served, serving):
    first = GrpcServer(ListenAddress("127.0.0.1", 0, is_shared=True), served._loop).start()
    second = GrpcServer(ListenAddress("127.0.0.1", first.port, is_shared=True), served._loop).start()

    assert second.port == first.port
    first.stop()
    second.stop()


class Held:
    """A fake `predict` that answers nobody before it is let go, and knows who was withdrawn."""

    def __init__(self, serving):
        self._predict, self._gate = serving.predict, Future()
        self.asked, self.withdrawn = threading.Semaphore(0), threading.Event()

    async def __call__(self, made):
        made.request.cancellation.bind(self.withdrawn.set)
        self.asked.release()
        await asyncio.shield(asyncio.wrap_future(self._gate))
        return await self._predict(made)

    def let_go(self):
        if not self._gate.done():
            self._gate.set_result(None)


@pytest.fixture
def held(serving, monkeypatch):
    held = Held(serving)
    monkeypatch.setattr(services, "predict", held)
    yield held
    held.let_go()


def _begin(channel, timeout=20):
    """A call that is under way."""
    infer = channel.unary_unary(f"/{OIP}/ModelInfer", response_deserializer=pb.ModelInferResponse.FromString)
    metadata = (("authorization", f"Bearer {_known_key()}"),)
    return infer.future(_infer().SerializeToString(), metadata=metadata, timeout=timeout)


@pytest.mark.parametrize("ends", ["hangs-up", "deadline"])
def test_caller_that_does_not_wait_any_longer_is_withdrawn(call, held, ends):
    begun = _begin(call.channel, timeout=0.5 if ends == "deadline" else 20)
    assert held.asked.acquire(timeout=10)
    if ends == "hangs-up":
        begun.cancel()

    assert held.withdrawn.wait(10)


def test_calls_beyond_the_most_are_refused_before_they_are_received(call, held):
    begun = [_begin(call.channel) for _ in range(4)]
    assert all(held.asked.acquire(timeout=10) for _ in begun)

    refused = _refusal(_begin(call.channel).result)
    held.let_go()

    assert refused.code() is StatusCode.RESOURCE_EXHAUSTED
    assert [one.result().model_name for one in begun] == ["scores"] * 4
    assert call("ModelInfer", _infer(), pb.ModelInferResponse).model_name == "scores"


def test_a_stop_waits_for_calls_under_way_and_takes_no_others(served, held):
    server = GrpcServer(ListenAddress("127.0.0.1", 0), served._loop).start()
    stopping = threading.Thread(target=server.stop)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        begun = _begin(channel)
        assert held.asked.acquire(timeout=10)
        stopping.start()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as late:
            refused = _refusal_once_stopping(late)
        held.let_go()

        assert begun.result().model_name == "scores"
    stopping.join(10)
    assert not stopping.is_alive()
    # A call that came just before the stop, and that no handler has taken yet, is cancelled by gRPC's core.
    assert refused in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}


def _refusal_once_stopping(channel):
    """How new calls end when the server has begun to stop, which nothing tells from outside.

    One that came just before, and that no handler has taken, would wait until the calls under way are cancelled, too.
    """
    live = channel.unary_unary(f"/{OIP}/ServerLive", response_deserializer=pb.ServerLiveResponse.FromString)
    while True:
        try:
            live(b"", timeout=0.5)
        except grpc.RpcError as error:
            if error.code() is not StatusCode.DEADLINE_EXCEEDED:
                return error.code()


def _sending(call, key, messages):
    """A call whose messages are sent when the test wants it."""
    infer = call.channel.stream_unary(f"/{OIP}/ModelInfer")
    return infer.future(messages, metadata=(("authorization", f"Bearer {key}"),), timeout=10)


def test_a_strangers_message_is_not_waited_for(call):
    may_send = threading.Event()

    def message():
        if may_send.wait(30):
            yield _infer().SerializeToString()

    strange, known = _sending(call, "nonsense", message()), _sending(call, _known_key(), message())
    try:
        assert strange.exception().code() is StatusCode.UNAUTHENTICATED
        assert not known.done()
    finally:
        may_send.set()
    assert pb.ModelInferResponse.FromString(known.result()).model_name == "scores"


@pytest.mark.parametrize("messages", [[], [b"\xff\xff"]], ids=["none", "unreadable"])
def test_a_call_without_a_message_that_can_be_read(call, messages):
    refused = _refusal(_sending(call, _known_key(), iter(messages)).result)

    assert refused.code() is StatusCode.INVALID_ARGUMENT
    assert dict(refused.trailing_metadata())["x-error-code"] == "bad_request"


def test_what_a_refusal_says_need_not_be_ascii(call):
    refused = _refusal(call, "ModelInfer", _infer("größe\n"), pb.ModelInferResponse)

    assert repr("größe\n") in refused.details()


def test_a_strangers_stream_ends_before_its_first_message(call):
    never = threading.Event()

    def messages():
        never.wait(30)
        yield _infer()

    stream = _stream(call)(messages(), metadata=(("authorization", "Bearer nonsense"),), timeout=10)
    try:
        assert _refusal(next, stream).code() is StatusCode.UNAUTHENTICATED
    finally:
        never.set()


@pytest.fixture
def threads_of(serving, monkeypatch):
    """Where each thing was done: names of threads."""
    seen = {}

    def noting(what, work):
        def note(*arguments, **more):
            seen[what] = threading.current_thread().name.partition("_")[0]
            return work(*arguments, **more)

        return note

    for name in ("predict", "describe"):
        monkeypatch.setattr(services, name, noting(name, getattr(services, name)))
    monkeypatch.setattr(keys, "admit", noting("admit", keys.admit))
    return seen


def test_the_loop_answers_what_is_short_and_leaves_the_rest_to_threads(call, threads_of, monkeypatch):
    long = np.ones((100_000, 2), np.float32)
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=long.shape)

    call("ModelInfer", _infer(), pb.ModelInferResponse)
    short = threads_of.pop("predict")
    call("ModelMetadata", pb.ModelMetadataRequest(name="scores"), pb.ModelMetadataResponse)
    call("ModelInfer", _request(tensor, raw=[long.tobytes()]), pb.ModelInferResponse)
    monkeypatch.setattr(entry, "_are_known", lambda targets: False)
    in_memory = threads_of.pop("predict")
    call("ModelInfer", _infer(), pb.ModelInferResponse)

    assert (short, in_memory, threads_of) == ("engine-loop", "work", {"describe": "work", "predict": "work"})


def test_a_key_that_nobody_remembers_is_looked_up_in_a_thread(call, threads_of):
    unknown = a_key()[1]

    _refusal(call, "ModelInfer", _infer(), pb.ModelInferResponse, key=unknown)

    assert threads_of == {"admit": "keys"}


def test_old_routes_are_told(call, monkeypatch):
    call("ModelInfer", _infer(), pb.ModelInferResponse)
    fresh = call.trailing
    monkeypatch.setattr(runtime, "stale_s", lambda: 42)

    call("ModelInfer", _infer(), pb.ModelInferResponse)

    assert "x-roundhouse-stale" not in fresh
    assert call.trailing["x-roundhouse-stale"] == "42"
