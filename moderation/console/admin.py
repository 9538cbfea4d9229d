from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, Case, Exists, F, OuterRef, QuerySet, Value, When
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from moderation.cases.selectors import hidden_decisions
from moderation.console.decision_page import decision_context, picture_response
from moderation.console.drafts import save_draft
from moderation.console.policy_panels import decisions_of_a_day, policy_header, states_of
from moderation.console.policy_verbs import POLICY_VERBS
from moderation.console.preview_panel import show_preview, start_preview
from moderation.deciding.models import Decision
from moderation.deciding.selectors import decisions, decisions_matching
from moderation.policies import services
from moderation.policies.models import Policy, PolicyRevision
from moderation.policies.rules import Ruling
from moderation.policies.selectors import policies
from moderation.policies.transitions import RevisionStatus
from moderation.privacy.looks import record_look_at_decision
from moderation.rights import ModerationRight
from registry.kit.actors import require_right
from registry.kit.admin.columns import Tone, badge, moment_column
from registry.kit.admin.facts import when
from registry.kit.admin.pages import OwnPage, exact_filter
from registry.kit.admin.panels import PanelPage
from registry.kit.admin.tabs import TabbedPage
from registry.kit.admin.theme import (
    ChangeList,
    DropdownFilter,
    ModelAdmin,
    ModelForm,
    PeriodFilter,
    actor,
    display,
    period_of,
)
from registry.kit.admin.verbs import VerbPages

_SNIPPET = 90
_USUAL_SEARCH, _LONGEST_SEARCH = timedelta(days=7), timedelta(days=31)  # for a violation
RULING_TONES = {Ruling.ALLOW: Tone.GOOD, Ruling.REVIEW: Tone.WARN, Ruling.BLOCK: Tone.BAD}
_NO_MODEL = 0  # policies belong to no Model


class NewPolicyForm(ModelForm[Policy]):
    class Meta:
        model = Policy
        fields = ["name", "title", "tenant", "context"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].help_text = "Such as comments. It stays, because requests and records use it."
        self.fields[
            "context"
        ].help_text = "The context that requests name, such as comments. Leave empty for all contexts."
        self.fields["title"].help_text = "What people read, such as “Comments below articles”."


