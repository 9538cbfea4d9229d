"""The Checks panel of a version's page, which is refreshed every second while a check runs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from registry.access.policies import Right
from registry.catalogue.models import Version
from registry.catalogue.task_kinds import TASK_KINDS
from registry.catalogue.transitions import Status
from registry.console.splits import next_step
from registry.errors import RoundhouseError
from registry.intake.checklist.models import CheckLine, CheckRun
from registry.intake.checklist.selectors import CheckRequest, newest_run, open_check_request
from registry.intake.checklist.services import ask_check
from registry.intake.checklist.transitions import LineState, RunState
from registry.kit.actors import require_right
from registry.kit.admin.facts import duration, readable, short
from registry.kit.admin.plots import ProfilePlot, profile_plot
from registry.kit.admin.theme import actor

_CHECKABLE = frozenset({Status.UPLOADED, Status.CHECKING, Status.READY, Status.FAILED})
_UNFINISHED = frozenset({Status.UPLOADED, Status.CHECKING})
_ENDED = frozenset({LineState.PASSED, LineState.FAILED, LineState.SKIPPED})
_WAIT_LIMIT = timedelta(minutes=10)  # then the page stops refreshing, in case no worker is running


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row of a golden set that the version answered wrong. `text` is empty for rows that are not texts."""

    row: int
    text: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class WrongRows:
    """Some wrong rows of the golden step; `pictures` is the golden set whose rows are pictures, if they are."""

    rows: list[WrongRow]
    pictures: int | None

    @property
    def have_texts(self) -> bool:
        return any(row.text for row in self.rows)


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One step as the page shows it."""

    line: CheckLine
    took: str
    facts: list[tuple[str, str]]
    changes: list[dict[str, Any]]
    signature: dict[str, Any] | None
    plot: ProfilePlot | None
    wrong: WrongRows | None

    @property
    def look(self) -> str:
        """The state, or `warned` for a step that passed with a code."""
        is_warning = self.line.state == LineState.PASSED and self.line.code
        return "warned" if is_warning else self.line.state


@dataclass(frozen=True, slots=True)
class ShownCheck:
    """The newest run, if there is one, and whether the page has to be refreshed."""

    version: Version
    run: CheckRun | None
    lines: list[ShownLine]
    asked: CheckRequest | None

    @property
    def is_running(self) -> bool:
        return self.run is not None and self.run.state == RunState.RUNNING

    @property
    def is_open(self) -> bool:
        waits = self.asked is not None and self.asked.at > timezone.now() - _WAIT_LIMIT
        return self.is_running or waits or self.version.status in _UNFINISHED

    @property
    def is_checkable(self) -> bool:
        return not self.is_running and self.version.status in _CHECKABLE

    @property
    def done(self) -> int:
        return sum(shown.line.state in _ENDED for shown in self.lines)

    @property
    def current(self) -> CheckLine | None:
        return next((shown.line for shown in self.lines if shown.line.state == LineState.RUNNING), None)

    @property
    def advice(self) -> list[CheckLine]:
        """Steps of a passed run that need attention: they failed without failing the run, or passed with a warning."""
        if self.run is None or self.run.state != RunState.PASSED:
            return []
        return [shown.line for shown in self.lines if shown.look in {"warned", LineState.FAILED}]

    @property
    def took(self) -> str:
        if self.run is None or self.run.ended_at is None:
            return ""
        return duration((self.run.ended_at - self.run.started_at).total_seconds())


def is_being_checked(version: Version) -> bool:
    """Whether its state may change by itself."""
    if version.status != Status.FAILED:
        return version.status in _UNFINISHED
    return shown_check(version).is_open  # it may be checked again


def shown_check(version: Version) -> ShownCheck:
    run = newest_run(version)
    return ShownCheck(
        version=version,
        run=run,
        lines=[_shown_line(line) for line in run.lines.all()] if run is not None else [],
        asked=open_check_request(version, run) if version.status in _CHECKABLE else None,
    )


def _shown_line(line: CheckLine) -> ShownLine:
    facts = dict(line.facts) if isinstance(line.facts, dict) else {}
    wrong = _wrong_rows(line, facts) if line.step == "golden" and facts.get("wrong") else None
    if wrong is not None:
        del facts["wrong"]
    changes = facts.get("changes")
    return ShownLine(
        line=line,
        took=_took(line),
        facts=readable(facts),
        changes=[change for change in changes if isinstance(change, dict)]
        if isinstance(changes, list)
        else [],
        signature=facts if isinstance(facts.get("inputs"), list) else None,
        plot=profile_plot([(line.run.version.number, facts.get("profile"))]) if "profile" in facts else None,
        wrong=wrong,
    )


def _wrong_rows(line: CheckLine, facts: dict[str, Any]) -> WrongRows:
    model = line.run.version.model
    pictures = None
    if TASK_KINDS[model.task].has_pictures:
        pictures = model.golden_sets.filter(revision=facts["golden_set"]).values_list("pk", flat=True).first()
    return WrongRows(
        [
            WrongRow(one["row"], one.get("text", ""), short(one["expected"]), short(one["got"]))
            for one in facts["wrong"]
        ],
        pictures,
    )


def _took(line: CheckLine) -> str:
    if line.seconds is not None:
        return duration(line.seconds)
    if line.state == LineState.RUNNING and line.started_at is not None:
        return duration((timezone.now() - line.started_at).total_seconds())
    return ""


def draw_checklist(request: HttpRequest, version: Version) -> SafeString:
    shown = shown_check(version)
    by = actor(request)
    return render_to_string(
        "admin/registry/checklist.html",
        {
            "version": version,
            "shown": shown,
            "next_step": _next_step(request, shown),
            "may_ask": shown.is_checkable and by.may(Right.WRITE, model_id=version.model_id),
        },
        request,
    )


def _next_step(request: HttpRequest, shown: ShownCheck) -> tuple[str, str] | None:
    """What comes after a check that passed, if none of its steps failed."""
    if shown.is_open or shown.run is None or shown.run.state != RunState.PASSED:
        return None
    if any(line.state == LineState.FAILED for line in shown.advice):
        return None
    return next_step(shown.version, actor(request))


@require_GET
def show_check(request: HttpRequest, version: Version) -> HttpResponse:
    """The panel's content, for its script."""
    shown = shown_check(version)
    context = {"shown": shown, "next_step": _next_step(request, shown)}
    said, lines = (
        render_to_string(f"admin/registry/{name}.html", context)
        for name in ("checklist_said", "checklist_lines")
    )
    answer = {"is_open": shown.is_open, "said": said, "lines": lines}
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})


@require_POST
def check_again(request: HttpRequest, version: Version) -> HttpResponse:
    by = actor(request)
    require_right(by, Right.WRITE, model_id=version.model_id)
    try:
        ask_check(version=version, by=by)
        messages.success(
            request, f"Check of {version} requested. A worker will start it as soon as one is free."
        )
    except RoundhouseError as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('admin:registry_version_change', args=[version.pk])}?tab=checks")
