"""The page on which people review: a case after the other, each decided with one key.

The page is drawn once. From then on its script (review.js) sends what the reviewer does, and each answer brings the next case
as HTML, which is taken in the same request.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from moderation.cases.models import Case, Guideline, ReviewQueue
from moderation.cases.selectors import visible_cases, waiting_cases
from moderation.console.case_view import case_context
from moderation.console.decision_page import picture_response
from moderation.console.queue_list import queue_lines
from moderation.console.search import row_named
from moderation.errors import AlreadyDecided, BudgetSpent, UnknownCase
from moderation.privacy.looks import record_look, record_looks
from moderation.review import taking
from moderation.review.budgets import budget_left, reviewer_of
from moderation.review.models import ReviewAction, Reviewer, Verdict
from moderation.review.reviewers import people_who_review
from moderation.review.transitions import VerdictStatus
from moderation.review.verdicts import UNDO_FOR, give_verdict, undo_verdict
from moderation.rights import ModerationRight
from registry.errors import Conflict, Invalid, NotAllowed, NotFound, RoundhouseError
from registry.kit.actors import Actor, require_right
from registry.kit.admin.theme import actor

_NO_MODEL = 0  # cases belong to no Model
_TEMPLATES = "admin/moderation/review"
HOLDS = {  # hours, as they are offered
    1: "1 hour",
    4: "4 hours",
    24: "1 day",
    72: "3 days",
    168: "1 week",
    336: "2 weeks",
}
KEYS = [
    ("1 … 9", "choose a violation"),
    ("f", "find a violation by its name"),
    ("n", "write a note"),
    ("u", "undo the last verdict, for 10 seconds; Ctrl+Z does the same"),
    ("s", "skip: leave the case to others"),
    ("h", "hold: set it aside for yourself"),
    ("e", "escalate: leave it to a lead"),
    ("o", "hand over to a person"),
    ("p", "pause: put the case back"),
    ("b", "blur pictures, or stop"),
    ("g", "show pictures in grey, or in colour"),
    ("Space", "show a blurred picture, or blur it again"),
    ("Esc", "leave a field or a dialog"),
    ("?", "this list"),
]
CaseVerb = Callable[[HttpRequest, Case, Actor], HttpResponse]


@require_GET
def review_page(request: HttpRequest) -> HttpResponse:
    """The page; it takes no case, so that opening it exposes nobody. A case that the person has is shown again."""
    by = actor(request)
    require_right(by, ModerationRight.REVIEW, model_id=_NO_MODEL)
    reviewer = reviewer_of(taking.person_of(by))
    case = _visible(by).filter(claimed_by=reviewer.user_id, claimed_until__gt=timezone.now()).first()
    chosen = row_named(ReviewQueue.objects.all(), request.GET.get("queue", ""))
    wanted = request.GET.get("case", "")
    context = {
        "title": "Review",
        "stage": _draw_case(request, case) if case is not None else _draw_start(request),
        "line": _draw_line(request),
        "reviewer": reviewer,
        "queue": chosen.name if chosen is not None else "",
        "opens": "" if case is not None and str(case.pk) == wanted else wanted,
        "holds": HOLDS,
        "people": [person for person in people_who_review() if person.pk != reviewer.user_id],
        "keys": KEYS,
        "lease_s": int(taking.LEASE.total_seconds()),
    }
    return TemplateResponse(
        request, f"{_TEMPLATES}/page.html", {**admin.site.each_context(request), **context}
    )


def _answering(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view for the page's script: errors become JSON with a sentence."""

    @wraps(view)
    def answer(request: HttpRequest, **values: Any) -> HttpResponse:
        try:
            actor(request).check(ModerationRight.REVIEW)
            return view(request, **values)
        except RoundhouseError as error:
            return JsonResponse({"detail": str(error), "code": error.code}, status=_status(error))

    return answer


def _status(error: RoundhouseError) -> int:
    kinds = {NotAllowed: 403, NotFound: 404, Conflict: 409}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 422)


def _on_case(verb: CaseVerb) -> Callable[..., HttpResponse]:
    @require_POST
    @_answering
    def view(request: HttpRequest, *, pk: int) -> HttpResponse:
        return verb(request, _case(pk, actor(request)), actor(request))

    return view


def _visible(by: Actor) -> Any:
    return visible_cases(waiting_cases(), by)


