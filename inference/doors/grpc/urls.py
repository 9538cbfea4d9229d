"""Downloads of the .proto files, for building clients."""

from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.urls import path
from django.views import View

_FILES = {file.name: file.read_bytes() for file in (Path(__file__).parent / "protos").glob("*.proto")}


class ProtoView(View):
    def get(self, _request: HttpRequest, name: str) -> HttpResponse:
        content = _FILES.get(name)
        if content is None:
            known = ", ".join(sorted(_FILES))
            return HttpResponseNotFound(
                f"There is no file {name!r}; available files: {known}.",
                content_type="text/plain; charset=utf-8",
            )
        return HttpResponse(
            content,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


urlpatterns = [path("protos/<str:name>", ProtoView.as_view(), name="proto")]
