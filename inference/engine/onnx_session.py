"""A loaded ONNX file: runs batches, stops them at their soft limit, and reports failures without file paths."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.engine.errors import OutOfMemory, OutputNotText, RunFailed, RunTimedOut
from inference.engine.watchdog import RunWatchdog, SoftLimit
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature

_MESSAGE_LENGTH = 300
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_OUT_OF_MEMORY = (
    "bad_alloc", "bad allocation", "failed to allocate", "out of memory", "alloc_failed",
    "smaller than requested bytes",
)  # fmt: skip
_watchdog = RunWatchdog()  # one thread for all sessions of the process


class OnnxSession:
    """An InferenceSession. On CUDA it uses IO binding, so the runtime copies once in each direction."""

    def __init__(
        self,
        onnxruntime: Any,
        session: Any,
        signature: Signature,
        *,
        axis_names: Mapping[str, Sequence[str]],
        left_out: Sequence[str],
        texts: Sequence[str],
        asked: str,
        device: str | None,
        device_id: int,
        footprint: int,
        has_loops: bool,
    ) -> None:
        self._onnxruntime, self._session = onnxruntime, session
        self._names = [spec.name for spec in signature.outputs]
        # texts cannot be bound, so a model with text tensors runs without binding
        self._device = None if _has_texts(signature) else device
        self._device_id = device_id
        self._footprint = footprint
        self.signature = signature
        self.axis_names, self.left_out, self.texts = axis_names, left_out, texts
        self.provider: str = session.get_providers()[0]
        self.provider_asked = asked
        self.is_steady = self.provider == _CPU and not has_loops

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, Array]:
        """Run one batch. The soft limit takes effect between the graph's nodes, never inside a long one."""
        names = list(outputs) if outputs else self._names
        if soft_limit_s is None:
            return self._run(names, inputs, None)
        limit = SoftLimit(_watchdog, self._onnxruntime.RunOptions(), soft_limit_s)
        try:
            with limit:
                return self._run(names, inputs, limit.run_options)
        except RunFailed as error:
            if limit.is_over:
                raise RunTimedOut(
                    f"The model ran longer than its limit of {soft_limit_s:g} s and was stopped;"
                    " send smaller inputs or raise the version's limit."
                ) from error
            raise

    def shrink(self, inputs: Tensors) -> None:
        """Run once, and free what earlier runs of other sizes left in the arena.

        Otherwise an arena only grows: runs of 1, 2, 4 … 64 rows leave more than twice what 64 rows need.
        """
        options = self._onnxruntime.RunOptions()
        place = f"gpu:{self._device_id}" if self.provider == _CUDA else "cpu:0"
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", place)
        self._run(self._names, inputs, options)

    def footprint_bytes(self) -> int:
        """How much resident (CPU) or device (CUDA) memory grew during loading, at least the file's size.

        Both are readings of the whole process or device, so they include other work at that moment. The pool measures
        what runs add to the arena during the warm-up.
        """
        return self._footprint

    def close(self) -> None:
        self._session = None

    def _run(self, names: list[str], inputs: Tensors, run_options: Any) -> dict[str, Array]:
        session = self._session
        if session is None:
            raise RunFailed("This session is closed; load the version again.")
        # No output can be sent, and the runtime refuses to run without outputs.
        if not names:
            return {}
        try:
            if self._device is None:
                results = session.run(names, inputs, run_options)
            else:
                results = self._run_bound(session, names, inputs, run_options)
        except UnicodeDecodeError as error:
            # The runtime returns texts only as str, which fails for bytes that are not UTF-8.
            raise OutputNotText from error
        except (
            Exception
        ) as error:  # the binding raises its own classes as well as ValueError and RuntimeError
            if isinstance(error, MemoryError) or is_out_of_memory(error):
                raise OutOfMemory(
                    f"The device does not have enough memory for a run of this size; send smaller inputs ({readable(error)})."
                ) from error
            raise RunFailed(f"The model failed on this input: {readable(error)}.") from error
        return dict(zip(names, results, strict=True))

    def _run_bound(self, session: Any, names: list[str], inputs: Tensors, run_options: Any) -> list[Array]:
        binding, to_device = session.io_binding(), self._onnxruntime.OrtValue.ortvalue_from_numpy
        for name, tensor in inputs.items():
            value = to_device(np.asarray(tensor, order="C"), self._device, self._device_id)
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name, self._device, self._device_id)
        session.run_with_iobinding(binding, run_options)
        results: list[Array] = binding.copy_outputs_to_cpu()
        return results


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the runtime's message says it was out of memory; there is no error class for that."""
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY)


def readable(error: BaseException) -> str:
    """Shorten a runtime message to one line without its prefix or file paths; keep node names."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    text = re.sub(r"(Name:'[^']*')|(?<![\w'])/[\w.+@-]+(?:/[\w.+@-]+)+(?::\d+)?", r"\1", text)
    return " ".join(text.split())[:_MESSAGE_LENGTH].rstrip(". ")


def _has_texts(signature: Signature) -> bool:
    return any(spec.datatype == "BYTES" for spec in (*signature.inputs, *signature.outputs))
