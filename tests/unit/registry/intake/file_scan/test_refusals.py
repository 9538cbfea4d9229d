"""What the scan refuses, case by case, beyond the 40 files: with its code, in a sentence that names the thing."""

import os
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from registry.intake.file_scan import ScanLimits, scan_file
from registry.intake.file_scan.errors import FileRefused
from tests.unit.registry.intake.hostile_files import EXTERNAL_PLACES
from tests.unit.registry.intake.onnx_bytes import (
    a_file,
    a_function,
    a_graph,
    a_model,
    a_weight,
    external,
    nested,
    number,
    piece,
    value,
    varint,
    with_raw_graph,
)


@pytest.fixture
def refusal(tmp_path):
    def of(content, **limits):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(FileRefused) as caught:
            scan_file(path, replace(ScanLimits(), **limits))
        return caught.value

    return of


def a_tensor(**fields):
    return a_file(weights=[TensorProto(name="w", **{"data_type": 1, **fields})])


@pytest.mark.parametrize("place", EXTERNAL_PLACES)
def test_external_data_anywhere(refusal, place):
    assert refusal(EXTERNAL_PLACES[place]().SerializeToString()).code == "external_data"


def test_a_location_that_only_its_low_bits_say(refusal):
    """Protobuf cuts an enum to 32 bits: 2^32 + 1 is 1, which is EXTERNAL."""
    tensor = TensorProto(name="w", data_type=1, dims=[1]).SerializeToString() + number(14, 2**32 + 1)

    assert onnx.TensorProto.FromString(tensor).data_location == TensorProto.EXTERNAL
    assert refusal(with_raw_graph(piece(5, tensor))).code == "external_data"


@pytest.mark.parametrize("key", ["location", "*/_ORT_MEM_ADDR_/*"])
def test_the_marker_of_addresses_anywhere(refusal, key):
    model = a_model()
    model.graph.node[0].metadata_props.add(key=key, value="*/_ORT_MEM_ADDR_/*")

    error = refusal(model.SerializeToString())

    assert error.code == "memory_marker" and "node 'last'" in str(error)


def test_settings_of_the_runtime(refusal):
    model = a_model()
    model.metadata_props.add(key="ort_config", value='{"session_options": {"inter_op_num_threads": 99}}')

    error = refusal(model.SerializeToString())

    assert error.code == "runtime_config" and "'ort_config'" in str(error)


def test_a_compiled_model_inside_a_function_inside_a_graph(refusal):
    inner = a_graph([helper.make_node("EPContext", ["x"], ["e"], domain="com.microsoft", name="engine")])
    function = a_function("Own")
    function.node.append(helper.make_node("If", ["a"], ["c"], then_branch=inner))

    error = refusal(a_file(functions=[function], opsets=[("", 17), ("com.microsoft", 1)]))

    assert error.code == "compiled_model" and "'engine'" in str(error)


