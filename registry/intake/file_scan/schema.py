"""The messages of ONNX files, field by field; a test compares them with the onnx package.

The scan skips types, devices and annotations: they refer to nothing that a runtime would follow.
"""

import re
from collections.abc import Mapping

from registry.intake.file_scan.wire import EIGHT, FOUR, LENGTH, VARINT, FieldSpec, MessageSpec

NAME, BYTES, INT, FLOAT, DOUBLE = "name", "bytes", "int", "float", "double"
PACKED = " packed"
_WIRE = {NAME: LENGTH, BYTES: LENGTH, INT: VARINT, FLOAT: FOUR, DOUBLE: EIGHT}
# Possessive (++), so that a run of a hundred million numbers does not keep a backtracking position for each.
_RUN = {INT: rb"(?:%s[\x80-\xff]{0,9}[\x00-\x7f])++", FLOAT: rb"(?s:%s.{4})++", DOUBLE: rb"(?s:%s.{8})++"}

Fields = Mapping[str, tuple[int, str]]


def _message(
    what: str, *, once: Fields, many: Fields | None = None, runs: Fields | None = None
) -> MessageSpec:
    """`runs` are fields that may repeat millions of times; a run of them is walked in one step."""
    known: dict[int, FieldSpec] = {}
    for place, (name, (number, kind)) in enumerate(once.items()):
        known[number << 3 | _WIRE[kind]] = FieldSpec(name, 1 << place, kind == NAME, None)
    for name, (number, kind) in (many or {}).items():
        known[number << 3 | _WIRE[kind]] = FieldSpec(name, 0, kind == NAME, None)
        if kind == INT:
            known[number << 3 | LENGTH] = FieldSpec(name + PACKED, 0, False, None)
    for name, (number, kind) in (runs or {}).items():
        tag = number << 3 | _WIRE[kind]
        run = re.compile(_RUN[kind] % re.escape(bytes([tag])))
        known[tag] = FieldSpec(name, 0, False, run)
        known[number << 3 | LENGTH] = FieldSpec(name + PACKED, 0, False, None)
    return MessageSpec(what, known)


MODEL = _message(
    "model",
    once={
        "ir_version": (1, INT), "producer_name": (2, NAME), "producer_version": (3, NAME), "domain": (4, NAME),
        "model_version": (5, INT), "doc_string": (6, BYTES), "graph": (7, BYTES),
    },
    many={
        "opset_import": (8, BYTES), "metadata_props": (14, BYTES), "training_info": (20, BYTES),
        "functions": (25, BYTES), "configuration": (26, BYTES),
    },
)  # fmt: skip
OPSET = _message("operator set", once={"domain": (1, NAME), "version": (2, INT)})
ENTRY = _message("metadata entry", once={"key": (1, NAME), "value": (2, BYTES)})
TRAINING = _message(
    "training information",
    once={"initialization": (1, BYTES), "algorithm": (2, BYTES)},
    many={"initialization_binding": (3, BYTES), "update_binding": (4, BYTES)},
)
GRAPH = _message(
    "graph",
    once={"name": (2, NAME), "doc_string": (10, BYTES)},
    many={
        "node": (1, BYTES), "initializer": (5, BYTES), "input": (11, BYTES), "output": (12, BYTES),
        "value_info": (13, BYTES), "quantization_annotation": (14, BYTES), "sparse_initializer": (15, BYTES),
        "metadata_props": (16, BYTES),
    },
)  # fmt: skip
VALUE = _message(
    "value",
    once={"name": (1, NAME), "type": (2, BYTES), "doc_string": (3, BYTES)},
    many={"metadata_props": (4, BYTES)},
)
TYPE = _message(
    "type",
    once={
        "tensor_type": (1, BYTES), "sequence_type": (4, BYTES), "map_type": (5, BYTES), "denotation": (6, BYTES),
        "opaque_type": (7, BYTES), "sparse_tensor_type": (8, BYTES), "optional_type": (9, BYTES),
    },
)  # fmt: skip
TENSOR_TYPE = _message("tensor type", once={"elem_type": (1, INT), "shape": (2, BYTES)})
SHAPE = _message("shape", once={}, many={"dim": (1, BYTES)})
DIMENSION = _message(
    "dimension", once={"dim_value": (1, INT), "dim_param": (2, NAME), "denotation": (3, BYTES)}
)
NODE = _message(
    "node",
    once={
        "name": (3, NAME), "op_type": (4, NAME), "doc_string": (6, BYTES), "domain": (7, NAME),
        "overload": (8, NAME),
    },
    many={
        "input": (1, NAME), "output": (2, NAME), "attribute": (5, BYTES), "metadata_props": (9, BYTES),
        "device_configurations": (10, BYTES),
    },
)  # fmt: skip
ATTRIBUTE = _message(
    "attribute",
    once={
        "name": (1, NAME), "f": (2, FLOAT), "i": (3, INT), "s": (4, BYTES), "t": (5, BYTES), "g": (6, BYTES),
        "doc_string": (13, BYTES), "tp": (14, BYTES), "type": (20, INT), "ref_attr_name": (21, NAME),
        "sparse_tensor": (22, BYTES),
    },
    many={
        "strings": (9, BYTES), "tensors": (10, BYTES), "graphs": (11, BYTES), "type_protos": (15, BYTES),
        "sparse_tensors": (23, BYTES),
    },
    runs={"floats": (7, FLOAT), "ints": (8, INT)},
)  # fmt: skip
TENSOR = _message(
    "tensor",
    once={
        "data_type": (2, INT), "segment": (3, BYTES), "name": (8, NAME), "raw_data": (9, BYTES),
        "doc_string": (12, BYTES), "data_location": (14, INT),
    },
    many={
        "dims": (1, INT), "string_data": (6, BYTES), "external_data": (13, BYTES), "metadata_props": (16, BYTES),
    },
    runs={
        "float_data": (4, FLOAT), "int32_data": (5, INT), "int64_data": (7, INT), "double_data": (10, DOUBLE),
        "uint64_data": (11, INT),
    },
)  # fmt: skip
SPARSE = _message(
    "sparse tensor", once={"values": (1, BYTES), "indices": (2, BYTES)}, many={"dims": (3, INT)}
)
FUNCTION = _message(
    "function",
    once={"name": (1, NAME), "doc_string": (8, BYTES), "domain": (10, NAME), "overload": (13, NAME)},
    many={
        "input": (4, NAME), "output": (5, NAME), "attribute": (6, NAME), "node": (7, BYTES),
        "opset_import": (9, BYTES), "attribute_proto": (11, BYTES), "value_info": (12, BYTES),
        "metadata_props": (14, BYTES),
    },
)  # fmt: skip
