"""Inference requests and answers as HTTP bodies: pure functions, with the protocol's classification extension."""

import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import orjson

from inference.doors.errors import BadParameter, BadRequest, BadTensor
from inference.doors.memory import TEXT_BYTES, MemoryHolding, json_bytes
from inference.doors.oip.bodies import deflate, parts_of
from inference.doors.oip.messages import Array, InferRequest, Parameters, RequestedOutput, RequestLimits
from inference.doors.oip.tensors import (
    Buffer,
    check_datatype,
    check_shape,
    read_binary,
    read_values,
    write_binary,
    write_values,
)
from inference.doors.wire import Environ, Headers, HttpReply
from inference.errors import BadBody, InvalidOutput
from inference.serving.calls import Prediction
from inference.tensors.arrays import byte_size, is_finite

_NAME_LENGTH = 1024
_CLASSIFIED = 64  # bytes for each score, written as text at worst
_SCALARS = (bool, int, float, str)
FIELDS = ("inputs", "outputs", "parameters", "id")


def read_infer(environ: Environ, body: bytes, limits: RequestLimits, holding: MemoryHolding) -> InferRequest:
    """Read an inference request from its headers and body. Unpacked bodies and texts are added to `holding`."""
    return parse_infer(*parts_of(environ, body, limits, holding), limits, holding)


def parse_infer(text: bytes, binary: Buffer, limits: RequestLimits, holding: MemoryHolding) -> InferRequest:
    """Read the JSON part, and the binary tensors in its order."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body is not a JSON object; send one with `inputs`.")
    request_id = body.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest("Field 'id' is not text.")
    return InferRequest(
        inputs=_inputs(body.get("inputs"), binary, limits, holding),
        outputs=_outputs(body.get("outputs"), limits),
        id=request_id,
        parameters=_parameters(body, "the request"),
        unread=tuple(name for name in body if name not in FIELDS),
    )


def write_infer(request: InferRequest, prediction: Prediction, *, accepted: str = "") -> HttpReply:
    """Write the answer: the JSON part, then the binary tensors; `accepted` is the caller's Accept-Encoding."""
    by_default = binary_by_default(request.parameters)
    tensors: list[dict[str, Any]] = []
    binary: list[Any] = []
    for output, tensor, datatype in requested_outputs(request, prediction):
        written: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": list(tensor.shape)}
        if by_default if output.is_binary is None else output.is_binary:
            data, size = write_binary(tensor, datatype)
            written["parameters"] = {"binary_data_size": size}
            binary.append(data)
        else:
            if prediction.non_finite and not is_finite(prediction.outputs[output.name]):
                raise InvalidOutput(
                    f"Output {output.name!r} holds NaN or infinity, which JSON cannot represent; request binary data."
                )
            written["data"] = write_values(tensor, datatype)
        tensors.append(written)
    body: dict[str, Any] = {
        "model_name": prediction.model,
        "model_version": str(prediction.version),
        "parameters": response_parameters(prediction),
        "outputs": tensors,
    }
    if request.id is not None:
        body["id"] = request.id
    text = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    headers: Headers = [
        ("Content-Type", "application/octet-stream" if binary else "application/json"),
        ("X-Request-ID", prediction.request_id),
    ]
    if binary:
        headers.append(("Inference-Header-Content-Length", str(len(text))))
    packed, encoding = deflate([text, *binary], accepted)
    if encoding:
        headers += [("Content-Encoding", encoding), ("Vary", "Accept-Encoding")]
    return HttpReply(headers, packed)


def written_bytes(request: InferRequest, prediction: Prediction) -> int:
    """An upper bound on the written answer's memory, without the tensors."""
    by_default = binary_by_default(request.parameters)
    requested = {output.name: output for output in request.outputs or ()}
    needed = 0
    for name, tensor in prediction.outputs.items():
        output = requested.get(name) or RequestedOutput(name)
        is_binary = by_default if output.is_binary is None else output.is_binary
        if output.classes:
            needed += _CLASSIFIED * tensor.size
        elif is_binary:  # texts are joined twice
            needed += 2 * byte_size({name: tensor}) if tensor.dtype.kind == "O" else tensor.nbytes
        else:
            needed += json_bytes([tensor])
    return needed


def requested_outputs(
    request: InferRequest, prediction: Prediction
) -> list[tuple[RequestedOutput, Array, str]]:
    """The requested outputs in their order, with the datatype of each on the wire."""
    datatypes = {spec.name: spec.datatype for spec in prediction.signature.outputs}
    outputs = request.outputs
    if outputs is None:
        outputs = tuple(RequestedOutput(name) for name in datatypes if name in prediction.outputs)
    result = []
    for output in outputs:
        tensor, datatype = prediction.outputs[output.name], datatypes[output.name]
        if output.classes:
            by_row, labels = prediction.signature.has_row_axis, prediction.pipeline.labels
            tensor, datatype = (
                classify(output.name, tensor, output.classes, by_row=by_row, labels=labels),
                "BYTES",
            )
        result.append((output, tensor, datatype))
    return result


def response_parameters(prediction: Prediction) -> dict[str, str | int]:
    """Which arm answered, and whether any value is not finite."""
    parameters: dict[str, str | int] = {
        "request_id": prediction.request_id, "arm": prediction.arm, "split": prediction.split
    }  # fmt: skip
    if prediction.pipeline.digest:
        parameters["preprocessing"] = prediction.pipeline.digest
    return {**parameters, "non_finite": True} if prediction.non_finite else parameters


