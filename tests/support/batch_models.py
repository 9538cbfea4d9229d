"""Small ONNX files, built on the spot: 40 whose rows influence each other, and 20 whose rows do not."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from onnx import GraphProto, helper, numpy_helper

F, F16, F64, I64 = np.float32, np.float16, np.float64, np.int64
BOOL, TEXT = np.bool_, np.object_
FIRST = -(1 << 31)  # a Slice with a negative step ends before row 0

Draw = Callable[[Generator, int], dict[str, np.ndarray]]
Ends = Mapping[str, tuple[Any, tuple | None]]  # name -> element type and shape


@dataclass(frozen=True)
class BatchModel:
    """`inputs` draws rows as its callers would send them."""

    name: str
    build: Callable[[], bytes]
    inputs: Draw
    sometimes: bool = False  # rows mix in some batches only; `note` says in which
    note: str = ""


class Graph:
    """Calling it adds a node; whatever is not the name of a value becomes a weight."""

    def __init__(self, numbers=None):
        self._numbers = numbers or itertools.count()  # shared with subgraphs: names must differ there too
        self._nodes, self._weights = [], []

    def __call__(self, kind, *args, outputs=1, domain="", **attributes):
        """Add a node; return the name of its output, or a list where there are several."""
        made = [self.new_name() for _ in range(outputs)]
        given = [arg if isinstance(arg, str) else self._weight(arg) for arg in args]
        self._nodes.append(helper.make_node(kind, given, made, domain=domain, **attributes))
        return made[0] if outputs == 1 else made

    def new_name(self):
        return f"v{next(self._numbers)}"

    def subgraph(self, body, takes=(), gives=(F,)) -> GraphProto:
        """Make the graph of an If, Loop or Scan; it may use the names of the graph around it."""
        inside = Graph(self._numbers)
        names = [self.new_name() for _ in takes]
        results = _listed(body(inside, *names))
        return inside.finish(
            dict(zip(names, takes, strict=True)),
            {self.new_name(): (dtype, None) for dtype in gives},
            results,
        )

    def choose(self, condition, then, otherwise, dtype=F):
        branches = {"then_branch": then, "else_branch": otherwise}
        made = {name: self.subgraph(body, gives=(dtype,)) for name, body in branches.items()}
        return self("If", condition, **made)

    def finish(self, takes: Ends, gives: Ends, results) -> GraphProto:
        for result, name in zip(results, gives, strict=True):
            self._nodes.append(helper.make_node("Identity", [result], [name]))
        return helper.make_graph(self._nodes, "graph", _infos(takes), _infos(gives), self._weights)

    def _weight(self, value):
        array = np.asarray(value, F if type(value) is float else None)
        self._weights.append(numpy_helper.from_array(array, name := self.new_name()))
        return name


def _infos(ends: Ends):
    return [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        for name, (dtype, shape) in ends.items()
    ]


def _listed(result):
    return result if isinstance(result, list) else [result]


def _file(body, takes: Ends, gives: Ends) -> bytes:
    graph = Graph()
    return as_file(graph.finish(takes, gives, _listed(body(graph, *takes))))


def as_file(made: GraphProto) -> bytes:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString()


def _rows(*others, of=F):
    return of, ("rows", *others)


def _weights(*shape, seed=0):
    values = np.random.default_rng([seed, *shape]).normal(size=shape)
    return (values / np.sqrt(shape[-2] if len(shape) > 1 else 4)).astype(F)


def _normal(*shape, mean=0.0, scale=1.0, dtype=F) -> Draw:
    """Draw normal values; the inputs of most models."""
    return lambda rng, rows: {"x": rng.normal(mean, scale, (rows, *shape)).astype(dtype)}


def _model(name, body, *, takes=None, gives=None, inputs=None, **more) -> BatchModel:
    takes = takes or {"x": _rows(8)}
    inputs = inputs or _normal(*takes["x"][1][1:])
    return BatchModel(name, partial(_file, body, takes, gives or {"y": _rows(8)}), inputs, **more)


# Parts of several models


def _count(g, x):
    return g("Shape", x, start=0, end=1)


def _largest(g, x):
    return g("ReduceMax", g("Abs", x), keepdims=0)


def _mean(g, x):
    return g("ReduceMean", x, [0])


def _along_rows(g, kind, x, *weights, **attributes):
    """Use an operator for one-dimensional signals, with the rows as its points in time."""
    signal = g("Unsqueeze", g("Transpose", x), [0])
    return g("Transpose", g("Squeeze", g(kind, signal, *weights, **attributes), [0]))


def _recurrent(g, kind, x, inputs=8, hidden=8, outputs=2, **attributes):
    """Add an RNN, GRU or LSTM over the first axis of `x`."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind] * hidden
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    weights = [np.swapaxes(_weights(directions, size, gates), 1, 2) for size in (inputs, hidden)]
    return g(kind, x, *weights, hidden_size=hidden, outputs=outputs, **attributes)


