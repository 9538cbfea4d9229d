"""Thousands of broken files: the scan accepts or refuses, at once, and what it accepts it has understood."""

import time
import tracemalloc

import pytest
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from registry.intake.file_scan import FileFacts, scan_file
from registry.intake.file_scan.errors import FileRefused
from tests.support import onnx_models
from tests.support.processes import ROOT
from tests.unit.registry.intake.file_scan.mutants import everything, mutants

SEED = 20_261_121
SLOWEST_S = 0.5  # for a kilobyte
MOST_BYTES = 8 << 20
GOOD = {
    "example": lambda folder: (ROOT / "examples" / "demand" / "model.onnx").read_bytes(),
    "loop": lambda folder: onnx_models.endless(folder / "loop.onnx").read_bytes(),
    "everything": lambda folder: everything(),
}


def graphs_in(model):
    """All graphs of a parsed model, found another way than the scan's."""
    todo = [
        model.graph,
        *(graph for info in model.training_info for graph in (info.initialization, info.algorithm)),
    ]
    todo += list(model.functions)
    while todo:
        graph = todo.pop()
        yield graph
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        attributes += list(getattr(graph, "attribute_proto", ()))
        for attribute in attributes:
            todo += [attribute.g, *attribute.graphs] if attribute.HasField("g") else list(attribute.graphs)


def tensors_in(model):
    for graph in graphs_in(model):
        yield from getattr(graph, "initializer", ())
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        attributes += list(getattr(graph, "attribute_proto", ()))
        sparse = list(getattr(graph, "sparse_initializer", ()))
        for attribute in attributes:
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
        for each in sparse:
            yield from (each.values, each.indices)


def check_agrees(content, facts):
    """Compare what the scan found with what protobuf reads from the same bytes."""
    try:
        model = ModelProto.FromString(content)
    except DecodeError:  # it looks into what the scan steps over, and the runtime does as well
        return
    assert facts.ir_version == model.ir_version
    assert facts.nodes == sum(len(graph.node) for graph in graphs_in(model))
    assert len(facts.inputs) == len(model.graph.input)
    for tensor in tensors_in(model):
        assert tensor.data_location == TensorProto.DEFAULT and not tensor.external_data
        assert all(0 <= size <= 2**40 for size in tensor.dims)


def survivors(folder, good, number):
    """Scan mutants; return how many it accepted."""
    path, accepted = folder / "mutant.onnx", 0
    for content in mutants(good, number, SEED):
        path.write_bytes(content)
        started = time.thread_time()  # of this thread: neighbours change nothing of it
        try:
            facts = scan_file(path)
        except FileRefused as error:
            assert error.code and str(error).endswith(".")
        else:
            accepted += 1
            assert isinstance(facts, FileFacts)
            check_agrees(content, facts)
        assert time.thread_time() - started < SLOWEST_S
    return accepted


@pytest.mark.parametrize("name", GOOD)
def test_two_thousand(tmp_path, name):
    good = GOOD[name](tmp_path)
    (tmp_path / "good.onnx").write_bytes(good)
    assert scan_file(tmp_path / "good.onnx")

    assert 0 < survivors(tmp_path, good, 667) < 667


@pytest.mark.long
@pytest.mark.parametrize("name", GOOD)
def test_twenty_thousand(tmp_path, name):
    assert 0 < survivors(tmp_path, GOOD[name](tmp_path), 6_667) < 6_667


def test_they_take_no_memory(tmp_path):
    good, path = everything(), tmp_path / "mutant.onnx"
    tracemalloc.start()
    try:
        for content in mutants(good, 200, SEED + 1):
            path.write_bytes(content)
            try:
                scan_file(path)
            except FileRefused:
                continue
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
