"""Between the protocol's messages and requests and answers as serving knows them."""

from collections.abc import Iterable, Mapping
from typing import Any

from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.memory import Holding
from inference.doors.oip.codec import (
    answered,
    asked_output,
    check_name,
    hold_texts,
    refuse_shared_memory,
    told,
)
from inference.doors.oip.errors import BadRequest, BadTensor
from inference.doors.oip.messages import Array, AskedOutput, InferRequest, Limits, Parameters
from inference.doors.oip.tensors import check_datatype, check_shape, read_binary, read_values, write_binary
from inference.serving.calls import Prediction

# Which list of InferTensorContents holds a datatype's values; FP16 has none.
_FIELD = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def read_infer(message: pb.ModelInferRequest, limits: Limits, holding: Holding) -> InferRequest:
    if len(message.inputs) > limits.tensors or len(message.outputs) > limits.tensors:
        raise BadRequest(f"The request has more than {limits.tensors} tensors.")
    return InferRequest(
        inputs=_inputs(message, limits, holding),
        outputs=_outputs(message.outputs),
        id=message.id or None,
        parameters=read_parameters(message.parameters),
    )


def write_infer(request: InferRequest, prediction: Prediction) -> pb.ModelInferResponse:
    """Write the answer, every tensor raw: stock clients cannot read their own typed contents."""
    response = pb.ModelInferResponse(
        model_name=prediction.model, model_version=str(prediction.version), id=request.id or ""
    )
    for name, value in told(prediction).items():
        parameter = response.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            parameter.int64_param = value
        else:
            parameter.string_param = value
    for asked, tensor, datatype in answered(request, prediction):
        response.outputs.add(name=asked.name, datatype=datatype, shape=tensor.shape)
        data, _ = write_binary(tensor, datatype)
        response.raw_output_contents.append(data if isinstance(data, bytes) else data.tobytes())
    return response


def read_parameters(given: Mapping[str, Any]) -> Parameters:
    parameters = {}
    for name, value in given.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is not None:
            parameters[name] = getattr(value, choice)
    return parameters


def _inputs(message: pb.ModelInferRequest, limits: Limits, holding: Holding) -> dict[str, Array]:
    raw = list(message.raw_input_contents)
    if raw and len(raw) != len(message.inputs):
        raise BadRequest(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; send one for each."
        )
    inputs: dict[str, Array] = {}
    for index, item in enumerate(message.inputs):
        name = check_name(item.name, inputs, "inputs")
        refuse_shared_memory(name, item.parameters)
        datatype, shape = check_datatype(name, item.datatype), check_shape(name, list(item.shape))
        if not raw:
            inputs[name] = read_values(name, datatype, shape, _values(name, datatype, item.contents), limits)
        elif item.HasField("contents"):
            raise BadTensor(
                f"Input {name[:80]!r} has contents beside raw_input_contents; send one of them.", field=name
            )
        else:
            hold_texts(holding, datatype, shape, limits)
            inputs[name] = read_binary(name, datatype, shape, raw[index], limits)
    return inputs


def _values(name: str, datatype: str, contents: pb.InferTensorContents) -> list[Any]:
    wanted = _FIELD.get(datatype)
    if wanted is None:
        raise BadTensor(
            f"Input {name[:80]!r} is {datatype}, which only raw_input_contents can hold.", field=name
        )
    others = [field.name for field, _ in contents.ListFields() if field.name != wanted]
    if others:
        raise BadTensor(f"Input {name[:80]!r} is {datatype} and has {others[0]}; send {wanted}.", field=name)
    return list(getattr(contents, wanted))


def _outputs(
    given: Iterable[pb.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[AskedOutput, ...] | None:
    outputs: dict[str, AskedOutput] = {}
    for item in given:
        name = check_name(item.name, outputs, "outputs")
        outputs[name] = asked_output(name, read_parameters(item.parameters))
    return tuple(outputs.values()) or None
