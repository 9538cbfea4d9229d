"""Converts a file to ONNX, or runs it with its own runtime, in a confined child of the environment of its format."""

import json
import os
import signal
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference.confinement.parent import ChildWatch, follow_child
from inference.convert.archives import unpack_saved_model
from inference.convert.environments import python_of
from inference.convert.errors import ConversionRefused
from inference.convert.programs.base import CONVERTED, INPUTS, MAX_MESSAGE, OUTPUTS
from inference.scratch import ScratchFolder
from registry.intake.source_formats import SOURCE_FORMATS, SourceFormat

Arrays = Mapping[str, Any]
_MAX_OUTPUT_BYTES = 1 << 30
_MAX_FACTS = 256 << 10  # characters


@dataclass(frozen=True, slots=True)
class ConversionLimits:
    time_s: float = 300.0
    memory_bytes: int = 6 << 30
    disk_bytes: int = 8 << 30


DEFAULT_LIMITS = ConversionLimits()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to convert, its format, and what its owner states: the sizes of inputs, the signature's key."""

    path: Path
    format: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> SourceFormat:
        return SOURCE_FORMATS[self.format]


class Conversion:
    """A converted file, in a folder that is removed at the end; a context manager."""

    def __init__(self, source: SourceFile, *, limits: ConversionLimits = DEFAULT_LIMITS) -> None:
        self._source, self._limits = source, limits
        self._open = ExitStack()

    def __enter__(self) -> "Conversion":
        """Convert it. Raises ConversionRefused."""
        with ExitStack() as stack:
            folder = stack.enter_context(ScratchFolder("convert"))
            self.facts = _do("convert", self._source, folder, self._limits)
            self.path = folder / CONVERTED
            if self.path.is_symlink() or not self.path.is_file():
                raise ConversionRefused("failed", "The converter ended without a model.")
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def run_source(
    source: SourceFile, inputs: Sequence[Arrays], *, limits: ConversionLimits = DEFAULT_LIMITS
) -> list[dict[str, Any]]:
    """The answers of the format's own runtime to each set of inputs. Raises ConversionRefused."""
    with ScratchFolder("convert") as folder:
        named = {
            f"{number}/{name}": np.asarray(array, str) if array.dtype == object else array
            for number, one in enumerate(inputs)
            for name, array in one.items()
        }
        with (folder / INPUTS).open("wb") as file:
            np.savez(file, **named)  # type: ignore[arg-type]
        _do("run", source, folder, limits)
        return _read_outputs(folder / OUTPUTS, len(inputs))


def _do(what: str, source: SourceFile, folder: Path, limits: ConversionLimits) -> dict[str, Any]:
    environment = source.kind.environment
    python = python_of(environment)
    if python is None:
        raise ConversionRefused(
            "not_installed",
            f"Converting {source.kind.label} needs the environment “{environment}”; install it with"
            f" `manage.py install_converter {environment}`.",
        )
    with ExitStack() as stack:
        path = source.path.resolve()
        if source.format == "saved_model":
            path = stack.enter_context(ScratchFolder("unpacked"))
            unpack_saved_model(source.path, path)
        config = {
            "do": what,
            "format": source.format,
            "source": str(path),
            "options": dict(source.options),
            "parent": os.getpid(),
            "time_limit_s": limits.time_s,
            "cpu_limit_s": limits.time_s * 4,
            "memory_limit_bytes": limits.memory_bytes,
            "disk_limit_bytes": limits.disk_bytes,
        }
        try:
            watch, status = follow_child(
                f"convert.programs.{environment}", config, folder, python=str(python)
            )
        except OSError as error:
            raise ConversionRefused(
                "not_started", f"The converter could not be started ({error.strerror})."
            ) from None
    return _facts(watch, status)


def _facts(watch: ChildWatch, status: int) -> dict[str, Any]:
    done = watch.done
    if done is None or watch.cause:
        raise _ended(watch, status)
    code, facts = done.get("code"), done.get("facts")
    if code == "done" and isinstance(facts, dict) and _is_storable(facts):
        return facts
    if code == "memory":
        raise _out_of_memory(watch)
    known = str(code) if code in ("not_confined", "refused") else "failed"
    raise ConversionRefused(known, _readable(str(done.get("message") or "The converter gave no answer.")))


def _is_storable(facts: dict[str, Any]) -> bool:
    """Whether every database and page takes them; the file may have written them."""
    try:
        text = json.dumps(facts, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):  # not a number, half a character, endless nesting
        return False
    return len(text) <= _MAX_FACTS and "\\u0000" not in text


def _readable(message: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in message[:MAX_MESSAGE])


def _ended(watch: ChildWatch, status: int) -> ConversionRefused:
    if watch.cause == "timed_out" or status == -signal.SIGXCPU:
        return ConversionRefused("timed_out", f"Converting it took longer than {watch.time_limit_s:g} s.")
    if watch.cause == "memory":
        return _out_of_memory(watch)
    if watch.cause == "disk":
        return ConversionRefused(
            "failed",
            f"Converting it writes more than {watch.disk_limit_bytes >> 20:,} MiB, or too many files.",
        )
    return ConversionRefused("crashed", f"The converter crashed ({_end_of(status)}) on this file.")


def _end_of(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:  # an exit status, or one of the signals that have no names
        return f"exit status {status}"


def _out_of_memory(watch: ChildWatch) -> ConversionRefused:
    return ConversionRefused(
        "memory", f"Converting it takes more than {watch.memory_limit_bytes >> 20:,} MiB of memory."
    )


def _read_outputs(path: Path, count: int) -> list[dict[str, Any]]:
    """What the child wrote, which the file may control."""
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_OUTPUT_BYTES:
            raise ConversionRefused("failed", "The format's own runtime gave too much.")
        _check_stored(path)
        with np.load(path, allow_pickle=False) as file:
            sets: list[dict[str, Any]] = [{} for _ in range(count)]
            for key in file.files:
                number, _, name = key.partition("/")
                sets[int(number)][name] = file[key]
    except ConversionRefused:
        raise
    except Exception as error:
        raise ConversionRefused(
            "failed", "The answers of the format's own runtime cannot be read."
        ) from error
    return sets


def _check_stored(path: Path) -> None:
    """Raise ValueError unless what is in the file is as large as the file: numpy would unpack anything."""
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("compressed")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("overlapping")
