"""What a job would read: the first rows of its file, and how they fill the inputs of the version that would run it."""

from dataclasses import dataclass

from inference.jobs.forms import PreviewForm
from inference.jobs.kinds import kind_named
from inference.rows import Contract, FilePreview, RowsError, preview_file
from registry.errors import RoundhouseError
from registry.kit.actors import Actor

_LABELS = {"columns": "Column mapping", "id": "ID column", "passthrough": "Passthrough columns"}


@dataclass(frozen=True, slots=True)
class JobPreview:
    """The first rows, or why there are none. `is_split`: the version may be another one when the job starts."""

    subject: str = ""  # the version, or the title of the kind of job
    is_split: bool = False
    file: FilePreview | None = None
    problem: str = ""

    @property
    def mismatch(self) -> str:
        """Why the file does not fit, with the form's name for the field that causes it."""
        if self.file is None or not self.file.problem:
            return ""
        text = self.file.problem.removeprefix(f"{self.file.field}: ")
        return f"{_LABELS.get(self.file.field.partition('.')[0], 'Column mapping')}: {text}"

    @property
    def bad_rows(self) -> int:
        return sum(bool(row.problem) for row in self.file.rows) if self.file else 0


def preview_job(form: PreviewForm, by: Actor) -> JobPreview:
    """Nothing is written. What a job would be refused for is returned as the problem."""
    if not form.is_valid():
        return JobPreview(problem=_first_error(form))
    submitted = form.target
    try:
        kind = kind_named(submitted.kind)
        version, is_split = kind.previewed_version(submitted, by)
        signatures = kind.signatures(version)
    except RoundhouseError as error:
        return JobPreview(problem=str(error))
    subject = str(version) if version is not None else kind.title
    try:
        file = preview_file(
            form.head,
            form.file_kind,
            Contract.from_json({**kind.contract_defaults, **form.contract}),
            signatures,
            is_whole=form.cleaned_data["is_whole"],
        )
    except RowsError as error:
        return JobPreview(subject, is_split, problem=str(error))
    return JobPreview(subject, is_split, file)


def _first_error(form: PreviewForm) -> str:
    """The first error, with its field's label."""
    name, errors = next(iter(form.errors.items()))
    label = "" if name == "__all__" else f"{form.fields[name].label or name.replace('_', ' ').capitalize()}: "
    return f"{label}{errors[0]}"
