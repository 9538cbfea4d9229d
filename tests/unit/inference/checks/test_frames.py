"""What goes between a trial and its child, and what a child may write instead."""

import io
import json
import struct

import numpy as np
import pytest

from inference.checks.frames import MAX_BYTES, read_frame, write_frame


def reading(data):
    stream = io.BytesIO(data)

    def receive(count):
        if len(got := stream.read(count)) < count:
            raise ValueError("cut off")
        return got

    return read_frame(receive)


def frame(head, data=b""):
    text = json.dumps(head).encode()
    return struct.pack("!QQ", len(text), len(data)) + text + data


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([[True], [False]]),
        np.array([1.5, np.nan, -np.inf], np.float16),
        np.empty((0, 4), np.int64),
        np.array(7, np.uint8),
        np.array([["ünï", "a\0"], ["", "x" * 9]], dtype=object),
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
    ],
    ids=["floats", "bools", "not finite", "empty", "scalar", "texts", "not contiguous"],
)
def test_tensors_come_as_they_went(tensor):
    message, tensors = reading(write_frame({"do": "run"}, {"x": tensor}))

    assert message == {"do": "run"}
    assert (tensors["x"].dtype, tensors["x"].shape) == (tensor.dtype, tensor.shape)
    np.testing.assert_array_equal(tensors["x"], tensor)


def test_several_tensors_keep_their_names():
    _, tensors = reading(write_frame({}, {"a": np.zeros(3), "b": np.ones(2, np.int8)}))

    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"a": [0, 0, 0], "b": [1, 1]}


ONE = {"name": "x", "datatype": "FP32", "shape": [1], "bytes": 4}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!QQ", MAX_BYTES, 1),
        struct.pack("!QQ", 2**63, 2**63),
        struct.pack("!QQ", 4, 0) + b"nope",
        frame([]),
        frame({"message": 3, "tensors": []}),
        frame({"message": {}}),
        frame({"message": {}, "tensors": [{}]}),
        frame({"message": {}, "tensors": [{**ONE, "datatype": "PICKLE"}]}, b"\0\0\0\0"),
        frame({"message": {}, "tensors": [{**ONE, "shape": [2]}]}, b"\0\0\0\0"),
        frame({"message": {}, "tensors": [{**ONE, "shape": [-1]}]}, b"\0\0\0\0"),
        frame({"message": {}, "tensors": [{**ONE, "shape": [2**62, 2**62]}]}, b"\0\0\0\0"),
        frame({"message": {}, "tensors": [{**ONE, "bytes": 3}]}, b"\0\0\0"),
        frame({"message": {}, "tensors": [{**ONE, "datatype": "BYTES"}]}, b"[1]x"),
        b'{"message": {}}' * 4,
    ],
    ids=["huge", "beyond numbers", "not JSON", "a list", "no object", "no tensors", "empty tensor", "datatype",
         "too few bytes", "negative", "overflow", "torn", "texts", "no sizes"],
)  # fmt: skip
def test_what_is_no_frame_is_a_value_error_and_nothing_worse(data):
    with pytest.raises(ValueError):
        reading(data)
