"""Forms of the job pages: start a job, edit a store."""

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse

from inference.jobs import services, submissions
from inference.jobs.kinds import SubmittedJob, kinds_for
from inference.jobs.models import PREDICTION, RESULT_FORMATS, Format, Job, Store, StoreKind
from inference.jobs.services.storage import StoreSettings
from inference.jobs.submissions import MAX_FILE_BYTES
from inference.rows import FileFormat, FileKind, OnRowError, RowsError, kind_of
from inference.rows.contract import ERROR_LIMIT, MAX_ERROR_LIMIT
from registry.kit.actors import Actor
from registry.kit.admin.theme import FileInput, ModelForm, NumberInput, TextInput

_MAX_PASTED = 2**20
PREVIEW_BYTES = 192 * 2**10  # of a file; the whole request stays in memory
_INPUT, _MONO = {"class": "rh-input"}, {"class": "rh-input rh-mono", "spellcheck": "false"}


class MappingField(forms.JSONField):
    """Shows an empty value as empty text instead of null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class NewJobForm(forms.Form):
    """A Model, or another kind of job with its options; rows in a file or pasted, and the row contract."""

    kind = forms.ChoiceField(label="Kind of job", required=False, widget=forms.Select(attrs=_INPUT))
    model = forms.CharField(label="Model", max_length=64, required=False, widget=TextInput())
    version = forms.IntegerField(
        min_value=1,
        required=False,
        widget=NumberInput(),
        help_text="Default: the version chosen by the split.",
    )
    options = MappingField(
        label="Options",
        required=False,
        widget=forms.Textarea(attrs={**_MONO, "rows": 2}),
        help_text="Of the kind of job, as a JSON object.",
    )
    file = forms.FileField(
        required=False,
        widget=FileInput(attrs={"accept": ".csv,.jsonl,.ndjson,.npz,.parquet,.gz,.zip"}),
        help_text="JSONL, CSV, NPZ, Parquet or a zip of pictures, at most 64 MiB. JSONL and CSV may be compressed with gzip.",
    )
    pasted = forms.CharField(
        label="Rows",
        required=False,
        max_length=_MAX_PASTED,
        strip=False,
        widget=forms.Textarea(attrs={**_MONO, "rows": 5}),
        help_text="Instead of a file: CSV with a header line, or one JSON object per line.",
    )
    format = forms.ChoiceField(
        required=False,
        choices=[("", "from file name"), *((kind.value, kind.value.upper()) for kind in Format)],
        widget=forms.Select(attrs=_INPUT),
    )
    output_format = forms.ChoiceField(
        label="Output format",
        required=False,
        choices=[
            ("", "same as input; JSONL for a zip"),
            *((kind, kind.upper()) for kind, _ in RESULT_FORMATS),
        ],
        widget=forms.Select(attrs=_INPUT),
    )
    id_column = forms.CharField(
        label="ID column",
        required=False,
        widget=TextInput(),
        help_text="Identifies rows in the results. Default: row numbers; the names of the files in a zip.",
    )
    copied = forms.CharField(
        label="Passthrough columns",
        required=False,
        widget=TextInput(),
        help_text="Copied to the results unchanged. Separate with commas.",
    )
    columns = MappingField(
        label="Column mapping",
        required=False,
        widget=forms.Textarea(attrs={**_MONO, "rows": 2}),
        help_text='Example: {"features": ["width", "height"]}; for texts {"text": "comment"}. Default: each input uses the'
        " column with its name.",
    )
    on_row_error = forms.ChoiceField(
        label="Bad rows",
        choices=[
            (OnRowError.FAIL, "Fail the job"),
            (OnRowError.SKIP, "Skip and list them as errors"),
        ],
        widget=forms.Select(attrs=_INPUT),
    )
    error_limit = forms.IntegerField(
        label="Max. skipped rows",
        min_value=0,
        max_value=MAX_ERROR_LIMIT,
        initial=ERROR_LIMIT,
        required=False,
        widget=NumberInput(),
        help_text="The job fails if more rows are skipped.",
    )

    def __init__(self, *args: Any, by: Actor, **kwargs: Any) -> None:
        """Kinds and options can be chosen if the actor may submit more than one kind."""
        super().__init__(*args, **kwargs)
        self._kinds = dict(kinds_for(by))
        kinds = cast("forms.ChoiceField", self.fields["kind"])
        kinds.choices = [(name, kind.title.capitalize()) for name, kind in self._kinds.items()]
        self.has_kinds = len(self._kinds) > 1
        self.fields["model"].widget.attrs |= {
            "list": "rh-models", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "off",
            "data-models": reverse("model-choices"),
        }  # fmt: skip

    def clean_kind(self) -> str:
        """The first one if none was chosen."""
        return self.cleaned_data["kind"] or next(iter(self._kinds), PREDICTION)

    def clean_model(self) -> str:
        model = str(self.cleaned_data["model"]).strip()
        kind = self._kinds.get(self.cleaned_data.get("kind", ""))
        if kind is None or kind.has_model == bool(model):
            return model
        if model:
            raise ValidationError(f"Jobs of {kind.title} have no Model; leave this empty.")
        raise ValidationError("This field is required.", code="required")

    def clean_options(self) -> dict[str, Any]:
        options = self.cleaned_data["options"] or {}
        if not isinstance(options, dict):
            raise ValidationError("Enter a JSON object.")
        return options

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file is not None and file.size > MAX_FILE_BYTES:
            raise ValidationError(
                f"The file has {file.size:,} bytes; the limit here is {MAX_FILE_BYTES:,}. Upload it in parts through the API."
            )
        return file

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "file" in cleaned:
            has_rows = bool(cleaned.get("pasted", "").strip())
            if cleaned["file"] and has_rows:
                raise ValidationError({"pasted": "Choose a file or paste rows, not both."})
            if not cleaned["file"] and not has_rows:
                raise ValidationError({"file": "Choose a file, or paste rows below."})
        if not self.errors and not cleaned["format"]:
            cleaned["format"] = self._guess_format(self._file_name())
        return cleaned

    def save(self, by: Actor) -> Job:
        fields = self.cleaned_data
        file = fields["file"]
        submissions.check_may_submit(self.target, by)
        pieces = file.chunks() if file is not None else [fields["pasted"].encode()]
        incoming = submissions.from_pieces(
            pieces,
            **self._target,
            input_format=Format(fields["format"]),
            is_gzipped=file is not None and file.name.lower().endswith(".gz"),
            output_format=Format(fields["output_format"]) if fields["output_format"] else None,
            contract=self.contract,
        )
        with incoming:
            return incoming.accepted(services.accept(incoming.submitted, by=by, principal=None))

    @property
    def target(self) -> SubmittedJob:
        """The job without its rows."""
        return SubmittedJob(**self._target)

    @property
    def _target(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("kind", "model", "version", "options")}

    @property
    def contract(self) -> dict[str, Any]:
        fields = self.cleaned_data
        contract: dict[str, Any] = {
            "columns": fields["columns"] or {},
            "on_row_error": fields["on_row_error"],
        }
        if fields["id_column"]:
            contract["id"] = fields["id_column"]
        if names := [name.strip() for name in fields["copied"].split(",") if name.strip()]:
            contract["passthrough"] = names
        if fields["error_limit"] is not None:
            contract["error_limit"] = fields["error_limit"]
        return contract

    def _file_name(self) -> str:
        return str(self.cleaned_data["file"].name) if self.cleaned_data["file"] else ""

    def _guess_format(self, name: str) -> str:
        """Guess from the file name, or from the first character of pasted rows."""
        if not name:
            return Format.JSONL if self.cleaned_data["pasted"].lstrip().startswith("{") else Format.CSV
        try:
            return kind_of(name).format.value
        except RowsError:
            raise ValidationError(
                {"format": "The format cannot be determined from the file name; choose it here."}
            ) from None


class PreviewForm(NewJobForm):
    """The same fields, with the first bytes of the file, or the last ones of a zip, in place of the file."""

    file_name = forms.CharField(required=False, max_length=1000)
    is_whole = forms.BooleanField(required=False)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file is not None and file.size > PREVIEW_BYTES:
            raise ValidationError(f"Send at most {PREVIEW_BYTES:,} bytes of it.")
        return file

    @property
    def head(self) -> bytes:
        """The bytes of the file that were sent, or those of the pasted rows."""
        file = self.cleaned_data["file"]
        return bytes(file.read()) if file is not None else self.cleaned_data["pasted"].encode()

    @property
    def file_kind(self) -> FileKind:
        name = self.cleaned_data["file_name"].lower()
        is_file = self.cleaned_data["file"] is not None
        return FileKind(FileFormat(self.cleaned_data["format"]), is_file and name.endswith(".gz"))

    def _file_name(self) -> str:
        return str(self.cleaned_data.get("file_name", "")) if self.cleaned_data["file"] else ""


class StoreForm(ModelForm[Store]):
    """The settings of a store; the service validates them."""

    class Meta:
        model = Store
        fields = ["name", "kind", "root", "prefix", "may_read", "may_write", "for_people", "tenants"]

    @property
    def settings(self) -> StoreSettings:
        fields: dict[str, Any] = dict(self.cleaned_data)
        fields.pop("name", None)
        return StoreSettings(**{**fields, "kind": StoreKind(fields["kind"])})
