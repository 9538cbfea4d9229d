"""What the answers of a Model may mean. Apps above add the tasks; the registry stores which one a Model has."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.catalogue.errors import InvalidTaskConfig
from registry.errors import Invalid
from registry.kit.declarations import NOTHING, Declaration
from registry.kit.registrations import Registrations
from registry.kit.text import storable

TENSOR = "tensor"  # numbers in, numbers out: the task of a Model that names none
MAX_TASK = 32


@dataclass(frozen=True, slots=True)
class FilesBesideModel:
    """What came with a model file: other files by name, and the labels of a ZipMap that was removed from it.

    And what the file itself declares.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    labels: Sequence[str] = ()
    declared: Declaration = NOTHING


@dataclass(frozen=True, slots=True)
class TaskKind:
    """One task. `check` raises Invalid; it gets the names of the files that are kept with the version."""

    title: str
    check: Callable[[Mapping[str, Any], Collection[str]], None]
    prefill: Callable[[FilesBesideModel], Mapping[str, Any]]
    is_stated: Callable[[FilesBesideModel], bool]  # whether the model file says that it is for this task
    asked: tuple[str, ...]  # fields that a person fills in if no file states them
    kept_files: tuple[str, ...] = ()  # endings of the names of files that the version needs to answer
    metrics: tuple[str, ...] = ()  # of golden sets for this task
    golden_row: str = ""  # an example
    # Raises Invalid for the inputs and label of a golden row that do not fit; None if the rows are tensors.
    check_row: Callable[[Mapping[str, Any], Any], None] | None = None
    has_pictures: bool = False  # whether each golden row is a picture, in base64 as `image`
    serving: Mapping[str, Any] = field(
        default_factory=dict
    )  # serving settings of its versions that differ from the usual ones
    # Of fields with few values: the title of each value, and its details.
    choices: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a check found out about a version's task."""

    preprocessing: str = ""  # versions with the same hash turn requests and outputs into the same things
    may_pad: bool = True  # whether rows that are filled up get the same answers


NO_FACTS = TaskFacts()
TASK_KINDS: Registrations[TaskKind] = Registrations("task")


def checked_task(name: str) -> str:
    if name not in TASK_KINDS:
        raise Invalid(
            f"{name!r} is not a task; use one of {', '.join(name for name, _ in TASK_KINDS.items())}."
        )
    return name


def task_choices() -> list[tuple[str, str]]:
    return [(name, f"{name}: {task.title}") for name, task in TASK_KINDS.items()]


def field_choices() -> dict[str, Mapping[str, tuple[str, str]]]:
    """The values that a person may choose for a field, with their titles and details, of all tasks."""
    return {name: values for _, task in TASK_KINDS.items() for name, values in task.choices.items()}


def kept_endings() -> list[str]:
    """How the names of files end that some task keeps."""
    return sorted({ending for _, task in TASK_KINDS.items() for ending in task.kept_files})


def checked_config(task: str, config: Mapping[str, Any], files: Collection[str] = ()) -> dict[str, Any]:
    """A version's task configuration; raises Invalid that names the field. `files`: those that are kept with it."""
    TASK_KINDS[task].check(config, files)
    for name, value in config.items():
        if not is_storable(value):
            raise InvalidTaskConfig("It contains a character that no database stores.", field=name)
    return dict(config)


def is_storable(value: Any) -> bool:
    """Whether no text in it has NUL or half of a surrogate pair. Only for checked values: those are not nested deeply."""
    if isinstance(value, str):
        return value == storable(value, len(value))
    if isinstance(value, Mapping):
        return all(is_storable(part) for pair in value.items() for part in pair)
    return not isinstance(value, list) or all(map(is_storable, value))
