"""ONNX Runtime behind the Backend protocol, on the CPU and on CUDA."""

import contextlib
import hashlib
import io
import re
import threading
from pathlib import Path
from typing import Any

from inference.engine.backends import SessionOptions
from inference.engine.errors import CannotCarry, LoadFailed, LocaleMissing
from inference.engine.memory import device_used_bytes, resident_bytes
from inference.engine.onnx_file import LOOPS_AND_BRANCHES, known_texts, names_without_shape, operators
from inference.engine.onnx_session import OnnxSession, readable
from inference.tensors.signature import Signature, TensorSpec

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float": "FP32", "double": "FP64", "string": "BYTES",
}  # fmt: skip
_GRAPH_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_LOCALE = re.compile(r"locale with name:\s*([\w.@-]+)")
_AXIS_NAME = re.compile(r"[\w.:/-]*\w[\w.:/-]*")  # not "?", which some exporters write for every free axis
_TYPE = re.compile(r"(optional\()?tensor\((\w+)\)\)?")
_FATAL_ONLY = 4
_dlls = threading.Lock()
_are_dlls_loaded = False


class OnnxBackend:
    """Loads ONNX files.

    `options.fp16` lets the device compute with narrower floats than the file declares: TF32 on CUDA, half precision on
    TensorRT. Without it, 32-bit models give the same answers on every provider. The CPU ignores it.
    `options.arena_limit_bytes` limits the CUDA arena; the CPU's arena cannot be limited per session.
    `options.extra` holds session configuration entries (`session.…`) and provider options
    (`CUDAExecutionProvider.cudnn_conv_algo_search`).
    """

    name = "onnx"

    def runtime_version(self) -> str:
        return str(_runtime().__version__)

    def load(self, path: Path, options: SessionOptions) -> OnnxSession:
        """Load a file. `session.provider` is the provider that runs it, `provider_asked` the one that was requested."""
        model = _read(path, options.expected_sha256)
        host, device = resident_bytes(), _device_bytes(options)
        session = _create(_runtime(), model, options)
        is_cuda = session.get_providers()[0] == CUDA
        signature, left_out = _signature(session, model)
        grown = _device_bytes(options) - device if is_cuda else resident_bytes() - host
        return OnnxSession(
            _runtime(),
            session,
            signature,
            axis_names={arg.name: _axis_names(arg) for arg in session.get_inputs()},
            left_out=left_out,
            texts=known_texts(model) if any(spec.datatype == "BYTES" for spec in signature.inputs) else (),
            asked=options.providers[0] if options.providers else CPU,
            device="cuda" if is_cuda else None,
            device_id=options.device_id,
            footprint=max(len(model), grown),
            has_loops=not LOOPS_AND_BRANCHES.isdisjoint(operators(model)),
        )


def _read(path: Path, expected_sha256: str | None) -> bytes:
    """Read the file once, so the bytes that are hashed are the bytes that are loaded."""
    try:
        model = path.read_bytes()
    except OSError as error:
        raise LoadFailed(
            f"The version's file could not be read ({error.strerror}); check the artifact store."
        ) from error
    if expected_sha256 is not None and hashlib.sha256(model).hexdigest() != expected_sha256:
        raise LoadFailed(
            "The version's file is not the one that was checked (its SHA-256 differs);"
            " upload it again as a new version."
        )
    return model


def _device_bytes(options: SessionOptions) -> int:
    return device_used_bytes(options.device_id) if CUDA in options.providers else 0


def _runtime() -> Any:
    """Import the runtime when it is first needed, to keep processes without sessions small."""
    import onnxruntime

    return onnxruntime


def _create(onnxruntime: Any, model: bytes, options: SessionOptions) -> Any:
    # `session.provider` shows if a CUDA library is missing, so stderr can stay quiet
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    if CUDA in options.providers:
        _preload_dlls(onnxruntime)
    try:
        session = onnxruntime.InferenceSession(
            model,
            _session_options(onnxruntime, options),
            providers=_providers(onnxruntime, options),
            enable_fallback=0,  # it would print, and switch providers in the middle of a run
            read_config_from_model=0,  # regardless of the environment: a file must not configure its host
        )
    except LoadFailed:
        raise
    except Exception as error:  # as in _run: no common base class
        locale = _LOCALE.search(str(error))
        if locale is not None:
            raise LocaleMissing(
                f"The file needs the locale {locale[1]} for its text, and this machine does not have it."
            ) from error
        raise LoadFailed(f"The file could not be loaded: {readable(error)}.") from error
    session.disable_fallback()
    session._model_bytes = None  # otherwise the wrapper keeps the whole file in addition to the weights
    return session


