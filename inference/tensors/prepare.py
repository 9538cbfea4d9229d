"""Turns what a caller sent into the tensors that a model accepts, or raises an error that says what does not fit."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any

import numpy as np
import orjson

from inference.tensors.arrays import Array
from inference.tensors.errors import (
    InvalidInput,
    MissingTensor,
    UnknownOutput,
    UnknownTensor,
    WrongDimension,
    WrongDtype,
    WrongRank,
)
from inference.tensors.names import nearest
from inference.tensors.signature import Signature, TensorSpec

MAX_DEPTH = 64  # numpy's own limit; a deeper list is an attack or a mistake
_MOST_COMPARED = 50  # unknown names that are compared with a missing input's
_MAX_RAW_BYTES = 64 << 20  # an S array pads every text to the length of the longest
_ABSENT = object()
_NULL = type(None)
_ONLINE_ADVICE = (
    "send finite numbers, and no null in JSON, or turn on the version's serving setting `allow_non_finite`"
)
_NESTED = {list, tuple}
_LISTS, _NUMBERS = {list}, {int, float}
_NUMPY = (np.ndarray, np.generic)
_PLAIN = {"b": "true/false values", "i": "integers", "u": "integers", "f": "numbers", "O": "strings"}
_KINDS = {
    bool: "true/false",
    int: "an integer",
    float: "a decimal number",
    str: "text",
    bytes: "bytes",
    _NULL: "null",
}


def prepare(
    signature: Signature,
    raw: Mapping[str, Any],
    *,
    allow_non_finite: bool = False,
    online: bool = False,
) -> dict[str, Array]:
    """Turn nested lists, scalars and arrays into the tensors of `signature`, in the file's order.

    A value never changes its meaning: integers are cast if they fit, decimals are rounded to the model's float type,
    anything else raises InvalidInput. An array that already fits is not copied. With `allow_non_finite`, floats may
    be NaN or infinite and None means NaN; in texts and bytes that rows may lack, None stays. With `online`, texts may be any
    bytes, and the error for NaN mentions the serving setting.
    """
    tensors: dict[str, Array] = {}
    for spec in signature.inputs:
        value = raw.get(spec.name, _ABSENT)
        if value is _ABSENT:
            if not spec.optional:
                raise _missing(signature, spec, raw)
            continue
        may_lack = allow_non_finite and spec.name in signature.may_lack
        if spec.name in signature.id_inputs:
            value = _id_texts(value)
        elif spec.name in signature.json_inputs:
            value = _json_texts(value, may_lack=may_lack)
        if spec.datatype == "BYTES" and spec.name in signature.binary_inputs:
            tensors[spec.name] = _bytes_tensor(spec, value, may_lack=may_lack)
        elif spec.datatype == "BYTES" and may_lack:
            tensors[spec.name] = _texts_with_missing(spec, value)
        else:
            tensors[spec.name] = _tensor(spec, value, allow_non_finite, online)
    if len(tensors) != len(raw):
        raise _unknown(signature, raw)
    return tensors


def check_outputs(signature: Signature, names: Sequence[str] | None) -> None:
    """Raise UnknownOutput for an output the model does not have; None means all. The runtime's own error is vague."""
    if names is None:
        return
    known = [spec.name for spec in signature.outputs]
    for name in names:
        if name not in known:
            outputs = ", ".join(map(_quoted, known)) or "no outputs"
            near = nearest(name, known)
            advice = f"Did you mean {_quoted(near)}?" if near else "Remove it."
            raise UnknownOutput(
                f"The model has no output {_quoted(name)}; it has {outputs}. {advice}",
                expected=outputs,
                got=_quoted(name),
            )


