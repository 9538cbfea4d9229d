"""Reads a Triton model repository: its models, their versions, and what of config.pbtxt has an equal here."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from inference.sources.text_format import MAX_BYTES, TextMessage, read_text_format
from registry.catalogue.serving_settings import DEFAULTS, checked_values
from registry.errors import Invalid
from registry.intake.assembly import MAX_DATA_FILES, weights_named

CONFIG = "config.pbtxt"
_USUAL_FILE = "model.onnx"
_MAX_MODELS, _MAX_VERSIONS = 1_000, 1_000
_MAX_LABEL_BYTES = 1 << 20
_PIECE = 1 << 20
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")  # of a version; Triton skips other folders
_BACKENDS, _PLATFORMS = {"", "onnxruntime"}, {"", "onnxruntime_onnx"}
_GRAPH_LEVELS = {-1: "basic", 1: "extended", 2: "disabled"}
_GPU = ("CUDAExecutionProvider", "CPUExecutionProvider")
# Fields that are read below, or that the ONNX file states itself.
_READ = {
    "name", "platform", "backend", "max_batch_size", "input", "output", "dynamic_batching", "instance_group",
    "default_model_filename", "parameters", "optimization",
}  # fmt: skip
_WITHOUT_EQUAL = {
    "version_policy": "which version answers is set by a split",
    "sequence_batching": "no state is kept between requests",
    "ensemble_scheduling": "a Model is one file",
    "model_warmup": "versions are warmed up by themselves, with examples if there are some (add_examples)",
    "response_cache": "answers are not cached",
    "instance_group count": "requests share one session of a version in each process",
    "instance_group gpus": "a version uses one device in each process; it gets the first",
    "dynamic_batching preferred_batch_size": "a batch is what arrived in time, up to max_batch_rows",
}
_NO_SUCH_SETTING = "there is no such setting"


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version in a repository: its file, and the weights that the file names."""

    number: int
    file: Path
    weights: tuple[Path, ...]
    sha256s: frozenset[str]


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model in a repository. With `refused`, a sentence, it has no versions."""

    name: str
    slug: str = ""
    versions: Sequence[FoundVersion] = ()
    serving: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] = ()
    lost: Sequence[str] = ()  # a sentence for each setting without an equal
    refused: str = ""


def read_repository(folder: Path, only: str = "") -> list[FoundModel]:
    """All models of the repository, or the one of this name; raise Invalid if the folder is no repository."""
    names = sorted(entry.name for entry in islice(os.scandir(folder), _MAX_MODELS + 1) if entry.is_dir())
    if len(names) > _MAX_MODELS:
        raise Invalid(f"{folder} has more than {_MAX_MODELS:,} folders; import them one by one with --only.")
    if only and only not in names:
        raise Invalid(f"{folder} has no folder {only}; it has {', '.join(names[:10]) or 'none'}.")
    found: list[FoundModel] = []
    slugs: dict[str, str] = {}
    for name in [only] if only else [name for name in names if not name.startswith(".")]:
        model = _read_model(folder, name)
        if model.slug and (other := slugs.setdefault(model.slug, name)) != name:
            refused = f"Its name here would be {model.slug}, as that of {other}; rename one of the folders."
            model = FoundModel(name, refused=refused)
        found.append(model)
    if not found:
        raise Invalid(f"{folder} has no models: each is a folder with {CONFIG} and numbered folders in it.")
    return found


def slug_of(name: str) -> str:
    """A Model's name made of another one: lower case, with hyphens between what is neither a letter nor a digit."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")


def _read_model(repository: Path, name: str) -> FoundModel:
    try:
        config = _read_config(repository, name)
        _check_backend(config)
        settings = _Settings()
        settings.read(config)
        labels = _read_labels(repository, name, config)
        versions = tuple(_versions(repository, name, config.text("default_model_filename") or _USUAL_FILE))
        if not versions:
            raise Invalid("It has no version: a numbered folder with the ONNX file.")
        if not (slug := slug_of(name)):
            raise Invalid("Its name has neither letters a-z nor digits; rename the folder.")
    except (Invalid, OSError) as error:
        reason = (
            f"{error.filename} cannot be read: {error.strerror}."
            if isinstance(error, OSError)
            else str(error)
        )
        return FoundModel(name, refused=reason)
    return FoundModel(name, slug, versions, settings.carried, labels, settings.lost)


def _read_config(repository: Path, name: str) -> TextMessage:
    """Without a file, Triton takes what the ONNX file states, and so do we."""
    path = _inside(repository, repository / name / CONFIG)
    return (
        read_text_format(_content(path, MAX_BYTES), f"{name}/{CONFIG}") if path.is_file() else TextMessage()
    )


