"""The .proto files, for whoever builds a client."""

from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.views import View

_FILES = {path.name: path.read_bytes() for path in (Path(__file__).parent / "protos").glob("*.proto")}


class ProtoView(View):
    def get(self, _request: HttpRequest, name: str) -> HttpResponse:
        text = _FILES.get(name)
        if text is None:
            known = ", ".join(sorted(_FILES))
            return HttpResponseNotFound(
                f"There is no {name!r}; there are {known}.", content_type="text/plain; charset=utf-8"
            )
        return HttpResponse(
            text,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