def _tensor(spec: TensorSpec, value: Any, allow_non_finite: bool, online: bool) -> Array:
    dtype = spec.dtype
    if type(value) is list and dtype.kind == "f" and (rows := _finite_rows(spec, value)) is not None:
        _check_shape(spec, rows)
        return rows
    if isinstance(value, _NUMPY) and value.dtype == dtype and dtype.kind != "O":
        tensor = np.asarray(value)
    elif isinstance(value, _NUMPY) and value.dtype.kind in "biuf" and dtype.kind != "O":
        tensor = _cast(spec, np.asarray(value))
    else:
        tensor = _from_python(spec, value, allow_non_finite, online)
    _check_shape(spec, tensor)
    if dtype.kind == "f" and not allow_non_finite and not _is_finite(tensor):
        raise _refusal(
            WrongDtype, spec, "holds NaN or an infinite number",
            _ONLINE_ADVICE if online else "send finite numbers only",
            expected=f"finite {spec.datatype}", got="NaN or infinity",
        )  # fmt: skip
    return tensor


def _bytes_tensor(spec: TensorSpec, value: Any, *, may_lack: bool) -> Array:
    """An array of texts or bytes, each as it was sent, and of None where one is missing and may be."""
    shape, leaves, kinds = _flatten(spec, value)
    wrong = kinds - ({str, bytes, _NULL} if may_lack else {str, bytes})
    if wrong:
        raise _wrong_kind(spec, wrong)
    tensor = np.empty(len(leaves), object)
    tensor[:] = leaves
    tensor = tensor.reshape(shape if leaves else _completed(spec, shape))
    _check_shape(spec, tensor)
    return tensor


def _texts_with_missing(spec: TensorSpec, value: Any) -> Array:
    """An array of texts, and of None where one is missing."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    shape, leaves, kinds = _flatten(spec, value)
    texts = _texts(spec, ["" if leaf is None else leaf for leaf in leaves], kinds - {_NULL}, online=False)
    texts[[leaf is None for leaf in leaves]] = None
    tensor = texts.reshape(shape if leaves else _completed(spec, shape))
    _check_shape(spec, tensor)
    return tensor


def _json_texts(rows: Any, *, may_lack: bool) -> Any:
    """The rows' values as JSON, except those that are texts already, or missing."""
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if not isinstance(rows, list):
        return rows
    return [
        row if isinstance(row, (str, bytes)) or (row is None and may_lack) else _json_text(row)
        for row in rows
    ]


def _id_texts(rows: Any) -> Any:
    """Whole numbers as texts; what is no id stays as it is, and is refused."""
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    return [str(row) if type(row) is int else row for row in rows] if isinstance(rows, list) else rows


def _json_text(value: Any) -> Any:
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError:  # is refused as no text
        return value


def _finite_rows(spec: TensorSpec, value: list[Any]) -> Array | None:
    """Fast path for what most callers send: lists of finite numbers, some of them floats. None for anything else."""
    if set(map(type, value)) != _LISTS:
        return None
    kinds = set(map(type, chain.from_iterable(value)))
    if float not in kinds or not kinds <= _NUMBERS:
        return None
    try:
        with np.errstate(over="ignore"):
            rows = np.array(value, spec.dtype)
    except (ValueError, OverflowError):  # ragged lists, or an integer too large for a float
        return None
    return rows if _is_finite(rows) else None


def _from_python(spec: TensorSpec, value: Any, allow_non_finite: bool, online: bool) -> Array:
    """Build from nested lists and scalars, checking the type of each leaf first.

    numpy itself would take True for 1, turn numbers next to a string into strings, and pad every string to the length of
    the longest.
    """
    shape, leaves, kinds = _flatten(spec, value)
    if not leaves:
        known = value.shape if isinstance(value, np.ndarray) else _completed(spec, shape)
        return np.empty(known, spec.dtype)
    wanted = spec.dtype.kind
    if wanted == "O":
        flat = _texts(spec, leaves, kinds, online)
    elif wanted == "b":
        if kinds != {bool}:
            raise _wrong_kind(spec, kinds - {bool})
        flat = np.array(leaves, np.bool_)
    elif kinds == {float}:
        flat = _decimals(spec, leaves)
    elif kinds <= {int, float}:
        flat = _cast(spec, _numbers(spec, leaves, kinds))
    elif wanted == "f" and kinds <= {int, float, _NULL}:
        if not allow_non_finite:
            raise _wrong_kind(spec, {_NULL}, _ONLINE_ADVICE if online else "")
        flat = _with_missing(spec, leaves)
    else:
        raise _wrong_kind(spec, kinds - {int, float})
    return flat.reshape(shape)