@admin.register(Policy)
class PolicyPage(VerbPages, TabbedPage, ModelAdmin[Policy]):
    empty_text = (
        "A policy says what is looked for in contents, and what follows: allow, review or block. Add one without a "
        "tenant and a context: the default policy, for all contents. Give it rules, preview it, and publish it."
    )
    right = ModerationRight.READ_POLICIES
    verbs = POLICY_VERBS
    form = NewPolicyForm
    list_display = ["name", "title_shown", "covers_shown", "revision", "state", "number_decided"]
    search_fields = ["name", "title", "context"]
    panel_page = PanelPage.POLICY
    header_template = "admin/moderation/policy_header.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Policy]:
        waiting = PolicyRevision.objects.filter(policy=OuterRef("pk"), status=RevisionStatus.REQUESTED)
        rows = policies().annotate(
            is_waiting=Exists(waiting),
            has_new_draft=Case(
                When(draft__isnull=True, then=Value(False)),
                When(draft=F("current__content"), then=Value(False)),
                When(draft=dict(services.EMPTY), current=None, then=Value(False)),
                When(Exists(waiting.filter(content=OuterRef("draft"))), then=Value(False)),
                default=Value(True),
                output_field=BooleanField(),
            ),
        )
        return rows if self.has_right(request) else rows.none()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return ModerationRight.EDIT_POLICIES in actor(request).rights

    @staticmethod
    def model_id_of(row: Any) -> int:
        return _NO_MODEL

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/draft/", wrap(require_POST(self._save_draft)), name="moderation_policy_draft"),
            path("<int:pk>/previews/", wrap(require_POST(self._preview)), name="moderation_policy_preview"),
            path(
                "<int:pk>/previews/<int:number>/",
                wrap(require_GET(self._show_preview)),
                name="moderation_policy_show_preview",
            ),
            *super().get_urls(),
        ]

    def _preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        require_right(actor(request), ModerationRight.EDIT_POLICIES, model_id=_NO_MODEL)
        return start_preview(request, self._policy(request, pk))

    def _show_preview(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        require_right(actor(request), ModerationRight.EDIT_POLICIES, model_id=_NO_MODEL)
        return show_preview(request, self._policy(request, pk), number)

    def _save_draft(self, request: HttpRequest, pk: int) -> HttpResponse:
        require_right(actor(request), ModerationRight.EDIT_POLICIES, model_id=_NO_MODEL)
        return save_draft(request, self._policy(request, pk))

    def _policy(self, request: HttpRequest, pk: int) -> Policy:
        policy = self.get_queryset(request).filter(pk=pk).first()
        if policy is None:
            raise Http404
        return policy

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one_button})

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:
        values = form.cleaned_data
        obj.pk = services.create_policy(**values, by=actor(request)).pk

    def response_add(
        self, request: HttpRequest, obj: Policy, post_url_continue: str | None = None
    ) -> HttpResponse:
        messages.success(
            request,
            f"Policy {obj.name} is created. Add rules, then publish it: until then it decides nothing.",
        )
        return redirect(self.address_of(obj))

    def header(self, request: HttpRequest, policy: Policy) -> dict[str, Any]:
        buttons = self.verb_buttons(request, policy)
        groups = {
            group: [one for one in buttons if one.group == group] for group in {one.group for one in buttons}
        }
        return {
            **policy_header(policy),
            "verbs": {group.name.lower(): found for group, found in groups.items()},
        }

    @display(description="title", ordering="title")
    def title_shown(self, policy: Policy) -> str:
        return policy.title or "–"

    @display(description="covers")
    def covers_shown(self, policy: Policy) -> str:
        return policy.covers

    @display(description="current revision")
    def revision(self, policy: Policy) -> SafeString | str:
        current = policy.current
        if current is None:
            return "–"
        return format_html(
            "<b>{}</b> by {}, {}", current.number, current.decided_by, when(current.decided_at)
        )

    @display(description="state")
    def state(self, policy: Any) -> SafeString:
        states = states_of(policy, has_draft=policy.has_new_draft, is_waiting=policy.is_waiting)
        return SafeString(" ".join(badge(state.word, state.tone) for state in states))

    @display(description="decisions in 24 hours")
    def number_decided(self, policy: Policy) -> str:
        return decisions_of_a_day(policy)


