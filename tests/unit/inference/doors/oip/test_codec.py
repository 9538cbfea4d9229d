"""Bytes in, tensors out, and back; whatever the bytes are."""

import gzip
import io
import json
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference.doors import entry
from inference.doors.oip.bodies import chosen_encoding, inflate
from inference.doors.oip.codec import read_infer, write_infer
from inference.doors.oip.door import OIP
from inference.doors.oip.messages import InferRequest, RequestedOutput, RequestLimits, terms_of
from inference.doors.wire import read_exactly
from inference.engine.combiner import Priority
from inference.engine.loop import complete
from inference.errors import BadBody
from inference.serving.calls import ModelRequest
from inference.tensors.errors import InferenceError
from inference.tensors.signature import DTYPES
from registry.errors import RoundhouseError
from tests.support.wire import NUMBERS, Arrived, a_holding, in_binary, prediction, received, sent

LIMITS = RequestLimits()
PATIENT = settings(deadline=None)  # the machine may have other things to do
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def tensors(draw, datatypes=tuple(DTYPES)):
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if datatype == "BYTES":
        flat = draw(st.lists(TEXTS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        array = np.empty(len(flat), object)
        array[:] = flat
        return datatype, array.reshape(shape)
    dtype = DTYPES[datatype]
    more = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return datatype, draw(hnp.arrays(dtype, shape, elements=more or None))


NAMED = st.dictionaries(
    st.text(min_size=1, max_size=5).filter(lambda s: s.isprintable()), tensors(), max_size=4
)


def _texts(array):
    return [text.decode() if isinstance(text, bytes) else text for text in array.ravel()]


def _same(mine, theirs):
    if theirs.dtype == object:
        return mine.shape == theirs.shape and _texts(mine) == _texts(theirs)
    return mine.dtype == theirs.dtype and mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes()


@PATIENT
@given(NAMED)
def test_binary_tensors_arrive_bit_for_bit(named):
    text, binary = in_binary(named)

    request = read_infer(*sent(text=text, binary=binary, has_header=True), LIMITS, a_holding())

    assert list(request.inputs) == list(named)
    assert all(_same(request.inputs[name], array) for name, (_, array) in named.items())
    assert all(array.flags.aligned for array in request.inputs.values())


@PATIENT
@given(NAMED, st.booleans())
def test_json_tensors_arrive_flat_or_nested(named, is_flat):
    entries = [
        {"name": name, "datatype": datatype, "shape": list(array.shape),
         "data": array.ravel().tolist() if is_flat or not array.ndim else array.tolist()}
        for name, (datatype, array) in named.items()
    ]  # fmt: skip

    request = read_infer(*sent(text={"inputs": entries}), LIMITS, a_holding())

    assert all(_same(request.inputs[name], array) for name, (_, array) in named.items())


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"], ids=["plain", "gzip", "deflate"])
@PATIENT
@given(named=NAMED, whole=st.booleans())
def test_answers_are_read_back(encoding, named, whole):
    outputs = {name: array for name, (_, array) in named.items()}
    asked = (
        tuple(RequestedOutput(name, is_binary=whole or bool(index % 2)) for index, name in enumerate(outputs))
        or None
    )
    answer = prediction(outputs, datatypes={name: datatype for name, (datatype, _) in named.items()})

    headers, body = write_infer(InferRequest({}, asked, id="abc"), answer, accepted=encoding)
    packing = dict(headers).get("Content-Encoding")
    plain = body if packing is None else inflate(body, packing, 1 << 20, a_holding())
    told, arrays = received(headers, plain)

    assert packing in {None, encoding}
    assert (told["model_name"], told["model_version"], told["id"]) == ("m", "3", "abc")
    assert told["parameters"] == {"request_id": "r-1", "arm": "A", "split": 7}
    assert all(_same(arrays[name], array) for name, array in outputs.items())


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_are_not_copied(datatype):
    array = np.ones((4, 4), DTYPES[datatype])
    text, binary = in_binary({"x": (datatype, array)})

    tensor = read_infer(*sent(text=text, binary=binary), LIMITS, a_holding()).inputs["x"]

    assert not tensor.flags.owndata
    assert not tensor.flags.writeable


def refusal_of(call, *arguments, **more):
    """The code of the error that a call ends with."""
    with pytest.raises((RoundhouseError, InferenceError)) as caught:
        call(*arguments, **more)
    assert str(caught.value).endswith(".")
    return caught.value.code


def _one(**change):
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2], **change}]}