def _flatten(spec: TensorSpec, value: Any) -> tuple[list[int], Sequence[Any], set[type]]:
    """Return shape, leaves in order and the leaves' types. Works level by level, so depth costs no stack."""
    shape: list[int] = []
    level: Sequence[Any] = (value,)
    while True:
        kinds = set(map(type, level))
        if not kinds <= _NESTED:
            if any(issubclass(kind, _NUMPY) for kind in kinds):
                level = [_plain(spec, item) if isinstance(item, _NUMPY) else item for item in level]
                continue
            if kinds & _NESTED:
                raise _refusal(
                    WrongRank, spec, f"mixes lists and single values at depth {len(shape)}",
                    "send lists of the same shape", expected="lists of the same shape", got="lists and single values",
                )  # fmt: skip
            return shape, level, kinds
        if not level:
            return shape, level, kinds
        if len(shape) == MAX_DEPTH:
            raise _wrong_shape(WrongRank, spec, f"is nested more than {MAX_DEPTH} lists deep", "deeper lists")
        sizes = set(map(len, level))
        if len(sizes) > 1:
            lengths = f"{min(sizes)} and {max(sizes)}"
            raise _refusal(
                WrongDimension, spec, f"is ragged: lists at depth {len(shape)} have {lengths} items",
                "pad them to the same length", expected="lists of the same length", got=f"lengths {lengths}",
            )  # fmt: skip
        shape.append(sizes.pop())
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))


def _plain(spec: TensorSpec, item: Any) -> Any:
    """Convert a numpy value to Python; `tolist` alone would turn dates into integers and keep long doubles."""
    if item.dtype.kind not in "biufOUSV" or item.dtype.names:
        raise _wrong_kind(spec, {item.dtype.type})
    return np.asarray(item, np.float64 if item.dtype.kind == "f" else None).tolist()


def _completed(spec: TensorSpec, shape: list[int]) -> tuple[int, ...]:
    """Add an empty list's missing axes: JSON writes a (0, 4) tensor as [], and (2, 0, 4) as [[], []]."""
    rest = () if spec.any_rank else spec.shape[len(shape) :]
    return (*shape, *(dim or 0 for dim in rest))


def _texts(spec: TensorSpec, leaves: Sequence[Any], kinds: set[type], online: bool) -> Array:
    if not kinds <= {str, bytes}:
        raise _wrong_kind(spec, kinds - {str, bytes})
    try:
        texts = [leaf.decode() if isinstance(leaf, bytes) else leaf for leaf in leaves]
        "".join(texts).encode()  # a lone surrogate would make the whole batch fail in the runtime
    except UnicodeError:
        if online and kinds == {bytes}:
            return _raw_texts(spec, leaves)
        raise _refusal(
            WrongDtype, spec, "holds text that is not valid UTF-8", "send valid Unicode",
            expected="BYTES in UTF-8", got="text that is not UTF-8",
        ) from None  # fmt: skip
    flat = np.empty(len(texts), object)
    flat[:] = texts
    return flat


def _raw_texts(spec: TensorSpec, texts: Sequence[bytes]) -> Array:
    """Put texts that are not UTF-8 in one of the two array types whose bytes the runtime accepts unchanged.

    It reads every byte of a `V` array, so all texts must have the same length. It reads each text of an `S` array up
    to a zero byte, even past the text's end, so one extra byte is needed. For an object array it would call `str()`,
    which turns bytes into "b'…'".
    """
    sizes = set(map(len, texts))
    if len(sizes) == 1:
        return np.frombuffer(b"".join(texts), f"V{sizes.pop()}")
    room = max(sizes) + 1
    if room * len(texts) > _MAX_RAW_BYTES:
        raise _refusal(
            WrongDtype, spec, "holds bytes that are not UTF-8, in texts of very different lengths",
            "send them in several requests", expected="BYTES in UTF-8, or of the same length", got="bytes",
        )  # fmt: skip
    if any(b"\0" in text for text in texts):
        raise _refusal(
            WrongDtype, spec, "holds zero bytes and bytes that are not UTF-8, in texts of different lengths",
            "send texts of the same length, or one text per request",
            expected="BYTES in UTF-8, or of the same length, or without zero bytes", got="bytes",
        )  # fmt: skip
    return np.array(texts, f"S{room}")


