"""Inference requests and answers in HTTP bodies: pure functions, shared by the view and whatever stands before it."""

import math
from collections.abc import Container
from typing import Any

import orjson

from inference.doors.memory import TEXT_BYTES, Holding, json_bytes
from inference.doors.oip.bodies import deflate, parts_of
from inference.doors.oip.classification import classify
from inference.doors.oip.errors import BadParameter, BadRequest, BadTensor
from inference.doors.oip.messages import Array, AskedOutput, InferRequest, Limits, Parameters
from inference.doors.oip.tensors import (
    Buffer,
    check_datatype,
    check_shape,
    read_binary,
    read_values,
    write_binary,
    write_values,
)
from inference.doors.wire import Environ, Headers, Reply
from inference.errors import BadBody, InvalidOutput
from inference.serving.calls import Prediction
from inference.tensors.arrays import byte_size, is_finite

_NAME_LENGTH = 1024
_CLASSIFIED = 64  # bytes for each score that is put into order, at worst as a text
_SCALARS = (bool, int, float, str)
FIELDS = ("inputs", "outputs", "parameters", "id")


def read_infer(environ: Environ, body: bytes, limits: Limits, holding: Holding) -> InferRequest:
    """Read an inference request from its headers and its body. What shows only then is counted in `holding`: packed bodies,
    and texts."""
    return parse_infer(*parts_of(environ, body, limits, holding), limits, holding)


def parse_infer(text: bytes, binary: Buffer, limits: Limits, holding: Holding) -> InferRequest:
    """Read the JSON part and take the binary tensors, in the order of their names, from the rest."""
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


