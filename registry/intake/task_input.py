"""What a version's task gets from the model file, and from those sent beside it, such as config.json and tokenizer.json."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.catalogue.task_kinds import (
    TASK_KINDS,
    FilesBesideModel,
    TaskKind,
    checked_config,
    is_storable,
)
from registry.intake.errors import TaskFileRefused, TaskTakesNoFiles
from registry.intake.file_scan.embeddings import ID_FILES, MAX_ID_FILE_BYTES
from registry.intake.file_scan.errors import quote_name
from registry.intake.file_scan.sent_files import SentFile

# Of the files in an exporter's folder; all others beside a model are weights.
_ENDINGS = (".json", ".txt", ".md", ".model")
_MAX_NAME = 255
_MAX_FILE_BYTES, _MAX_TOTAL_BYTES = (
    32 << 20,
    64 << 20,
)  # of files that are read here, or by a parser; not of ids
_MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class TaskInput:
    """A checked configuration, the names of files that are kept with the version, and sentences that say what was done."""

    config: dict[str, Any]
    kept: Sequence[str]
    changes: Sequence[str]


def is_beside(file: SentFile, weights: Sequence[str]) -> bool:
    """Whether the file is not one of those that the model names as its weights, but belongs to the task."""
    return file.label.lower().endswith(_ENDINGS) and file.label not in weights


class ContentsBeside(Mapping[str, bytes]):
    """The contents by name; each is read when it is asked for. Raises TaskFileRefused for names and sizes."""

    def __init__(self, files: Sequence[SentFile]) -> None:
        self._files: dict[str, SentFile] = {}
        self._contents: dict[str, bytes] = {}
        for file in files:
            self._add(file)
        if (total := sum(file.size for file in files if not _holds_ids(file))) > _MAX_TOTAL_BYTES:
            raise TaskFileRefused(
                f"The files beside the model have {total:,} bytes; together they may have at most"
                f" {_MAX_TOTAL_BYTES >> 20} MiB. Leave out those that are not needed."
            )

    def _add(self, file: SentFile) -> None:
        if not file.label.isprintable() or len(file.label) > _MAX_NAME:
            raise TaskFileRefused(f"{quote_name(file.label)} is not a plain file name; rename it.")
        most = MAX_ID_FILE_BYTES if _holds_ids(file) else _MAX_FILE_BYTES
        if file.size > most:
            raise TaskFileRefused(
                f"{quote_name(file.label)} has {file.size:,} bytes; it may have at most {most >> 20} MiB. Leave it out, or send"
                " a smaller one."
            )
        if file.label in self._files:
            raise TaskFileRefused(
                f"Two files named {quote_name(file.label)} were sent with the model; send each once."
            )
        self._files[file.label] = file

    def pieces(self, name: str) -> Iterator[bytes]:
        file = self._files[name]
        return file.read(0, file.size)

    def __getitem__(self, name: str) -> bytes:
        if name not in self._contents:
            self._contents[name] = b"".join(self.pieces(name))
        return self._contents[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _holds_ids(file: SentFile) -> bool:
    return file.label in ID_FILES.values()


def read_task_input(name: str, config: Mapping[str, Any], beside: FilesBesideModel) -> TaskInput:
    """Fill in what the configuration does not state, and check it; raise InvalidTaskConfig that names the field.

    Nothing is guessed: what neither the caller nor a file states stays missing.
    """
    task, files = TASK_KINDS[name], _NotedFiles(beside.files)
    of_files = task.prefill(FilesBesideModel(files, beside.labels))
    of_model = task.prefill(beside)
    filled = {**of_model, **of_files, **config}
    kept = [each for each in beside.files if _is_kept(each, task, filled)]
    if beside.files and not (task.kept_files or files.noted):
        raise TaskTakesNoFiles(
            f"{quote_name(next(iter(beside.files)))} is not used by the model, whose task is {name}. Leave it out, or"
            " choose the task that it belongs to."
        )
    used = [field for field in of_files if field not in config] if files.noted else []
    changes = list(_changes(beside.files, kept, files.noted, used))
    if own := [field for field in of_model if field not in {*of_files, *config}]:
        changes.append(f"{_listed(own)} of the task configuration came from the model file itself.")
    return TaskInput(checked_config(name, filled, kept), kept, changes)


@dataclass(frozen=True, slots=True)
class TaskSuggestion:
    """What files state of a task's configuration, and the fields that a person has to fill in."""

    task: str  # empty if none was named, and the model file does not name one either
    config: Mapping[str, Any]
    missing: Sequence[str]


def suggest_task(name: str, beside: FilesBesideModel) -> TaskSuggestion:
    """`name`: empty for the task that the model file states. Raises InvalidTaskConfig for files that cannot be read."""
    name = name or next((each for each, task in TASK_KINDS.items() if task.is_stated(beside)), "")
    if not name:
        return TaskSuggestion("", {}, ())
    stated = TASK_KINDS[name].prefill(beside)
    config = {field: value for field, value in stated.items() if is_storable(value)}
    return TaskSuggestion(name, config, [field for field in TASK_KINDS[name].asked if field not in config])


def _is_kept(name: str, task: TaskKind, config: Mapping[str, Any]) -> bool:
    return name.endswith(task.kept_files) or name == config.get("tokenizer")


class _NotedFiles(Mapping[str, bytes]):
    """Files that know which of them were read."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self.noted: list[str] = []

    def __getitem__(self, name: str) -> bytes:
        content = self._files[name]
        if name not in self.noted:
            self.noted.append(name)
        return content

    def __contains__(self, name: object) -> bool:  # looking is not reading
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _changes(
    files: Collection[str], kept: Sequence[str], read: Sequence[str], fields: Sequence[str]
) -> Iterator[str]:
    if kept:
        yield f"{_listed(kept)} {_verb(kept)} stored beside the file."
    if fields:
        yield f"{_listed(fields)} of the task configuration came from {_listed(read)}."
    if others := [name for name in files if name not in kept and not (fields and name in read)]:
        yield f"{_listed(others)} {_verb(others)} not used."


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MAX_LISTED:
        return f"{', '.join(names[:_MAX_LISTED])} and {len(names) - _MAX_LISTED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _verb(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"
