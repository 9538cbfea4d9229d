"""Pictures of golden sets and of examples, small and made anew, for pages of the admin."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_GET

from inference.pipelines.errors import InvalidItem
from inference.pipelines.thumbnails import make_thumbnail
from registry.errors import ArtifactMissing
from registry.intake.examples.models import ConformanceExample, GoldenSet
from registry.intake.examples.selectors import golden_rows_numbered
from registry.kit.actors import in_scope
from registry.kit.admin.theme import actor
from registry.kit.compute_lock import compute_lock

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, max-age=3600",  # rows and examples never change
}


@require_GET
def golden_picture(request: HttpRequest, pk: int, row: int) -> HttpResponse:
    """The picture of a golden set's row, counted from 1."""
    golden_set = in_scope(GoldenSet.objects.all(), actor(request)).filter(pk=pk).first()
    if golden_set is None or not 1 <= row <= golden_set.rows:
        raise Http404
    try:
        inputs = golden_rows_numbered(golden_set, [row])[row].inputs
    except ArtifactMissing:
        raise Http404 from None
    return _picture_response(inputs.get("image"), f"golden-set-{pk}-row-{row}")


@require_GET
def example_picture(request: HttpRequest, pk: int, position: int, number: int) -> HttpResponse:
    """A picture of a version's example; both count from 1."""
    examples = in_scope(ConformanceExample.objects.all(), actor(request), model="version__model_id")
    example = examples.filter(version=pk, position=position).first()
    if example is None:
        raise Http404
    pictures = example.inputs.get("image")
    if isinstance(pictures, list):
        pictures = pictures[number - 1] if 1 <= number <= len(pictures) else None
    elif number != 1:
        raise Http404
    return _picture_response(pictures, f"version-{pk}-example-{position}-{number}")


def _picture_response(picture: Any, name: str) -> HttpResponse:
    if not isinstance(picture, str):
        raise Http404
    try:
        with compute_lock.released():  # other pages go on
            small = make_thumbnail(picture)
    except InvalidItem as error:
        return HttpResponse(
            str(error), status=422, content_type="text/plain; charset=utf-8", headers=_HEADERS
        )
    disposition = f'attachment; filename="{name}.{small.ending}"'
    return HttpResponse(
        small.content,
        content_type=small.media_type,
        headers={**_HEADERS, "Content-Disposition": disposition},
    )


_view = partial(admin.site.admin_view, cacheable=True)
# Included before the admin's own URLs, which end with a catch-all.
urlpatterns = [
    path("registry/goldenset/<int:pk>/rows/<int:row>/picture/", _view(golden_picture), name="golden-picture"),
    path(
        "registry/version/<int:pk>/examples/<int:position>/pictures/<int:number>/",
        _view(example_picture),
        name="example-picture",
    ),
]
