"""A detector as Ultralytics exports it: one input, boxes in the layout of YOLOv8, and metadata that say so."""

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from tests.support.onnx_models import value

SIDE, BOXES = 64, 84  # three grids of 8 × 8, 4 × 4 and 2 × 2 cells
LABELS = ["circle", "square"]
# Each value as the package writes it: `str()` of an object.
METADATA = {
    "author": "Ultralytics",
    "task": "detect",
    "head": "Detect",
    "stride": "32",
    "batch": "1",
    "imgsz": f"[{SIDE}, {SIDE}]",
    "names": str(dict(enumerate(LABELS))),
    "end2end": "False",
    "args": "{'batch': 1, 'nms': False}",
}


def yolo_export(metadata: dict[str, str] = METADATA) -> ModelProto:
    """One box is found in any picture."""
    rows = 4 + len(LABELS)
    boxes = np.zeros((rows, BOXES), np.float32)
    boxes[:4] = np.array([[32], [32], [20], [10]])
    boxes[4:] = -4
    boxes[4, 0] = 4
    weights = [
        numpy_helper.from_array(np.full((3, rows * BOXES), 0.01, np.float32), "weights"),
        numpy_helper.from_array(boxes.reshape(-1), "bias"),
        numpy_helper.from_array(np.array([1, rows, BOXES]), "shape"),
        numpy_helper.from_array(np.array([4, len(LABELS)]), "parts"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "weights", "bias"], ["numbers"]),
        helper.make_node("Reshape", ["numbers", "shape"], ["grid"]),
        helper.make_node("Split", ["grid", "parts"], ["corners", "logits"], axis=1),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["corners", "scores"], ["output0"], axis=1),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes, "detector", [value("images", [1, 3, SIDE, SIDE])], [value("output0", [1, rows, BOXES])], weights
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )  # fmt: skip
    helper.set_model_props(model, metadata)
    return model
