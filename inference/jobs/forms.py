"""The form by which staff order a job."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from inference.jobs import orders, services
from inference.jobs.bodies import MAX_FILE_BYTES
from inference.jobs.models import Format, Job
from inference.rows import OnRowError, RowsError, kind_of
from inference.rows.contract import ERROR_LIMIT, MAX_ERROR_LIMIT
from registry.kit.actors import Actor
from registry.kit.admin.theme import FileInput, NumberInput, TextInput

_MAX_PASTED = 2**20
_INPUT, _MONO = {"class": "rh-input"}, {"class": "rh-input rh-mono", "spellcheck": "false"}


class MappingField(forms.JSONField):
    """Empty is shown as nothing, and not as null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class NewJobForm(forms.Form):
    """A Model, and rows in a file or typed; the contract in fields, its mapping as JSON."""

    model = forms.CharField(
        label="Model", max_length=64, widget=TextInput(attrs={"list": "rh-models", "autocomplete": "off"})
    )
    version = forms.IntegerField(
        min_value=1, required=False, widget=NumberInput(), help_text="Empty: whom the split names now."
    )
    file = forms.FileField(
        required=False,
        widget=FileInput(attrs={"accept": ".csv,.jsonl,.ndjson,.npz,.parquet,.gz"}),
        help_text="JSONL, CSV, NPZ or Parquet; at most 64 MiB. The first two may be compressed with gzip.",
    )
    pasted = forms.CharField(
        label="Rows",
        required=False,
        max_length=_MAX_PASTED,
        strip=False,
        widget=forms.Textarea(attrs={**_MONO, "rows": 5}),
        help_text="Instead of a file: CSV with a line of names, or one JSON object on each line.",
    )
    format = forms.ChoiceField(
        required=False,
        choices=[("", "as the file’s name says"), *((kind.value, kind.value.upper()) for kind in Format)],
        widget=forms.Select(attrs=_INPUT),
    )
    output_format = forms.ChoiceField(
        label="Results as",
        required=False,
        choices=[("", "the same"), *((kind.value, kind.value.upper()) for kind in Format)],
        widget=forms.Select(attrs=_INPUT),
    )
    id_column = forms.CharField(
        label="Id column",
        required=False,
        widget=TextInput(),
        help_text="Names the rows in the results; else they are counted.",
    )
    copied = forms.CharField(
        label="Copied columns",
        required=False,
        widget=TextInput(),
        help_text="Copied as they are; separated by commas.",
    )
    columns = MappingField(
        label="Inputs and their columns",
        required=False,
        widget=forms.Textarea(attrs={**_MONO, "rows": 2}),
        help_text='Such as {"features": ["width", "height"]}. Empty: inputs take the columns of their names.',
    )
    on_row_error = forms.ChoiceField(
        label="A row that cannot be used",
        choices=[
            (OnRowError.FAIL, "fails the job"),
            (OnRowError.SKIP, "is left out and listed among the errors"),
        ],
        widget=forms.Select(attrs=_INPUT),
    )
    error_limit = forms.IntegerField(
        label="Left out at most",
        min_value=0,
        max_value=MAX_ERROR_LIMIT,
        initial=ERROR_LIMIT,
        required=False,
        widget=NumberInput(),
        help_text="More fail the job.",
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file is not None and file.size > MAX_FILE_BYTES:
            raise ValidationError(
                f"The file has {file.size:,} bytes, and this page takes {MAX_FILE_BYTES:,}; upload it in parts over the API."
            )
        return file

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "file" in cleaned and bool(cleaned["file"]) == bool(cleaned.get("pasted", "").strip()):
            raise ValidationError("Choose a file or type rows: one of them.")
        if not self.errors and not cleaned["format"]:
            cleaned["format"] = self._guessed(cleaned["file"].name if cleaned["file"] else "")
        return cleaned

    def save(self, by: Actor) -> Job:
        given = self.cleaned_data
        file = given["file"]
        orders.check_may_ask(given["model"].strip(), by)
        pieces = file.chunks() if file is not None else [given["pasted"].encode()]
        came = orders.from_pieces(
            pieces,
            model=given["model"].strip(),
            version=given["version"],
            input_format=Format(given["format"]),
            is_gzipped=file is not None and file.name.lower().endswith(".gz"),
            output_format=Format(given["output_format"]) if given["output_format"] else None,
            contract=self._contract(),
        )
        with came:
            return came.accepted(services.accept(came.order, by=by, principal=None))

    def _contract(self) -> dict[str, Any]:
        given = self.cleaned_data
        contract: dict[str, Any] = {"columns": given["columns"] or {}, "on_row_error": given["on_row_error"]}
        if given["id_column"]:
            contract["id"] = given["id_column"]
        if names := [name.strip() for name in given["copied"].split(",") if name.strip()]:
            contract["passthrough"] = names
        if given["error_limit"] is not None:
            contract["error_limit"] = given["error_limit"]
        return contract

    def _guessed(self, name: str) -> str:
        """By the file's name; typed rows by their first letter."""
        if not name:
            return Format.JSONL if self.cleaned_data["pasted"].lstrip().startswith("{") else Format.CSV
        try:
            return kind_of(name).format.value
        except RowsError:
            raise ValidationError(
                {"format": "The file’s name does not say what it is; choose its format."}
            ) from None