def _with_missing(spec: TensorSpec, leaves: Sequence[Any]) -> Array:
    """Read numbers in which None stands for NaN."""
    is_present = np.array([leaf is not None for leaf in leaves], np.bool_)
    flat = np.full(len(leaves), np.nan, spec.dtype)
    present = [leaf for leaf in leaves if leaf is not None]
    if present:
        flat[is_present] = _cast(spec, _numbers(spec, present, set(map(type, present))))
    return flat


def _numbers(spec: TensorSpec, leaves: Sequence[Any], kinds: set[type]) -> Array:
    """Read integers, or integers mixed with floats, without passing a whole number through a float."""
    if float in kinds and spec.dtype.kind != "f":
        if not all(isinstance(leaf, int) or leaf.is_integer() for leaf in leaves):
            raise _lossy(spec, "a number with a fraction")
        leaves = [int(leaf) for leaf in leaves]
    dtypes = (np.float64,) if float in kinds and spec.dtype.kind == "f" else (np.int64, np.uint64)
    for dtype in dtypes:
        with suppress(OverflowError):
            return np.array(leaves, dtype)
    raise _lossy(spec, "an integer beyond 64 bits")


def _decimals(spec: TensorSpec, leaves: Sequence[float]) -> Array:
    if spec.dtype.kind == "f":
        with np.errstate(over="ignore"):
            flat = np.array(leaves, spec.dtype)  # half the cost of a float64 array and a cast
        if _is_finite(flat):
            return flat
    return _cast(spec, np.array(leaves, np.float64))


def _cast(spec: TensorSpec, source: Array) -> Array:
    """Cast numbers to the model's type; refuse if that would change a value."""
    dtype, have = spec.dtype, source.dtype.kind
    if source.dtype == dtype or source.size == 0:
        return source.astype(dtype, copy=False)
    if have == "b" or dtype.kind == "b":
        raise _wrong_kind(spec, {bool if have == "b" else int})
    if dtype.kind in "iu":
        _check_integers(spec, source)
        return source.astype(dtype)
    with np.errstate(over="ignore"):
        tensor = source.astype(dtype)
    if have == "f":
        if not _is_finite(tensor) and (np.isinf(tensor) & np.isfinite(source)).any():
            raise _lossy(spec, f"a number beyond {np.finfo(dtype).max:.4g}")
    elif not _holds_same_integers(tensor, source):
        raise _lossy(
            spec, "an integer with too many digits", "write it as a decimal number if it may be rounded"
        )
    return tensor


def _check_integers(spec: TensorSpec, source: Array) -> None:
    limits = np.iinfo(spec.dtype)
    if source.dtype.kind == "f":
        if not np.isfinite(source).all() or not (source == np.trunc(source)).all():
            raise _lossy(spec, "a number with a fraction, NaN or infinity")
        # the largest integer may not exist as a float; its successor (a power of two) always does
        fits = float(source.min()) >= float(limits.min) and float(source.max()) < float(limits.max + 1)
    else:
        fits = int(source.min()) >= limits.min and int(source.max()) <= limits.max
    if not fits:
        raise _lossy(spec, f"an integer outside {limits.min}..{limits.max}")


def _holds_same_integers(tensor: Array, source: Array) -> bool:
    if not _is_finite(tensor):
        return False
    wide = tensor.astype(np.float64)
    if abs(wide).max() < 2.0**53:
        return bool((wide == source).all())
    # from 2**53 on, float64 cannot tell neighbours apart, and numpy would compare as float64
    return [int(value) for value in wide.ravel()] == source.ravel().tolist()


