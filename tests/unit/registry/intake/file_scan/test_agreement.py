"""The scan's tables agree with onnx and the installed runtime; an upgrade of either is noticed here."""

from operator import attrgetter

import onnx
import onnxruntime
import pytest

from registry.intake.file_scan import ScanLimits, schema
from registry.intake.file_scan.wire import EIGHT, FOUR, LENGTH, VARINT
from tests.unit.registry.intake.onnx_bytes import a_file

LIMITS = ScanLimits()
MESSAGES = {
    "ModelProto": schema.MODEL,
    "OperatorSetIdProto": schema.OPSET,
    "StringStringEntryProto": schema.ENTRY,
    "TrainingInfoProto": schema.TRAINING,
    "GraphProto": schema.GRAPH,
    "ValueInfoProto": schema.VALUE,
    "TypeProto": schema.TYPE,
    "TypeProto.Tensor": schema.TENSOR_TYPE,
    "TensorShapeProto": schema.SHAPE,
    "TensorShapeProto.Dimension": schema.DIMENSION,
    "NodeProto": schema.NODE,
    "AttributeProto": schema.ATTRIBUTE,
    "TensorProto": schema.TENSOR,
    "SparseTensorProto": schema.SPARSE,
    "FunctionProto": schema.FUNCTION,
}
WIRE = {1: EIGHT, 2: FOUR, 3: VARINT, 4: VARINT, 5: VARINT, 9: LENGTH, 11: LENGTH, 12: LENGTH, 14: VARINT}


@pytest.mark.parametrize("name", MESSAGES)
def test_every_field_is_known_as_onnx_knows_it(name):
    expected = {}
    for field in attrgetter(name)(onnx).DESCRIPTOR.fields:
        wire = WIRE[field.type]
        expected[field.number << 3 | wire] = (field.name, field.is_repeated)
        if field.is_repeated and wire != LENGTH:
            expected[field.number << 3 | LENGTH] = (field.name + schema.PACKED, True)

    assert {tag: (known.name, not known.once) for tag, known in MESSAGES[name].known.items()} == expected


@pytest.mark.parametrize("name", MESSAGES)
def test_what_may_come_once_has_a_bit_of_its_own(name):
    bits = [known.once for known in MESSAGES[name].known.values() if known.once]

    assert len(set(bits)) == len(bits)


def loads(**more):
    onnxruntime.set_default_logger_severity(4)
    try:
        onnxruntime.InferenceSession(a_file(**more))
    except Exception:  # noqa: BLE001  the binding's own classes
        return False
    return True


def test_ir_versions_are_the_runtimes():
    assert loads(ir_version=LIMITS.max_ir_version)
    assert not loads(ir_version=LIMITS.max_ir_version + 1)


@pytest.mark.parametrize("domain", LIMITS.opsets)
def test_operator_sets_are_the_runtimes(domain):
    def with_version(version):
        return [("" if domain == "ai.onnx" else domain, version)] + [("", 17)] * (domain != "ai.onnx")

    assert loads(opsets=with_version(LIMITS.opsets[domain]))
    assert not loads(opsets=with_version(LIMITS.opsets[domain] + 1))