def _time_major(g, x, kind, inputs=8, **attributes):
    """Give every step's output, with directions side by side."""
    steps = g("Transpose", _recurrent(g, kind, x, inputs, **attributes)[0], perm=[0, 2, 1, 3])
    return g("Reshape", steps, [0, 0, -1])


# Models whose rows always mix


def _centred(g, x):
    return g("Sub", x, _mean(g, x))


def _batch_statistics(g, x):
    centred = _centred(g, x)
    variance = _mean(g, g("Mul", centred, centred))
    return g("Div", centred, g("Sqrt", g("Add", variance, 1e-5)))


def _min_max_scaled(g, x):
    low, high = g("ReduceMin", x, [0]), g("ReduceMax", x, [0])
    return g("Div", g("Sub", x, low), g("Add", g("Sub", high, low), 1e-3))


def _rolled(g, x):
    return g("Concat", g("Slice", x, [1], [1 << 31], [0]), g("Slice", x, [0], [1], [0]), axis=0)


def _gram(g, x):
    return g("MatMul", x, g("Transpose", x))


def _attention_across_rows(g, x):
    return g("MatMul", g("Softmax", g("Mul", _gram(g, x), 0.35)), x)


def _rank(g, x):
    score = g("MatMul", x, _weights(8, 1))
    is_better = g("Greater", g("Transpose", score), score)  # the row's own place in the second axis
    return g("ReduceSum", g("Cast", is_better, to=7), [1], keepdims=0)


def _previous_subtracted(g, x):
    before = g("Pad", g("Slice", x, [0], [-1], [0]), [1, 0, 0, 0])
    return g("Sub", x, before)


def _distances(g, x):
    apart = g("Sub", g("Unsqueeze", x, [1]), g("Unsqueeze", x, [0]))
    return g("ReduceSum", g("Mul", apart, apart), [2], keepdims=0)


def _nearest_other(g, x):
    distances = _distances(g, x)
    others = g("Add", distances, g("Mul", g("EyeLike", distances), 1e9))
    return g("Gather", x, g("ArgMin", others, axis=1, keepdims=0))


def _kept_boxes(g, boxes, scores):
    chosen = g(
        "NonMaxSuppression",
        g("Unsqueeze", boxes, [0]),
        g("Unsqueeze", scores, [0, 1]),
        np.array([12]),
        np.array([0.3], F),
    )
    places = g("Slice", chosen, [2], [3], [1])
    none = g("ConstantOfShape", g("Shape", scores), value=numpy_helper.from_array(np.zeros(1, I64)))
    return g("ScatterND", none, places, g("Add", g("Squeeze", g("Mul", places, [0]), [1]), [1]))


def _some_boxes(rng, rows):
    corner, size = rng.uniform(0, 60, (rows, 2)), rng.uniform(20, 40, (rows, 2))
    return {"x": np.hstack([corner, corner + size]).astype(F), "scores": rng.uniform(0, 1, rows).astype(F)}


def _dynamic_int8(g, x):
    weight = (_weights(8, 8) * 100).astype(np.int8)
    whole, scale, zero = g("DynamicQuantizeLinear", x, outputs=3)
    product = g("Cast", g("MatMulInteger", whole, weight, zero), to=1)
    return g("Mul", product, g("Mul", scale, 0.01))


