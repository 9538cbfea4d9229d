"""Models made for serving pass the scan, which returns what they contain."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from registry.intake.file_scan import scan_file
from tests.support import onnx_models
from tests.support.processes import ROOT
from tests.unit.registry.intake.onnx_bytes import a_file, a_function, a_graph, a_weight

EXAMPLES = sorted((ROOT / "examples").glob("*/model.onnx"))
DATA_TYPES = sorted(
    set(TensorProto.DataType.values())
    - {TensorProto.UNDEFINED, TensorProto.STRING}
    - {27, 28}  # IR version 14
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def checked(path, content):
    path.write_bytes(content)
    return scan_file(path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example(example):
    assert scan_file(example).nodes > 0


@pytest.mark.parametrize("datatype", onnx_models.ELEMENT_TYPES)
def test_every_type_of_input(path, datatype):
    assert scan_file(onnx_models.identity(path, datatype)).domains == ("ai.onnx",)


def test_facts_are_the_files_own(path):
    call = helper.make_node("Own", ["x"], ["z"], domain="own")

    facts = checked(
        path,
        a_file(
            call,
            weights=[a_weight(values=[1.0] * 8)],
            functions=[a_function("Own")],
            opsets=[("", 17), ("ai.onnx.ml", 3), ("own", 1)],
            producer_name="exporter",
            producer_version="1.2",
        ),
    )

    assert (facts.ir_version, facts.producer) == (10, "exporter 1.2")
    assert facts.opsets == {"ai.onnx": 17, "ai.onnx.ml": 3, "own": 1}
    assert (facts.nodes, facts.initializers, facts.initializer_bytes) == (3, 1, 32)
    assert (facts.inputs, facts.outputs, facts.domains) == (("x",), ("y",), ("ai.onnx", "own"))


@pytest.mark.parametrize("data_type", DATA_TYPES, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 3)], ids=str)
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "numbers"])
def test_a_tensor_as_the_onnx_library_writes_it(path, data_type, shape, raw):
    values = np.ones(shape, helper.tensor_dtype_to_np_dtype(data_type))
    numbers = helper.make_tensor("w", data_type, shape, values.flatten())
    tensor = numpy_helper.from_array(values, "w") if raw else numbers

    assert checked(path, a_file(weights=[tensor])).initializers == 1


def test_strings_are_counted(path):
    assert checked(path, a_file(weights=[helper.make_tensor("w", TensorProto.STRING, [2], ["a", "b"])]))


def test_sparse_weights(path):
    values, places = a_weight("w", [1.0, 2.0]), numpy_helper.from_array(np.array([0, 5]), "places")

    facts = checked(path, a_file(sparse=[helper.make_sparse_tensor(values, places, [2, 3])]))

    assert (facts.initializers, facts.initializer_bytes) == (1, 24)


def test_long_lists_in_attributes_take_one_step(path):
    """A forest of trees is such a node; its lists come number by number, each with its tag."""
    size = 300_000
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["z"], domain="ai.onnx.ml", nodes_values=[1.5] * size,
        nodes_nodeids=range(size),
    )  # fmt: skip

    assert checked(path, a_file(node, opsets=[("", 17), ("ai.onnx.ml", 3)])).nodes == 2


def test_domains_that_nobody_uses_are_imported_freely(path):
    """The runtime writes all of its own into what it saves."""
    assert checked(path, a_file(opsets=[("", 17), ("com.microsoft.nchwc", 1), ("ai.onnx.training", 1)]))


def test_outputs_that_are_left_out_share_no_name(path):
    dropped = [helper.make_node("Dropout", ["x"], [f"z{place}", ""]) for place in range(2)]

    assert checked(path, a_file(*dropped)).nodes == 3


def test_a_name_may_be_used_again_in_another_graph(path):
    branch = a_graph(name="branch")

    assert checked(path, a_file(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch)))
