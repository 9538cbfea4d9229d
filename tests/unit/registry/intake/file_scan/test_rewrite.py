"""Weights of other files come inside: the same model as before, or a refusal that says what is wrong."""

import os
import tracemalloc
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from registry.intake.file_scan import ScanLimits, scan_file
from registry.intake.file_scan.errors import FileRefused
from registry.intake.file_scan.rewrite import plan_rewrite
from registry.intake.file_scan.sent_files import open_file
from tests.support.model_files import put_outside, tensors_in
from tests.unit.registry.intake.file_scan.mutants import everything, mutants
from tests.unit.registry.intake.hostile_files import EXTERNAL_PLACES
from tests.unit.registry.intake.onnx_bytes import a_file, a_graph, a_model, a_weight, external, piece

MIB = 1 << 20


def rewritten(folder, model, data, limits=None, **how):
    """What becomes of a model's bytes with these files by name; also the plan."""
    (folder / "sent.onnx").write_bytes(model)
    with ExitStack() as stack:
        sent = []
        for place, (name, content) in enumerate(data.items()):
            path = folder / f"data-{place}"
            path.write_bytes(content)
            sent.append(stack.enter_context(open_file(path, name)))
        main = stack.enter_context(open_file(folder / "sent.onnx", "model.onnx"))
        plan = plan_rewrite(main, limits=limits or ScanLimits(), **how)
        plan.use(sent)
        content = b"".join(plan.chunks())
        assert len(content) == plan.size
        return content, plan


@pytest.fixture
def rewrite(tmp_path):
    def of(model, limits=None, how=None, **data):
        data = {name.replace("__", "."): content for name, content in data.items()}
        return rewritten(tmp_path, model, data, limits, **(how or {}))

    return of


@pytest.fixture
def refusal(rewrite):
    def of(model, limits=None, how=None, **data):
        with pytest.raises(FileRefused) as caught:
            rewrite(model, limits, how, **data)
        assert str(caught.value).endswith(".") and str(caught.value).isprintable()
        return caught.value

    return of


def equal(content, model):
    """Whether protobuf reads the same from both; fields may come in another order."""
    return ModelProto.FromString(content).SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    )