def _int8_by_hand(g, x):
    scale = g("Div", _largest(g, x), 127.0)
    whole = g("Cast", g("Round", g("Div", x, scale)), to=3)
    return g("MatMul", g("Mul", g("Cast", whole, to=1), scale), _weights(8, 8))


def _loop(g, x):
    def body(inside, step, go_on, state):
        state = inside("Add", inside("Mul", state, 0.5), inside("Gather", x, step))
        return [go_on, state, state]

    takes = ((I64, ()), (BOOL, ()), (F, (8,)))
    body = g.subgraph(body, takes, (BOOL, F, F))
    steps = g("Squeeze", _count(g, x), [0])
    return g("Loop", steps, np.array(True), np.zeros(8, F), body=body, outputs=2)[1]


def _scan(g, x):
    def body(inside, state, row):
        state = inside("Tanh", inside("Add", state, row))
        return [state, inside("Add", state, row)]

    body = g.subgraph(body, ((F, (8,)), (F, (8,))), (F, F))
    return g("Scan", np.zeros(8, F), x, body=body, num_scan_inputs=1, outputs=2)[1]


def _by_sum_of_batch(g, x):
    is_positive = g("Greater", g("ReduceSum", x, keepdims=0), 0.0)
    return g.choose(is_positive, lambda b: b("Mul", x, 2.0), lambda b: b("Mul", x, 0.5))


ALWAYS = (
    _model("softmax_over_rows", lambda g, x: g("Softmax", x, axis=0)),
    _model("log_softmax_over_rows", lambda g, x: g("LogSoftmax", x, axis=0)),
    _model("mean_of_rows_subtracted", _centred),
    _model("batch_statistics", _batch_statistics, note="batch norm that was exported in training mode"),
    _model("divided_by_max_of_rows", lambda g, x: g("Div", x, g("ReduceMax", g("Abs", x), [0]))),
    _model("min_max_scaled", _min_max_scaled),
    _model("cumulative_sum", lambda g, x: g("CumSum", x, 0), note="a row sees only the rows before it"),
    _model(
        "cumulative_sum_reverse",
        lambda g, x: g("CumSum", x, 0, reverse=1),
        note="a row sees only the rows after it",
    ),
    _model(
        "reverse_sequence",
        lambda g, x: g("ReverseSequence", x, g("Expand", _count(g, x), [8]), time_axis=0, batch_axis=1),
        note="the middle row of an odd number stays",
    ),
    _model("rolled", _rolled),
    _model("gram_matrix", _gram, gives={"y": _rows("rows")}, note="N×N answers"),
    _model("attention_across_rows", _attention_across_rows),
    _model(
        "divided_by_count",
        lambda g, x: g("Div", x, g("Cast", _count(g, x), to=1)),
        note="what the neighbours hold does not matter, only how many there are",
    ),
    _model("sorted_columns", lambda g, x: g("TopK", x, _count(g, x), axis=0, outputs=2)[0]),
    _model(
        "argmax_over_rows",
        lambda g, x: g("ArgMax", x, axis=0, keepdims=0),
        gives={"y": (I64, (8,))},
        note="8 numbers whatever N is, which at N = 8 look like rows",
    ),
    _model("rank_in_batch", _rank, gives={"y": _rows(of=I64)}),
    _model(
        "time_major_rnn",
        partial(_time_major, kind="RNN", inputs=4),
        takes={"x": _rows(2, 4)},
        gives={"y": _rows(2, 8)},
    ),
    _model(
        "time_major_lstm",
        partial(_time_major, kind="LSTM", inputs=4),
        takes={"x": _rows(2, 4)},
        gives={"y": _rows(2, 8)},
    ),
    _model(
        "time_major_gru_last_state",
        lambda g, x: g("Squeeze", _recurrent(g, "GRU", g("Unsqueeze", x, [1]))[1], [0]),
        gives={"y": (F, (1, 8))},
        note="one row whatever N is",
    ),
    _model(
        "time_major_bidirectional_lstm",
        partial(_time_major, kind="LSTM", inputs=4, direction="bidirectional"),
        takes={"x": _rows(2, 4)},
        gives={"y": _rows(2, 16)},
    ),
    _model(
        "convolution_over_rows",
        lambda g, x: _along_rows(g, "Conv", x, _weights(8, 8, 3), pads=[1, 1]),
        note="only the nearest rows matter",
    ),
    _model("previous_row_subtracted", _previous_subtracted),
    _model("nearest_other_row", _nearest_other),
    _model(
        "non_max_suppression",
        _kept_boxes,
        takes={"x": _rows(4), "scores": _rows()},
        gives={"y": _rows(of=I64)},
        inputs=_some_boxes,
        note="boxes of the whole batch suppress each other, and 12 stay at most",
    ),
    _model("dynamic_int8", _dynamic_int8, note="one scale for the whole batch"),
    _model("int8_by_hand", _int8_by_hand, note="one scale for the whole batch"),
    _model("einsum_across_rows", lambda g, x: g("Einsum", x, x, x, equation="nd,md,me->ne")),
    _model("loop_with_state", _loop),
    _model("scan_with_state", _scan),
    _model("if_on_sum_of_batch", _by_sum_of_batch, note="which way a row goes is decided by all"),
)


