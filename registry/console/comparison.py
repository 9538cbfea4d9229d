"""The page that compares two versions of a Model: properties, signature, speed, and golden rows they disagree on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from registry.catalogue.models import Version
from registry.catalogue.task_kinds import TASK_KINDS
from registry.errors import ArtifactMissing
from registry.intake.checklist.selectors import last_facts
from registry.intake.checklist.signature_diff import Change, signature_diff
from registry.intake.examples.golden_results import Disagreement, Disagreements, GoldenGate, disagreements
from registry.intake.examples.models import GoldenSet
from registry.intake.examples.selectors import (
    champion_of,
    current_golden_set,
    golden_gate,
    golden_rows_numbered,
    result_of,
)
from registry.kit.admin.facts import config_in_words, short, size, when
from registry.kit.admin.plots import ProfilePlot, profile_plot
from registry.kit.registrations import Registrations

# Parts of the page that apps add; each gets the request, the other version and the one whose page was opened.
COMPARISONS: Registrations[Callable[[HttpRequest, Version, Version], SafeString | str]] = Registrations(
    "part of comparisons"
)
_ROWS_PER_PAGE = 25
_VERSIONS_OFFERED = 100
_MAX_LENGTH = 160


@dataclass(frozen=True, slots=True)
class Pair:
    """One property of both versions."""

    name: str
    left: str
    right: str
    differs_beyond: bool = False  # in what is too long to be shown

    @property
    def differs(self) -> bool:
        return self.differs_beyond or self.left != self.right


@dataclass(frozen=True, slots=True)
class ShownDisagreement:
    found: Disagreement
    inputs: str
    expected: str
    left: str
    right: str
    has_picture: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """`right` is the version whose page was opened, `left` the other."""

    left: Version
    right: Version
    pairs: list[Pair]
    changes: list[Change] | None
    plot: ProfilePlot | None
    golden_set: GoldenSet | None
    gates: Sequence[GoldenGate]
    disagreements: Disagreements | None
    page: Page[Disagreement] | None
    shown: list[ShownDisagreement]


def others_of(version: Version) -> list[Version]:
    """The versions that this one can be compared with, newest first."""
    others = version.model.versions.exclude(pk=version.pk).select_related("model", "artifact")
    return list(others.order_by("-number")[:_VERSIONS_OFFERED])


def other_for(version: Version, number: str) -> Version | None:
    """The version with this number; without a number, the live version, or else the previous one."""
    others = version.model.versions.exclude(pk=version.pk).select_related("model", "artifact", "derived_from")
    if number.isascii() and number.isdigit() and len(number) < 10:
        return others.filter(number=int(number)).first()
    champion = champion_of(version.model)
    if champion is not None and champion.pk != version.pk:
        return others.get(pk=champion.pk)
    return others.filter(number__lt=version.number).order_by("-number").first() or others.first()


def compare(left: Version, right: Version, page_number: str | None) -> Comparison:
    golden_set = current_golden_set(right.model)
    left_result, right_result = result_of(left, golden_set), result_of(right, golden_set)
    both = disagreements(left_result, right_result) if left_result and right_result else None
    page = Paginator(both.found, _ROWS_PER_PAGE).get_page(page_number) if both is not None else None
    facts = [last_facts(version, "warmup") for version in (left, right)]
    return Comparison(
        left=left,
        right=right,
        pairs=[*_pairs(left, right), *_measured_pairs(*facts)],
        changes=signature_diff(left.signature, right.signature)
        if left.signature and right.signature
        else None,
        plot=profile_plot(
            (version.number, warmup.get("profile"))
            for version, warmup in zip((left, right), facts, strict=True)
        ),
        golden_set=golden_set,
        gates=[golden_gate(version) for version in (left, right)] if golden_set is not None else (),
        disagreements=both,
        page=page,
        shown=_shown(golden_set, page) if golden_set is not None and page is not None else [],
    )


def _pairs(left: Version, right: Version) -> list[Pair]:
    described = [_described(version) for version in (left, right)]
    beyond = {"task configuration"} if left.task_config != right.task_config else set()
    return [Pair(name, described[0][name], described[1][name], name in beyond) for name in described[0]]


def _described(version: Version) -> dict[str, str]:
    parent = version.derived_from
    return {
        "state": version.status,
        "file": version.artifact.sha256[:12],
        "size": size(version.artifact.size_bytes),
        "task configuration": _configuration(version.task_config),
        "task files": "; ".join(f"{name} {sha256[:12]}" for name, sha256 in version.task_files.items())
        or "none",
        "pre-processing hash": version.preprocessing or "none",
        "derived from": str(parent.number) if parent is not None else "none",
        "notes": short(version.notes) or "none",
        "created by": version.made_by,
        "created": when(version.created_at),
    }


def _configuration(config: Mapping[str, Any]) -> str:
    return short("; ".join(f"{name}: {text}" for name, text in config_in_words(config))) or "none"


def _measured_pairs(left: dict[str, Any], right: dict[str, Any]) -> list[Pair]:
    return [Pair("memory when loaded", _footprint(left), _footprint(right))]


def _footprint(facts: dict[str, Any]) -> str:
    count = facts.get("footprint_bytes")
    return size(count) if isinstance(count, (int, float)) else "not measured"


def _shown(golden_set: GoldenSet, page: Page[Disagreement]) -> list[ShownDisagreement]:
    rows_shown = list(page.object_list)
    try:
        rows = golden_rows_numbered(golden_set, [each.row for each in rows_shown])
    except ArtifactMissing:
        rows = {}  # show the answers without the inputs
    has_pictures = TASK_KINDS[golden_set.model.task].has_pictures
    return [
        ShownDisagreement(
            each,
            short(rows[each.row].inputs, _MAX_LENGTH) if each.row in rows and not has_pictures else "",
            *(short(value, _MAX_LENGTH) for value in (each.expected, each.left, each.right)),
            has_picture=has_pictures and each.row in rows,
        )
        for each in rows_shown
    ]


@require_GET
def compare_page(request: HttpRequest, version: Version) -> HttpResponse:
    """The page that "Compare with…" opens."""
    other = other_for(version, request.GET.get("with", ""))
    context = {
        "opts": version._meta,
        "title": f"Compare {version}",
        "version": version,
        "other": other,
        "others": others_of(version),
        "both": compare(other, version, request.GET.get("page")) if other is not None else None,
        "parts": [draw(request, other, version) for draw in COMPARISONS] if other is not None else [],
    }
    return TemplateResponse(
        request, "admin/registry/compare.html", {**admin.site.each_context(request), **context}
    )