def _is_finite(tensor: Array) -> bool:
    return bool(
        np.count_nonzero(np.isfinite(tensor)) == tensor.size
    )  # takes a third of the time of .all() on a row


def _check_shape(spec: TensorSpec, tensor: Array) -> None:
    if spec.any_rank:
        return
    if tensor.ndim != len(spec.shape):
        fact = f"has {tensor.ndim} axes, but the model expects {len(spec.shape)}"
        raise _wrong_shape(WrongRank, spec, fact, f"shape {list(tensor.shape)}")
    for axis, want in enumerate(spec.shape):
        have = tensor.shape[axis]
        if want is not None and want != have:
            fact = f"has size {have} on axis {axis}, but the model expects {want}"
            raise _wrong_shape(WrongDimension, spec, fact, f"shape {list(tensor.shape)}")


def _missing(signature: Signature, spec: TensorSpec, raw: Mapping[str, Any]) -> InvalidInput:
    wanted = f"{spec.datatype} of {_shape_text(spec)}"
    sent = _unknown_names(signature, raw)
    got = nearest(spec.name, sent)
    if got is None:
        message = f"Input {_quoted(spec.name)} is missing; send it as {wanted}."
        if sent:
            message = f"{message} {_sent_text(sent[0], signature)}"
    else:
        message = f"{_sent_text(got, signature)} Rename it to {_quoted(spec.name)}, {wanted}."
    return MissingTensor(message, field=spec.name, expected=wanted, got=_quoted(got) if got else "nothing")


def _unknown(signature: Signature, raw: Mapping[str, Any]) -> InvalidInput:
    known = [spec.name for spec in signature.inputs]
    name = _unknown_names(signature, raw)[0]
    return UnknownTensor(
        f"{_sent_text(name, signature)} Remove it.",
        field=name,
        expected=", ".join(map(_quoted, known)) or "no inputs",
        got=_quoted(name),
    )


def _unknown_names(signature: Signature, raw: Mapping[str, Any]) -> list[str]:
    """The first names that are not inputs, as they may appear in a message."""
    known = {spec.name for spec in signature.inputs}
    return [str(name)[:80] for name in islice((name for name in raw if name not in known), _MOST_COMPARED)]


def _sent_text(name: str, signature: Signature) -> str:
    takes = ", ".join(_quoted(spec.name) for spec in signature.inputs) or "no inputs"
    return f"You sent {_quoted(name)}; the model takes {takes}."


def _wrong_kind(spec: TensorSpec, kinds: set[type], advice: str = "") -> InvalidInput:
    got = ", ".join(sorted(_KINDS.get(kind, f"a {kind.__name__}") for kind in kinds))
    fact = f"holds {got}, but the model accepts {spec.datatype}"
    advice = advice or f"send {_PLAIN[spec.dtype.kind]} only"
    return _refusal(WrongDtype, spec, fact, advice, expected=spec.datatype, got=got)


def _lossy(spec: TensorSpec, got: str, advice: str = "send values that fit") -> InvalidInput:
    fact = f"holds {got}, which {spec.datatype} cannot hold without loss"
    return _refusal(WrongDtype, spec, fact, advice, expected=spec.datatype, got=got)


def _wrong_shape(error: type[InvalidInput], spec: TensorSpec, fact: str, got: str) -> InvalidInput:
    wanted = _shape_text(spec)
    return _refusal(error, spec, fact, f"send {wanted}", expected=wanted, got=got)


def _refusal(
    error: type[InvalidInput], spec: TensorSpec, fact: str, advice: str, *, expected: str, got: str
) -> InvalidInput:
    message = f"Input {_quoted(spec.name)} {fact}; {advice}."
    return error(message, field=spec.name, expected=expected, got=got)


def _shape_text(spec: TensorSpec) -> str:
    if spec.any_rank:
        return "any shape"
    return f"shape [{', '.join('any' if dim is None else str(dim) for dim in spec.shape)}]"


def _quoted(name: str) -> str:
    """Quote a name for a message. It may come from the caller, so it is cut and escaped."""
    return repr(name[:80])