# Models whose rows mix in some batches only


def _some_rows(rng, rows, share=0.01):
    return rng.random(rows) < share


def _exclusive_sum_added(g, x):
    return g("Add", x, g("CumSum", x, 0, exclusive=1))


def _mean_added(g, x):
    return g("Add", x, _mean(g, x))


def _divided_by_norm(g, x):
    return g("Div", x, g("ReduceL2", x, keepdims=0))


def _smoothed(g, x):
    return _along_rows(g, "AveragePool", x, kernel_shape=[3], pads=[1, 1])


def _if(condition, effect):
    """Give a model that shows the effect where the condition holds, and otherwise each row by itself."""
    return lambda g, x: g.choose(condition(g, x), lambda b: effect(b, x), lambda b: x)


def _is_even(g, x):
    return g("Equal", g("Mod", _count(g, x), [2]), [0])


def _is_between(g, value, low, high):
    return g("And", g("GreaterOrEqual", value, low), g("LessOrEqual", value, high))


def _any(g, flags):
    return g("Cast", g("ReduceMax", g("Cast", flags, to=7), keepdims=0), to=9)


def _has_value_in_band(g, x):
    return _any(g, g("And", g("Greater", x, 0.90), g("Less", x, 0.95)))


def _has_zero_row(g, x):
    return _any(g, g("Equal", g("ReduceMax", g("Abs", x), [1]), 0.0))


def _with_large_values(rng, rows):
    x = rng.normal(0, 8, (rows, 8))
    large = _some_rows(rng, rows)
    x[large, 0] = rng.uniform(40, 60, large.sum())
    return {"x": np.clip(x, -60, 60).astype(F)}


def _with_zero_rows(rng, rows):
    return {"x": (rng.normal(size=(rows, 8)) * ~_some_rows(rng, rows)[:, None]).astype(F)}


def _with_equal_rows(rng, rows):
    x = rng.normal(size=(rows, 8))
    copies = _some_rows(rng, rows)
    x[copies] = x[rng.integers(0, rows, copies.sum())]
    return {"x": x.astype(F)}


def _mean_over_longest(g, x, mask):
    longest = g("ReduceMax", g("ReduceSum", mask, [1], keepdims=0), keepdims=0)
    visible = g("Mul", x, g("Unsqueeze", g("Cast", mask, to=1), [2]))
    cut = g("Slice", visible, [0], g("Unsqueeze", longest, [0]), [1])
    return g("ReduceMean", cut, [1], keepdims=0)


def _with_padding(rng, rows):
    lengths = np.where(_some_rows(rng, rows), rng.integers(2, 10, rows), 10)
    x = rng.normal(size=(rows, 10, 4)).astype(F)
    return {"x": x, "mask": (np.arange(10) < lengths[:, None]).astype(I64)}


