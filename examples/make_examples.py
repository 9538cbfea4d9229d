"""Make the example models. Deterministic: running it again gives the same bytes.

It leaves the models alone that figures.py, shapes.py, contraband.py and clicks.py train: that needs torch, and gives other
weights on another machine.

Run: python examples/make_examples.py
"""

import json

import numpy as np
from abuse import make_abuse
from linear_models import fit_softmax
from names import make_names
from onnx import TensorProto, helper
from picks import make_picks
from saving import constant, floats, save, texts
from tone import make_tone


def make_ripeness():
    """Three kinds of fruit drawn from invented distributions of weight, firmness and hue."""
    random = np.random.default_rng(7)
    centres = np.array([[0.2, 0.8, 0.3], [0.5, 0.5, 0.6], [0.8, 0.2, 0.9]])
    labels = random.integers(0, 3, 600)
    x = centres[labels] + random.normal(0, 0.1, (600, 3))
    weight, bias = fit_softmax(x, labels, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "weight", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "ripeness",
        [floats("features", "rows", 3)],
        [floats("probabilities", "rows", 3)],
        [constant("weight", weight), constant("bias", bias)],
    )
    accuracy = float((np.argmax(x @ weight + bias, axis=1) == labels).mean())
    save(
        "ripeness",
        graph,
        title="Ripeness of fruit",
        notes="Classifies fruit as unripe, ripe or overripe by weight, firmness and hue, each between 0 and 1. "
        f"Fitted on 600 invented rows ({accuracy:.0%} of them right): an example, not knowledge about fruit.",
        sample={"inputs": {"features": [[0.21, 0.79, 0.31], [0.82, 0.18, 0.88]]}},
        task="classification",
        task_config={"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"},
    )


def make_demand():
    """A small network fitted to an invented curve, with two inputs and two outputs."""
    random = np.random.default_rng(11)
    hidden = 32
    first = random.normal(0, 1.5, (2, hidden))
    shift = random.normal(0, 1, hidden)
    hour, warmth = random.uniform(0, 1, 2000), random.uniform(0, 1, 2000)
    demand = 0.5 + 0.3 * np.sin(2 * np.pi * hour) + 0.2 * warmth
    layer = np.tanh(np.column_stack([hour, warmth]) @ first + shift)
    last, *_ = np.linalg.lstsq(layer.T @ layer + 1e-3 * np.eye(hidden), layer.T @ demand, rcond=None)
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["hour", "warmth"], ["both"], axis=1),
            helper.make_node("Gemm", ["both", "first", "shift"], ["before"]),
            helper.make_node("Tanh", ["before"], ["layer"]),
            helper.make_node("MatMul", ["layer", "last"], ["demand"]),
            helper.make_node("Greater", ["demand", "limit"], ["is_high"]),
        ],
        "demand",
        [floats("hour", "rows", 1), floats("warmth", "rows", 1)],
        [
            floats("demand", "rows", 1),
            helper.make_tensor_value_info("is_high", TensorProto.BOOL, ["rows", 1]),
        ],
        [
            constant("first", first),
            constant("shift", shift),
            constant("last", last.reshape(hidden, 1)),
            constant("limit", [0.7]),
        ],
    )
    error = float(np.abs(layer @ last - demand).mean())
    save(
        "demand",
        graph,
        title="Hourly demand",
        notes="Share of the daily peak, from hour of the day and warmth, each between 0 and 1, and whether it is high. "
        f"Fitted to an invented curve (mean error {error:.3f}): it shows two inputs and two outputs.",
        needs_approval=True,
        sample={"inputs": {"hour": [[0.25], [0.75]], "warmth": [[0.5], [0.5]]}},
    )


DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
CARRIERS = {"Swift": -1.5, "Steady": 0.0, "Snail": 2.0}  # and how late each is
_MISSING = 0.1  # of the values