class TestTheSameModel:
    def test_as_onnx_itself_saves_it(self, tmp_path, rewrite):
        constant = helper.make_node("Constant", [], ["c"], value=a_weight("k", range(300)))
        branch = a_graph([helper.make_node("Constant", [], ["d"], value=a_weight("l", range(400)))])
        model = a_model(
            [constant, helper.make_node("If", ["x"], ["z"], then_branch=branch)],
            [a_weight("w", range(500)), a_weight("v", range(7))],
        )
        saved = ModelProto.FromString(model.SerializeToString())
        onnx.save_model(
            saved, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0,
            convert_attribute=True,
        )  # fmt: skip

        content, plan = rewrite(
            (tmp_path / "m.onnx").read_bytes(), m__onnx__data=(tmp_path / "m.onnx.data").read_bytes()
        )

        assert len(content) > len((tmp_path / "m.onnx").read_bytes()) + 4 * 500
        assert equal(content, model)
        loaded = onnx.load(tmp_path / "m.onnx")
        for tensor in tensors_in(loaded):
            tensor.ClearField("data_location")  # onnx says that it is inside, which is what is meant anyway
        assert equal(content, loaded)
        assert plan.changes == ["The weights of m.onnx.data were merged into the file."]

    def test_every_tensor_of_a_file_that_has_some_of_everything(self, tmp_path, rewrite):
        model = ModelProto.FromString(everything())
        training = model.training_info.add()
        training.algorithm.CopyFrom(a_graph(weights=[a_weight("t")]))
        outside, data = put_outside(model, gap=3)

        content, _ = rewrite(outside, model__onnx__data=data)

        assert sum(map(bool, (tensor.raw_data for tensor in tensors_in(model)))) >= 6
        assert equal(content, model)
        (tmp_path / "made.onnx").write_bytes(content)
        assert scan_file(tmp_path / "made.onnx").nodes

    @settings(max_examples=60, deadline=None)
    @given(
        shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=5),
        kind=st.sampled_from([np.float32, np.float16, np.int8, np.int64, np.float64, np.bool_]),
        depth=st.integers(0, 4),
        gap=st.integers(0, 70_000),
    )
    def test_any_shapes_at_any_depth(self, tmp_path_factory, shapes, kind, depth, gap):
        weights = [
            numpy_helper.from_array(np.ones(shape, kind), f"w{place}") for place, shape in enumerate(shapes)
        ]
        graph = a_graph(weights=weights)
        for _ in range(depth):
            graph = a_graph([helper.make_node("If", ["x"], ["c"], then_branch=graph)], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        outside, data = put_outside(model, gap=gap)

        content, _ = rewritten(tmp_path_factory.mktemp("any"), outside, {"model.onnx.data": data})

        assert equal(content, model)

    @pytest.mark.parametrize("bits", [4, 2], ids=["int4", "int2"])
    def test_elements_that_share_a_byte(self, rewrite, bits):
        kind = {4: TensorProto.INT4, 2: TensorProto.INT2}[bits]
        tensor = external("w.bin", length=str(-(-5 * bits // 8)))
        tensor.data_type, tensor.dims[:] = kind, [5]

        content, _ = rewrite(a_file(weights=[tensor]), w__bin=b"\x21\x03\x04")

        (made,) = ModelProto.FromString(content).graph.initializer
        assert made.raw_data == b"\x21\x03\x04"[: -(-5 * bits // 8)]

    def test_a_length_that_is_left_out_is_what_the_shape_needs(self, rewrite):
        content, _ = rewrite(a_file(weights=[external("w.bin", offset="4")]), w__bin=bytes(range(20)))

        assert ModelProto.FromString(content).graph.initializer[0].raw_data == bytes(range(4, 20))

    def test_a_file_that_has_all_inside_stays_as_it_is(self, rewrite):
        model = a_file(weights=[a_weight()])

        content, plan = rewrite(model)

        assert (content, plan.changes, plan.locations) == (model, [], ())

    def test_several_files_are_found_by_their_names(self, rewrite):
        model = a_file(weights=[external("a.bin"), external("b.bin", name="v")])

        content, plan = rewrite(model, b__bin=b"b" * 16, a__bin=b"a" * 16)

        made = ModelProto.FromString(content).graph.initializer
        assert [tensor.raw_data for tensor in made] == [b"a" * 16, b"b" * 16]
        assert plan.locations == ("a.bin", "b.bin")

    def test_the_only_file_may_have_been_renamed(self, rewrite):
        content, plan = rewrite(a_file(weights=[external("model.onnx.data")]), download__1=bytes(16))

        assert ModelProto.FromString(content).graph.initializer[0].raw_data == bytes(16)
        assert "model.onnx.data" in plan.changes[0]


PLACES = {
    "traversal": {"location": "../w.bin"},
    "inner traversal": {"location": "a/../../w.bin"},
    "absolute": {"location": "/etc/passwd"},
    "folder": {"location": "sub/w.bin"},
    "backslash": {"location": "..\\w.bin"},
    "drive": {"location": "C:\\w.bin"},
    "url": {"location": "file:///etc/passwd"},
    "dot": {"location": "."},
    "dots": {"location": ".."},
    "empty": {"location": ""},
    "nul": {"location": "w.bin\0.png"},
    "newline": {"location": "w\n.bin"},
    "right-to-left": {"location": "w\u202e.bin"},
    "long": {"location": "w" * 256},
    "very long": {"location": "w" * 5000},
    "memory": {"location": "*/_ORT_MEM_ADDR_/*"},
    "negative offset": {"offset": "-4"},
    "signed": {"offset": "+4"},
    "hexadecimal": {"offset": "0x10"},
    "fraction": {"offset": "1.0"},
    "underscore": {"offset": "1_0"},
    "space": {"offset": " 4"},
    "other digits": {"offset": "\u0664"},
    "no digits": {"offset": ""},
    "huge offset": {"offset": "9" * 30},
    "offset that would wrap": {"offset": str(2**63)},
    "beyond the end": {"offset": "8"},
    "far beyond": {"offset": "999999999999999999"},
    "too long": {"length": "20"},
    "too short": {"length": "12"},
    "negative length": {"length": "-1"},
    "no length": {"length": ""},
    "unknown key": {"basepath": "/etc"},
    "a key of Python's": {"__class__": "os"},
    "empty key": {"": "x"},
    "capital": {"Location": "w.bin"},
}


class TestHostilePlaces:
    @pytest.mark.parametrize("entries", PLACES.values(), ids=PLACES)
    def test_it_is_refused_and_opened_nowhere(self, refusal, monkeypatch, entries):
        opened_paths, real = [], os.open
        monkeypatch.setattr(
            os, "open", lambda path, *more: opened_paths.append(str(path)) or real(path, *more)
        )

        error = refusal(a_file(weights=[external(**{"location": "w.bin", **entries})]), w__bin=bytes(16))

        assert error.code in {"bad_data_place", "memory_marker"}
        assert "'w'" in str(error)
        assert {os.path.basename(path) for path in opened_paths} <= {"sent.onnx", "data-0"}

    @pytest.mark.parametrize("key", ["location", "offset", "length", "checksum"])
    def test_each_is_said_once(self, refusal, key):
        tensor = external("w.bin", offset="0", length="16", checksum="abc")
        tensor.external_data.add(key=key, value="0")

        assert "twice" in str(refusal(a_file(weights=[tensor]), w__bin=bytes(16)))

    def test_a_checksum_is_stepped_over(self, rewrite):
        assert rewrite(a_file(weights=[external("w.bin", checksum="abc")]), w__bin=bytes(16))

    @pytest.mark.parametrize("place", ["entries-without-location", "location-without-entries"])
    def test_half_a_place(self, refusal, place):
        assert (
            refusal(EXTERNAL_PLACES[place]().SerializeToString(), w__bin=bytes(64)).code == "bad_data_place"
        )

    @pytest.mark.parametrize("own", [{"raw_data": bytes(16)}, {"float_data": [1.0] * 4}], ids=["raw", "list"])
    def test_data_inside_and_outside(self, refusal, own):
        tensor = external("w.bin")
        tensor.MergeFrom(TensorProto(**own))

        assert "in the file and outside" in str(refusal(a_file(weights=[tensor]), w__bin=bytes(16)))

    def test_texts_do_not_lie_outside(self, refusal):
        tensor = external("w.bin")
        tensor.data_type = TensorProto.STRING

        assert refusal(a_file(weights=[tensor]), w__bin=bytes(16)).code == "weights_mismatch"

    @pytest.mark.parametrize("dims", [[2**40, 2**40], [-1], [2**62, 0, 2**62]])
    def test_a_shape_that_no_memory_holds(self, refusal, dims):
        tensor = external("w.bin")
        tensor.dims[:] = dims

        assert refusal(a_file(weights=[tensor]), w__bin=bytes(16)).code == "weights_overflow"


class TestAmplification:
    def test_many_tensors_at_the_same_bytes(self, tmp_path, refusal):
        """A kilobyte of data that would become a hundred times the limit."""
        tensors = [external("w.bin", name=f"w{number}") for number in range(5_000)]
        for tensor in tensors:
            tensor.dims[:] = [256]
        limits = replace(ScanLimits(), max_file_bytes=2 * MIB)

        error = refusal(a_file(weights=tensors), limits, w__bin=bytes(1024))

        assert error.code == "too_much" and "2,097,152" in str(error)

    def test_one_tensor_beyond_the_limit(self, refusal):
        tensor = external("w.bin")
        tensor.dims[:] = [2**29]

        assert refusal(a_file(weights=[tensor]), w__bin=bytes(16)).code == "too_much"

    def test_more_tensors_outside_than_may_be(self, refusal):
        tensors = [external("w.bin", name=f"w{number}") for number in range(11)]

        assert (
            refusal(a_file(weights=tensors), replace(ScanLimits(), max_outside_tensors=10)).code == "too_much"
        )

    def test_more_files_than_may_be(self, refusal):
        tensors = [external(f"w{number}.bin") for number in range(11)]

        assert refusal(a_file(weights=tensors), replace(ScanLimits(), max_data_files=10)).code == "too_much"

    def test_memory_does_not_grow_with_the_weights(self, tmp_path):
        size = 200 * MIB
        tensor = external("w.bin")
        tensor.dims[:] = [size // 4]
        (tmp_path / "sent.onnx").write_bytes(a_file(weights=[tensor]))
        with (tmp_path / "w.bin").open("wb") as file:
            file.truncate(size)  # a hole
        tracemalloc.start()

        with open_file(tmp_path / "sent.onnx", "m") as model, open_file(tmp_path / "w.bin", "w.bin") as data:
            plan = plan_rewrite(model)
            plan.use([data])
            written = sum(map(len, plan.chunks()))

        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert written == plan.size > size
        assert peak < 4 * MIB


class TestFilesThatCame:
    MODEL = a_file(weights=[external("a.bin"), external("b.bin", name="v")])

    def test_one_that_is_missing_is_named(self, refusal):
        error = refusal(self.MODEL, a__bin=bytes(16))

        assert error.code == "data_missing"
        assert "'b.bin'" in str(error) and "'a.bin'" not in str(error)
        assert "send that file as well" in str(error) and "external_data=False" in str(error)

    def test_one_too_many_is_named(self, refusal):
        error = refusal(self.MODEL, a__bin=bytes(16), b__bin=bytes(16), notes__txt=b"x")

        assert error.code == "data_not_named" and "'notes.txt' is not used by the model" in str(error)

    def test_one_beside_a_model_that_has_all_inside(self, refusal):
        error = refusal(a_file(), w__bin=b"x")

        assert error.code == "data_not_named" and "weights inside" in str(error)

    def test_two_of_one_name(self, tmp_path):
        with pytest.raises(FileRefused, match=r"Two files named 'a.bin'"):
            rewritten(tmp_path, self.MODEL, {"x/a.bin": bytes(16), "y/a.bin": bytes(16), "b.bin": bytes(16)})

    def test_a_file_that_is_too_short(self, refusal):
        assert "which has 15 bytes" in str(refusal(a_file(weights=[external("w.bin")]), w__bin=bytes(15)))

    def test_one_that_shrinks_while_it_is_read(self, tmp_path):
        (tmp_path / "sent.onnx").write_bytes(a_file(weights=[external("w.bin")]))
        (tmp_path / "w.bin").write_bytes(bytes(16))

        with open_file(tmp_path / "sent.onnx", "m") as model, open_file(tmp_path / "w.bin", "w.bin") as data:
            plan = plan_rewrite(model)
            plan.use([data])
            os.truncate(tmp_path / "w.bin", 3)
            with pytest.raises(FileRefused, match="became shorter"):
                list(plan.chunks())


class TestOpening:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "w.bin"
        path.write_bytes(b"bytes")
        return path

    def test_a_hard_link_is_a_file(self, file, tmp_path):
        os.link(file, tmp_path / "other.bin")

        with open_file(tmp_path / "other.bin", "w.bin") as sent:
            assert b"".join(sent.read(0, 5)) == b"bytes"

    @pytest.mark.parametrize(
        "make",
        [
            lambda path, file: path.symlink_to(file),
            lambda path, _: os.mkfifo(path),
            lambda path, _: path.mkdir(),
        ],
        ids=["link", "pipe", "folder"],
    )
    def test_nothing_else_is(self, file, tmp_path, make):
        make(tmp_path / "other", file)

        with pytest.raises(FileRefused, match=r"'w.bin' is a link"), open_file(tmp_path / "other", "w.bin"):
            pass


def test_thousands_of_broken_models_are_refused_or_leave_nothing_outside(tmp_path):
    """And whatever is written, protobuf reads."""
    good, data = put_outside(ModelProto.FromString(everything()))
    written = 0
    for mutant in mutants(good, 4_000, seed=20_261_129):
        try:
            content, plan = rewritten(tmp_path, mutant, {"model.onnx.data": data})
        except FileRefused:
            continue
        written += bool(plan.changes)
        try:
            model = ModelProto.FromString(content)
        except DecodeError:  # what is stepped over may be broken, as it was before
            with pytest.raises(DecodeError):
                ModelProto.FromString(mutant)
            continue
        assert all(not tensor.external_data for tensor in tensors_in(model))
    assert written > 100


def test_a_second_graph_is_refused(refusal):
    """Two readers could understand two files."""
    graph = piece(7, a_graph(weights=[external("w.bin")]).SerializeToString())

    assert refusal(a_file() + graph, w__bin=bytes(16)).code == "malformed_file"
