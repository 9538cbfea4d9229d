"""The list of cases with its filters, and their pages."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from moderation.cases.models import SEVERE, Case, CaseSource, Harm
from moderation.cases.selectors import cases_matching, sees_restricted, visible_cases
from moderation.cases.transitions import CaseStatus
from moderation.console.case_page import (
    STATUS_TONES,
    VERDICT_TONES,
    awaits_second_review,
    case_context,
    hides_verdicts,
    who_decided,
)
from moderation.console.case_verbs import CASE_VERBS, DecideManyForm
from moderation.policies.rules import Ruling
from moderation.privacy.looks import record_look
from moderation.review.models import Verdict
from moderation.review.transitions import VerdictStatus
from moderation.review.verdicts import actions_for, decide_many
from moderation.rights import ModerationRight
from registry.kit.actors import require_right
from registry.kit.admin.columns import Tone, badge, number_column
from registry.kit.admin.facts import ago, when
from registry.kit.admin.pages import OwnPage, exact_filter
from registry.kit.admin.theme import DropdownFilter, ModelAdmin, PeriodFilter, actor, display
from registry.kit.admin.verbs import VerbPages, answer_verb
from registry.record.sentences import counted

_NO_MODEL = 0  # cases belong to no Model
_MOST_AT_ONCE = 100


class WhoHasFilter(DropdownFilter):
    title = "who has it"
    parameter_name = "who"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        return [("me", "Held by me"), ("somebody", "Held by anybody"), ("nobody", "Held by nobody")]

    def queryset(self, request: HttpRequest, rows: QuerySet[Case]) -> QuerySet[Case]:
        looking = Q(claimed_until__gt=timezone.now())
        somebody = Q(assigned_to__isnull=False) | looking
        me = actor(request).user_id
        wanted = {
            "me": Q(assigned_to=me) | (Q(claimed_by=me) & looking),
            "somebody": somebody,
            "nobody": ~somebody,
        }.get(self.value() or "")
        return rows if wanted is None else rows.filter(wanted, status=CaseStatus.WAITING)


class OverdueFilter(DropdownFilter):
    title = "deadline"
    parameter_name = "due"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        return [("overdue", "Overdue"), ("ahead", "Not yet")]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Case]) -> QuerySet[Case]:
        waiting, now = rows.filter(status=CaseStatus.WAITING), timezone.now()
        if self.value() == "overdue":
            return waiting.filter(due_at__lte=now)
        return waiting.filter(due_at__gt=now) if self.value() == "ahead" else rows


@admin.register(Case)
class CasePage(VerbPages, OwnPage, ModelAdmin[Case]):
    empty_text = (
        "A case is one or more equal contents that need a person: a policy wants a review, somebody reports or appeals, or a "
        "random audit looks at what was allowed. They appear here by themselves."
    )
    right = ModerationRight.REVIEW
    verbs = CASE_VERBS
    own_template = "admin/moderation/case.html"
    list_display = [
        "name", "state", "source", "violation", "whose", "moment_due", number_column("item_count", "contents"), "who",
    ]  # fmt: skip
    list_select_related = ["tenant", "claimed_by", "assigned_to"]
    list_filter = [
        "status", WhoHasFilter, OverdueFilter, "source", "harm", "is_escalated", "is_on_legal_hold", "is_restricted",
        "tenant", exact_filter("code", "violation"), exact_filter("language", "language"), ("opened_at", PeriodFilter),
    ]  # fmt: skip
    list_filter_submit = True
    ordering = ["-pk"]
    search_fields = ["pk"]  # shows the search box; see get_search_results
    search_help_text = "A case’s number, or an exact content id, request id or author id."
    actions = ["decide_selected"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        if not self.has_right(request):
            return Case.objects.none()
        standing = Verdict.objects.exclude(status=VerdictStatus.UNDONE).select_related("action")
        of_appeal = Q(source=CaseSource.APPEAL) & Q(awaits_second_review("about__case"))
        rows = Case.objects.annotate(
            awaits_second=ExpressionWrapper(Q(awaits_second_review()) | of_appeal, BooleanField())
        )
        rows = rows.prefetch_related(Prefetch("verdicts", standing, to_attr="standing"))
        return visible_cases(rows, actor(request))

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [one for one in self.list_filter if one != "is_restricted" or sees_restricted(actor(request))]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Case], search_term: str
    ) -> tuple[QuerySet[Case], bool]:
        term = search_term.strip()
        return (cases_matching(queryset, term) if term else queryset), False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        changelist.result_list = listed = list(changelist.result_list)
        for case in listed:
            case.seen_by = actor(request)
        return changelist

    @staticmethod
    def model_id_of(row: Any) -> int:
        return _NO_MODEL

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self._decide_many)
        return [path("decide/", view, name="moderation_case_decide"), *super().get_urls()]

    def shown(self, request: HttpRequest, row: Case) -> dict[str, Any]:
        by = actor(request)
        record_look(case=row, by=by)  # the page has what people wrote about it
        buttons = self.verb_buttons(request, row)
        groups = {
            group.name.lower(): [one for one in buttons if one.group == group]
            for group in {one.group for one in buttons}
        }
        packs = row.is_restricted and {ModerationRight.SEE_RESTRICTED, ModerationRight.LEAD} <= by.rights
        return {
            "title": f"Case {row.pk}",
            "verbs": groups,
            "packs_evidence": packs,
            **case_context(row, by),
        }

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return ModerationRight.LEAD in actor(request).rights

    @admin.action(description="Decide the selected cases…", permissions=["decide"])
    def decide_selected(self, request: HttpRequest, cases: QuerySet[Case]) -> HttpResponse:
        ids = ",".join(str(pk) for pk in cases.values_list("pk", flat=True)[:_MOST_AT_ONCE])
        return redirect(f"{reverse('admin:moderation_case_decide')}?cases={ids}")

    def _decide_many(self, request: HttpRequest) -> HttpResponse:
        by = actor(request)
        require_right(by, ModerationRight.LEAD, model_id=_NO_MODEL)
        ids = [
            int(one) for one in request.GET.get("cases", "").split(",") if one.isdecimal() and len(one) < 19
        ]
        cases = list(
            self.get_queryset(request)
            .filter(pk__in=ids[:_MOST_AT_ONCE], status=CaseStatus.WAITING)
            .order_by("pk")
        )
        form = DecideManyForm(request.POST or None, cases=cases, actions=actions_for(by))

        def run() -> str:
            values = form.cleaned_data
            action = form.actions[values["action"]]
            verdicts, refused = decide_many(
                cases=cases, action=action, codes=values["codes"], note=values["note"], by=by
            )
            for why in refused:
                messages.error(request, why.capitalize())
            return f"{counted(len(verdicts), 'case')} decided: {action}."

        return answer_verb(
            request,
            site=self.admin_site,
            opts=self.opts,
            name="Decide",
            of=counted(len(cases), "case"),
            back=reverse("admin:moderation_case_changelist"),
            warning="Each of these cases gets the same verdict. It is final after ten seconds.",
            form=form,
            run=run,
            why_not="" if cases else "None of these cases waits any more.",
        )

    @display(description="case", ordering="pk")
    def name(self, case: Case) -> SafeString:
        return format_html("Case {}<br><small>{}</small>", case.pk, ago(case.opened_at))

    @display(description="state", ordering="status")
    def state(self, case: Case) -> SafeString:
        status = CaseStatus(case.status)
        marks = {
            "escalated": case.is_escalated,
            "restricted": case.is_restricted,
            "legal hold": case.is_on_legal_hold,
        }
        badges = [badge(status.label.lower(), STATUS_TONES[status])]
        badges += [badge(word, Tone.WARN) for word, applies in marks.items() if applies]
        return format_html("<span>{}</span>", SafeString(" ".join(badges)))

    @display(description="violation", ordering="-harm")
    def violation(self, case: Case) -> SafeString:
        harm = badge(Harm(case.harm).label.lower(), Tone.BAD if case.harm >= SEVERE else Tone.IDLE)
        code = format_html('<span class="rh-chip">{}</span> ', case.code) if case.code else ""
        return format_html("<span>{}{}</span>", code, harm)

    @display(description="language, tenant", ordering="language")
    def whose(self, case: Case) -> str:
        return ", ".join(filter(None, [case.language, str(case.tenant or "")])) or "–"

    @display(description="due", ordering="due_at")
    def moment_due(self, case: Case) -> SafeString | str:
        if case.status != CaseStatus.WAITING:
            return "–"
        is_overdue = case.due_at <= timezone.now()
        return (
            format_html("{}<br>{}", when(case.due_at), badge("overdue", Tone.BAD))
            if is_overdue
            else when(case.due_at)
        )

    @display(description="held by, or verdict")
    def who(self, case: Any) -> SafeString | str:
        if not case.standing:
            return who_has(case)
        if hides_verdicts(case, case.seen_by):
            return "second review"
        verdict = case.standing[0]
        shown = badge(str(verdict.action), VERDICT_TONES[Ruling(verdict.ruling)])
        return format_html("{} <small>{}</small>", shown, who_decided(verdict, case.seen_by))


def who_has(case: Case) -> SafeString | str:
    """Who is looking at the case, holds it, or gets it next."""
    now = timezone.now()
    if case.status != CaseStatus.WAITING:
        return "–"
    if case.claimed_until is not None and case.claimed_until > now:
        return format_html("{} <small>is looking</small>", case.claimed_by)
    if case.assigned_to is None:
        return "–"
    if case.on_hold_until is not None and case.on_hold_until > now:
        return format_html("{} <small>holds it until {}</small>", case.assigned_to, when(case.on_hold_until))
    return format_html("{} <small>gets it next</small>", case.assigned_to)