class DecisionList(ChangeList):
    """Reads the beginnings of texts, and neither evidence nor findings."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        unread = ("evidence", "findings", "content__text", "content__title", "revision__content")
        shortened: QuerySet[Any] = rows.annotate(snippet=Left("content__text", _SNIPPET)).defer(*unread)
        return shortened


class ViolationFilter(DropdownFilter):
    """Decisions with one violation; those that the current revisions know are offered.

    No index leads to violations, so only a period is searched: the last 7 days, or at most 31 days of what was chosen.
    """

    title = "violation"
    parameter_name = "violation"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        contents = PolicyRevision.objects.filter(pk__in=Policy.objects.values("current")).values_list(
            "content", flat=True
        )
        return [
            (code, code)
            for code in sorted({rule["code"] for content in contents for rule in content["rules"]})
        ]

    def queryset(self, request: HttpRequest, rows: QuerySet[Decision]) -> QuerySet[Decision]:
        if not self.value():
            return rows
        chosen = period_of("received_at", request.GET)
        since = _searched_since(*chosen)
        if since != chosen[0]:
            messages.info(
                request,
                f"Violations are searched for in at most {_LONGEST_SEARCH.days} days: these decisions were received after "
                f"{timezone.localtime(since):%Y-%m-%d %H:%M}. Choose an earlier period to see older ones.",
            )
        return rows.filter(codes__icontains=f'"{self.value()}"', received_at__gte=since)


def _searched_since(start: datetime | None, end: datetime | None) -> datetime:
    """The beginning of the period that is searched for a violation, of these chosen ends."""
    last = min(end or timezone.now(), timezone.now())
    return max(start, last - _LONGEST_SEARCH) if start is not None else last - _USUAL_SEARCH


class HeldFilter(admin.BooleanFieldListFilter):
    """Whether a content is held; those that are have a time at which they are tried again, by which the index finds them."""

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.lookup_val == "1":
            rows = rows.filter(next_try_at__isnull=False)
        return super().queryset(request, rows)


@admin.register(Decision)
class DecisionPage(OwnPage, ModelAdmin[Decision]):
    empty_text = "Contents that are sent to /api/v1/moderate are decided by a policy. The decisions appear here, newest first."
    right = ModerationRight.READ_DECISIONS
    own_template = "admin/moderation/decision.html"
    list_display = [
        moment_column("received_at", "received"), "decision", "violations", "text_snippet", "content_id", "author_id",
        "context", "decided_by",
    ]  # fmt: skip
    list_filter = [
        "ruling", ViolationFilter, "policy", ("received_at", PeriodFilter), ("is_held", HeldFilter),
        exact_filter("context", "context"), exact_filter("language", "language"), exact_filter("content_id", "content id"),
        exact_filter("author_id", "author id"),
    ]  # fmt: skip
    list_filter_submit = True
    search_fields = ["content_id"]  # shows the search box; see get_search_results
    search_help_text = "An exact request id or content id."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        if not self.has_right(request):
            return Decision.objects.none()
        return decisions().annotate(is_hidden=hidden_decisions(actor(request)))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[DecisionList]:
        return DecisionList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Decision], search_term: str
    ) -> tuple[QuerySet[Decision], bool]:
        term = search_term.strip()
        return (decisions_matching(queryset, term) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_GET(self._show_picture))
        picture = path("<uuid:pk>/pictures/<int:number>/", view, name="moderation_decision_picture")
        return [picture, *super().get_urls()]

    def _show_picture(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        require_right(actor(request), ModerationRight.READ_DECISIONS, model_id=_NO_MODEL)
        hidden = Decision.objects.annotate(is_hidden=hidden_decisions(actor(request))).filter(is_hidden=True)
        if hidden.filter(pk=pk).exists():
            raise PermissionDenied("This picture is restricted.")
        self._record_look(request, Decision.objects.filter(pk=pk).first())
        return picture_response(pk, number)

    @staticmethod
    def _record_look(request: HttpRequest, decision: Decision | None) -> None:
        if decision is not None:
            record_look_at_decision(decision=decision, by=actor(request))

    def shown(self, request: HttpRequest, row: Decision) -> dict[str, Any]:
        self._record_look(request, row)
        return {"title": f"Decision {row.request_id}", **decision_context(request, row)}

    @display(description="decision", ordering="ruling")
    def decision(self, decision: Decision) -> SafeString:
        shown = badge(decision.ruling, RULING_TONES[Ruling(decision.ruling)])
        return format_html("{} {}", shown, badge("held", Tone.BUSY)) if decision.is_held else shown

    @display(description="violations")
    def violations(self, decision: Decision) -> SafeString | str:
        chips = [format_html('<span class="rh-chip">{}</span>', code) for code in decision.codes]
        return format_html("<span>{}</span>", SafeString(" ".join(chips))) if chips else "–"

    @display(description="text")
    def text_snippet(self, decision: Any) -> SafeString | str:
        if decision.is_hidden:
            return badge("restricted", Tone.WARN)
        snippet = decision.snippet or ""
        return format_html("<bdi>{}</bdi>", snippet) if snippet else "–"

    @display(description="policy, revision", ordering="policy")
    def decided_by(self, decision: Decision) -> str:
        return f"{decision.policy}, {decision.revision.number}"
