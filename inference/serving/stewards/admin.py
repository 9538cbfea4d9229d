"""The Workers page, which refreshes itself, and the home page's panel about unhealthy processes."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from inference.serving.models import EngineReport, EngineState, HeldState, HeldVersion, ProcessKind
from inference.serving.selectors import SHOWN_ENGINES, engines_for, is_alive, short_provider, shown_engines
from registry.kit.admin.pages import ScopedPage
from registry.kit.admin.theme import ModelAdmin, actor

_SHOWN = 8  # at most this many processes in the home page's panel


@admin.register(EngineReport)
class WorkersPage(ScopedPage, ModelAdmin[EngineReport]):
    fields = readonly_fields = (
        "id", "kind", "role", "pool", "state", "host", "pid", "started_at", "seen_at", "lost_at", "provider_asked",
        "provider_got", "device", "memory_used_bytes", "memory_budget_bytes", "threads", "running", "waiting",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[EngineReport]:
        """Processes belong to no Model, so all are listed; the versions that they hold are filtered by scope."""
        return EngineReport.objects.all()

    def get_urls(self) -> list[URLPattern]:
        moving = path(
            "moving/", self.admin_site.admin_view(self.refresh), name="inference_enginereport_moving"
        )
        return [moving, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._check(request)
        page = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Workers"}
        return TemplateResponse(request, "admin/inference/workers.html", {**page, **_context(request)})

    def refresh(self, request: HttpRequest) -> HttpResponse:
        """The current list, for the page's script."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        self._check(request)
        html = render_to_string("admin/inference/workers_list.html", _context(request))
        return JsonResponse({"html": html, "is_open": True}, headers={"Cache-Control": "no-store"})

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _context(request: HttpRequest) -> dict[str, Any]:
    engines = shown_engines(actor(request))
    alive = [engine for engine in engines if engine.is_alive]
    return {
        "engines": engines,
        "alive": len(alive),
        "lost": len(engines) - len(alive),
        "workers": sum(engine.row.kind == "worker" for engine in alive),
        "through_workers": settings.EXECUTOR == "workers",
    }


@dataclass(frozen=True, slots=True)
class UnhealthyProcess:
    engine: EngineReport
    wrongs: list[str]


def draw_unhealthy(request: HttpRequest, _row: object) -> SafeString | str:
    """The panel; empty while every process is healthy and a worker is alive."""
    engines = list(engines_for(actor(request))[:SHOWN_ENGINES])
    unhealthy = [UnhealthyProcess(engine, problems) for engine in engines if (problems := _problems(engine))]
    without_worker = not any(engine.kind == ProcessKind.WORKER and is_alive(engine) for engine in engines)
    if not unhealthy and not without_worker:
        return ""
    context = {
        "sick": unhealthy[:_SHOWN],
        "more": max(0, len(unhealthy) - _SHOWN),
        "without_worker": without_worker,
        "through_workers": settings.EXECUTOR == "workers",
    }
    return render_to_string("admin/inference/unhealthy_workers.html", context, request)


def _problems(engine: EngineReport) -> list[str]:
    if not is_alive(engine):
        return ["lost: it ended or went silent without signing off"]
    problems = []
    if engine.state == EngineState.DRAINING:
        problems.append("shutting down: it is finishing its work and accepts no more")
    if engine.provider_got and engine.provider_got != engine.provider_asked:
        got, asked = short_provider(engine.provider_got), short_provider(engine.provider_asked)
        problems.append(f"runs on {got} but should run on {asked}")
    held: list[HeldVersion] = engine.seen_held  # type: ignore[attr-defined]
    failed = [row for row in held if row.state == HeldState.FAILED]
    return problems + [f"could not load {row.version}: {row.reason}" for row in failed]
