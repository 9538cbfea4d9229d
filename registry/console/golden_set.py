"""The golden set on a Model's page: its thresholds, the results of versions, and a form that replaces it."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import version_numbered
from registry.catalogue.task_kinds import TASK_KINDS
from registry.catalogue.transitions import Status
from registry.errors import RoundhouseError
from registry.intake.examples.golden_files import ZIP_STARTS, rows_in
from registry.intake.examples.golden_results import GoldenGate, judge
from registry.intake.examples.models import GoldenResult, GoldenSet, Metric
from registry.intake.examples.selectors import champion_of, current_golden_set
from registry.intake.examples.services import put_golden_set
from registry.kit.actors import require_right
from registry.kit.admin.forms import redirect_from_form
from registry.kit.admin.theme import NumberInput, TextInput, actor
from registry.kit.text import MAX_REASON

MAX_PAGE_BYTES, MAX_PAGE_ZIP_BYTES = 5 * 2**20, 64 * 2**20
_ZIP_HELP = "A zip of pictures with labels.jsonl, labels.csv or a folder for each label, at most 64 MiB; use the API for more."
_RESULTS_SHOWN = 20
_VERSIONS_OFFERED = 100


class GoldenForm(forms.Form):
    """A file of JSON lines or a zip of pictures, and the thresholds. Larger files go through the API."""

    file = forms.FileField(label="Rows", widget=forms.FileInput(attrs={"class": "rh-input"}))
    metric = forms.ChoiceField(choices=Metric.choices, widget=forms.Select(attrs={"class": "rh-input"}))
    floor = forms.FloatField(
        required=False,
        widget=NumberInput(attrs={"step": "any"}),
        help_text="The worst value that passes; for metrics where lower is better, the largest one.",
    )
    margin = forms.FloatField(
        required=False,
        widget=NumberInput(attrs={"step": "any"}),
        help_text="How much worse than the live version a new version may be.",
    )
    version = forms.ChoiceField(
        label="For the pre-processing of",
        required=False,
        widget=forms.Select(attrs={"class": "rh-input"}),
        help_text="Versions that read requests in another way cannot gain live share until the set is put again for one of them.",
    )
    reason = forms.CharField(max_length=MAX_REASON, widget=TextInput(), help_text="Kept with the change.")

    def __init__(self, model: Model, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._model = model
        task = TASK_KINDS[model.task]
        metrics = [(name, title) for name, title in Metric.choices if name in task.metrics]
        self._offer("metric", metrics)
        file = self.fields["file"]
        file.help_text = f"JSON lines such as {task.golden_row}. At most 5 MiB; use the API for more."
        accepted = ".jsonl,.ndjson,application/x-ndjson"
        if task.has_pictures:
            file.help_text = f"{_ZIP_HELP} Or {file.help_text}"
            accepted += ",.zip"
        file.widget.attrs["accept"] = accepted
        if versions := _versions_with_hash(model):
            named = [(str(one.number), f"version {one.number}: {one.preprocessing}") for one in versions]
            self._offer("version", [("", "the live version, or else the newest that is ready"), *named])
        else:
            del self.fields["version"]

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  for the type checker
        field.choices = choices

    def clean_version(self) -> Version | None:
        number = self.cleaned_data["version"]
        return version_numbered(self._model, int(number)) if number else None

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        most = MAX_PAGE_ZIP_BYTES if file.read(len(ZIP_STARTS)) == ZIP_STARTS else MAX_PAGE_BYTES
        if file.size > most:
            raise forms.ValidationError(
                f"The file has {file.size:,} bytes; the limit on this page is {most:,}. Use the API instead."
            )
        return file


def _versions_with_hash(model: Model) -> list[Version]:
    ready = model.versions.filter(status=Status.READY).exclude(preprocessing="").order_by("-number")
    return list(ready[:_VERSIONS_OFFERED])


@dataclass(frozen=True, slots=True)
class ShownResult:
    result: GoldenResult
    gate: GoldenGate
    is_live: bool


def draw_golden(request: HttpRequest, model: Model) -> SafeString:
    golden_set = current_golden_set(model)
    may_write = actor(request).may(Right.WRITE, model_id=model.pk)
    return render_to_string(
        "admin/registry/golden_panel.html",
        {
            "model": model,
            "golden_set": golden_set,
            "results": _results(model, golden_set) if golden_set is not None else [],
            "form": GoldenForm(model, auto_id="rh-golden-%s") if may_write else None,
        },
        request,
    )


def _results(model: Model, golden_set: GoldenSet) -> list[ShownResult]:
    """The results of the newest versions, each compared with the live version's."""
    measured = golden_set.results.select_related("version__model").defer("wrong").order_by("-version__number")
    rows = list(measured[:_RESULTS_SHOWN])
    champion = champion_of(model)
    champion_result = None
    if champion is not None:
        champion_result = next((row for row in rows if row.version_id == champion.pk), None)
        champion_result = champion_result or measured.filter(version=champion).first()
    results = []
    for row in rows:
        is_live = champion is not None and row.version_id == champion.pk
        gate = judge(
            version=row.version.number,
            golden_set=golden_set,
            result=row,
            champion=champion.number if champion is not None and not is_live else None,
            champion_result=None if is_live else champion_result,
            preprocessing=row.version.preprocessing,
        )
        results.append(ShownResult(row, gate, is_live))
    return results


def put_golden(request: HttpRequest, model: Model) -> HttpResponse:
    """Handle the panel's form; show it again if it has errors."""
    by = actor(request)
    require_right(by, Right.WRITE, model_id=model.pk)
    back = f"{reverse('admin:registry_model_change', args=[model.pk])}?tab=versions"
    form = GoldenForm(model, request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        data = dict(form.cleaned_data)
        try:
            lines = rows_in(data.pop("file").chunks(), has_pictures=TASK_KINDS[model.task].has_pictures)
            made = put_golden_set(model=model, lines=lines, **data, by=by)
            messages.success(
                request,
                f"{made} saved with {made.rows:,} row{'' if made.rows == 1 else 's'}. Check a version to measure it.",
            )
            return redirect_from_form(request, back)
        except RoundhouseError as error:
            form.add_error("file", str(error))
    context = {
        "opts": model._meta,
        "title": f"Golden set: {model}",
        "form": form,
        "model": model,
        "back": back,
    }
    return TemplateResponse(
        request, "admin/registry/golden_page.html", {**admin.site.each_context(request), **context}
    )
