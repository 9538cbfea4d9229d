"""What a bundle says about its version and its files. Written by the export; the import reads it strictly."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from registry.catalogue.validation import is_plain
from registry.intake.errors import BundleRefused
from registry.kit.text import storable

FORMAT = "roundhouse bundle 1"
MODEL_FILE, EXAMPLES_FILE, GOLDEN_FILE = "model.onnx", "examples.json", "golden-set.jsonl"
MAX_MANIFEST_BYTES = 8 << 20
MAX_TASK_FILES = 100
MAX_STATIONS = 20  # installations that a version came through
_MAX_LINE, _MAX_NUMBER, _DEEPEST = 300, 2**31 - 1, 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_Kinds = tuple[type, ...]
_NUMBER: _Kinds = (int, float, type(None))


@dataclass(frozen=True, slots=True)
class BundledFile:
    """A file in a bundle. Its name there is one of ours, never one that somebody chose."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BundledGoldenSet:
    """How the rows in the golden set's file are judged."""

    metric: str
    floor: float | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """`task_files` are the names that the task's files have in the version, in the order of the files."""

    files: tuple[BundledFile, ...]
    model: str
    title: str
    task: str
    number: int
    task_config: dict[str, Any]
    task_files: tuple[str, ...]
    input_shapes: dict[str, Any]
    serving: dict[str, Any]
    origin: dict[str, Any]
    notes: str
    golden_set: BundledGoldenSet | None
    # What the source knew, for information: its own checks decide nothing here.
    installation: str
    signature: dict[str, Any] | None
    preprocessing: str
    check: dict[str, Any] | None

    @property
    def source(self) -> str:
        return f"{self.model} version {self.number} of {self.installation}"

    def file(self, name: str) -> BundledFile | None:
        return next((file for file in self.files if file.name == name), None)

    def sha256_of_task_files(self) -> dict[str, str]:
        """As a version stores them."""
        sha256 = {file.name: file.sha256 for file in self.files}
        return {name: sha256[task_file(place)] for place, name in enumerate(self.task_files)}

    def lineage(self, key: str) -> dict[str, Any]:
        """The origin of the imported version: that of the source, and the installations that it came through."""
        station = {
            "installation": self.installation,
            "model": self.model,
            "version": self.number,
            "key": key,
            "preprocessing": self.preprocessing,
            "check": self.check,
        }
        return {**self.origin, "bundles": [*self.origin.get("bundles", []), station][-MAX_STATIONS:]}


def task_file(place: int) -> str:
    """The name in the bundle of the task's file at this place."""
    return f"task-file-{place + 1}"


def file_names(task_files: int, *, has_examples: bool, has_golden_set: bool) -> list[str]:
    """The files of a bundle, in order."""
    names = [MODEL_FILE, *(task_file(place) for place in range(task_files))]
    return [*names, *[EXAMPLES_FILE] * has_examples, *[GOLDEN_FILE] * has_golden_set]


def write_manifest(manifest: BundleManifest) -> bytes:
    golden_set = manifest.golden_set
    value = {
        "format": FORMAT,
        "files": [
            {"name": file.name, "sha256": file.sha256, "size_bytes": file.size_bytes}
            for file in manifest.files
        ],
        "model": {"name": manifest.model, "title": manifest.title, "task": manifest.task},
        "version": {
            "number": manifest.number,
            "task_config": manifest.task_config,
            "task_files": list(manifest.task_files),
            "input_shapes": manifest.input_shapes,
            "serving": manifest.serving,
            "origin": manifest.origin,
            "notes": manifest.notes,
        },
        "golden_set": None
        if golden_set is None
        else {"metric": golden_set.metric, "floor": golden_set.floor, "margin": golden_set.margin},
        "source": {
            "installation": manifest.installation,
            "signature": manifest.signature,
            "preprocessing": manifest.preprocessing,
            "check": manifest.check,
        },
    }
    return encode(value)


