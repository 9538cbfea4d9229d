"""The Workers page, which refreshes itself."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from inference.serving.models import EngineReport
from inference.serving.selectors import shown_engines
from registry.kit.admin.pages import ScopedPage
from registry.kit.admin.theme import ModelAdmin, actor


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
