"""Classifiers as converters of scikit-learn write them: a label, and a list of maps made by a ZipMap."""

from onnx import ModelProto, TensorProto, helper

from tests.support.onnx_models import value


def a_classifier(labels: list) -> ModelProto:
    """Gives the label of the larger of two columns, and the softmax of both, with one name for each."""
    key = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    key_type = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(key_type, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    nodes = [
        helper.make_node("Add", ["x", "bias"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["raw"], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["probabilities"], ["output_probability"], domain="ai.onnx.ml", **{key: labels}),
    ]  # fmt: skip
    outputs = [
        value("label", ["rows"], TensorProto.INT64),
        helper.make_value_info("output_probability", maps),
    ]
    bias = helper.make_tensor("bias", TensorProto.FLOAT, [2], b"\0" * 8, raw=True)
    return helper.make_model(
        helper.make_graph(nodes, "classifier", [value("x", ["rows", 2])], outputs, [bias]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
