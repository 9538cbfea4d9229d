"""What a job would read: the first rows of its file, and how they fill the inputs of the version that would run it."""

from dataclasses import dataclass

from inference.checks.version_tasks import callers_signatures
from inference.jobs.forms import PreviewForm
from inference.rows import Contract, FilePreview, RowsError, preview_file
from inference.serving.routes import read_route
from inference.serving.services import check_approved
from registry.access.policies import Right
from registry.catalogue.models import Version
from registry.errors import RoundhouseError
from registry.kit.actors import Actor

_LABELS = {"columns": "Column mapping", "id": "ID column", "passthrough": "Passthrough columns"}


@dataclass(frozen=True, slots=True)
class JobPreview:
    """The first rows, or why there are none. `is_split`: the version may be another one when the job starts."""

    version: Version | None = None
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
    try:
        version, is_split = _version_for(form.cleaned_data["model"], form.cleaned_data["version"], by)
    except RoundhouseError as error:
        return JobPreview(problem=str(error))
    if version.signature is None:
        return JobPreview(
            version, problem=f"The inputs of {version} are not known until it has been checked."
        )
    try:
        file = preview_file(
            form.head,
            form.kind,
            Contract.from_json(form.contract),
            callers_signatures(version),
            is_whole=form.cleaned_data["is_whole"],
        )
    except RowsError as error:
        return JobPreview(version, is_split, problem=str(error))
    return JobPreview(version, is_split, file)


def _version_for(model: str, number: int | None, by: Actor) -> tuple[Version, bool]:
    """The version with this number, else the first of the split, and whether the split has others."""
    route = read_route(model, within=by.models)
    by.check(Right.PREDICT, model_id=route.model_id)
    fixed = route.fixed_target(version=number)
    target = fixed or route.owners[0]
    check_approved(route.slug, target, may_ask_any=by.may(Right.PREDICT_UNAPPROVED, model_id=route.model_id))
    return Version.objects.select_related("model").get(pk=target.version_id), fixed is None


def _first_error(form: PreviewForm) -> str:
    """The first error, with its field's label."""
    name, errors = next(iter(form.errors.items()))
    label = "" if name == "__all__" else f"{form.fields[name].label or name.replace('_', ' ').capitalize()}: "
    return f"{label}{errors[0]}"
