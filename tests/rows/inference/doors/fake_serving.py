"""Serving as a door sees it, without engine and database: it remembers what it was asked and answers by rule."""

import numpy as np

from inference.engine.meters import Meters
from inference.errors import UnknownModel
from inference.measure.counts import ArmKey, Windows
from inference.serving import runtime, services
from inference.serving.calls import Description, Prediction
from inference.serving.routes import Route, RouteTable
from inference.serving.runtime import RuntimeReport
from inference.tensors.prepare import check_outputs, prepare
from inference.tensors.signature import DTYPES, Signature, TensorSpec
from tests.support.pipelines import plain

ECHO = Signature(
    tuple(TensorSpec(f"in_{name}", name, (None, None), optional=True) for name in DTYPES),
    tuple(TensorSpec(f"out_{name}", name, (None, None)) for name in DTYPES),
)
SCORES = Signature((TensorSpec("x", "FP32", (None, 2)),), (TensorSpec("y", "FP32", (None, 3)),))
PAIR = Signature(
    (TensorSpec("x", "FP32", (None, 2)),), (TensorSpec("y", "FP32", (None,)), TensorSpec("n", "INT64", ()))
)


class FakeServing:
    """`echo` gives every tensor back; `scores` gives x0, x1 and x0 + x1 of each row, a classification of a, b and c."""

    signatures = {"echo": ECHO, "scores": SCORES, "pair": PAIR}

    def __init__(self):
        self.calls = []
        self.control = []
        self.error = None
        self.is_ready = True
        self.non_finite = False
        routes = {slug: Route(slug=slug, model_id=1) for slug in self.signatures}
        self.table, self.windows = RouteTable(1, routes), Windows()

    def counted(self):
        """What the doors counted since the last call: answers, and requests that got an error, by arm and code."""
        minutes = self.windows.take(all_of_it=True)
        away = {(key.arm, code): count for key, counts in minutes for code, count in counts.codes.items()}
        return sum(counts.ok for _, counts in minutes), away

    def install(self, monkeypatch):
        for name in ("find", "predict", "describe", "statistics", "repository_index", "load", "unload"):
            monkeypatch.setattr(services, name, getattr(self, name), raising=False)
        monkeypatch.setattr(runtime, "current", lambda: self)
        monkeypatch.setattr(runtime, "started", lambda: self)
        monkeypatch.setattr(
            runtime, "report", lambda: RuntimeReport("ready" if self.is_ready else "draining", 1)
        )

    def is_known(self, target):
        return True

    def find(self, by, model, *, version=None, alias=None):
        self._signature(model)
        return Route(slug=model, model_id=1), None

    async def predict(self, call):
        self.calls.append(call)
        model = call.route.slug
        call.request.arm_key = ArmKey(1, 7, "A", 1)
        signature = self._signature(model)
        inputs = call.inputs(signature) if callable(call.inputs) else call.inputs
        check_outputs(signature, call.outputs)
        inputs = prepare(signature, inputs, allow_non_finite=True)
        outputs = getattr(self, f"_{model}")(inputs)
        if self.non_finite:
            outputs["y"] = outputs["y"] * np.float32(np.nan)
        return Prediction(
            request_id="rid-1", model=model, version=call.request.version or 1, arm="A", split=7,
            outputs={name: outputs[name] for name in call.outputs or outputs}, signature=signature,
            pipeline=plain(signature, labels="abc" if model == "scores" else ""), non_finite=self.non_finite,
        )  # fmt: skip

    def describe(self, by, model, version=None, alias=None):
        signature = self._signature(model)
        return Description(
            model=model, versions=(1, 2), version=version or 2, sha256="0" * 64, pipeline=plain(signature),
            is_ready=self.is_ready, platform="onnx_onnxv1", merged_rows=32 if signature.has_row_axis else 1,
        )  # fmt: skip

    def statistics(self, by, model=None, version=None):
        meters = Meters()
        meters.count_batch(4, [0.001, 0.002], 0.010, 0.008)
        meters.count_end("overloaded", 3)
        return [(model or "scores", version or 1, meters.copy())]

    def repository_index(self, by, only_ready):
        ready = ("scores", 1, "READY", "")
        return [ready] if only_ready else [ready, ("scores", 2, "UNAVAILABLE", "not loaded")]

    def load(self, by, model):
        self.control.append(("load", model, by.name))

    def unload(self, by, model):
        self.control.append(("unload", model, by.name))

    def _signature(self, model):
        if self.error is not None:
            raise self.error
        if model not in self.signatures:
            raise UnknownModel(f"There is no Model named {model!r}.")
        return self.signatures[model]

    @staticmethod
    def _echo(inputs):
        return {name.replace("in_", "out_"): tensor for name, tensor in inputs.items()}

    @staticmethod
    def _scores(inputs):
        x = inputs["x"]
        return {"y": np.concatenate([x, x.sum(axis=1, keepdims=True)], axis=1)}

    @staticmethod
    def _pair(inputs):
        return {"y": inputs["x"].sum(axis=1), "n": np.array(len(inputs["x"]))}
