"""The golden set on a Model's page: what it demands, how versions did on it, and a form that exchanges it."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.errors import RoundhouseError
from registry.intake.examples.golden_results import GoldenGate, judge
from registry.intake.examples.models import GoldenResult, GoldenSet, Metric
from registry.intake.examples.rows import lines_of
from registry.intake.examples.selectors import champion_of, current_golden_set
from registry.intake.examples.services import put_golden_set
from registry.kit.admin.theme import NumberInput, TextInput, actor
from registry.kit.text import MAX_REASON

MAX_PAGE_BYTES = 5 * 2**20
_SHOWN_RESULTS = 20


class GoldenForm(forms.Form):
    """A file of JSON lines with what it demands; larger files come over the API."""

    file = forms.FileField(
        label="Rows",
        help_text='JSON lines such as {"inputs": {"x": [1, 2]}, "label": "cat"}; at most 5 MiB here, more over the API.',
        widget=forms.FileInput(attrs={"class": "rh-input", "accept": ".jsonl,.ndjson,application/x-ndjson"}),
    )
    metric = forms.ChoiceField(choices=Metric.choices, widget=forms.Select(attrs={"class": "rh-input"}))
    floor = forms.FloatField(
        required=False,
        widget=NumberInput(attrs={"step": "any"}),
        help_text="The worst value that passes: the largest, for an error.",
    )
    margin = forms.FloatField(
        required=False,
        widget=NumberInput(attrs={"step": "any"}),
        help_text="How much worse than the live version another may be.",
    )
    reason = forms.CharField(max_length=MAX_REASON, widget=TextInput(), help_text="Kept with the change.")

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_PAGE_BYTES:
            raise forms.ValidationError(
                f"The file has {file.size:,} bytes, and this page takes {MAX_PAGE_BYTES:,}; put it over the API instead."
            )
        return file


@dataclass(frozen=True, slots=True)
class ShownResult:
    result: GoldenResult
    gate: GoldenGate
    is_live: bool


def draw_golden(request: HttpRequest, model: Model) -> SafeString:
    """The panel of a Model's page."""
    golden_set = current_golden_set(model)
    may_write = actor(request).may(Right.WRITE, model_id=model.pk)
    return render_to_string(
        "admin/registry/golden_panel.html",
        {
            "model": model,
            "golden_set": golden_set,
            "results": _results(model, golden_set) if golden_set is not None else [],
            "form": GoldenForm(auto_id="rh-golden-%s") if may_write else None,
        },
        request,
    )


def _results(model: Model, golden_set: GoldenSet) -> list[ShownResult]:
    """The newest versions' results, each judged beside the live one's."""
    measured = golden_set.results.select_related("version__model").defer("wrong").order_by("-version__number")
    rows = list(measured[:_SHOWN_RESULTS])
    champion = champion_of(model)
    champion_result = None
    if champion is not None:
        champion_result = next((row for row in rows if row.version_id == champion.pk), None)
        champion_result = champion_result or measured.filter(version=champion).first()
    shown = []
    for row in rows:
        is_live = champion is not None and row.version_id == champion.pk
        gate = judge(
            version=row.version.number,
            golden_set=golden_set,
            result=row,
            champion=champion.number if champion is not None and not is_live else None,
            champion_result=None if is_live else champion_result,
        )
        shown.append(ShownResult(row, gate, is_live))
    return shown


class GoldenPages:
    """Where the panel's form goes; it comes back with what is wrong."""

    admin_site: admin.AdminSite
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.put_golden)
        page = path("<int:pk>/golden-set/", view, name="registry_model_golden_set")
        return [page, *super().get_urls()]  # type: ignore[misc]

    def put_golden(self, request: HttpRequest, pk: int) -> HttpResponse:
        model = self.get_queryset(request).filter(pk=pk).first()  # type: ignore[attr-defined]
        if model is None:
            raise Http404
        by = actor(request)
        if not by.may(Right.WRITE, model_id=model.pk):
            raise PermissionDenied
        back = reverse("admin:registry_model_change", args=[pk])
        form = GoldenForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            given = dict(form.cleaned_data)
            try:
                made = put_golden_set(model=model, lines=lines_of(given.pop("file").chunks()), **given, by=by)
                messages.success(request, f"{made} has {made.rows:,} rows. Check a version to measure it.")
                return redirect(back)
            except RoundhouseError as error:
                form.add_error("file", str(error))
        shown = {
            "opts": self.opts,
            "title": f"Golden set: {model}",
            "form": form,
            "model": model,
            "back": back,
        }
        return TemplateResponse(
            request, "admin/registry/golden_page.html", {**self.admin_site.each_context(request), **shown}
        )