def _best_of_batch(g, x):
    """Keep the four best scores where a new item is among those that are scored."""
    score = g("ReduceMean", g("Gather", _weights(2000), x), [1], keepdims=0)
    fourth = g("ReduceMin", g("TopK", score, g("Min", _count(g, x), [4]), outputs=2)[0])
    best = g("Mul", score, g("Cast", g("GreaterOrEqual", score, fourth), to=1))
    return g.choose(_any(g, g("Greater", x, 1500)), lambda b: best, lambda b: score)


def _with_new_items(rng, rows):
    ids = rng.integers(0, 1500, (rows, 6))
    return {"x": np.where(_some_rows(rng, rows)[:, None], ids + 500, ids)}


def _divided_by_copies(g, x):
    is_equal = g("Cast", g("Equal", _distances(g, x), 0.0), to=1)
    return g("Div", x, g("ReduceSum", is_equal, [1]))


def _last_row_replaced(g, x):
    return g("Concat", g("Slice", x, [0], [-1], [0]), _mean(g, x), axis=0)


_sometimes = partial(_model, sometimes=True)
SOMETIMES = (
    _sometimes(
        "from_33_rows",
        _if(lambda g, x: g("GreaterOrEqual", _count(g, x), [33]), _exclusive_sum_added),
        note="from 33 rows",
    ),
    _sometimes(
        "even_rows_reversed",
        _if(_is_even, lambda g, x: g("Slice", x, [-1], [FIRST], [0], [-1])),
        note="when N is even",
    ),
    _sometimes(
        "large_values",
        _if(lambda g, x: g("Greater", _largest(g, x), 40.0), _divided_by_norm),
        inputs=_with_large_values,
        note="where some |x| is above 40",
    ),
    _sometimes(
        "values_in_band",
        _if(_has_value_in_band, _mean_added),
        inputs=_normal(8, scale=0.33),
        note="where some value lies between 0.90 and 0.95",
    ),
    _sometimes(
        "zero_row",
        _if(_has_zero_row, _smoothed),
        inputs=_with_zero_rows,
        note="where some row is entirely zero",
    ),
    _sometimes(
        "padded_to_longest",
        _mean_over_longest,
        takes={"x": _rows(10, 4), "mask": _rows(10, of=I64)},
        gives={"y": _rows(4)},
        inputs=_with_padding,
        note="where some mask holds a zero; only the padded rows change",
    ),
    _sometimes(
        "new_items",
        _best_of_batch,
        takes={"x": _rows(6, of=I64)},
        gives={"y": _rows()},
        inputs=_with_new_items,
        note="where some id is above 1500; ids from 2000 are out of range",
    ),
    _sometimes(
        "from_20_to_40_rows",
        _if(
            lambda g, x: _is_between(g, _count(g, x), [20], [40]),
            lambda g, x: g("Mul", x, g("Cast", _count(g, x), to=1)),
        ),
        note="from 20 to 40 rows; what the neighbours hold does not matter",
    ),
    _sometimes(
        "equal_rows",
        _divided_by_copies,
        inputs=_with_equal_rows,
        note="where two rows are equal; only those change",
    ),
    _sometimes("last_row", _last_row_replaced, note="in the last row only"),
)

MIXING = ALWAYS + SOMETIMES


# Models whose rows do not mix


def _dense(g, x, *sizes, activation="Relu", dtype=F):
    """Add dense layers; all but the last have the activation."""
    for place, (before, after) in enumerate(itertools.pairwise(sizes)):
        if place:
            x = g(activation, x)
        weight, bias = _weights(before, after, seed=place), _weights(after, seed=place)
        x = g("Add", g("MatMul", x, weight.astype(dtype)), bias.astype(dtype))
    return x


def _wide(g, x):
    return g("Tanh", _dense(g, g("Tanh", _dense(g, x, 64, 256)), 256, 128, 10, activation="Gelu"))


def _convolution(g, x):
    x = g("Conv", x, _weights(8, 3, 3, 3), _weights(8), pads=[1, 1, 1, 1])
    scale, bias, mean, variance = (_weights(8, seed=seed) for seed in range(1, 5))
    x = g("BatchNormalization", x, scale, bias, mean, np.abs(variance) + 0.5)
    x = g("Conv", g("Relu", x), _weights(16, 8, 3, 3), strides=[2, 2])
    return _dense(g, g("Flatten", g("Relu", x)), 400, 5)


