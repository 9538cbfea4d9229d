"""On a Model's page: the split that waits to become current, what it waits for, and when it is given up."""

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from registry.catalogue.models import Model
from registry.traffic.selectors import arms_of, waiting_split


def draw_waiting(request: HttpRequest, model: Model) -> SafeString | str:
    """The panel; nothing where no split waits."""
    shown = _shown(model)
    return (
        render_to_string("admin/registry/waiting.html", {**shown, "model": model}, request) if shown else ""
    )


def _shown(model: Model) -> dict[str, object]:
    waiting = waiting_split(model)
    return {"waiting": waiting, "arms": arms_of(waiting.split)} if waiting is not None else {}


class WaitingPages:
    """What the panel asks each second."""

    admin_site: admin.AdminSite

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "<int:pk>/waiting/", self.admin_site.admin_view(self.tell_waiting), name="registry_model_waiting"
        )
        return [page, *super().get_urls()]  # type: ignore[misc]

    def tell_waiting(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        model = self.get_queryset(request).filter(pk=pk).first()  # type: ignore[attr-defined]
        if model is None:
            raise Http404
        shown = _shown(model)
        html = render_to_string("admin/registry/waiting_said.html", {**shown, "model": model})
        return JsonResponse({"html": html, "is_open": bool(shown)}, headers={"Cache-Control": "no-store"})