class TestWhatItIs:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"\x00\x00\x00\x00ORTM" + bytes(99), "ONNX Runtime's own format"),
            (b"\x08\x01\x12\xff\x7f" + bytes(99), "SavedModel"),
            (b"\x1f\x8b\x08" + bytes(99), "gzip"),
            (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
            (b"\x50\x00\x00\x00\x00\x00\x00\x00" + b'{"w": {}}', "safetensors"),
            (b'{"layers": []}', "JSON"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"#!/bin/sh\n", "script"),
            (b"MZ\x90\x00", "Windows"),
            (b"\x7fELF\x02\x01\x01" + bytes(99), "ELF"),
            (b"import os\nos.system('true')\n", "ONNX"),
            (b"PK\x03\x04" + bytes(26) + b"operators.so", "zip archive"),
            (b"any words", "ONNX"),
            (b"\xff" * 99, "ONNX"),
            (bytes(99), "ONNX"),
            (number(1, 8), "no graph"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_it_is_said(self, refusal, content, told):
        error = refusal(content)

        assert error.code == "not_onnx" and told in str(error)

    def test_a_model_that_the_runtime_would_take_for_its_own_format(self, refusal):
        """Valid ONNX whose producer's name puts the other format's mark where the runtime looks first."""
        content = a_file(producer_name="ORTM-exporter")

        onnx.checker.check_model(content)
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail, match="ORT model"):
            onnxruntime.InferenceSession(content)
        assert "ONNX Runtime's own format" in str(refusal(content))

    @pytest.mark.parametrize("kind", ["folder", "pipe"])
    def test_no_file_at_all(self, tmp_path, kind):
        path = tmp_path / "model.onnx"
        path.mkdir() if kind == "folder" else os.mkfifo(path)

        with pytest.raises(FileRefused, match=kind):
            scan_file(path)

    def test_a_file_that_is_not_there_is_the_stores_affair(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            scan_file(tmp_path / "model.onnx")


class TestWire:
    @pytest.mark.parametrize(
        "graph",
        [
            piece(2, b"a") + piece(2, b"b"),
            number(1, 1),
            piece(77, b""),
            b"\x0b\x0c",
            piece(1, piece(3, b"name") + b"\x0a\x02"),
            b"\x0a" + b"\xff" * 11,
            b"\x00",
        ],
        ids=["twice", "other-type", "unknown", "group", "larger-than-itself", "long-number", "zero"],
    )
    def test_what_two_readers_could_understand_differently(self, refusal, graph):
        error = refusal(with_raw_graph(graph))

        assert error.code == "malformed_file" and "export" in str(error)

    def test_two_graphs_which_protobuf_would_merge(self, refusal):
        content = a_file() + piece(7, piece(5, external("w.bin").SerializeToString()))

        assert onnx.ModelProto.FromString(content).graph.initializer[0].data_location == TensorProto.EXTERNAL
        assert refusal(content).code == "malformed_file"

    def test_broken_off_at_every_byte(self, refusal):
        content = a_file(weights=[a_weight()])

        codes = {refusal(content[:length]).code for length in range(len(content))}

        # the last field is the operator sets: without it the rest is whole
        assert codes == {"empty_file", "not_onnx", "truncated_file", "unsupported_version"}

    def test_a_file_that_shrinks_meanwhile(self, tmp_path, monkeypatch):
        path = tmp_path / "model.onnx"
        path.write_bytes(a_file(weights=[a_weight(values=range(100_000))], producer_name="p" * 1000))
        real = os.pread

        def pread(descriptor, size, at):
            os.truncate(path, 600)
            return real(descriptor, size, at)

        monkeypatch.setattr(os, "pread", pread)
        with pytest.raises(FileRefused, match="shorter"):
            scan_file(path)


class TestVersions:
    @pytest.mark.parametrize(
        "more",
        [
            {"ir_version": 2}, {"ir_version": 14}, {"ir_version": -1}, {"opsets": [("", 27)]}, {"opsets": [("", 0)]},
            {"opsets": []}, {"opsets": [("", 17), ("ai.onnx.ml", 6)]}, {"opsets": [("com.microsoft", 2)]},
        ],
        ids=str,
    )  # fmt: skip
    def test_beyond_what_is_read(self, refusal, more):
        assert refusal(a_file(**more)).code == "unsupported_version"

    def test_in_a_function(self, refusal):
        function = a_function("Own")
        function.opset_import[0].version = 27

        assert refusal(a_file(functions=[function])).code == "unsupported_version"


class TestOperators:
    def test_other_domains(self, refusal):
        error = refusal(a_file(helper.make_node("Run", ["x"], ["z"], domain="evil", name="\u202enode")))

        assert error.code == "unknown_operator"
        assert "'Run' of 'evil'" in str(error) and "\u202e" not in str(error)

    def test_functions_of_another_name(self, refusal):
        call = helper.make_node("Other", ["x"], ["z"], domain="own")

        assert refusal(a_file(call, functions=[a_function("Own")])).code == "unknown_operator"

    @pytest.mark.parametrize(
        "calls", [{"A": ["A"]}, {"A": ["B"], "B": ["C"], "C": ["A"]}], ids=["self", "ring"]
    )
    def test_recursion_even_where_nothing_calls_it(self, refusal, calls):
        functions = [a_function(name, *called) for name, called in calls.items()]

        assert refusal(a_file(functions=functions)).code == "recursive_function"

    def test_recursion_through_a_graph(self, refusal):
        function = a_function("Own")
        branch = a_graph([helper.make_node("Own", ["x"], ["z"], domain="own")])
        function.node.append(helper.make_node("If", ["a"], ["c"], then_branch=branch))

        assert refusal(a_file(functions=[function])).code == "recursive_function"

    def test_functions_that_double_at_every_call(self, refusal):
        """A kilobyte that comes to 2^40 nodes once the runtime has written its functions out."""
        functions = [a_function(f"F{place}", *[f"F{place + 1}"] * 2) for place in range(40)] + [
            a_function("F40")
        ]
        content = a_file(helper.make_node("F0", ["x"], ["z"], domain="own"), functions=functions)

        assert len(content) < 8_000
        assert refusal(content).code == "too_much"

    @pytest.mark.parametrize("order", [1, -1], ids=["forward", "backward"])
    def test_a_long_chain_of_calls(self, refusal, order):
        functions = [a_function(f"F{place}", f"F{place + 1}") for place in range(70)] + [a_function("F70")]

        assert refusal(a_file(functions=functions[::order])).code == "too_deep"

    def test_a_function_twice(self, refusal):
        assert refusal(a_file(functions=[a_function("Own"), a_function("Own")])).code == "duplicate_name"

    @pytest.mark.parametrize("name", ["y", "long" * 50])
    def test_an_output_twice(self, refusal, name):
        nodes = [helper.make_node("Relu", ["x"], [name], name=place) for place in ("first", "second")]

        error = refusal(a_file(*nodes))

        assert error.code == "duplicate_name"
        assert "node 'second'" in str(error) and f"'{name[:60]}" in str(error)


class TestTensors:
    @pytest.mark.parametrize("dims", [[-1], [-(2**63), -2], [2**41], [2**20, 2**21], [2**62, 4, 0]], ids=str)
    def test_sizes_that_no_memory_holds(self, refusal, dims):
        error = refusal(a_tensor(dims=dims, raw_data=b"1234"))

        assert error.code == "weights_overflow" and "'w'" in str(error)

    @pytest.mark.parametrize("packed", [True, False], ids=["packed", "one-by-one"])
    @pytest.mark.parametrize("long", [65, 1000])
    def test_more_dimensions_than_any_tensor_has(self, refusal, long, packed):
        dims = piece(1, b"\x01" * long) if packed else number(1, 1) * long

        error = refusal(with_raw_graph(piece(5, dims + number(2, 1))))

        assert error.code == "weights_overflow" and "64 dimensions" in str(error)

    @pytest.mark.parametrize("long", [2, 1000])
    def test_packed_sizes_too(self, refusal, long):
        tensor = piece(1, varint(2**40) * long) + number(2, 1)

        assert refusal(with_raw_graph(piece(5, tensor))).code == "weights_overflow"

    @pytest.mark.parametrize(
        "fields",
        [
            {"dims": [2**38]},
            {"dims": [3], "raw_data": b"12345678"},
            {"dims": [1], "raw_data": b"12345678"},
            {"raw_data": b""},
            {"dims": [2], "float_data": [1.0]},
            {"dims": [1], "int32_data": [1]},
            {"dims": [1], "float_data": [1.0], "raw_data": b"1234"},
            {"dims": [1], "float_data": [1.0], "raw_data": b""},
            {"dims": [1], "raw_data": b"1234", "data_type": 0},
            {"dims": [1], "raw_data": b"1234", "data_type": 99},
            {"dims": [1], "raw_data": b"1234", "data_type": TensorProto.STRING},
            {"dims": [3], "raw_data": b"1", "data_type": TensorProto.INT4},
            {"dims": [2], "int64_data": [1, 2, 3], "data_type": TensorProto.INT64},
        ],
        ids=[
            "terabyte", "too-few-bytes", "too-many-bytes", "no-bytes", "too-few-numbers", "other-list", "two-forms",
            "two-forms-one-empty", "no-type", "unknown-type", "raw-strings", "half-bytes", "too-many-numbers",
        ],
    )  # fmt: skip
    def test_other_bytes_than_the_shape_says(self, refusal, fields):
        error = refusal(a_tensor(**fields))

        assert error.code == "weights_mismatch" and "'w'" in str(error)

    def test_a_sparse_tensor_that_would_be_written_out(self, refusal):
        places = numpy_helper.from_array(np.array([0, 1]), "places")
        content = a_file(sparse=[helper.make_sparse_tensor(a_weight(), places, [2**19, 2**20])])

        assert len(content) < 300
        assert refusal(content).code == "too_much"


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            ({"max_file_bytes": 100}, "too_much"),
            ({"max_fields": 20}, "too_much"),
            ({"max_nodes": 2}, "too_much"),
            ({"max_outputs": 2}, "too_much"),
            ({"max_attributes": 2}, "too_much"),
            ({"max_tensors": 1}, "too_much"),
            ({"max_functions": 1}, "too_much"),
            ({"max_operators": 2}, "too_much"),
            ({"max_imports": 2}, "too_much"),
            ({"max_ends": 1}, "too_much"),
            ({"max_plain_bytes": 200}, "too_much"),
            ({"max_text_bytes": 10}, "too_much"),
            ({"max_name_bytes": 5}, "name_too_long"),
            ({"max_depth": 3}, "too_deep"),
        ],
        ids=lambda value: next(iter(value), "") if isinstance(value, dict) else value,
    )
    def test_each_is_kept(self, tmp_path, refusal, limits, code):
        nodes = [
            helper.make_node("Softmax", ["x"], [f"z{place}"], axis=1, name="softmax") for place in range(3)
        ]
        model = a_model(
            nodes, weights=[a_weight("v"), a_weight("w")], functions=[a_function("A"), a_function("B")]
        )
        model.metadata_props.add(key="labels", value="apple,banana,cherry")
        content = model.SerializeToString()
        (tmp_path / "good.onnx").write_bytes(content)

        assert scan_file(tmp_path / "good.onnx")
        assert refusal(content, **limits).code == code

    def test_long_names_are_shown_short(self, refusal):
        model = a_model()
        model.graph.input.append(value("a\x00\n" + "b" * 5000))

        error = refusal(model.SerializeToString())

        assert error.code == "name_too_long"
        assert "\x00" not in str(error) and len(str(error)) < 250

    def test_graphs_as_deep_as_allowed(self, tmp_path):
        path = tmp_path / "model.onnx"
        path.write_bytes(nested(20))

        assert scan_file(path).nodes == 21

    def test_one_deeper(self, refusal):
        assert refusal(nested(21)).code == "too_deep"