def _depthwise(g, x):
    x = g("Conv", x, _weights(8, 1, 3, 3), group=8, pads=[1, 1, 1, 1])
    x = g("MaxPool", g("Clip", x, 0.0, 6.0), kernel_shape=[2, 2], strides=[2, 2])
    x = g("Conv", x, _weights(12, 8, 1, 1))
    return g("Flatten", g("GlobalAveragePool", x))


def _layer_norm(g, x, size=32):
    scale = 1 + _weights(size, seed=1)
    return g("LayerNormalization", x, scale, _weights(size, seed=2))


def _normed_score(g, x):
    return g("Einsum", _layer_norm(g, x), 0.2 * _weights(32), equation="nd,d->n")


def _trees(count, features=6, depth=3):
    """Give the attributes of full binary trees, with each leaf's tree and place."""
    rng = np.random.default_rng(count)
    inner, size = 2**depth - 1, 2 ** (depth + 1) - 1
    nodes = [(tree, node) for tree in range(count) for node in range(size)]
    is_inner = [node < inner for _, node in nodes]
    attributes = {
        "nodes_treeids": [tree for tree, _ in nodes],
        "nodes_nodeids": [node for _, node in nodes],
        "nodes_featureids": rng.integers(0, features, len(nodes)).tolist(),
        "nodes_values": rng.normal(0, 0.7, len(nodes)).tolist(),
        "nodes_modes": ["BRANCH_LEQ" if inner else "LEAF" for inner in is_inner],
        "nodes_truenodeids": [2 * node + 1 if node < inner else 0 for _, node in nodes],
        "nodes_falsenodeids": [2 * node + 2 if node < inner else 0 for _, node in nodes],
    }
    leaves = [place for place, inner in zip(nodes, is_inner, strict=True) if not inner]
    return attributes, leaves, rng.normal(size=len(leaves))


def _leaves(kind, leaves, weights, ids):
    return {
        f"{kind}_treeids": [tree for tree, _ in leaves],
        f"{kind}_nodeids": [node for _, node in leaves],
        f"{kind}_ids": ids,
        f"{kind}_weights": weights.tolist(),
    }


def _tree_classifier(g, x):
    attributes, leaves, weights = _trees(21)
    leaves = _leaves("class", leaves, np.abs(weights), [tree % 3 for tree, _ in leaves])
    return g(
        "TreeEnsembleClassifier",
        x,
        domain="ai.onnx.ml",
        outputs=2,
        classlabels_int64s=[10, 20, 30],
        post_transform="SOFTMAX",
        **attributes,
        **leaves,
    )


def _tree_regressor(g, x):
    attributes, leaves, weights = _trees(100)
    leaves = _leaves("target", leaves, weights, [0] * len(leaves))
    return g("TreeEnsembleRegressor", x, domain="ai.onnx.ml", n_targets=1, **attributes, **leaves)


def _linear_classifier(g, x):
    return g(
        "LinearClassifier",
        x,
        domain="ai.onnx.ml",
        outputs=2,
        coefficients=_weights(3, 8).flatten().tolist(),
        intercepts=[0.1, -0.2, 0.05],
        classlabels_strings=["apple", "pear", "plum"],
        post_transform="SOFTMAX",
    )


def _scaled(g, x):
    offset, scale = [20.0, 1000.0, 0.0, 3.0], [0.1, 0.01, 1.0, 0.5]
    scaled = g("Scaler", x, domain="ai.onnx.ml", offset=offset, scale=scale)
    coefficients, intercepts = [0.8, -0.4, 1.5, 0.3], [12.0]
    return g("LinearRegressor", scaled, domain="ai.onnx.ml", coefficients=coefficients, intercepts=intercepts)


COLOURS = ["red", "green", "blue", "grün", "🙂"]


