"""The page on which people map labels of detectors to other services' categories."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from moderation.doors.categories.labels import labels_for_people
from moderation.doors.categories.models import MAX_CATEGORY, MAX_DETECTOR, MAX_LABEL, CategoryMapping
from moderation.doors.categories.protocols import CATEGORIES, ForeignProtocol, usual_categories
from moderation.doors.categories.services import (
    LabelMapping,
    add_category_mapping,
    mappings_of,
    remove_category_mapping,
)
from moderation.rights import ModerationRight
from registry.errors import RoundhouseError
from registry.kit.admin.pages import ReadOnlyPage
from registry.kit.admin.theme import ModelAdmin, TextInput, actor

_SELECT = {"class": "rh-input"}


@dataclass(frozen=True, slots=True)
class ShownLabel:
    """A label with what it counts for. `mappings` are removable; without any, the label has its usual categories."""

    detector: str
    label: str
    usual: tuple[str, ...] = ()
    mappings: list[LabelMapping] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProtocolSection:
    protocol: ForeignProtocol
    labels: list[ShownLabel]
    form: "MappingForm | None"


class MappingForm(forms.Form):
    """A label as a person enters it; the labels of the policies' detectors are suggested."""

    detector = forms.CharField(max_length=MAX_DETECTOR, widget=TextInput())
    label = forms.CharField(max_length=MAX_LABEL, widget=TextInput())
    category = forms.ChoiceField(required=False, widget=forms.Select(attrs=_SELECT))

    def __init__(
        self,
        protocol: ForeignProtocol,
        known: Mapping[str, list[str]],
        data: QueryDict | None = None,
        *,
        chosen: Mapping[str, str] | None = None,
    ) -> None:
        """`chosen`: the detector and label that the person wants to map."""
        initial = {"category": CATEGORIES[protocol][0], **(chosen or {})}
        super().__init__(data, auto_id=f"rh-{protocol}-%s", initial=initial)
        self.is_open = data is not None or chosen is not None
        self.detectors = sorted(known)
        self.labels = sorted({label for labels in known.values() for label in labels})
        category = self.fields["category"]
        assert isinstance(category, forms.ChoiceField)  # noqa: S101  for the type checker
        category.choices = [
            *((one, one) for one in CATEGORIES[protocol]),
            ("", "none: the label does not count"),
        ]
        for name in ("detector", "label"):
            self.fields[name].widget.attrs["list"] = f"rh-{protocol}-{name}s"


class RemoveForm(forms.Form):
    detector = forms.CharField(max_length=MAX_DETECTOR)
    label = forms.CharField(max_length=MAX_LABEL, strip=False)
    category = forms.CharField(max_length=MAX_CATEGORY, required=False)


@admin.register(CategoryMapping)
class CategoryMappingsPage(ReadOnlyPage, ModelAdmin[CategoryMapping]):
    right = ModerationRight.READ_POLICIES
    fields = readonly_fields = ("protocol", "detector", "label", "category")

    def get_urls(self) -> list[URLPattern]:
        name = "moderation_categorymapping"
        site = self.admin_site
        return [
            path("<slug:protocol>/add/", site.admin_view(require_POST(self.add_mapping)), name=f"{name}_map"),
            path(
                "<slug:protocol>/remove/",
                site.admin_view(require_POST(self.remove_mapping)),
                name=f"{name}_unmap",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._check(request)
        return self._page(request)

    def add_mapping(self, request: HttpRequest, protocol: str) -> HttpResponse:
        known = self._protocol(request, protocol)
        form = MappingForm(known, labels_for_people(), request.POST)
        if not form.is_valid():
            return self._page(request, {known: form})
        try:
            added = add_category_mapping(
                protocol=known, mapping=LabelMapping(**form.cleaned_data), by=actor(request)
            )
        except RoundhouseError as error:
            form.add_error(None, str(error))
            return self._page(request, {known: form})
        messages.success(request, f"Mapped for {known.service}: {added}.")
        return redirect("admin:moderation_categorymapping_changelist")

    def remove_mapping(self, request: HttpRequest, protocol: str) -> HttpResponse:
        known, form = self._protocol(request, protocol), RemoveForm(request.POST)
        if not form.is_valid():
            raise Http404
        mapping = LabelMapping(**form.cleaned_data)
        try:
            remove_category_mapping(protocol=known, mapping=mapping, by=actor(request))
            messages.success(request, f"Removed for {known.service}: {mapping}.")
        except RoundhouseError as error:
            messages.error(request, str(error))
        return redirect("admin:moderation_categorymapping_changelist")

    def _protocol(self, request: HttpRequest, protocol: str) -> ForeignProtocol:
        self._check(request)
        if ModerationRight.EDIT_POLICIES not in actor(request).rights:
            raise PermissionDenied
        try:
            return ForeignProtocol(protocol)
        except ValueError:
            raise Http404 from None

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(
        self, request: HttpRequest, forms_with_errors: Mapping[str, MappingForm] | None = None
    ) -> HttpResponse:
        known = labels_for_people()
        may_edit = ModerationRight.EDIT_POLICIES in actor(request).rights
        shown_forms = forms_with_errors or {}
        sections = [
            ProtocolSection(
                protocol,
                _labels(protocol, known, mappings_of(protocol)),
                shown_forms.get(protocol) or _new_form(request, protocol, known) if may_edit else None,
            )
            for protocol in ForeignProtocol
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Category mappings",
            "sections": sections,
        }
        return TemplateResponse(request, "admin/moderation/category_mappings.html", context)


def _new_form(request: HttpRequest, protocol: ForeignProtocol, known: Mapping[str, list[str]]) -> MappingForm:
    """An empty form, or one for the label whose link was followed."""
    is_chosen = request.GET.get("protocol") == protocol
    chosen = {name: request.GET.get(name, "") for name in ("detector", "label")} if is_chosen else None
    return MappingForm(protocol, known, chosen=chosen)


def _labels(
    protocol: ForeignProtocol, known: Mapping[str, list[str]], mappings: Iterable[LabelMapping]
) -> list[ShownLabel]:
    """The labels that somebody mapped, and those of the policies' detectors."""
    shown: dict[tuple[str, str], ShownLabel] = {}
    for one in mappings:
        shown.setdefault(one[:2], ShownLabel(one.detector, one.label)).mappings.append(one)
    for detector, labels in known.items():
        for label in labels:
            usual = ShownLabel(detector, label, usual_categories(protocol, label))
            shown.setdefault((detector, label), usual)
    return [shown[key] for key in sorted(shown)]
