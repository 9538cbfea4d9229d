"""What a version says about itself, and that its own examples are answered."""

import numpy as np
import orjson
import pytest

from inference.doors.oip.codec import parse_infer
from inference.doors.oip.messages import RequestLimits
from inference.doors.rest.forms import form_of
from inference.doors.rest.signature import examples_of_tensors, signature_of
from inference.serving.calls import Description
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature, TensorSpec
from tests.support.pipelines import plain
from tests.support.wire import a_holding

Y = (TensorSpec("y", "FP32", (None, 2)),)
SIGNATURES = {
    "floats": Signature((TensorSpec("x", "FP32", (None, 3)),), Y),
    "halves": Signature((TensorSpec("x", "FP16", (None, 2, 2)),), Y),
    "texts": Signature((TensorSpec("x", "BYTES", (None,)),), Y),
    "two": Signature((TensorSpec("a", "INT64", (None, 2)), TensorSpec("b", "BOOL", (None,))), Y),
    "optional": Signature(
        (TensorSpec("a", "FP32", (None, 2)), TensorSpec("w", "FP32", (), optional=True)), Y
    ),
    "one-row": Signature((TensorSpec("x", "FP32", (1, 3)),), Y),
    "no-rows": Signature((TensorSpec("x", "UINT8", (3,)),), Y),
    "any-rank": Signature((TensorSpec("x", "FP32", (), any_rank=True),), Y),
    "scalar": Signature((TensorSpec("x", "FP64", ()),), Y),
    "texts-out": Signature((TensorSpec("x", "FP32", (None, 2)),), (TensorSpec("y", "BYTES", (None,)),)),
}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_every_example_fits(signature):
    examples = examples_of_tensors(signature)

    for name in examples.keys() - {"binary"}:
        assert prepare(signature, form_of(examples[name]).inputs(signature))
    assert "inputs" in examples


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_binary_example_names_the_right_sizes(signature):
    tensors = examples_of_tensors(signature)["binary"]["inputs"]

    for tensor in tensors:
        size = tensor["parameters"]["binary_data_size"]
        one = {"inputs": [tensor]}
        data = b"\4\0\0\0text" * (size // 8) if tensor["datatype"] == "BYTES" else bytes(size)
        read = parse_infer(orjson.dumps(one), data, RequestLimits(), a_holding())
        assert read.inputs[tensor["name"]].shape == tuple(tensor["shape"])


def test_large_examples_are_not_written_out():
    image = Signature((TensorSpec("x", "FP32", (None, 3, 224, 224)),), Y)

    examples = examples_of_tensors(image)

    assert list(examples) == ["binary"]
    assert examples["binary"]["inputs"][0]["parameters"]["binary_data_size"] == 3 * 224 * 224 * 4


def test_description_names_shapes_and_labels():
    description = Description(
        model="m", versions=(1,), version=1, sha256="0" * 64, is_ready=True, platform="onnx_onnxv1", merged_rows=8,
        pipeline=plain(SIGNATURES["floats"], labels=("a", "b"), scores="logits"),
    )  # fmt: skip

    said = signature_of(description)

    assert said["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [None, 3], "optional": False}]
    assert (said["labels"], said["scores"]) == (["a", "b"], "logits")
    assert said["examples"]["features"] == {"features": [0.5, 0.5, 0.5]}
    assert "/api/v1/models/m/predict" in said["curl"]
    assert np.array(said["examples"]["inputs"]["inputs"]["x"]).shape == (1, 3)