def write_infer(request: InferRequest, prediction: Prediction, *, accepted: str = "") -> Reply:
    """Write the answer: the JSON part, then the binary tensors; `accepted` is the caller's Accept-Encoding."""
    by_default = binary_by_default(request.parameters)
    tensors: list[dict[str, Any]] = []
    binary: list[Any] = []
    for asked, tensor, datatype in answered(request, prediction):
        written: dict[str, Any] = {"name": asked.name, "datatype": datatype, "shape": list(tensor.shape)}
        if by_default if asked.is_binary is None else asked.is_binary:
            data, size = write_binary(tensor, datatype)
            written["parameters"] = {"binary_data_size": size}
            binary.append(data)
        else:
            if prediction.non_finite and not is_finite(prediction.outputs[asked.name]):
                raise InvalidOutput(
                    f"Output {asked.name!r} holds NaN or infinity, which JSON cannot say; ask for binary data to see it."
                )
            written["data"] = write_values(tensor, datatype)
        tensors.append(written)
    body: dict[str, Any] = {
        "model_name": prediction.model,
        "model_version": str(prediction.version),
        "parameters": told(prediction),
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
    return Reply(headers, packed)


def written_bytes(request: InferRequest, prediction: Prediction) -> int:
    """What the answer takes beside the tensors, at most."""
    by_default = binary_by_default(request.parameters)
    asked = {output.name: output for output in request.outputs or ()}
    needed = 0
    for name, tensor in prediction.outputs.items():
        output = asked.get(name) or AskedOutput(name)
        is_binary = by_default if output.is_binary is None else output.is_binary
        if output.classes:
            needed += _CLASSIFIED * tensor.size
        elif is_binary:  # joined; texts are joined before that too
            needed += 2 * byte_size({name: tensor}) if tensor.dtype.kind == "O" else tensor.nbytes
        else:
            needed += json_bytes([tensor])
    return needed


def answered(request: InferRequest, prediction: Prediction) -> list[tuple[AskedOutput, Array, str]]:
    """The outputs that were asked for, in that order, with the datatype each has on the wire."""
    datatypes = {spec.name: spec.datatype for spec in prediction.signature.outputs}
    asked = request.outputs
    if asked is None:
        asked = tuple(AskedOutput(name) for name in datatypes if name in prediction.outputs)
    result = []
    for output in asked:
        tensor, datatype = prediction.outputs[output.name], datatypes[output.name]
        if output.classes:
            by_row, labels = prediction.signature.has_row_axis, prediction.labels
            tensor, datatype = (
                classify(output.name, tensor, output.classes, by_row=by_row, labels=labels),
                "BYTES",
            )
        result.append((output, tensor, datatype))
    return result


def told(prediction: Prediction) -> dict[str, str | int]:
    """What every answer says about who gave it, and where some value is not finite, that."""
    facts: dict[str, str | int] = {
        "request_id": prediction.request_id, "arm": prediction.arm, "split": prediction.split
    }  # fmt: skip
    return {**facts, "non_finite": True} if prediction.non_finite else facts


def binary_by_default(parameters: Parameters) -> bool:
    value = parameters.get("binary_data_output", False)
    if not isinstance(value, bool):
        raise BadParameter("Parameter 'binary_data_output' is neither true nor false.")
    return value


def asked_output(name: str, parameters: Parameters) -> AskedOutput:
    is_binary = parameters.get("binary_data")
    if is_binary is not None and not isinstance(is_binary, bool):
        raise BadParameter(f"Parameter 'binary_data' of output {name[:80]!r} is neither true nor false.")
    classes = parameters.get("classification", 0)
    if type(classes) is not int or not 0 <= classes < 2**31:
        raise BadParameter(f"Parameter 'classification' of output {name[:80]!r} is not a number of classes.")
    refuse_shared_memory(name, parameters)
    return AskedOutput(name, is_binary, classes)


def check_name(name: object, seen: Container[str], what: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH:
        raise BadRequest(f"An entry of '{what}' has no name.")
    if name in seen:
        raise BadRequest(f"Field '{what}' names {name[:80]!r} twice.")
    return name


def _inputs(given: object, binary: Buffer, limits: Limits, holding: Holding) -> dict[str, Array]:
    if not isinstance(given, list):
        raise BadRequest("Field 'inputs' is missing; send a list of tensors.")
    if len(given) > limits.tensors:
        raise BadRequest(f"Field 'inputs' has {len(given)} tensors; at most {limits.tensors} are accepted.")
    rest = memoryview(binary)
    inputs: dict[str, Array] = {}
    for item in given:
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
                f"Input {name[:80]!r} has binary_data_size {size} and {len(rest)} bytes are left in the body; "
                "send as many as it says.",
                field=name[:80],
            )
        hold_texts(holding, datatype, shape, limits)
        inputs[name] = read_binary(name, datatype, shape, rest[:size], limits)
        rest = rest[size:]
    if rest:
        raise BadRequest(f"The body has {len(rest)} bytes that belong to no input; see binary_data_size.")
    return inputs


def _binary_size(name: str, item: dict[str, Any]) -> int | None:
    """How many bytes of the body are this tensor's; None: its values are in the JSON."""
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


def _outputs(given: object, limits: Limits) -> tuple[AskedOutput, ...] | None:
    if given is None or given == []:
        return None
    if not isinstance(given, list) or len(given) > limits.tensors:
        raise BadRequest(f"Field 'outputs' is not a list of at most {limits.tensors} outputs.")
    outputs: dict[str, AskedOutput] = {}
    for item in given:
        if not isinstance(item, dict):
            raise BadRequest("An entry of 'outputs' is not an object.")
        name = check_name(item.get("name"), outputs, "outputs")
        outputs[name] = asked_output(name, _parameters(item, f"output {name[:80]!r}"))
    return tuple(outputs.values())


def _parameters(item: dict[str, Any], whose: str) -> Parameters:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"The parameters of {whose} are not an object.")
    for name, value in parameters.items():
        if not isinstance(value, _SCALARS):
            raise BadParameter(
                f"Parameter {name[:80]!r} of {whose} is neither text, number nor true or false."
            )
    return parameters


def hold_texts(holding: Holding, datatype: str, shape: tuple[int, ...], limits: Limits) -> None:
    """Count what a binary tensor of texts takes, if it is one: four bytes may be a text."""
    if datatype == "BYTES":
        holding.add(TEXT_BYTES * min(math.prod(shape), limits.texts))


def refuse_shared_memory(name: str, parameters: Container[str]) -> None:
    if "shared_memory_region" in parameters:
        raise BadParameter(
            f"Tensor {name[:80]!r} is in shared memory, which is not served here; send it in the body."
        )