def _case(pk: int, by: Actor) -> Case:
    """In whatever state, so that services can say what has become of it."""
    case = visible_cases(Case.objects.all(), by).filter(pk=pk).first()
    if case is None:
        raise UnknownCase
    return case


@require_GET
@_answering
def show_queues(request: HttpRequest) -> HttpResponse:
    """The budget, and what waits unless the page shows a case; asked for every half minute."""
    answer = {"line": _draw_line(request)}
    if request.GET.get("only") != "line":
        answer["start"] = _draw_start(request)
    return JsonResponse(answer)


@require_POST
@_answering
def take_next(request: HttpRequest) -> HttpResponse:
    return _next(request)


@_on_case
def open_case(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    return JsonResponse({"html": _draw_case(request, taking.take(case=case, by=by))})


@_on_case
def decide(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    """Give the verdict, and answer with the next case. Whoever was too late is told what was decided, and goes on, too."""
    action = row_named(ReviewAction.objects.all(), request.POST.get("action", ""))
    if action is None:
        raise Invalid("There is no such action; reload the page.")
    try:
        verdict = give_verdict(
            case=case,
            action=action,
            codes=request.POST.getlist("codes"),
            note=request.POST.get("note", ""),
            seconds=_seconds(request),
            by=by,
        )
    except AlreadyDecided as error:
        own = _own_verdict(case, by)
        if own is None:
            return _next(request, problem=str(error))
        verdict = own  # the answer got lost, and the page sent it again
    except Conflict as error:
        return _next(request, problem=str(error))
    return _next(request, said=_in_words(verdict), undo=_undo_of(verdict))


def _own_verdict(case: Case, by: Actor) -> Verdict | None:
    own = Verdict.objects.filter(case=case, reviewer=by.user_id, status=VerdictStatus.PENDING)
    return own.select_related("action").first()


def _seconds(request: HttpRequest) -> float | None:
    """For how long the person really looked, as the page measured it."""
    try:
        seconds = float(request.POST.get("seconds", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None  # "nan" is a number, too


def _in_words(verdict: Verdict) -> str:
    titles = Guideline.objects.in_bulk(verdict.codes, field_name="code") if verdict.codes else {}
    named = ", ".join(str(titles.get(code, code)) for code in verdict.codes)
    return f"{verdict.action}: {named}" if named else str(verdict.action)


def _undo_of(verdict: Verdict) -> dict[str, Any]:
    left = verdict.final_at - timezone.now()
    return {
        "address": reverse("review-undo", args=[verdict.pk]),
        "for_s": max(0.0, min(left, UNDO_FOR).total_seconds()),
    }


@require_POST
@_answering
def undo(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Take the verdict back, and answer with its case."""
    by = actor(request)
    verdict = Verdict.objects.filter(pk=pk, reviewer=by.user_id).select_related("case").first()
    if verdict is None:
        raise UnknownCase
    case = undo_verdict(verdict=verdict, by=by)
    if case.claimed_by_id != by.user_id:  # the budget is spent, so another person gets it
        return _next(request, said="Undone. The case is back in its queue.")
    return JsonResponse({"html": _draw_case(request, case), "said": "Undone. Decide again."})


@_on_case
def skip(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    taking.skip(case=case, by=by)
    return _next(request, said="Skipped. Another person gets the case.")


@_on_case
def hold(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    hours = request.POST.get("hours", "")
    if not hours.isdecimal() or int(hours) not in HOLDS:
        raise Invalid("Choose for how long.")
    until = timezone.now() + timedelta(hours=int(hours))
    taking.hold(case=case, until=until, note=request.POST.get("note", ""), by=by)
    return _next(request, said=f"On hold for {HOLDS[int(hours)]}. Then you get the case again.")


@_on_case
def escalate(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    taking.escalate(case=case, note=request.POST.get("note", ""), by=by)
    return _next(request, said="Escalated. A lead gets the case.")


@_on_case
def hand_over(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    chosen = request.POST.get("person", "")
    to = next((person for person in people_who_review() if str(person.pk) == chosen), None)
    if to is None:
        raise Invalid("Choose a person who reviews.")
    taking.hand_over(case=case, to=to, note=request.POST.get("note", ""), by=by)
    return _next(request, said=f"Handed over to {to}, who gets the case next.")


@_on_case
def put_back(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    """Pause: the case goes back, and no other one is taken."""
    taking.put_back(case=case, by=by)
    said = "Paused. The case is back in its queue."
    return JsonResponse({"html": _draw_start(request), "line": _draw_line(request), "said": said})


@_on_case
def keep(request: HttpRequest, case: Case, by: Actor) -> HttpResponse:
    """The page's heartbeat: the person is still looking."""
    until = taking.keep(case=case, by=by)
    return JsonResponse({"left_s": max(0, int((until - timezone.now()).total_seconds()))})


@require_POST
@_answering
def set_preferences(request: HttpRequest) -> HttpResponse:
    """How the person likes to see pictures."""
    wanted = {name: request.POST[name] == "yes" for name in ("blurs", "greys") if name in request.POST}
    Reviewer.objects.filter(pk=reviewer_of(taking.person_of(actor(request))).pk).update(**wanted)
    return JsonResponse(wanted)


@require_GET
def show_picture(request: HttpRequest, *, pk: int, decision: UUID, number: int) -> HttpResponse:
    """A picture of a case, for whoever has the case now."""
    by = actor(request)
    require_right(by, ModerationRight.REVIEW, model_id=_NO_MODEL)
    mine = _visible(by).filter(pk=pk, claimed_by=by.user_id, claimed_until__gt=timezone.now())
    if not mine.filter(items__decision=decision, items__is_withdrawn=False).exists():
        raise Http404("You do not have this case now.")
    return picture_response(decision, number)


def _next(request: HttpRequest, **answer: Any) -> HttpResponse:
    """Answer with the next case of the queue that the page names, or with why there is none."""
    by, name = actor(request), request.POST.get("queue", "")
    queue = row_named(ReviewQueue.objects.all(), name)
    if name and queue is None:
        answer.setdefault("problem", "This queue was removed, so you get cases of all queues.")
    try:
        case = taking.take_next(queue=queue, by=by)
    except BudgetSpent as error:
        html = _draw(request, "spent.html", {"detail": str(error), "left": budget_left(_reviewer(by))})
        return JsonResponse({"html": html, "line": _draw_line(request), **answer})
    if case is not None:
        return JsonResponse({"html": _draw_case(request, case), **answer})
    html = _draw(request, "empty.html", {"queue": queue, "left": budget_left(_reviewer(by))})
    return JsonResponse({"html": html, "line": _draw_line(request), **answer})


def _reviewer(by: Actor) -> Reviewer:
    return reviewer_of(taking.person_of(by))


def _draw_case(request: HttpRequest, case: Case) -> str:
    by = actor(request)
    context = case_context(case, by)
    record_look(case=case, by=by)
    record_looks(decisions=[one.pk for _, one in context.get("thread", [])], by=by)
    return _draw(request, "case.html", context)


def _draw_start(request: HttpRequest) -> str:
    lines, own = queue_lines(actor(request))
    return _draw(request, "start.html", {"lines": lines, "own": own})


def _draw_line(request: HttpRequest) -> str:
    by = actor(request)
    return _draw(request, "line.html", {"left": budget_left(_reviewer(by))})


def _draw(request: HttpRequest, template: str, context: dict[str, Any]) -> str:
    return render_to_string(f"{_TEMPLATES}/{template}", context, request)


_wrap = admin.site.admin_view
_CASE = "moderation/review/cases/<int:pk>"
# Included before the admin's own URLs, which end with a catch-all.
urlpatterns = [
    path("moderation/review/", _wrap(review_page), name="review"),
    path("moderation/review/queues/", _wrap(show_queues), name="review-queues"),
    path("moderation/review/next/", _wrap(take_next), name="review-next"),
    path("moderation/review/preferences/", _wrap(set_preferences), name="review-preferences"),
    path("moderation/review/verdicts/<int:pk>/undo/", _wrap(undo), name="review-undo"),
    path(f"{_CASE}/take/", _wrap(open_case), name="review-take"),
    path(f"{_CASE}/verdict/", _wrap(decide), name="review-verdict"),
    path(f"{_CASE}/skip/", _wrap(skip), name="review-skip"),
    path(f"{_CASE}/hold/", _wrap(hold), name="review-hold"),
    path(f"{_CASE}/escalate/", _wrap(escalate), name="review-escalate"),
    path(f"{_CASE}/hand-over/", _wrap(hand_over), name="review-hand-over"),
    path(f"{_CASE}/put-back/", _wrap(put_back), name="review-put-back"),
    path(f"{_CASE}/keep/", _wrap(keep), name="review-keep"),
    path(
        f"{_CASE}/pictures/<uuid:decision>/<int:number>/",
        _wrap(show_picture),
        name="review-picture",
    ),
]
