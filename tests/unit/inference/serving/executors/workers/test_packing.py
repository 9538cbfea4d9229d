import struct
from contextlib import suppress

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference.serving.executors.workers.packing import BadPacket, pack, unpack
from inference.tensors.signature import DTYPES

_NUMBERS = [dtype for dtype in DTYPES.values() if dtype.kind != "O"]


@st.composite
def tensors(draw):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    if draw(st.booleans()):
        return draw(hnp.arrays(draw(st.sampled_from(_NUMBERS)), shape))
    texts = draw(hnp.arrays(object, shape, elements=st.text(st.characters(exclude_categories=["Cs"]))))
    return np.asarray(texts, object)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), tensors(), max_size=4))
def test_what_is_packed_is_unpacked(given_tensors):
    facts, found = unpack(pack(given_tensors, {"attempt": 1}))

    assert facts == {"attempt": 1}
    assert list(found) == list(given_tensors)
    for name, tensor in given_tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(found[name], tensor)


@pytest.mark.parametrize("array", [np.array([[b"\xff", b"abc"]], "S4"), np.array([b"\xff\0"], "V2")])
def test_texts_that_are_not_utf8_are_read_as_bytes(array):
    found = unpack(pack({"x": array, "y": np.array(["é"], object)})).tensors

    assert (found["x"].dtype, found["x"].tolist()) == (np.dtype(object), array.tolist())
    assert found["y"].tolist() == ["é"]


def test_reading_numbers_copies_nothing():
    packed = pack({"x": np.arange(1000, dtype=np.float32)})

    found = unpack(packed).tensors["x"]

    assert not found.flags.owndata
    assert not found.flags.writeable
    assert found.flags.aligned


def test_rows_of_a_larger_array_are_packed_as_they_look():
    rows = np.arange(12, dtype=np.int16).reshape(4, 3)

    np.testing.assert_array_equal(unpack(pack({"x": rows[1:3, ::2]})).tensors["x"], rows[1:3, ::2])


def packet(lines, buffer=b"", facts=None):
    header = orjson.dumps(({} if facts is None else facts, lines))
    return struct.pack("<4sI", b"RHT1", len(header)) + header + buffer


HOSTILE = {
    "nothing": b"",
    "other magic": b"XXXX" + bytes(20),
    "header longer than all": struct.pack("<4sI", b"RHT1", 1 << 31) + b"[]",
    "no JSON": struct.pack("<4sI", b"RHT1", 3) + b"{{{",
    "deep JSON": struct.pack("<4sI", b"RHT1", 100_000) + b"[" * 100_000,
    "JSON of another shape": struct.pack("<4sI", b"RHT1", 2) + b"{}",
    "facts are a list": packet([], facts=[1]),
    "line too short": packet([["x", "FP32"]]),
    "unknown datatype": packet([["x", "FP128", [1], 4]], bytes(4)),
    "datatype is a list": packet([["x", [], [1], 4]], bytes(4)),
    "name is a number": packet([[1, "FP32", [1], 4]], bytes(4)),
    "negative size": packet([["x", "FP32", [-1], 4]], bytes(4)),
    "size is true": packet([["x", "FP32", [True], 4]], bytes(4)),
    "shape is a text": packet([["x", "FP32", "abc", 4]], bytes(4)),
    "shape is null": packet([["x", "FP32", None, 4]], bytes(4)),
    "more than there is": packet([["x", "FP32", [1 << 40], 1 << 42]], bytes(4)),
    "size and shape differ": packet([["x", "FP32", [2], 4]], bytes(4)),
    "product overflows": packet([["x", "FP32", [1 << 62] * 30, 4]], bytes(4)),
    "empty but huge": packet([["x", "FP32", [0, 1 << 63], 0]]),
    "too many axes": packet([["x", "FP32", [1] * 33, 4]], bytes(4)),
    "name twice": packet([["x", "FP32", [1], 4]] * 2, bytes(64)),
    "neither true nor false": packet([["x", "BOOL", [1], 1]], b"\x02"),
    "texts cut short": packet([["x", "BYTES", [3], 4]], bytes(4)),
    "texts longer than there is": packet([["x", "BYTES", [1], 5]], struct.pack("<I", 99) + b"a"),
    "billions of texts": packet([["x", "BYTES", [1 << 40], 4]], bytes(4)),
}


@pytest.mark.parametrize("packed", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_refused(packed):
    with pytest.raises(BadPacket):
        unpack(packed)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    with pytest.raises(BadPacket):
        unpack(b"RHT1" + noise)


@given(st.data())
def test_a_damaged_packet_is_read_or_refused(data):
    packed = bytearray(pack({"x": np.ones((2, 3), np.float32), "t": np.array(["é", "b"], object)}))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))

    with suppress(BadPacket):
        unpack(bytes(packed))
