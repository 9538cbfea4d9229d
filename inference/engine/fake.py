"""A runtime without a model, for tests: returns twice its input, at a given cost, and fails in every way a real one does."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inference.engine.backends import SessionOptions
from inference.engine.errors import LoadFailed, OutOfMemory, RunFailed, RunTimedOut
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature, TensorSpec

ROWS = Signature(inputs=(TensorSpec("x", "FP32", (None, 4)),), outputs=(TensorSpec("y", "FP32", (None, 4)),))
POISON = 666.0
HANG = 777.0
NOT_A_NUMBER = 888.0
DEATH = 999.0
MEMORY_HOG = 555.0


@dataclass(slots=True)
class FakeModel:
    """How a fake session behaves. A row that begins with one of the constants above misbehaves accordingly."""

    signature: Signature = ROWS
    cost_s: Callable[[int], float] = lambda rows: 0.0
    max_rows: int | None = None  # more rows in one run fail, as with a fixed or limited batch axis
    memory_rows: int | None = None  # more rows in one run exhaust the memory
    breaks_when_out_of_memory: bool = False  # after one row ran out of memory, every later run does too
    honours_soft_limit: bool = True
    footprint: int = 1 << 20
    fails_to_load: bool = False
    is_steady: bool = False
    death: type[BaseException] = SystemExit
    spend: Callable[[float], None] = lambda seconds: None  # time.sleep where cost must be real
    on_run: Callable[[int], None] = lambda rows: None  # called inside each run; tests block runs here
    released: threading.Event = field(default_factory=threading.Event)  # set it to let hanging runs return


class FakeSession:
    """Runs a FakeModel. `runs` lists the number of rows of each run."""

    provider = "FakeExecutionProvider"

    def __init__(self, model: FakeModel) -> None:
        self.model = model
        self.signature = model.signature
        self.is_steady = model.is_steady
        self.axis_names: dict[str, tuple[str, ...]] = {}
        self.left_out: tuple[str, ...] = ()
        self.texts: tuple[str, ...] = ()
        self.runs: list[int] = []
        self.is_closed = self.is_broken = False

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, Array]:
        arrays = [np.asarray(array) for array in inputs.values()]
        rows = len(arrays[0])
        self.runs.append(rows)
        self.model.on_run(rows)
        if self.model.max_rows is not None and rows > self.model.max_rows:
            raise RunFailed(f"The fake takes {self.model.max_rows} rows at once, not {rows}.")
        if self.is_broken or (self.model.memory_rows is not None and rows > self.model.memory_rows):
            raise OutOfMemory
        self._misbehave(arrays[0], soft_limit_s)
        cost_s = self.model.cost_s(rows)
        if soft_limit_s is not None and cost_s > soft_limit_s and self.model.honours_soft_limit:
            self.model.spend(soft_limit_s)
            raise RunTimedOut
        self.model.spend(cost_s)
        specs = [spec for spec in self.signature.outputs if outputs is None or spec.name in outputs]
        return {spec.name: self._answer(spec, arrays[0]) for spec in specs}

    def shrink(self, inputs: Tensors) -> None:
        self.run(inputs)

    def footprint_bytes(self) -> int:
        return self.model.footprint

    def close(self) -> None:
        self.is_closed = True

    def _misbehave(self, array: Array, soft_limit_s: float | None) -> None:
        marks = set(array.reshape(len(array), -1)[:, 0].tolist()) if array.size else set()
        if POISON in marks:
            raise RunFailed
        if MEMORY_HOG in marks:
            self.is_broken = self.model.breaks_when_out_of_memory and len(array) == 1
            raise OutOfMemory
        if DEATH in marks:
            raise self.model.death
        if HANG in marks and not self.model.released.wait(
            soft_limit_s if self.model.honours_soft_limit else None
        ):
            raise RunTimedOut

    def _answer(self, spec: TensorSpec, array: Array) -> Array:
        if spec.shape and spec.shape[0] is None:
            answer: Array = array * np.asarray(2, array.dtype)
            answer[array == NOT_A_NUMBER] = np.nan
            return answer
        return np.zeros([size or 1 for size in spec.shape], np.float32)


class FakeBackend:
    """Loads any path. Models are looked up by file name, so tests can use several."""

    name = "fake"

    def __init__(self, models: dict[str, FakeModel] | None = None) -> None:
        self.models = models or {}
        self.loads: list[Path] = []

    def runtime_version(self) -> str:
        return "fake-1"

    def load(self, path: Path, options: SessionOptions) -> FakeSession:
        self.loads.append(path)
        model = self.models.get(path.name, FakeModel())
        if model.fails_to_load:
            raise LoadFailed(f"The fake is set up not to load {path.name}.")
        return FakeSession(model)
