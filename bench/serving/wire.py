"""The wire: the request of each protocol, and the numbers in its answer."""

import http.client
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import grpc
import numpy as np
import orjson

from inference.doors.grpc.generated import open_inference_pb2 as pb

Headers = Mapping[str, str]


class WrongAnswer(Exception):
    """A server's answer differs from the model's."""


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Reply = tuple[int, Headers, bytes]


def post(url: str, request: Request) -> Reply:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("POST", request.path, request.body, request.headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def call(url: str, request: Request) -> Reply:
    """The same over gRPC, whose frames are part of the bodies. WrongAnswer contains the status of a failed call."""
    metadata = [(name, value) for name, value in request.headers.items() if name not in _GRPC_HEADERS]
    with grpc.insecure_channel(urlsplit(url).netloc) as channel:
        try:
            ask = channel.unary_unary(request.path)
            answer = ask(request.body[_FRAME.size :], metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            raise WrongAnswer(f"{error.code().name}: {error.details()}") from None
    return 200, {}, _framed(answer)


@dataclass(frozen=True)
class Protocol:
    """How to send a row to a Model, and where its output is in the answer."""

    request: Callable[[str, np.ndarray], Request]
    output: Callable[[Headers, bytes], np.ndarray]
    ask: Callable[[str, Request], Reply] = post


def _named_tensors(path: str) -> Callable[[str, np.ndarray], Request]:
    def request(model: str, row: np.ndarray) -> Request:
        body = orjson.dumps({"inputs": {"x": _nested(row)}})
        return Request(path.format(model=model), body, {"Content-Type": "application/json"})

    return request


def _named_output(_: Headers, body: bytes) -> np.ndarray:
    return np.array(orjson.loads(body)["outputs"]["y"])


def _oip_json_request(model: str, row: np.ndarray) -> Request:
    tensor = {"name": "x", "shape": row.shape, "datatype": "FP32", "data": _nested(row.ravel())}
    body = orjson.dumps({"inputs": [tensor]})
    return Request(f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})


def _oip_json_output(_: Headers, body: bytes) -> np.ndarray:
    (tensor,) = orjson.loads(body)["outputs"]
    return np.array(tensor["data"]).reshape(tensor["shape"])


def _oip_binary_request(model: str, row: np.ndarray) -> Request:
    data = row.astype("<f4").tobytes()
    tensor = {
        "name": "x",
        "shape": row.shape,
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(data)},
    }
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return Request(f"/v2/models/{model}/infer", head + data, headers)


def _oip_binary_output(headers: Headers, body: bytes) -> np.ndarray:
    length = int(headers["Inference-Header-Content-Length"])
    (tensor,) = orjson.loads(body[:length])["outputs"]
    if tensor["parameters"]["binary_data_size"] != len(body) - length:
        raise WrongAnswer("The lengths in the answer do not add up.")
    return np.frombuffer(body[length:], "<f4").reshape(tensor["shape"])


_FRAME = struct.Struct("!?I")  # compressed or not, and the message's length
_GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}


def _framed(message: bytes) -> bytes:
    return _FRAME.pack(False, len(message)) + message


def _grpc_request(model: str, row: np.ndarray) -> Request:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=row.shape)
    message = pb.ModelInferRequest(
        model_name=model, inputs=[tensor], raw_input_contents=[row.astype("<f4").tobytes()]
    )
    return Request(
        "/inference.GRPCInferenceService/ModelInfer", _framed(message.SerializeToString()), _GRPC_HEADERS
    )


def _grpc_output(_: Headers, body: bytes) -> np.ndarray:
    answer = pb.ModelInferResponse.FromString(body[_FRAME.size :])
    return np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(answer.outputs[0].shape)


NATIVE = Protocol(_named_tensors("/api/v1/models/{model}/predict"), _named_output)
# The loop leaves requests with a query to Django, and Django's view ignores unknown parameters.
THROUGH_VIEW = Protocol(_named_tensors("/api/v1/models/{model}/predict?through=view"), _named_output)
PLAIN = Protocol(_named_tensors("/predict"), _named_output)
OIP_JSON = Protocol(_oip_json_request, _oip_json_output)
OIP_BINARY = Protocol(_oip_binary_request, _oip_binary_output)
GRPC = Protocol(_grpc_request, _grpc_output, call)


def _nested(array: np.ndarray) -> list:
    # Through decimals, because a float32 widened to a float64 prints twice as many digits.
    return array.astype(np.float64).round(3).tolist()


def check(expected: np.ndarray, answered: np.ndarray) -> None:
    """Raise WrongAnswer unless the numbers are the same within 1e-5."""
    if answered.shape != expected.shape:
        raise WrongAnswer(f"The answer has shape {answered.shape}, not {expected.shape}.")
    # Not only allclose: it rightly treats NaN as unequal, but does not say how far off the rest is.
    if not np.allclose(answered, expected, rtol=1e-5, atol=1e-5):
        raise WrongAnswer(f"The answer is off by {np.abs(answered - expected).max():.2g}.")