def _encoded_texts(g, x):
    place = g(
        "LabelEncoder",
        x,
        domain="ai.onnx.ml",
        keys_strings=COLOURS,
        values_int64s=list(range(5)),
        default_int64=5,
    )
    flags = g("Flatten", g("OneHot", place, 6, np.array([0, 1], F)))
    words = g(
        "LabelEncoder",
        place,
        domain="ai.onnx.ml",
        keys_int64s=[0, 1],
        values_strings=["warm", "cold"],
        default_string="?",
    )
    return [_dense(g, flags, 12, 3), words]


def _static_int8(g, x):
    """Quantise and dequantise around each step, as tools for static quantisation write it."""

    def through_int8(value, scale):
        pair = (scale, np.uint8(128))
        return g("DequantizeLinear", g("QuantizeLinear", value, *pair), *pair)

    for seed, scale in enumerate((0.04, 0.05)):
        weight = (_weights(16, 16, seed=seed) * 100).astype(np.int8)
        product = g("MatMul", through_int8(x, scale), g("DequantizeLinear", weight, 0.01, np.int8(0)))
        x = through_int8(product, 0.05)
    return x


def _integer_product(g, x):
    pair = (0.04, np.uint8(128))
    weight = (_weights(16, 4) * 100).astype(np.int8)
    whole = g("QuantizeLinear", x, *pair)
    return g("QLinearMatMul", whole, *pair, weight, 0.01, np.int8(0), 0.05, np.uint8(128))


def _batch_major(g, x):
    """Run an LSTM and a GRU over the second axis, and give the last state of each row."""
    time_first = g("Transpose", x, perm=[1, 0, 2])
    steps = g("Squeeze", _recurrent(g, "LSTM", time_first, inputs=4)[0], [1])
    return g("Squeeze", _recurrent(g, "GRU", steps)[1], [0])


def _transformer(g, x, mask, kinds):
    """Add one block of BERT: two heads, 16 channels, softmax over the tokens of the same row."""
    tokens = g("Shape", x, start=1, end=2)
    places = g("Slice", _weights(64, 16, seed=1), [0], tokens, [0])
    words, kinds = g("Gather", _weights(100, 16), x), g("Gather", _weights(2, 16), kinds)
    x = _layer_norm(g, g("Add", g("Add", words, places), kinds), 16)

    def heads(seed):
        product = g("MatMul", x, _weights(16, 16, seed=seed))
        return g("Transpose", g("Reshape", product, [0, 0, 2, 8]), perm=[0, 2, 1, 3])

    query, key, value = map(heads, (1, 2, 3))
    hidden = g("Mul", g("Sub", 1.0, g("Cast", g("Unsqueeze", mask, [1, 2]), to=1)), -10000.0)
    scores = g("Div", g("MatMul", query, g("Transpose", key, perm=[0, 1, 3, 2])), 2.828)
    seen = g("MatMul", g("Softmax", g("Add", scores, hidden), axis=-1), value)
    joined = g("Reshape", g("Transpose", seen, perm=[0, 2, 1, 3]), [0, 0, 16])
    x = _layer_norm(g, g("Add", x, _dense(g, joined, 16, 16)), 16)
    x = _layer_norm(g, g("Add", x, _dense(g, x, 16, 32, 16, activation="Gelu")), 16)
    return _dense(g, g("Gather", x, 0, axis=1), 16, 16, 3, activation="Tanh")