def _bin(size, **change):
    entry = {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": size}}
    return {"inputs": [{**entry, **change}]}


EIGHT = b"\0" * 8
REFUSED = {
    "not-json": (b"{", b"", "bad_body"),
    "nan-in-json": (b'{"inputs": [NaN]}', b"", "bad_body"),
    "not-an-object": (b"[]", b"", "bad_request"),
    "no-inputs": ({}, b"", "bad_request"),
    "inputs-no-list": ({"inputs": {}}, b"", "bad_request"),
    "input-no-object": ({"inputs": [1]}, b"", "bad_request"),
    "too-many-tensors": ({"inputs": [{}] * 257}, b"", "bad_request"),
    "id-no-text": ({"id": 3, "inputs": []}, b"", "bad_request"),
    "no-name": (_one(name=""), b"", "bad_request"),
    "name-no-text": (_one(name=[]), b"", "bad_request"),
    "same-name-twice": ({"inputs": _one()["inputs"] * 2}, b"", "bad_request"),
    "unknown-datatype": (_one(datatype="FP31"), b"", "bad_tensor"),
    "datatype-no-text": (_one(datatype={}), b"", "bad_tensor"),
    "no-shape": (_one(shape=None), b"", "bad_tensor"),
    "text-as-shape": (_one(shape="12"), b"", "bad_tensor"),
    "fraction-in-shape": (_one(shape=[2.0]), b"", "bad_tensor"),
    "true-in-shape": (_one(shape=[True]), b"", "bad_tensor"),
    "negative-shape": (_one(shape=[-2]), b"", "bad_tensor"),
    "negative-twice": (_one(shape=[-1, -2]), b"", "bad_tensor"),
    "65-axes": (_one(shape=[1] * 65), b"", "bad_tensor"),
    "overflowing-shape": (_one(shape=[2**62, 2**62, 0]), b"", "bad_tensor"),
    "beyond-64-bits": (_one(shape=[2**70]), b"", "bad_tensor"),
    "fewer-values": (_one(shape=[3]), b"", "bad_tensor"),
    "other-nesting": (_one(shape=[2, 1], data=[[1, 2]]), b"", "bad_tensor"),
    "no-data": (_one(data=None), b"", "bad_tensor"),
    "words-for-numbers": (_one(data=["1", "2"]), b"", "wrong_dtype"),
    "fraction-for-integer": (_one(datatype="INT8", data=[1, 0.5]), b"", "wrong_dtype"),
    "too-big-for-int8": (_one(datatype="INT8", data=[1, 128]), b"", "wrong_dtype"),
    "number-for-bool": (_one(datatype="BOOL", data=[0, 1]), b"", "wrong_dtype"),
    "ragged": (_one(shape=[2, 2], data=[[1, 2], [3]]), b"", "wrong_dimension"),
    "65-deep": (_one(data=json.loads("[" * 65 + "1" + "]" * 65)), b"", "wrong_rank"),
    "100000-deep": (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", "bad_body"),
    "parameters-no-object": (_one(parameters=[]), b"", "bad_request"),
    "parameter-no-scalar": (_one(parameters={"a": []}), b"", "bad_parameter"),
    "shared-memory": (_one(parameters={"shared_memory_region": "r"}), b"", "bad_parameter"),
    "size-no-number": (_bin("8"), EIGHT, "bad_parameter"),
    "negative-size": (_bin(-8), EIGHT, "bad_parameter"),
    "size-beyond-body": (_bin(9), EIGHT, "bad_tensor"),
    "size-below-body": (_bin(4, shape=[1]), EIGHT, "bad_request"),
    "size-not-of-shape": (_bin(8, shape=[3]), EIGHT, "bad_tensor"),
    "data-and-size": (_bin(8, data=[1, 2]), EIGHT, "bad_tensor"),
    "bytes-without-input": ({"inputs": []}, EIGHT, "bad_request"),
    "bool-of-two": (_bin(2, datatype="BOOL"), b"\0\2", "bad_tensor"),
    "text-cut-in-length": (_bin(6, datatype="BYTES", shape=[1]), b"\3\0\0\0ab", "bad_tensor"),
    "text-length-beyond": (_bin(4, datatype="BYTES", shape=[1]), b"\xff\xff\xff\xff", "bad_tensor"),
    "fewer-texts": (_bin(5, datatype="BYTES", shape=[1]), b"\0\0\0\0\0", "bad_tensor"),
    "more-texts": (_bin(4, datatype="BYTES", shape=[2]), b"\0\0\0\0", "bad_tensor"),
    "second-text-has-no-length": (_bin(9, datatype="BYTES", shape=[2]), b"\1\0\0\0abcde", "bad_tensor"),
    "billion-texts": (_bin(4, datatype="BYTES", shape=[2**30]), b"\0\0\0\0", "bad_tensor"),
    "outputs-no-list": ({"inputs": [], "outputs": {}}, b"", "bad_request"),
    "output-no-object": ({"inputs": [], "outputs": ["y"]}, b"", "bad_request"),
    "output-twice": ({"inputs": [], "outputs": [{"name": "y"}, {"name": "y"}]}, b"", "bad_request"),
    "binary-data-no-flag": (
        {"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, b"", "bad_parameter"
    ),
    "classes-no-number": (
        {"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": True}}]}, b"", "bad_parameter"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "binary", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_with_its_reason(text, binary, code):
    assert refusal_of(read_infer, *sent(text=text, binary=binary), LIMITS, a_holding()) == code


HEADERS = {
    "header-beyond-the-body": ({"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "15"}, "bad_header_length"),
    "header-within-the-json": ({"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "5"}, "bad_body"),
    "header-negative": ({"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "-1"}, "bad_header_length"),
    "header-in-words": ({"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "ten"}, "bad_header_length"),
    "br": ({"HTTP_CONTENT_ENCODING": "br"}, "bad_encoding"),
    "gzip-that-is-none": ({"HTTP_CONTENT_ENCODING": "gzip"}, "bad_encoding"),
}  # fmt: skip


@pytest.mark.parametrize(("environ", "code"), HEADERS.values(), ids=HEADERS.keys())
def test_headers_are_not_believed(environ, code):
    assert refusal_of(read_infer, *sent(environ, text=b'{"inputs": []}'), LIMITS, a_holding()) == code


def test_a_json_part_has_the_limit_of_json():
    body = b'{"inputs": []}' + b" " * LIMITS.json_bytes
    environ, _ = sent({"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": str(len(body))}, text=body)

    assert refusal_of(read_infer, environ, body, LIMITS, a_holding()) == "body_too_large"


def test_the_same_body_with_true_lengths_is_read():
    assert read_infer(*sent(text=b'{"inputs": []}', has_header=True), LIMITS, a_holding()).inputs == {}


LENGTHS = {
    "none": ({"CONTENT_LENGTH": ""}, "length_required"),
    "words": ({"CONTENT_LENGTH": "ten"}, "length_required"),
    "negative": ({"CONTENT_LENGTH": "-1"}, "length_required"),
    "other-digits": ({"CONTENT_LENGTH": "¹²"}, "length_required"),
    "beyond-the-limit": ({"CONTENT_LENGTH": str(9 << 20)}, "body_too_large"),
    "endless": ({"CONTENT_LENGTH": str(1 << 40)}, "body_too_large"),
    "binary-beyond-its-limit": (
        {"CONTENT_LENGTH": str(65 << 20), "HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "14"}, "body_too_large"
    ),
}  # fmt: skip


@pytest.fixture
def nobody_answers(monkeypatch):
    """A Model that is found and let in, and whose requests only show what was received."""
    passing = SimpleNamespace(begin=lambda: None, end=lambda: None)

    async def enter(by, route):
        return passing

    monkeypatch.setattr(entry, "admission", SimpleNamespace(enter=enter))
    monkeypatch.setattr(entry.services, "find", lambda *_, **more: (None, object()))
    monkeypatch.setattr(entry.runtime, "started", lambda: SimpleNamespace(is_known=lambda target: True))
    monkeypatch.setattr(OIP.__class__, "answer", _its_body)


async def _its_body(door, environ, body, asked, route, target, holding):
    return body


def _send(environ, receive):
    with override_settings(PREDICT_JSON_BYTES=8 << 20, PREDICT_BINARY_BYTES=64 << 20):
        return complete(entry.predict(OIP, environ, Arrived(receive), ModelRequest(None, "m")))


@pytest.mark.parametrize(("environ", "code"), LENGTHS.values(), ids=LENGTHS.keys())
def test_a_length_that_is_refused_is_not_received(nobody_answers, environ, code):
    async def receive(length):
        pytest.fail(f"{length} bytes were received")

    assert refusal_of(_send, environ, receive) == code


@pytest.mark.parametrize(
    ("length", "more"),
    [(0, {}), (8 << 20, {}), (64 << 20, {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "14"})],
    ids=["none", "most-json", "most-binary"],
)
def test_a_length_within_the_limits_is_received(nobody_answers, length, more):
    """Negative control: nothing else refuses those."""
    asked = []

    async def receive(length):
        asked.append(length)
        return b"all of it"

    assert _send({"CONTENT_LENGTH": str(length), **more}, receive) == b"all of it"
    assert asked == [length]


PIECES = {
    "whole": (io.BytesIO(b"abcdef").read, None),
    "by-sevenths": (lambda size: b"x"[:size], None),
    "cut": (io.BytesIO(b"abc").read, "ended 3 bytes before"),
    "nothing": (lambda size: b"", "ended 6 bytes before"),
}


@pytest.mark.parametrize(("read", "why_not"), PIECES.values(), ids=PIECES)
def test_a_body_is_read_to_its_length_in_whatever_pieces_it_comes(read, why_not):
    if why_not is None:
        assert len(read_exactly(read, 6)) == 6
        return
    with pytest.raises(BadBody, match=why_not):
        read_exactly(read, 6)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
@pytest.mark.parametrize("damage", ["none", "cut", "behind", "bomb"])
def test_packed_bodies(encoding, pack, damage):
    text, binary = in_binary({"x": ("FP32", np.arange(300, dtype=np.float32))})
    header = json.dumps(text).encode()
    plain = bytes(65 << 20) if damage == "bomb" else header + binary
    body = pack(plain)
    body = {"cut": body[:-9], "behind": body + b"x"}.get(damage, body)
    environ, packed = sent({"HTTP_CONTENT_ENCODING": encoding}, text=body)
    environ["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"] = str(len(header))

    if damage == "none":
        assert read_infer(environ, packed, LIMITS, a_holding()).inputs["x"].tolist() == list(range(300))
    else:
        code = "body_too_large" if damage == "bomb" else "bad_encoding"
        assert refusal_of(read_infer, environ, packed, LIMITS, a_holding()) == code


ACCEPTED = {
    "nothing": ("", None),
    "gzip": ("gzip", "gzip"),
    "deflate": ("deflate", "deflate"),
    "aiohttp": ("gzip, deflate, br", "gzip"),
    "br-only": ("br", None),
    "refused": ("gzip;q=0, deflate;q=0.5", "deflate"),
    "any": ("*", None),
}


@pytest.mark.parametrize(("accepted", "expected"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_answers_are_packed_as_asked(accepted, expected):
    assert chosen_encoding(accepted) == expected


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
SHAPES = st.lists(st.integers(-2, 2**65) | st.sampled_from([0, 1, 2, 3]), max_size=5) | JUNK
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "classification", "binary_data_output", "timeout"]),
    st.integers(-1, 40) | st.booleans() | JUNK, max_size=2,
) | JUNK  # fmt: skip
ENTRIES = st.fixed_dictionaries({}, optional={
    "name": st.sampled_from(["x", "y"]) | JUNK, "datatype": st.sampled_from([*DTYPES, "BF16"]) | JUNK, "shape": SHAPES,
    "data": st.lists(JUNK, max_size=4) | JUNK, "parameters": PARAMETERS,
})  # fmt: skip
BODIES = st.fixed_dictionaries({}, optional={
    "inputs": st.lists(ENTRIES | JUNK, max_size=3) | JUNK, "outputs": st.lists(ENTRIES, max_size=2) | JUNK,
    "id": JUNK, "parameters": PARAMETERS,
})  # fmt: skip


@settings(PATIENT, max_examples=400)
@given(BODIES, st.binary(max_size=40), st.integers(-3, 400), st.booleans())
def test_hostile_requests_end_in_a_named_error_or_in_tensors(body, binary, shift, has_header):
    text = json.dumps(body).encode()
    environ, whole = sent(text=text, binary=binary, has_header=has_header)
    if has_header and shift < 100:
        environ["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"] = str(len(text) + shift)

    try:
        request = read_infer(environ, whole, LIMITS, a_holding())
        terms_of(request.parameters)
    except (RoundhouseError, InferenceError) as error:
        assert str(error).endswith(".")
    else:
        assert sum(array.size for array in request.inputs.values()) <= len(text) + len(binary)


WISHES = {
    "nothing": ({}, None, 5.0, Priority.LIVE),
    "timeout": ({"timeout": 250_000}, None, 0.25, Priority.LIVE),
    "timeout-zero": ({"timeout": 0}, None, 5.0, Priority.LIVE),
    "timeout-for-ever": ({"timeout": 10**12}, None, 60.0, Priority.LIVE),
    "nearer-transport": ({"timeout": 10**6}, 0.5, 0.5, Priority.LIVE),
    "nearer-timeout": ({"timeout": 10**5}, 0.5, 0.1, Priority.LIVE),
    "first": ({"priority": 1}, None, 5.0, Priority.LIVE),
    "later": ({"priority": 2}, None, 5.0, Priority.BULK),
}


@pytest.mark.parametrize(
    ("parameters", "transport_s", "within_s", "priority"), WISHES.values(), ids=WISHES.keys()
)
def test_timeout_and_priority(parameters, transport_s, within_s, priority):
    terms = terms_of(parameters, within_s=transport_s)

    assert (terms.within_s, terms.priority) == (within_s, priority)


@pytest.mark.parametrize(
    "parameters", [{"timeout": -1}, {"timeout": "5"}, {"priority": True}, {"sequence_id": 7}], ids=str
)
def test_wishes_that_cannot_be_granted(parameters):
    assert refusal_of(terms_of, parameters) == "bad_parameter"


def _classified(scores, classes, *, labels=(), batchable=True, is_binary=False):
    answer = prediction({"y": scores}, labels=labels, batchable=batchable)
    request = InferRequest({}, (RequestedOutput("y", is_binary=is_binary, classes=classes),))
    told, arrays = received(*write_infer(request, answer))
    return told["outputs"][0], arrays["y"].tolist()


SCORES = np.array([[0.25, 0.5, 0.25], [0.0, 0.0, 1.0]], np.float32)
CLASSES = {
    "best": ({"classes": 1}, [["0.5:1"], ["1.0:2"]]),
    "ties-in-order": ({"classes": 2}, [["0.5:1", "0.25:0"], ["1.0:2", "0.0:0"]]),
    "more-than-there-are": ({"classes": 9}, [["0.5:1", "0.25:0", "0.25:2"], ["1.0:2", "0.0:0", "0.0:1"]]),
    "labels": ({"classes": 1, "labels": ("a", "b", "c")}, [["0.5:1:b"], ["1.0:2:c"]]),
    "binary": ({"classes": 1, "is_binary": True}, [["0.5:1"], ["1.0:2"]]),
    "one-row": ({"classes": 1, "batchable": False}, ["1.0:5"]),
}


@pytest.mark.parametrize(("asked", "expected"), CLASSES.values(), ids=CLASSES.keys())
def test_classification(asked, expected):
    output, texts = _classified(SCORES, **asked)

    assert texts == expected
    assert (output["datatype"], output["shape"]) == ("BYTES", list(np.shape(expected)))


def test_texts_have_no_classes():
    assert refusal_of(_classified, np.array([["a"]], object), 1) == "bad_parameter"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_json_cannot_say_what_is_not_finite_and_binary_can(value):
    scores = np.array([[value, 1.0]], np.float32)
    answer = prediction({"y": scores}, non_finite=True)

    _, arrays = received(*write_infer(InferRequest({}, parameters={"binary_data_output": True}), answer))

    assert refusal_of(write_infer, InferRequest({}), answer) == "invalid_output"
    assert arrays["y"].tobytes() == scores.tobytes()


def test_an_output_can_differ_from_the_rest():
    answer = prediction({"y": SCORES, "z": np.array([1, 2])})
    request = InferRequest(
        {},
        (RequestedOutput("z"), RequestedOutput("y", is_binary=False)),
        parameters={"binary_data_output": True},
    )

    headers, body = write_infer(request, answer)
    told, arrays = received(headers, body)

    assert [output["name"] for output in told["outputs"]] == ["z", "y"]
    assert ["data" in output for output in told["outputs"]] == [False, True]
    assert arrays["z"].tolist() == [1, 2]
    assert "id" not in told
    assert dict(headers)["Content-Type"] == "application/octet-stream"
    assert dict(headers)["X-Request-ID"] == "r-1"
