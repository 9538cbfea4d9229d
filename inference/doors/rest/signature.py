"""A version's inputs and outputs, with example requests that it can answer."""

import shlex
from typing import Any

import numpy as np
import orjson
from django.conf import settings

from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.plain import PlainClassification
from inference.serving.calls import Description
from inference.tensors.arrays import Array
from inference.tensors.samples import EMPTY_SAMPLE, Sample, sample_inputs
from inference.tensors.signature import Signature, TensorSpec

_MAX_JSON_VALUES = 4096  # nobody would read longer examples


def signature_of(description: Description, sample: Sample = EMPTY_SAMPLE) -> dict[str, Any]:
    pipeline, signature = description.pipeline, description.signature
    if isinstance(pipeline, ItemPipeline):
        examples = examples_of_items(type(pipeline), pipeline.example)
    else:
        examples = examples_of_tensors(pipeline.signature, sample)
    return {
        "model": description.model,
        "version": description.version,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
        "task": pipeline.task,
        "labels": list(pipeline.labels) or None,
        "scores": pipeline.scores if isinstance(pipeline, PlainClassification) else None,
        "preprocessing": pipeline.digest or None,
        "examples": examples,
        "curl": _curl(description.model, next(iter(examples.values()))) if "inputs" in examples else None,
    }


def examples_of_tensors(signature: Signature, sample: Sample = EMPTY_SAMPLE) -> dict[str, Any]:
    """A request in each form that fits, with the sample's sizes; JSON only if it is not too long."""
    tensors = {name: _filled(tensor) for name, tensor in sample_inputs(signature, sample).items()}
    examples: dict[str, Any] = {}
    if sum(tensor.size for tensor in tensors.values()) <= _MAX_JSON_VALUES:
        named = {name: tensor.tolist() for name, tensor in tensors.items()}
        examples["inputs"] = {"inputs": named}
        if signature.has_row_axis:
            examples["instances"] = {"instances": [_first_rows(named)]}
            row = _first_rows(named)
            if isinstance(row, list) and len(signature.outputs) == 1:
                examples["features"] = {"features": row}
                if signature.outputs[0].datatype != "BYTES":
                    examples["data"] = {"data": row}
    examples["binary"] = {"inputs": [_binary(signature, name, tensor) for name, tensor in tensors.items()]}
    return examples


def examples_of_items(kind: type[ItemPipeline[Any]], body: dict[str, Any]) -> dict[str, Any]:
    """One item, several, and items as tensors and rows."""
    row = kind.row_of(body)
    return {
        kind.one: body,
        kind.several: kind.joined_body([body, body]),
        "inputs": {"inputs": {name: [value] for name, value in row.items()}},
        "instances": {"instances": [row if len(row) > 1 else next(iter(row.values()))]},
    }


def _first_rows(named: dict[str, Any]) -> Any:
    if len(named) == 1:
        (rows,) = named.values()
        return rows[0]
    return {name: rows[0] for name, rows in named.items()}


def _filled(tensor: Array) -> Array:
    """Zeros suit indices, ids and masks; 0.5 shows that an input takes decimals."""
    return np.full_like(tensor, 0.5) if tensor.dtype.kind == "f" and not tensor.any() else tensor


def _binary(signature: Signature, name: str, tensor: Array) -> dict[str, Any]:
    datatype = next(spec.datatype for spec in signature.inputs if spec.name == name)
    size = sum(4 + len(text.encode()) for text in tensor.ravel()) if datatype == "BYTES" else tensor.nbytes
    return {
        "name": name,
        "datatype": datatype,
        "shape": list(tensor.shape),
        "parameters": {"binary_data_size": size},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    shape = [None] if spec.any_rank else list(spec.shape)
    return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "optional": spec.optional}


def _curl(model: str, example: Any) -> str:
    url = f"{settings.PUBLIC_URL}/api/v1/models/{model}/predict"
    return (
        f"curl {url} -H 'Authorization: Bearer '$ROUNDHOUSE_KEY -H 'Content-Type: application/json' "
        f"-d {shlex.quote(orjson.dumps(example).decode())}"
    )