def make_parcels():
    """Will a parcel be late? Numbers and texts, some of which are missing, as a scikit-learn pipeline would read them."""
    random = np.random.default_rng(13)
    rows = [_parcel(random) for _ in range(2_000)]
    numbers = np.array([[row["distance_km"] or np.nan, row["weight_kg"] or np.nan] for row, _ in rows])
    usual, spread = np.nanmean(numbers, axis=0).round(1), np.nanstd(numbers, axis=0).round(1)
    scaled = (np.where(np.isnan(numbers), usual, numbers) - usual) / spread
    of_texts = [
        np.array([[row[name] == known for known in choices] for row, _ in rows], float)
        for name, choices in (("carrier", CARRIERS), ("weekday", DAYS))
    ]
    x = np.hstack([scaled, *of_texts])
    labels = np.array([label == "late" for _, label in rows], int)
    weight, bias = fit_softmax(x, labels, 2)
    right = float((np.argmax(x @ weight + bias, axis=1) == labels).mean())
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["distance_km", "weight_kg"], ["numbers"], axis=1),
            _of_tables(
                "Imputer", ["numbers"], ["filled"], imputed_value_floats=usual.tolist(), replaced_value_float=float("nan"),
            ),
            _of_tables("Scaler", ["filled"], ["scaled"], offset=usual.tolist(), scale=(1 / spread).round(6).tolist()),
            _of_tables("OneHotEncoder", ["carrier"], ["carriers"], cats_strings=[*CARRIERS], zeros=1),
            _of_tables("OneHotEncoder", ["weekday"], ["weekdays"], cats_strings=DAYS, zeros=1),
            helper.make_node("Flatten", ["carriers"], ["of_carrier"]),
            helper.make_node("Flatten", ["weekdays"], ["of_weekday"]),
            helper.make_node("Concat", ["scaled", "of_carrier", "of_weekday"], ["row"], axis=1),
            helper.make_node("Gemm", ["row", "weight", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "parcels",
        [
            floats("distance_km", "rows", 1), floats("weight_kg", "rows", 1), texts("carrier", "rows", 1),
            texts("weekday", "rows", 1),
        ],
        [floats("probabilities", "rows", 2)],
        [constant("weight", weight), constant("bias", bias)],
    )  # fmt: skip
    golden = [_parcel(np.random.default_rng(1_300 + number)) for number in range(60)]
    save(
        "parcels",
        graph,
        title="Late parcels",
        notes="Says whether a parcel will be late, by distance, weight, carrier and weekday, any of which may be missing. Fitted "
        f"to {len(rows):,} invented parcels ({right:.0%} of them right; the rest is chance): an example for trying out the "
        "product, not for real use.",
        sample={"row": {"distance_km": 700, "carrier": "Snail", "weekday": "Saturday"}},
        task="tabular-classification",
        task_config={
            "labels": ["on time", "late"],
            "defaults": {"distance_km": None, "weight_kg": None, "carrier": "", "weekday": ""},
        },
        golden_metric="accuracy",
        files={"golden.jsonl": "".join(json.dumps({"inputs": {"row": row}, "label": label}) + "\n" for row, label in golden)},
    )  # fmt: skip


def _of_tables(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs, outputs, domain="ai.onnx.ml", **attributes)


def _parcel(random):
    """A parcel, of which something may not be known, and what became of it."""
    distance, weight = random.uniform(5, 1_000), random.uniform(0.1, 30)
    carrier, day = random.choice([*CARRIERS]), random.choice(DAYS)
    late = (distance - 500) / 150 + (weight - 15) / 12 + CARRIERS[carrier] + 2 * (day in DAYS[4:])
    label = "late" if late + random.logistic(0, 0.5) > 0.5 else "on time"
    row = {
        "distance_km": round(distance),
        "weight_kg": round(weight, 1),
        "carrier": str(carrier),
        "weekday": str(day),
    }
    return {name: None if random.uniform() < _MISSING else value for name, value in row.items()}, label


if __name__ == "__main__":
    make_ripeness()
    make_demand()
    make_parcels()
    make_picks()
    make_tone()
    make_abuse()
    make_names()
