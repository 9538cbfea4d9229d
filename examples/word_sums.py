"""Models that add up weights of a text's words. A word has other weights where a marker comes shortly before it."""

import numpy as np
from onnx import TensorProto, helper
from saving import constant, exact, floats, integers, whole

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def columns(sentence, markers, count, *, reach):
    """The number of each word's weights: other ones, `count` further, if one of the `reach` words before it is a marker."""
    for place, word in enumerate(sentence):
        yield word + count * bool(markers.intersection(sentence[max(0, place - reach) : place]))


def graph_of_sums(name, is_marker, weight, bias, *, reach):
    """The graph of such a model. `weight` has rows for all words, then for all words after a marker."""
    node = helper.make_node
    return helper.make_graph(
        [
            node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            node("Gather", ["is_marker", "input_ids"], ["markers"]),
            node("Mul", ["markers", "mask"], ["real_markers"]),
            node("Unsqueeze", ["real_markers", "one"], ["as_channel"]),
            node("Conv", ["as_channel", "words_before"], ["counted"], pads=[reach, 0]),
            node("Squeeze", ["counted", "one"], ["markers_before"]),
            node("Greater", ["markers_before", "none"], ["marked"]),
            node("Cast", ["marked"], ["is_marked"], to=TensorProto.INT64),
            node("Mul", ["is_marked", "count"], ["shift"]),
            node("Add", ["input_ids", "shift"], ["columns"]),
            node("Gather", ["weight", "columns"], ["weights"]),
            node("Unsqueeze", ["mask", "two"], ["wide_mask"]),
            node("Mul", ["weights", "wide_mask"], ["real_weights"]),
            node("ReduceSum", ["real_weights", "one"], ["sums"], keepdims=0),
            node("Add", ["sums", "bias"], ["logits"]),
        ],
        name,
        [integers("input_ids", "rows", "tokens"), integers("attention_mask", "rows", "tokens")],
        [floats("logits", "rows", len(bias))],
        [
            constant("is_marker", np.asarray(is_marker, float)),
            exact("weight", weight),
            exact("bias", bias),
            constant("words_before", [[[1.0] * reach + [0.0]]]),
            constant("none", 0.0),
            whole("count", len(is_marker)),
            whole("one", [1]),
            whole("two", [2]),
        ],
    )