def _some_texts(rng, rows, tokens=12):
    lengths = rng.integers(2, tokens + 1, rows)[:, None]
    places = np.arange(tokens)
    mask = (places < lengths).astype(I64)
    kinds = (places >= lengths // 2).astype(I64) * mask
    return {"x": rng.integers(1, 100, (rows, tokens)) * mask, "attention_mask": mask, "token_type_ids": kinds}


def _several_outputs(g, x):
    scores = _dense(g, x, 8, 16, 4)
    return [
        g("Softmax", scores),
        g("ArgMax", scores, axis=-1, keepdims=0),
        g("Greater", g("ReduceMax", scores, [1]), 0.5),
    ]


def _two_vectors(rng, rows):
    return {name: rng.normal(size=(rows, 16)).astype(F) for name in ("x", "item")}


SEPARATE = (
    _model("dense_softmax", lambda g, x: g("Softmax", _dense(g, x, 8, 16, 4)), gives={"y": _rows(4)}),
    _model("dense_wide", _wide, takes={"x": _rows(64)}, gives={"y": _rows(10)}),
    _model("convolution", _convolution, takes={"x": _rows(3, 12, 12)}, gives={"y": _rows(5)}),
    _model("depthwise_pooled", _depthwise, takes={"x": _rows(8, 10, 10)}, gives={"y": _rows(12)}),
    _model(
        "layer_norm",
        _normed_score,
        takes={"x": _rows(32)},
        gives={"y": _rows()},
        note="on the CPU the last bits depend on a row's place in the batch",
    ),
    _model(
        "embedding_mean",
        lambda g, x: _dense(g, g("ReduceMean", g("Gather", _weights(50, 12), x), [1], keepdims=0), 12, 4),
        takes={"x": _rows(9, of=I64)},
        gives={"y": _rows(4)},
        inputs=lambda rng, rows: {"x": rng.integers(0, 50, (rows, 9))},
    ),
    _model(
        "tree_classifier",
        _tree_classifier,
        takes={"x": _rows(6)},
        gives={"label": _rows(of=I64), "probabilities": _rows(3)},
    ),
    _model("tree_regressor", _tree_regressor, takes={"x": _rows(6)}, gives={"y": _rows(1)}),
    _model(
        "linear_classifier",
        _linear_classifier,
        gives={"label": _rows(of=TEXT), "probabilities": _rows(3)},
    ),
    _model(
        "scaler",
        _scaled,
        takes={"x": _rows(4)},
        gives={"y": _rows(1)},
        inputs=lambda rng, rows: {"x": rng.normal([20, 1000, 0, 3], [10, 80, 1, 2], (rows, 4)).astype(F)},
    ),
    _model(
        "encoded_texts",
        _encoded_texts,
        takes={"x": _rows(2, of=TEXT)},
        gives={"y": _rows(3), "words": _rows(2, of=TEXT)},
        inputs=lambda rng, rows: {"x": rng.choice(np.array([*COLOURS, "other", ""], TEXT), (rows, 2))},
    ),
    _model("static_int8", _static_int8, takes={"x": _rows(16)}, gives={"y": _rows(16)}),
    _model(
        "integer_product",
        _integer_product,
        takes={"x": _rows(16)},
        gives={"y": _rows(4, of=np.uint8)},
        note="whole numbers as answers",
    ),
    _model("batch_major_lstm", _batch_major, takes={"x": _rows(7, 4)}),
    _model(
        "transformer",
        _transformer,
        takes={name: _rows("tokens", of=I64) for name in ("x", "attention_mask", "token_type_ids")},
        gives={"y": _rows(3)},
        inputs=_some_texts,
    ),
    _model(
        "two_inputs",
        lambda g, x, item: g("ReduceSum", g("Mul", g("Tanh", x), item), [1], keepdims=0),
        takes={"x": _rows(16), "item": _rows(16)},
        gives={"y": _rows()},
        inputs=_two_vectors,
    ),
    _model(
        "several_outputs",
        _several_outputs,
        gives={"probabilities": _rows(4), "best": _rows(of=I64), "is_sure": _rows(1, of=BOOL)},
    ),
    _model(
        "boolean_output",
        lambda g, x: g("Less", _dense(g, x, 8, 3), 0.0),
        gives={"y": _rows(3, of=BOOL)},
    ),
    _model(
        "float16_dense",
        lambda g, x: _dense(g, x, 16, 32, 4, dtype=F16),
        takes={"x": _rows(16, of=F16)},
        gives={"y": _rows(4, of=F16)},
        inputs=_normal(16, dtype=F16),
    ),
    _model(
        "float64_dense",
        lambda g, x: _dense(g, x, 16, 32, 4, activation="Tanh", dtype=F64),
        takes={"x": _rows(16, of=F64)},
        gives={"y": _rows(4, of=F64)},
        inputs=_normal(16, dtype=F64),
    ),
)
