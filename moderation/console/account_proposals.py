"""Account actions that authors' strikes add up to: the list, and the page on which a lead decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from moderation.cases.selectors import hidden_decisions
from moderation.deciding.models import Decision
from moderation.review.models import AccountProposal, FinalDecision, Strike
from moderation.review.selectors import restricted_finals
from moderation.review.strikes import decide_proposal, remove_strike, weight_of_strikes
from moderation.review.transitions import ProposalStatus
from moderation.rights import ModerationRight
from registry.kit.actors import Actor, require_right
from registry.kit.admin.columns import Tone, moment_column, state_column
from registry.kit.admin.pages import OwnPage, exact_filter
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup, VerbPages, answer_verb

_NO_MODEL = 0  # proposals belong to no Model
_STRIKES = 200
PROPOSAL_TONES = {
    ProposalStatus.OPEN: Tone.BUSY,
    ProposalStatus.ACCEPTED: Tone.BAD,
    ProposalStatus.DISMISSED: Tone.IDLE,
}


@dataclass(frozen=True, slots=True)
class ShownStrike:
    """`is_hidden`: what it is for is restricted, and this person may not see it."""

    strike: Strike
    is_hidden: bool
    state: str
    tone: Tone

    @property
    def counts(self) -> bool:
        return self.state == "counts"


def strikes_of(proposal: AccountProposal, by: Actor) -> list[ShownStrike]:
    """All strikes of the author, the newest first."""
    rows = Strike.objects.filter(tenant=proposal.tenant_id, author_id=proposal.author_id)
    strikes = list(rows.select_related("final__verdict")[:_STRIKES])
    decisions = Decision.objects.filter(pk__in=[one.final.decision_id for one in strikes])
    hidden: set[UUID | int | None] = set(
        decisions.annotate(is_hidden=hidden_decisions(by)).filter(is_hidden=True).values_list("pk", flat=True)
    )
    if ModerationRight.SEE_RESTRICTED not in by.rights:  # the decision may be gone
        finals = FinalDecision.objects.filter(restricted_finals(), pk__in=[one.final_id for one in strikes])
        hidden.update(finals.values_list("pk", flat=True))
    return [
        ShownStrike(one, not hidden.isdisjoint((one.final.decision_id, one.final_id)), *_state(one))
        for one in strikes
    ]


def _state(strike: Strike) -> tuple[str, Tone]:
    if strike.removed_at is not None:
        return "removed", Tone.IDLE
    return ("counts", Tone.WARN) if strike.expires_at > timezone.now() else ("expired", Tone.IDLE)


def _decide(is_accepted: bool) -> Any:
    def run(proposal: AccountProposal, form: ReasonForm, by: Actor) -> str:
        reason = form.cleaned_data["reason"]
        decide_proposal(proposal=proposal, is_accepted=is_accepted, reason=reason, by=by)
        if is_accepted:
            return f"{proposal.action}: subscribers of account.action are told."
        return "The proposal is dismissed. The strikes stay until they expire."

    return run


def _is_open(proposal: AccountProposal) -> bool:
    return proposal.status == ProposalStatus.OPEN


class AcceptForm(ReasonForm):
    is_destructive = True


@admin.register(AccountProposal)
class AccountProposalPage(VerbPages, OwnPage, ModelAdmin[AccountProposal]):
    empty_text = (
        "When an author’s strikes add up to an account action, such as suspending the account, it is proposed here, and a "
        "lead decides. Actions say how much a strike weighs, and at which weight they are proposed."
    )
    right = ModerationRight.LEAD
    own_template = "admin/moderation/account_proposal.html"
    verbs = (
        Verb(
            "accept", "Accept", ModerationRight.LEAD, AcceptForm, _decide(True), fits=_is_open,
            group=VerbGroup.RELEASE, warning="The systems that subscribe to account.action carry it out.",
        ),
        Verb("dismiss", "Dismiss", ModerationRight.LEAD, ReasonForm, _decide(False), fits=_is_open, group=VerbGroup.RELEASE),
    )  # fmt: skip
    list_display = [
        "author", "action", state_column("status", PROPOSAL_TONES), "weight_shown", "tenant",
        moment_column("made_at", "proposed"), "decided_by", moment_column("decided_at", "decided"),
    ]  # fmt: skip
    list_select_related = ["action", "tenant"]
    list_filter = ["status", "action", "tenant", exact_filter("author_id", "author id")]
    list_filter_submit = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccountProposal]:
        rows = AccountProposal.objects.select_related("action", "tenant")
        return rows if self.has_right(request) else rows.none()

    @staticmethod
    def model_id_of(row: Any) -> int:
        return _NO_MODEL

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self._remove_strike)
        pattern = "<int:pk>/strikes/<int:strike>/remove/"
        return [path(pattern, view, name="moderation_accountproposal_strike"), *super().get_urls()]

    def _remove_strike(self, request: HttpRequest, pk: int, strike: int) -> HttpResponse:
        require_right(actor(request), ModerationRight.LEAD, model_id=_NO_MODEL)
        proposal = self.get_queryset(request).filter(pk=pk).first()
        of_author = Strike.objects.filter(pk=strike)
        row = (
            of_author.filter(tenant=proposal.tenant_id, author_id=proposal.author_id).first()
            if proposal
            else None
        )
        if proposal is None or row is None:
            raise Http404
        form = ReasonForm(request.POST or None, row=row)
        form.suggest_reasons(actor(request), "remove_strike")

        def run() -> str:
            remove_strike(strike=row, reason=form.cleaned_data["reason"], by=actor(request))
            weight = weight_of_strikes(proposal.tenant_id, proposal.author_id)
            return f"The strike is removed. Those of {proposal.author_id} weigh {weight:g} now."

        return answer_verb(
            request,
            site=self.admin_site,
            opts=self.opts,
            name="Remove strike",
            of=proposal.author_id,
            back=reverse("admin:moderation_accountproposal_change", args=[pk]),
            warning="It no longer counts against the author. What it was for stays as it is.",
            form=form,
            run=run,
        )

    def shown(self, request: HttpRequest, row: AccountProposal) -> dict[str, Any]:
        by = actor(request)
        strikes: Sequence[ShownStrike] = strikes_of(row, by)
        return {
            "title": f"{row.action}: {row.author_id}",
            "proposal": row,
            "tone": PROPOSAL_TONES[ProposalStatus(row.status)],
            "strikes": strikes,
            "weight": weight_of_strikes(row.tenant_id, row.author_id),
            "verbs": {"release": self.verb_buttons(request, row)},
        }

    @display(description="author", ordering="author_id")
    def author(self, proposal: AccountProposal) -> SafeString:
        return format_html("<bdi>{}</bdi>", proposal.author_id)

    @display(description="weight of strikes", ordering="weight")
    def weight_shown(self, proposal: AccountProposal) -> str:
        return f"{proposal.weight:g}"
