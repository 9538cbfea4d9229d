"""The page with the report cards of policies, detectors and reviewers; golden sets and labelled data come from there, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from moderation.console.search import row_named
from moderation.policies.models import Policy
from moderation.policies.rules import split_detector
from moderation.policies.selectors import policies
from moderation.quality import golden_sets
from moderation.quality.api import USUAL_DAYS, verdicts_response
from moderation.quality.estimates import Estimate
from moderation.quality.judged_contents import MOST, ReceivedPeriod, read_judged_contents
from moderation.quality.report_cards import (
    LEAST_VERDICTS,
    CardFigures,
    ReportCard,
    SlicedFigures,
    is_enough,
    report_cards,
)
from moderation.quality.reviewers import ReviewerFigures, ReviewersReport, read_reviewers, settle_flag
from moderation.quality.verdict_lines import VerdictExport, verdict_lines
from moderation.rights import ModerationRight
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.task_kinds import TASK_KINDS
from registry.errors import RoundhouseError
from registry.intake.examples.models import Metric
from registry.intake.examples.selectors import current_golden_set
from registry.kit.actors import require_right, visible_models
from registry.kit.admin.forms import redirect_from_form
from registry.kit.admin.theme import NumberInput, TextInput, actor
from registry.kit.text import MAX_REASON

PERIODS = {30: "30 days", 90: "90 days", 365: "a year"}
_NO_MODEL = 0  # report cards belong to no Model
_SETS_SHOWN = 50
_SELECT = {"class": "rh-input"}


@dataclass(frozen=True, slots=True)
class FigureInWords:
    """`value` is empty as long as there is not enough to tell; `rest` is the interval, or what is missing."""

    value: str
    rest: str


@dataclass(frozen=True, slots=True)
class ShownFigures:
    name: str
    precision: FigureInWords
    recall: FigureInWords
    prevalence: FigureInWords
    figures: CardFigures


@dataclass(frozen=True, slots=True)
class ShownCard:
    """`golden_url`: where a golden set is made from its verdicts, if that can be done."""

    card: ReportCard
    shown: ShownFigures
    by_code: Sequence[ShownFigures]
    by_language: Sequence[ShownFigures]
    golden_url: str = ""


@dataclass(frozen=True, slots=True)
class ShownReviewer:
    reviewer: ReviewerFigures
    agreement: str
    sentence: str  # why somebody should talk with the reviewer


@require_GET
def report_card_page(request: HttpRequest) -> HttpResponse:
    by = actor(request)
    require_right(by, ModerationRight.READ_QUALITY, model_id=_NO_MODEL)
    days, policy = _days(request.GET), _policy(request.GET)
    period = _period(days)
    judged = read_judged_contents(period, tenant_id=None)
    cards = report_cards(judged, policy=policy.name if policy is not None else "")
    models = {model.slug: model for model in visible_models(Model.objects.all(), by)}
    context = {
        "title": "Report card",
        "periods": [
            {"title": title, "url": _address(days=one, policy=policy), "is_chosen": one == days}
            for one, title in PERIODS.items()
        ],
        "days": days,
        "policy": policy,
        "policy_choices": _policy_choices(days, policy),
        "policies": [_shown_card(card) for card in cards if card.policy],
        "detectors": [_shown_card(card, models) for card in cards if card.detector],
        "needed": LEAST_VERDICTS,
        "most": MOST,
        "cut_at": judged.since if judged.is_cut else None,
        "reviewers": _shown_reviewers(read_reviewers(period)) if by.may(ModerationRight.LEAD) else None,
        "golden_sets": golden_sets.made_from_verdicts()[:_SETS_SHOWN],
        "may_read_contents": by.may(ModerationRight.READ_DECISIONS),
        "longest_note": MAX_REASON,
    }
    return _page(request, "admin/moderation/quality/page.html", context)


@require_POST
def export_verdicts(request: HttpRequest) -> HttpResponse:
    by = actor(request)
    require_right(by, ModerationRight.READ_QUALITY, model_id=_NO_MODEL)
    has_contents = request.POST.get("contents") == "yes"
    if has_contents:
        require_right(by, ModerationRight.READ_DECISIONS, model_id=_NO_MODEL)
    export = VerdictExport(_period(_days(request.POST)), _policy(request.POST), has_contents)
    response: HttpResponse = verdicts_response(verdict_lines(export=export, by=by))  # type: ignore[assignment]
    return response


@require_POST
def settle_reviewer_flag(request: HttpRequest, pk: int) -> HttpResponse:
    by = actor(request)
    require_right(by, ModerationRight.LEAD, model_id=_NO_MODEL)
    user = User.objects.filter(pk=pk).first()
    if user is None:
        raise Http404
    try:
        settle_flag(user=user, note=request.POST.get("note", ""), by=by)
        messages.success(request, f"{user}'s second reviews are assessed afresh from now on.")
    except RoundhouseError as error:
        messages.error(request, str(error))
    return redirect("report-card")


class VerdictGoldenSetForm(forms.Form):
    """Which verdicts become a Model's golden set, and which labels it should have given."""

    code = forms.ChoiceField(
        label="Violation",
        widget=forms.Select(attrs=_SELECT),
        help_text="Half of the rows are contents with this violation, half are contents without any.",
    )
    violating_label = forms.ChoiceField(
        label="Label of contents with the violation", widget=forms.Select(attrs=_SELECT)
    )
    other_label = forms.ChoiceField(
        label="Label of contents without a violation", widget=forms.Select(attrs=_SELECT)
    )
    most = forms.IntegerField(
        label="Rows, at most",
        min_value=2,
        max_value=golden_sets.MOST_ROWS,
        initial=golden_sets.USUAL_ROWS,
        widget=NumberInput(),
        help_text="The newest verdicts are taken first.",
    )
    metric = forms.ChoiceField(widget=forms.Select(attrs=_SELECT))
    floor = forms.FloatField(
        required=False,
        widget=NumberInput(attrs={"step": "any"}),
        help_text="The worst value that passes; for log loss, the largest one.",
    )
    margin = forms.FloatField(
        required=False,
        widget=NumberInput(attrs={"step": "any"}),
        help_text="How much worse than the live version a new version may be.",
    )
    reason = forms.CharField(max_length=MAX_REASON, widget=TextInput(), help_text="Kept with the change.")

    def __init__(self, model: Model, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="rh-golden-%s")
        task, labels = TASK_KINDS[model.task], golden_sets.known_labels(model)
        counted = golden_sets.codes_to_choose()
        offered = {
            "code": [
                (code, f"{code} ({count:,} verdict{'' if count == 1 else 's'})") for code, count in counted
            ],
            "violating_label": [(label, label) for label in labels],
            "other_label": [(label, label) for label in labels],
            "metric": [(name, title) for name, title in Metric.choices if name in task.metrics],
        }
        for name, choices in offered.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101  for the type checker
            field.choices = choices
        self.initial.update(_usual_labels(model, labels))


