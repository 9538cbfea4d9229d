"""A version's file on its page: what it is, and a button that takes it."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.downloads import file_name_of, sign_link
from registry.catalogue.models import Version
from registry.catalogue.services import make_download_link
from registry.errors import RoundhouseError
from registry.kit.admin.theme import actor


def draw_file(request: HttpRequest, version: Version) -> SafeString:
    """The panel of a version's page."""
    shown = {
        "version": version,
        "file_name": file_name_of(version),
        "may_download": actor(request).may(Right.DOWNLOAD, model_id=version.model_id),
    }
    return render_to_string("admin/registry/file_panel.html", shown, request)


class DownloadPages:
    """Sends whoever may to a fresh link; it holds for a few minutes and only for their rights."""

    admin_site: admin.AdminSite

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download)
        return [
            path("<int:pk>/download/", view, name="registry_version_download"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def download(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        rows = self.get_queryset(request).select_related("model", "artifact")  # type: ignore[attr-defined]
        version = rows.filter(pk=pk).first()
        if version is None:
            raise Http404
        by = actor(request)
        if not by.may(Right.DOWNLOAD, model_id=version.model_id):
            raise PermissionDenied
        try:
            link = make_download_link(version=version, by=by)
        except RoundhouseError as error:
            messages.error(request, str(error))
            return redirect(reverse("admin:registry_version_change", args=[pk]))
        return redirect(reverse("download", args=[sign_link(link)]))