def _inside(repository: Path, path: Path) -> Path:
    """The path without links; a repository of somebody else may not lead to other files of this machine."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(repository)):
        raise Invalid(f"{path.name} is a link that leads out of the repository; put the file itself there.")
    return real


def _content(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)


def _check_backend(config: TextMessage) -> None:
    backend, platform = config.text("backend"), config.text("platform")
    if backend not in _BACKENDS or platform not in _PLATFORMS:
        raise Invalid(
            f"Its {'backend' if backend not in _BACKENDS else 'platform'} is"
            f" {(backend if backend not in _BACKENDS else platform)[:80]}; only models for ONNX Runtime are imported. Export"
            " it as ONNX first."
        )


def _versions(repository: Path, name: str, file_name: str) -> Iterator[FoundVersion]:
    if Path(file_name).name != file_name:
        raise Invalid(f"default_model_filename must be the name of a file, not {file_name[:80]!r}.")
    folder = repository / name
    numbers = sorted(int(entry.name) for entry in os.scandir(folder) if _NUMBER.fullmatch(entry.name))
    if len(numbers) > _MAX_VERSIONS:
        raise Invalid(f"It has {len(numbers):,} versions; at most {_MAX_VERSIONS:,} are imported.")
    for number in numbers:
        file = _inside(repository, folder / str(number) / file_name)
        if file.is_dir():  # so that weights can lie beside the model
            file = _inside(repository, file / file_name)
        if not file.is_file():
            raise Invalid(f"Version {number} has no file {file_name}.")
        weights = [
            _inside(repository, file.with_name(each)) for each in weights_named(file)[: MAX_DATA_FILES + 1]
        ]
        if missing := [path.name for path in weights if not path.is_file()]:
            raise Invalid(f"Version {number} has weights in {missing[0]}, which is not beside {file.name}.")
        yield FoundVersion(number, file, tuple(weights), hashes_of(file, *weights))


def hashes_of(*paths: Path) -> frozenset[str]:
    """The SHA-256 of each file."""
    return frozenset(map(_hash_of, paths))


def _hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _read_labels(repository: Path, name: str, config: TextMessage) -> list[str]:
    """Of the only output that has labels: a line for each."""
    names = [file for output in config.messages("output") if (file := output.text("label_filename"))]
    if len(names) != 1:
        return []
    if Path(names[0]).name != names[0]:
        raise Invalid(f"label_filename must be the name of a file beside {CONFIG}, not {names[0][:80]!r}.")
    content = _content(_inside(repository, repository / name / names[0]), _MAX_LABEL_BYTES)
    if len(content) > _MAX_LABEL_BYTES:
        raise Invalid(f"{names[0]} is larger than {_MAX_LABEL_BYTES:,} bytes.")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Invalid(f"{names[0]} is not UTF-8 text; save it as that.") from None
    return [line.strip() for line in lines if line.strip()]


class _Settings:
    """What of a configuration has an equal among our serving settings, and what has none."""

    def __init__(self) -> None:
        self.carried: dict[str, Any] = {}
        self.lost: list[str] = []

    def read(self, config: TextMessage) -> None:
        self._read_batching(config)
        self._read_instances(config)
        self._read_optimization(config)
        self._read_parameters(config)
        self._read_tensors(config)
        self._lose_others("", config, _READ)

    def _carry(self, theirs: str, **settings: Any) -> None:
        try:
            checked_values(DEFAULTS, {**self.carried, **settings})
        except Invalid as error:
            self._lose(theirs, str(error))
        else:
            self.carried |= settings

    def _lose(self, theirs: str, why: str = "") -> None:
        self.lost.append(f"{theirs}: {(why or _WITHOUT_EQUAL.get(theirs, _NO_SUCH_SETTING)).rstrip('.')}.")

    def _lose_others(self, path: str, message: TextMessage, read: set[str]) -> None:
        for name in message.fields:
            if name not in read:
                self._lose(f"{path} {name}".strip()[:200])

    def _read_batching(self, config: TextMessage) -> None:
        largest = config.whole("max_batch_size")
        if largest == 0:  # the file has no axis for rows
            self._carry("max_batch_size", merging="never")
        elif largest is not None:
            waiting = max(DEFAULTS.max_queue_rows, largest)
            self._carry("max_batch_size", max_batch_rows=largest, max_queue_rows=waiting)
        batching = config.message("dynamic_batching")
        if (delay := batching.whole("max_queue_delay_microseconds")) is not None:
            self._carry("dynamic_batching max_queue_delay_microseconds", max_wait_ms=delay / 1000)
        self._lose_others("dynamic_batching", batching, {"max_queue_delay_microseconds"})

    def _read_instances(self, config: TextMessage) -> None:
        groups = config.messages("instance_group")
        if any(group.text("kind") == "KIND_GPU" for group in groups):
            self._carry("instance_group kind", providers=_GPU)
        if gpus := [gpu for group in groups for gpu in group.wholes("gpus")]:
            self._carry("instance_group gpus", device_id=gpus[0])
            if len(set(gpus)) > 1:
                self._lose("instance_group gpus")
        if sum(group.whole("count") or 1 for group in groups) > 1:
            self._lose("instance_group count")
        others = TextMessage({name: values for group in groups for name, values in group.fields.items()})
        self._lose_others("instance_group", others, {"name", "kind", "gpus", "count"})

    def _read_optimization(self, config: TextMessage) -> None:
        optimization = config.message("optimization")
        level = optimization.message("graph").whole("level")
        if level in _GRAPH_LEVELS:
            self._carry("optimization graph level", graph_level=_GRAPH_LEVELS[level])
        elif level:
            self._lose("optimization graph level", f"{level} is no level of ONNX Runtime's backend")
        self._lose_others("optimization", optimization, {"graph"})

    def _read_parameters(self, config: TextMessage) -> None:
        for key, value in config.parameters("parameters").items():
            number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None
            if key == "intra_op_thread_count" and number is not None:
                if number:  # 0: as many as there are cores, of which a version gets its share
                    self._carry("parameters intra_op_thread_count", intra_op_threads=number)
            elif key == "gpu_mem_limit" and number is not None:
                self._carry("parameters gpu_mem_limit", arena_limit_bytes=number)
            else:
                self._lose(f"parameters {key}"[:200])

    def _read_tensors(self, config: TextMessage) -> None:
        """Names, types and sizes are those of the ONNX file, in which callers send and get tensors."""
        for kind in ("input", "output"):
            for tensor in config.messages(kind):
                read = {"name", "data_type", "dims", "format", "label_filename"}
                self._lose_others(f"{kind} {tensor.text('name')}", tensor, read)
        if sum(bool(output.text("label_filename")) for output in config.messages("output")) > 1:
            self._lose("label_filename", "several outputs have labels, and a Model has one list of them")