def _session_options(onnxruntime: Any, options: SessionOptions) -> Any:
    if options.graph_level not in _GRAPH_LEVELS:
        raise LoadFailed(f"Graph level {options.graph_level!r} is unknown; use {', '.join(_GRAPH_LEVELS)}.")
    ours = onnxruntime.SessionOptions()
    ours.intra_op_num_threads = options.intra_op_threads
    ours.inter_op_num_threads = 1
    ours.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, _GRAPH_LEVELS[options.graph_level]
    )
    ours.log_severity_level = _FATAL_ONLY
    ours.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # cores are shared with the web server
    for key, value in options.extra.items():
        owner = key.partition(".")[0]
        if (
            owner == "session" and "external" not in key
        ):  # external weights would be files that were not checked
            ours.add_session_config_entry(key, value)
        elif owner not in options.providers:
            raise LoadFailed(
                f"Option {key[:80]!r} is not allowed; it must start with session. or one of the version's providers."
            )
    return ours


def _providers(onnxruntime: Any, options: SessionOptions) -> list[tuple[str, dict[str, str]]]:
    """The requested providers that this build has, with their options. The CPU is always last."""
    built_in = onnxruntime.get_available_providers()
    requested = [name for name in options.providers if name in built_in and name != CPU]
    return [(name, _provider_options(name, options)) for name in requested] + [(CPU, {})]


def _provider_options(name: str, options: SessionOptions) -> dict[str, str]:
    chosen = {"device_id": str(options.device_id)}
    if name == CUDA:
        chosen |= {"arena_extend_strategy": "kSameAsRequested", "use_tf32": str(int(options.fp16))}
        if options.arena_limit_bytes is not None:
            chosen["gpu_mem_limit"] = str(options.arena_limit_bytes)
    elif name == "TensorrtExecutionProvider":
        chosen["trt_fp16_enable"] = str(int(options.fp16))
    prefix = f"{name}."
    return chosen | {
        key.removeprefix(prefix): value for key, value in options.extra.items() if key.startswith(prefix)
    }


def _preload_dlls(onnxruntime: Any) -> None:
    """Load CUDA's libraries from their wheels, once per process; otherwise the CPU would silently run the model."""
    global _are_dlls_loaded
    with _dlls:
        if not _are_dlls_loaded and hasattr(onnxruntime, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what is missing
                onnxruntime.preload_dlls()
        _are_dlls_loaded = True


def _signature(session: Any, model: bytes) -> tuple[Signature, tuple[str, ...]]:
    """The file's signature, and descriptions of outputs that cannot be sent. Answers omit those."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    own_values = session.get_overridable_initializers()
    is_unclear = any(not arg.shape for arg in (*inputs, *outputs))
    any_rank = names_without_shape(model) if is_unclear else frozenset()
    signature = Signature(
        inputs=tuple(
            [_input(arg, any_rank) for arg in inputs]
            + [_input(arg, frozenset(), optional=True) for arg in own_values if _datatype(arg) is not None]
        ),
        outputs=tuple(_spec(arg, any_rank) for arg in outputs if _datatype(arg) is not None),
    )
    return signature, tuple(_described(arg) for arg in outputs if _datatype(arg) is None)


def _input(arg: Any, any_rank: frozenset[str], *, optional: bool = False) -> TensorSpec:
    if _datatype(arg) is None:
        raise CannotCarry(
            f"The model expects {_described(arg)}, which cannot be sent;"
            f" export it with plain tensors of {', '.join(DATATYPES.values())}."
        )
    return _spec(arg, any_rank, optional=optional)


def _spec(arg: Any, any_rank: frozenset[str], *, optional: bool = False) -> TensorSpec:
    return TensorSpec(
        name=arg.name,
        datatype=_datatype(arg) or "",
        shape=tuple(dim if isinstance(dim, int) else None for dim in arg.shape),
        optional=optional or arg.type.startswith("optional("),
        any_rank=arg.name in any_rank,
    )


def _datatype(arg: Any) -> str | None:
    """The datatype of an argument's elements; None if it is not a plain tensor."""
    match = _TYPE.fullmatch(arg.type)
    return DATATYPES.get(match[2]) if match is not None else None


def _described(arg: Any) -> str:
    return f"{arg.name[:80]!r}, a {arg.type}"


def _axis_names(arg: Any) -> tuple[str, ...]:
    return tuple(dim if isinstance(dim, str) and _AXIS_NAME.fullmatch(dim) else "" for dim in arg.shape)
