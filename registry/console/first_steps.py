"""The home page's panel of first steps: what has been done in this installation, and where the rest is done."""

from dataclasses import dataclass

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST

from registry.access.policies import Right
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.transitions import RunState
from registry.kit.admin.first_steps import FIRST_STEPS
from registry.kit.admin.theme import actor
from registry.record.models import AuditRecord

_HIDDEN = "first_steps_hidden"  # in the session
# Whoever may neither upload nor let others in is a reader; the panel is for those who set things up.
_FOR = (Right.WRITE, Right.MANAGE_KEYS, Right.MANAGE_PEOPLE)
_FIRST_RUN = "manage.py serve"  # what created the demo's Models, and the first accounts and key


@dataclass(frozen=True, slots=True)
class ShownStep:
    title: str
    is_done: bool
    address: str
    docs: str


def first_steps(request: HttpRequest) -> list[ShownStep]:
    """The steps that the reader may take; none if they are all done, or if the reader has hidden them."""
    rights = actor(request).rights
    if request.session.get(_HIDDEN) or not rights.intersection(_FOR):
        return []
    steps = [
        ShownStep(step.title, step.is_done(), step.address(), step.docs)
        for step in FIRST_STEPS
        if step.right in rights
    ]
    return [] if all(step.is_done for step in steps) else steps


@require_POST
def hide_first_steps(request: HttpRequest) -> HttpResponse:
    request.session[_HIDDEN] = True
    return redirect("admin:index")


def uploaded_a_version() -> bool:
    return somebody_did("complete_upload", "register_version")


def passed_checks() -> bool:
    """Whether a version that somebody added has passed its checks."""
    return (
        somebody_did("complete_upload", "register_version")
        and CheckRun.objects.filter(state=RunState.PASSED).exclude(asked_by__endswith=_FIRST_RUN).exists()
    )


def changed_a_split() -> bool:
    return somebody_did("set_split", "ask_for_split", "approve_request", "roll_back")


def created_a_key() -> bool:
    return somebody_did("issue_key")


def invited_a_person() -> bool:
    return somebody_did("create_person")


def somebody_did(*actions: str) -> bool:
    """Whether anyone but the first run has done one of these."""
    done = AuditRecord.objects.filter(action__in=actions)
    return done.exclude(actor_name__endswith=_FIRST_RUN).exists()


urlpatterns = [
    path("first-steps/hide/", admin.site.admin_view(hide_first_steps), name="hide-first-steps"),
]