@require_http_methods(["GET", "POST"])
def golden_set_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The form that makes a golden set, and why it cannot be made if that is so."""
    by = actor(request)
    require_right(by, ModerationRight.READ_QUALITY, model_id=_NO_MODEL)
    model = visible_models(Model.objects.all(), by).filter(slug=slug).first()
    if model is None:
        raise Http404
    require_right(by, ModerationRight.READ_DECISIONS, model_id=_NO_MODEL)
    require_right(by, Right.WRITE, model_id=model.pk)
    why_not = _why_no_golden_set(model)
    form = VerdictGoldenSetForm(model, request.POST if request.method == "POST" else None)
    if request.method == "POST" and not why_not and form.is_valid():
        data = dict(form.cleaned_data)
        labels = golden_sets.GoldenLabels(data.pop("violating_label"), data.pop("other_label"))
        try:
            made = golden_sets.make_golden_set(model=model, labels=labels, **data, by=by)
            messages.success(
                request,
                f"{made.golden_set} holds {made.violating:,} contents with {made.code} and {made.others:,} without a violation."
                " Check a version to measure it.",
            )
            return redirect_from_form(request, reverse("report-card"))
        except RoundhouseError as error:
            form.add_error(None, str(error))
    context = {
        "title": f"Golden set from verdicts: {model}",
        "model": model,
        "form": form,
        "why_not": why_not,
        "present": current_golden_set(model),
        "back": reverse("report-card"),
    }
    return _page(request, "admin/moderation/quality/golden_set.html", context)


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


def _why_no_golden_set(model: Model) -> str:
    if not golden_sets.can_be_made_for(model):
        return (
            f"{model.slug} is for {model.task}. A verdict says nothing about places in a content, so it only labels whole texts"
            " or pictures."
        )
    if len(golden_sets.known_labels(model)) < 2:
        return f"No version of {model.slug} is ready that has at least two labels, so there is nothing to call the contents."
    if not golden_sets.has_violations():
        return "Nobody has found a violation yet. A golden set needs contents that violate, and contents that do not."
    return ""


def _usual_labels(model: Model, labels: Sequence[str]) -> dict[str, str]:
    """The violation and label of a rule that asks the Model, and a label that no rule looks for."""
    contents = Policy.objects.filter(current__isnull=False).values_list("current__content", flat=True)
    rules = [
        rule
        for content in contents
        for rule in content["rules"]
        if rule["kind"] == "detector" and split_detector(rule["detector"])[0] == model.slug
    ]
    looked_for = [label for rule in rules for label in rule.get("labels") or []]
    harmless = [label for label in labels if label not in looked_for]
    usual = {"code": rules[0]["code"]} if rules else {}
    if looked_for:
        usual["violating_label"] = looked_for[0]
    if harmless:
        usual["other_label"] = harmless[0]
    return usual


def _days(values: QueryDict) -> int:
    text = values.get("days", "")
    return int(text) if text.isdecimal() and len(text) < 4 and int(text) in PERIODS else USUAL_DAYS


def _period(days: int) -> ReceivedPeriod:
    now = timezone.now()
    return ReceivedPeriod(now - timedelta(days=days), now)


def _policy(values: QueryDict) -> Policy | None:
    return row_named(policies(), values.get("policy", ""))


def _address(*, days: int, policy: Policy | None) -> str:
    chosen = {"days": days, **({"policy": policy.name} if policy is not None else {})}
    return f"{reverse('report-card')}?{urlencode(chosen)}"


def _policy_choices(days: int, chosen: Policy | None) -> list[dict[str, Any]]:
    """None where there is nothing to choose."""
    every = list(policies().order_by("name"))
    if len(every) < 2:
        return []
    choices: list[Policy | None] = [None, *every]
    return [
        {
            "title": one.name if one is not None else "all policies",
            "url": _address(days=days, policy=one),
            "is_chosen": one == chosen,
        }
        for one in choices
    ]


def _shown_card(card: ReportCard, models: dict[str, Model] | None = None) -> ShownCard:
    model = (models or {}).get(split_detector(card.detector)[0])
    golden_url = ""
    if model is not None and golden_sets.can_be_made_for(model):
        golden_url = reverse("report-card-golden-set", args=[model.slug])
    return ShownCard(
        card,
        _shown_figures(card.policy or card.detector, card.figures),
        [_shown_slice(one) for one in card.by_code],
        [_shown_slice(one) for one in card.by_language],
        golden_url,
    )


def _shown_slice(one: SlicedFigures) -> ShownFigures:
    return _shown_figures(one.name, one.figures)


def _shown_figures(name: str, figures: CardFigures) -> ShownFigures:
    return ShownFigures(
        name,
        in_words(figures.precision, "verdicts"),
        in_words(figures.recall, "audits"),
        in_words(figures.prevalence, "audits"),
        figures,
    )


def in_words(estimate: Estimate, of: str) -> FigureInWords:
    """`of`: what there must be enough of."""
    if not is_enough(estimate) or estimate.value is None:
        if estimate.count >= LEAST_VERDICTS:
            return FigureInWords("", "no violation is known")
        return FigureInWords("", f"not enough {of} yet: {estimate.count} of about {LEAST_VERDICTS}")
    return FigureInWords(
        f"{_percent(estimate.value)} %", f"{_percent(estimate.low)} – {_percent(estimate.high)} %"
    )


def _percent(share: float) -> str:
    """With a decimal where a whole number would say little."""
    percent = 100 * share
    decimals = 1 if percent < 10 or percent > 99 else 0
    return f"{percent:.{decimals}f}".removesuffix(".0")


def _shown_reviewers(report: ReviewersReport) -> dict[str, Any]:
    return {
        "sentence": _agreement_sentence(report),
        "people": [
            ShownReviewer(one, _kappa(one.agreement, report.needed), flag_in_words(one))
            for one in report.reviewers
        ],
    }


def _agreement_sentence(report: ReviewersReport) -> str:
    doubles = report.double_reviews
    if not doubles:
        return (
            "Nobody gave a second verdict in this period. A policy's share of second reviews says how many verdicts another"
            " person gives again."
        )
    differ = f"{report.differing:,} of {doubles:,} second reviews differ"
    kappa = report.agreement
    if kappa.value is None:
        missing = f"not enough second reviews yet: {doubles} of about {report.needed}"
        return f"{differ}; {missing if doubles < report.needed else 'all verdicts are the same'}."
    return f"{differ}. Agreement beyond chance (kappa): {kappa.value:.2f}, likely {kappa.low:.2f} to {kappa.high:.2f}."


def _kappa(estimate: Estimate, needed: int) -> str:
    if estimate.value is not None:
        return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{estimate.count} of about {needed}" if estimate.count < needed else "all the same"


def flag_in_words(one: ReviewerFigures) -> str:
    """For leads: an invitation to look, not a judgement."""
    if not one.record.is_flagged:
        return ""
    record = one.record
    wrong = (
        f", and a third person agreed with the other one in {record.found_wrong}"
        if record.found_wrong
        else ""
    )
    return (
        f"{one.name}'s second reviews differ more often than chance explains: {record.disagreements} of {record.count}{wrong}."
        " Look at some of them together: the guideline may be unclear, or the day too long."
    )


# Included before the admin's own URLs, which end with a catch-all.
urlpatterns = [
    path("moderation/quality/", admin.site.admin_view(report_card_page), name="report-card"),
    path("moderation/quality/verdicts/", admin.site.admin_view(export_verdicts), name="report-card-verdicts"),
    path(
        "moderation/quality/reviewers/<int:pk>/settle/",
        admin.site.admin_view(settle_reviewer_flag),
        name="report-card-settle",
    ),
    path(
        "moderation/quality/golden-sets/<slug:slug>/",
        admin.site.admin_view(golden_set_page),
        name="report-card-golden-set",
    ),
]
