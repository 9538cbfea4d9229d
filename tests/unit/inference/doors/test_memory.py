"""What requests may hold of a process's memory, and how much that will be."""

import json
import subprocess
import sys
import threading

import numpy as np
import orjson
import pytest

from inference.doors.memory import MemoryHolding, RequestMemory, hold_answer, json_bytes, parsed_bytes
from inference.engine.errors import OutputTooLarge, Overloaded
from registry.errors import BodyTooLarge
from tests.support.processes import product_environment

MIB = 1 << 20


def a_memory(mebibytes=64):
    return RequestMemory(mebibytes * MIB)


class TestHoldings:
    def test_what_finds_no_room_is_refused_and_not_counted(self):
        memory = a_memory()
        first, second = MemoryHolding(memory), MemoryHolding(memory)
        first.add(56 * MIB)

        with pytest.raises(Overloaded, match="All 64 MiB that requests may use"):
            second.add(2 * MIB)

        assert memory.held == 56 * MIB

    def test_small_requests_have_room_that_large_ones_never_take(self):
        memory = a_memory()
        large, small = MemoryHolding(memory), MemoryHolding(memory)
        large.add(56 * MIB)
        assert not large.take(2 * MIB)

        for _ in range(8):
            small.add(MIB)
        with pytest.raises(Overloaded):
            small.add(1)

    def test_bodies_leave_room_for_any_one_to_be_read(self):
        memory = a_memory()
        bodies = [MemoryHolding(memory) for _ in range(100)]

        held = [body for body in bodies if body.take_for_body(MIB)]

        assert len(held) == 16
        assert held[0].take(memory.most_of_one)

    def test_all_is_given_back_once_however_often_it_ends(self):
        memory = a_memory()
        stays, goes = MemoryHolding(memory), MemoryHolding(memory)
        stays.add(1000)
        goes.add(3000)
        goes.take_for_body(50)
        goes.give_back(2000)

        goes.end()
        goes.end()
        goes.give_back(1000)

        assert memory.held == 1000
        assert not goes.take(1)  # a thread that still works for a caller who has gone counts nothing any more

    def test_threads_lose_no_byte(self):
        memory = a_memory()

        def hold_and_end():
            for _ in range(2000):
                one = MemoryHolding(memory)
                one.take(1000)
                one.give_back(300)
                one.end()

        threads = [threading.Thread(target=hold_and_end) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert memory.held == 0


class TestWhatNeverFits:
    def test_a_body_that_takes_too_much_is_told_apart_from_a_crowd(self):
        memory = a_memory()
        memory.check_body(memory.most_of_one)

        with pytest.raises(BodyTooLarge, match="about 41 MiB; one request may take 40 MiB"):
            memory.check_body(41 * MIB)

    def test_an_answer_that_takes_too_much_when_written_is_refused(self):
        memory = a_memory()
        hold_answer(MemoryHolding(memory), 10 * MIB, 30 * MIB)
        memory = a_memory()

        with pytest.raises(
            OutputTooLarge, match="its tensors would take about 41 MiB; one request may take 40 MiB"
        ):
            hold_answer(MemoryHolding(memory), 10 * MIB, 31 * MIB)

        assert memory.held == 0

    def test_an_answer_that_finds_no_room_now_may_be_asked_for_again(self):
        memory = a_memory()
        MemoryHolding(memory).add(50 * MIB)

        with pytest.raises(Overloaded):
            hold_answer(MemoryHolding(memory), 4 * MIB, 4 * MIB)


def repeated(unit, nbytes=4 * MIB, before=b"[", behind=b"]"):
    return before + (unit * (nbytes // len(unit)))[:-1] + behind


AMPLIFYING = {
    "objects": repeated(b'{"a":0},'),
    "empty-objects": repeated(b"{},"),
    "nested-objects": repeated(b'{"a":{"a":0}},'),
    "objects-in-rows": repeated(b'{"a":0},', before=b'{"inputs": {"x": [[', behind=b"]]}}"),
    "empty-lists": repeated(b"[],"),
    "lists-of-one": repeated(b"[1],"),
    "lists-of-two": repeated(b"[300,301],"),
    "texts": repeated(b'"ab",'),
    "wide-texts": repeated('"😀a",'.encode()),
    "one-wide-text": repeated(b"a" * 99 + b" ", before='["😀'.encode(), behind=b'"]'),
    "names": b"{" + b",".join(b'"%x":300' % number for number in range(100_000)) + b"}",
    "negative": repeated(b"-9,"),
    "integers": repeated(b"999,"),
    "decimals": repeated(b"1.5,"),
    "rows": repeated(b"[0.123,0.456,0.789,0.321],"),
}


TENSORS = {
    "rows": (repeated(b"[0.123,0.456,0.789,0.321],"), "FP32", (None, 4)),
    "pixels": (repeated(b"[300,301,302],", before=b"[[", behind=b"]]"), "FP32", (None, None, 3)),
    "pairs": (repeated(b"[999,-9],"), "INT64", (None, 2)),
    "words": (repeated(b'["ab"],'), "BYTES", (None, 1)),
    "wide-words": (repeated('["😀a"],'.encode()), "BYTES", (None, 1)),
}

# Each in a process of its own, whose memory is what it was before.
_MEASURE = """
import ctypes, gc, json, os, sys
from pathlib import Path

import orjson

from inference.tensors.signature import Signature, TensorSpec
from inference.tensors.prepare import prepare


def resident(field):
    return int(Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0]) * 1024


def most_taken(body, datatype, shape):
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    parsed = orjson.loads(body)
    if datatype:
        prepare(Signature((TensorSpec("x", datatype, tuple(shape)),), ()), {"x": parsed}, online=True)
    return resident("VmHWM") - before


for path, datatype, shape in json.loads(sys.argv[1]):
    body = Path(path).read_bytes()
    sys.stdout.flush()
    if not os.fork():
        print(most_taken(body, datatype, shape), flush=True)
        os._exit(0)
    os.wait()
"""


def test_no_json_takes_more_than_is_expected(tmp_path):
    cases = {**{name: (body, "", ()) for name, body in AMPLIFYING.items()}, **TENSORS}
    told = []
    for name, (body, datatype, shape) in cases.items():
        (tmp_path / name).write_bytes(body)
        told.append((str(tmp_path / name), datatype, shape))
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, json.dumps(told)],
        env=product_environment(DATA=tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )

    taken = dict(zip(cases, map(int, measured.stdout.split()), strict=True))
    expected = {name: parsed_bytes(body) for name, (body, *_) in cases.items()}
    assert {name: (most, expected[name]) for name, most in taken.items() if most > expected[name] + MIB} == {}
    assert taken["objects"] > 20 * len(AMPLIFYING["objects"])  # else it measured something else


LEGITIMATE = {
    "decimals": b"0.12345678,",
    "short-decimals": b"1.5,",
    "integers": b"999,",
    "digits": b"7,",
    "rows": b"[0.1,0.2],",
    "pixels": b"[255,255,255],",
    "rows-by-name": b'{"age":31,"height":1.71,"name":"Anna"},',
    "texts": '"Zürich, an der Limmat",'.encode(),
}


@pytest.mark.parametrize("unit", LEGITIMATE.values(), ids=LEGITIMATE)
def test_the_largest_bodies_that_people_send_are_let_in(unit):
    RequestMemory(512 * MIB).check_body(parsed_bytes(repeated(unit, 8 * MIB)))


def test_a_body_that_only_hurts_is_not():
    with pytest.raises(BodyTooLarge):
        RequestMemory(512 * MIB).check_body(parsed_bytes(repeated(b'{"a":0},', 8 * MIB)))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int32", "int64", "uint64", "float32", "float64"]
)
def test_no_tensor_is_longer_in_json_than_expected(dtype):
    if dtype == "bool":
        values = np.zeros(1000, dtype)
    elif dtype.startswith("f"):
        values = np.random.default_rng(1).normal(0, 1e-30, 1000).astype(dtype)
    else:
        values = np.full(1000, np.iinfo(dtype).min or np.iinfo(dtype).max, dtype)

    assert len(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)) <= json_bytes([values]) + 2


def test_nor_are_texts():
    texts = np.array(["\0" * 50, "", "é", '"\\'], object)

    assert len(orjson.dumps(texts.tolist())) <= json_bytes([texts]) + 2