def binary_by_default(parameters: Parameters) -> bool:
    value = parameters.get("binary_data_output", False)
    if not isinstance(value, bool):
        raise BadParameter("Parameter 'binary_data_output' is neither true nor false.")
    return value


def requested_output(name: str, parameters: Parameters) -> RequestedOutput:
    is_binary = parameters.get("binary_data")
    if is_binary is not None and not isinstance(is_binary, bool):
        raise BadParameter(f"Parameter 'binary_data' of output {name[:80]!r} is neither true nor false.")
    classes = parameters.get("classification", 0)
    if type(classes) is not int or not 0 <= classes < 2**31:
        raise BadParameter(f"Parameter 'classification' of output {name[:80]!r} is not a number of classes.")
    refuse_shared_memory(name, parameters)
    return RequestedOutput(name, is_binary, classes)


def check_name(name: object, seen: Container[str], what: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH:
        raise BadRequest(f"An entry of '{what}' has no name.")
    if name in seen:
        raise BadRequest(f"Field '{what}' names {name[:80]!r} twice.")
    return name


def _inputs(
    entries: object, binary: Buffer, limits: RequestLimits, holding: MemoryHolding
) -> dict[str, Array]:
    if not isinstance(entries, list):
        raise BadRequest("Field 'inputs' is missing; send a list of tensors.")
    if len(entries) > limits.tensors:
        raise BadRequest(f"Field 'inputs' has {len(entries)} tensors; at most {limits.tensors} are accepted.")
    rest = memoryview(binary)
    inputs: dict[str, Array] = {}
    for item in entries:
        if not isinstance(item, dict):
            raise BadRequest("An entry of 'inputs' is not an object.")
        name = check_name(item.get("name"), inputs, "inputs")
        size = _binary_size(name, item)
        datatype, shape = check_datatype(name, item.get("datatype")), check_shape(name, item.get("shape"))
        if size is None:
            inputs[name] = read_values(name, datatype, shape, item.get("data"), limits)
            continue
        if size > len(rest):
            raise BadTensor(
                f"Input {name[:80]!r} has binary_data_size {size} but {len(rest)} bytes are left in the body; "
                "make them match.",
                field=name[:80],
            )
        hold_texts(holding, datatype, shape, limits)
        inputs[name] = read_binary(name, datatype, shape, rest[:size], limits)
        rest = rest[size:]
    if rest:
        raise BadRequest(
            f"The body has {len(rest)} bytes that do not belong to any input; see binary_data_size."
        )
    return inputs


def _binary_size(name: str, item: dict[str, Any]) -> int | None:
    """How many bytes of the body belong to this tensor; None: its values are in the JSON."""
    parameters = _parameters(item, f"input {name[:80]!r}")
    refuse_shared_memory(name, parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise BadParameter(f"Parameter 'binary_data_size' of input {name[:80]!r} is not a number of bytes.")
    if "data" in item:
        raise BadTensor(
            f"Input {name[:80]!r} has both data and binary_data_size; send one of them.", field=name[:80]
        )
    return size


def _outputs(entries: object, limits: RequestLimits) -> tuple[RequestedOutput, ...] | None:
    if entries is None or entries == []:
        return None
    if not isinstance(entries, list) or len(entries) > limits.tensors:
        raise BadRequest(f"Field 'outputs' is not a list of at most {limits.tensors} outputs.")
    outputs: dict[str, RequestedOutput] = {}
    for item in entries:
        if not isinstance(item, dict):
            raise BadRequest("An entry of 'outputs' is not an object.")
        name = check_name(item.get("name"), outputs, "outputs")
        outputs[name] = requested_output(name, _parameters(item, f"output {name[:80]!r}"))
    return tuple(outputs.values())


def _parameters(item: dict[str, Any], whose: str) -> Parameters:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"The parameters of {whose} are not an object.")
    for name, value in parameters.items():
        if not isinstance(value, _SCALARS):
            raise BadParameter(f"Parameter {name[:80]!r} of {whose} is not text, a number, true or false.")
    return parameters


def hold_texts(holding: MemoryHolding, datatype: str, shape: tuple[int, ...], limits: RequestLimits) -> None:
    """Add the memory of a binary tensor's texts, if it has any: every four bytes may be a text."""
    if datatype == "BYTES":
        holding.add(TEXT_BYTES * min(math.prod(shape), limits.texts))


def refuse_shared_memory(name: str, parameters: Container[str]) -> None:
    if "shared_memory_region" in parameters:
        raise BadParameter(
            f"Tensor {name[:80]!r} is in shared memory, which is not supported; send it in the body."
        )


def classify(name: str, tensor: Array, classes: int, *, by_row: bool, labels: Sequence[str]) -> Array:
    """The `classes` largest values of each row as `value:index[:label]`, largest first."""
    if tensor.dtype == object:
        raise BadParameter(f"Parameter 'classification': output {name!r} holds text, which cannot be ranked.")
    rows = tensor.shape[0] if by_row and tensor.ndim else 1
    if not tensor.size:
        return np.empty((rows, 0), object) if by_row else np.empty(0, object)
    scores = tensor.reshape(rows, -1)
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :classes]
    texts = np.empty(best.shape, object)
    for row, indices in enumerate(best.tolist()):
        for rank, index in enumerate(indices):
            label = f":{labels[index]}" if labels and index < len(labels) else ""
            texts[row, rank] = f"{_number(scores[row, index])}:{index}{label}"
    return texts if by_row else texts[0]


def _number(value: object) -> str:
    """The shortest text that converts back to the same value in its own type."""
    return str(int(value)) if isinstance(value, np.bool_) else str(value)