def encode(value: Any) -> bytes:
    """JSON in the only spelling that is accepted."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def decode(content: bytes, what: str) -> Any:
    """Values from JSON; raise BundleRefused for anything that a database does not store or that has two meanings."""
    try:
        value = json.loads(content, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BundleRefused(
            f"The {what} of this bundle is not valid JSON; export the version again."
        ) from None
    if not _is_storable(value, 0):
        raise BundleRefused(
            f"The {what} of this bundle has values that are not stored; export the version again."
        )
    return value


def read_manifest(content: bytes) -> BundleManifest:
    """Read a manifest whose signature is right; raise BundleRefused for one that this release does not write."""
    value = decode(content, "manifest")
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BundleRefused(
            f"This bundle is not a {FORMAT!r}; export the version with the release of Roundhouse that imports it."
        )
    whole = _members(value, "manifest", format=(str,), files=(list,), model=(dict,), version=(dict,),
                     golden_set=(dict, type(None)), source=(dict,))  # fmt: skip
    model = _members(whole["model"], "model", name=(str,), title=(str,), task=(str,))
    version = _members(whole["version"], "version", number=(int,), task_config=(dict,), task_files=(list,),
                       input_shapes=(dict,), serving=(dict,), origin=(dict,), notes=(str,))  # fmt: skip
    source = _members(whole["source"], "source", installation=(str,), signature=(dict, type(None)),
                      preprocessing=(str,), check=(dict, type(None)))  # fmt: skip
    golden_set = whole["golden_set"]
    if golden_set is not None:
        golden_set = _members(golden_set, "golden_set", metric=(str,), floor=_NUMBER, margin=_NUMBER)
    task_files = _task_files(version["task_files"])
    files = tuple(map(_file, whole["files"]))
    _check_names(files, len(task_files), has_golden_set=golden_set is not None)
    if not 1 <= version["number"] <= _MAX_NUMBER:
        _refuse("version")
    _check_lines(model["name"], model["task"], source["installation"], source["preprocessing"])
    stations = version["origin"].get("bundles", [])
    if not isinstance(stations, list) or not all(isinstance(station, dict) for station in stations):
        _refuse("origin")
    return BundleManifest(
        files=files,
        model=model["name"],
        title=model["title"],
        task=model["task"],
        number=version["number"],
        task_config=version["task_config"],
        task_files=task_files,
        input_shapes=version["input_shapes"],
        serving=version["serving"],
        origin=version["origin"],
        notes=version["notes"],
        golden_set=BundledGoldenSet(**golden_set) if golden_set is not None else None,
        installation=source["installation"],
        signature=source["signature"],
        preprocessing=source["preprocessing"],
        check=_check_result(source["check"]),
    )


def _members(value: Any, where: str, **kinds: _Kinds) -> dict[str, Any]:
    """The members of an object, which must be exactly these."""
    if not isinstance(value, dict) or set(value) != set(kinds):
        _refuse(where)
    if not all(_is_one_of(value[name], kind) for name, kind in kinds.items()):
        _refuse(where)
    return value


def _is_one_of(value: Any, kinds: _Kinds) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)  # a bool is an int to Python


def _file(value: Any) -> BundledFile:
    file = _members(value, "files", name=(str,), sha256=(str,), size_bytes=(int,))
    if not _SHA256.fullmatch(file["sha256"]) or file["size_bytes"] < 0:
        _refuse("files")
    return BundledFile(**file)


def _task_files(names: list[Any]) -> tuple[str, ...]:
    if len(names) > MAX_TASK_FILES or len(set(map(str, names))) != len(names):
        _refuse("task_files")
    for name in names:
        # As uploads have them: without folders.
        if not isinstance(name, str) or not name or not name.isprintable() or {"/", "\\"} & set(name):
            _refuse("task_files")
    return tuple(names)


def _check_names(files: tuple[BundledFile, ...], task_files: int, *, has_golden_set: bool) -> None:
    names = [file.name for file in files]
    expected = file_names(task_files, has_examples=EXAMPLES_FILE in names, has_golden_set=has_golden_set)
    if names != expected:
        _refuse("files")


def _check_result(check: Any) -> dict[str, Any] | None:
    if check is None:
        return None
    result = _members(check, "check", state=(str,), reason=(str,), runtime=(str,), steps=(dict,))
    steps: Mapping[str, Any] = result["steps"]
    if not all(isinstance(state, str) for state in steps.values()):
        _refuse("check")
    _check_lines(result["state"], result["runtime"], *steps, *steps.values())
    return result


def _check_lines(*texts: str) -> None:
    if not all(len(text) <= _MAX_LINE and is_plain(text) for text in texts):
        _refuse("names")


def _refuse(where: str) -> NoReturn:
    raise BundleRefused(
        f"The manifest of this bundle is signed, but its {where!r} is not as this release of Roundhouse writes it; export"
        " the version again with a release that fits."
    )


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError("a name occurs twice")
        members[name] = value
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_storable(value: Any, depth: int) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(value, str):
        return value == storable(value, len(value))
    if isinstance(value, dict):
        return all(_is_storable(part, depth + 1) for pair in value.items() for part in pair)
    return not isinstance(value, list) or all(_is_storable(part, depth + 1) for part in value)
