from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from inference.checks.services import import_version
from inference.management.imports import ImportCommand, read_object
from inference.pipelines.plain import SCORES, PlainClassification
from inference.pipelines.tasks import TASKS
from inference.serving.plans import session_options
from inference.sources.exported_folder import read_folder
from registry.catalogue.models import Model
from registry.catalogue.validation import read_shapes
from registry.errors import RoundhouseError
from registry.intake.file_scan.errors import DataMissing
from registry.intake.source_formats import SOURCE_FORMATS, RequestedFormat


class Command(ImportCommand):
    help = (
        "Register an ONNX file as the next version of a Model. The first version that passes its checks goes live, or gets an"
        " approval request if the Model needs a second person's approval."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", help="The Model's name: a-z, 0-9 and hyphens. It is created if it does not exist."
        )
        parser.add_argument(
            "file", type=Path,
            help="The ONNX file, a zip with it and the files beside it, or a folder as Hugging Face's exporters write it.",
        )  # fmt: skip
        parser.add_argument(
            "data", type=Path, nargs="*",
            help="Other files of the model: weights, such as model.onnx.data, and what its task needs, such as tokenizer.json,"
            " config.json and tokenizer_config.json. Files that are not needed, such as README.md, do no harm.",
        )  # fmt: skip
        parser.add_argument(
            "--onnx", default="", metavar="FILE",
            help="Which ONNX file of a folder with several, such as onnx/model_quantized.onnx.",
        )  # fmt: skip
        parser.add_argument("--title", default="", help="A readable title, used when the Model is created.")
        parser.add_argument(
            "--notes",
            default="",
            help="Notes on the version, such as where the file comes from and its licence.",
        )
        parser.add_argument(
            "--task", choices=[name for name, _ in TASKS.items()],
            help="What the Model does; by default what an existing Model has, and tensor for a new one.",
        )  # fmt: skip
        parser.add_argument(
            "--task-config", type=Path, metavar="FILE",
            help='A JSON file with the task configuration, such as {"long_texts": "refuse"}. What it does not state is read'
            " from the model's config.json and tokenizer_config.json.",
        )  # fmt: skip
        parser.add_argument(
            "--labels", help="The names of the model's scores, in order, separated by commas: cat,dog."
        )
        parser.add_argument(
            "--scores",
            choices=SCORES,
            help="What a classification of numbers returns. Without --task, it makes a new Model a classification.",
        )
        parser.add_argument(
            "--drop-zipmap",
            action="store_true",
            help="Remove the ZipMap at the end of a classifier, so that it returns its scores as a tensor.",
        )
        parser.add_argument(
            "--shape", action="append", default=[], metavar="NAME=SIZES",
            help="Sizes of an input for checks and warm-up, such as images=1,3,320,320; may be repeated.",
        )  # fmt: skip
        parser.add_argument(
            "--training", type=Path, metavar="FILE",
            help="A JSON file that says where the model comes from: run_url, git_commit, data_set, metrics, tags.",
        )  # fmt: skip
        parser.add_argument(
            "--format", default="", choices=[name for name, _ in SOURCE_FORMATS.items()],
            help="The format of a file that is not ONNX; by default it is recognised. Formats are switched on with"
            " ROUNDHOUSE_FORMATS.",
        )  # fmt: skip
        parser.add_argument(
            "--option", action="append", default=[], metavar="NAME=VALUE",
            help="What the format needs to know, such as signature=serving_default or dtypes=int64; may be repeated.",
        )  # fmt: skip
        parser.add_argument(
            "--confirm-program", default="", metavar="FILE-NAME",
            help="The file's name, to confirm that a file in a format that is a program may run when it is converted.",
        )  # fmt: skip
        parser.add_argument(
            "--live", action="store_true", help="Give this version all traffic, or request approval for that."
        )

    def handle(
        self,
        *_: Any,
        name: str,
        file: Path,
        data: list[Path],
        title: str,
        notes: str,
        live: bool,
        **options: Any,
    ) -> None:
        if options["labels"] and not (options["task"] or options["scores"] or _exists(name) or file.is_dir()):
            raise CommandError(
                "Say what the labels are for: --task text-classification, for example, or --scores for a classification of"
                " numbers."
            )
        task = options["task"] or (PlainClassification.task if options["scores"] else None)
        try:
            if file.is_dir():
                file, found, task = self._picked(name, file, task, options["onnx"])
                data = [*found, *data]
            elif options["onnx"]:
                raise CommandError("--onnx names a file of a folder; name the file alone instead.")
            version = import_version(
                slug=name,
                path=file,
                data=data,
                title=title,
                notes=notes,
                options=session_options(),
                task=task,
                task_config=_task_config(options["task_config"], options["labels"], options["scores"]),
                input_shapes=read_shapes(options["shape"]),
                drop_zipmap=options["drop_zipmap"],
                source=RequestedFormat(
                    options["format"], _options(options["option"]), options["confirm_program"]
                ),
                training=read_object(options["training"], "the training record"),
                go_live=live or None,
                by=self.actor(),
            )
        except OSError as error:
            raise CommandError(f"{error.filename or file} cannot be read: {error.strerror}.") from None
        except DataMissing as error:
            raise CommandError(f"{error} {_suggestion(name, file, data)}".strip()) from None
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        self.report(version)

    def _picked(
        self, slug: str, folder: Path, task: str | None, onnx: str
    ) -> tuple[Path, list[Path], str | None]:
        """The model of a folder, the files that belong to it, and its task; tells what was picked."""
        found = read_folder(folder, slug=slug, task=task, onnx=onnx)
        names = ", ".join(path.name for path in found.files)
        self.tell(f"{found.model.relative_to(folder)}{f' with {names}' if names else ''}")
        if found.guessed_by:
            self.tell(f"Task {found.task}, as {found.guessed_by} says.")
        return found.model, list(found.files), found.task


def _exists(slug: str) -> bool:
    return Model.objects.filter(slug=slug).exists()


def _task_config(path: Path | None, labels: str | None, scores: str | None) -> dict[str, Any]:
    """The configuration in the file, with what the options state."""
    config = read_object(path, "the task configuration")
    if labels is not None:
        config["labels"] = [label.strip() for label in labels.split(",")]
    if scores is not None:
        config["scores"] = scores
    return config


def _options(given: Sequence[str]) -> dict[str, str]:
    named = [one.partition("=") for one in given]
    for name, sign, value in named:
        if not (name and sign and value):
            raise CommandError(f"Write --option NAME=VALUE, not {name}{sign}{value}.")
    return {name: value for name, _, value in named}


def _suggestion(name: str, file: Path, data: Sequence[Path]) -> str:
    """The command that would work, if there is a weight file next to the model. Only files that are named are used."""
    candidates = [file.with_name(file.name + end) for end in (".data", "_data")]
    weights = next((path for path in candidates if path.is_file() and path not in data), None)
    return (
        f"Add the file next to the model: manage.py import_model {name} {file} {weights}" if weights else ""
    )
