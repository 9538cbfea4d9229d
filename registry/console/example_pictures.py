"""The panel with the pictures of a version's examples, and what is expected for them."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.catalogue.models import Version
from registry.catalogue.task_kinds import TASK_KINDS
from registry.intake.examples.models import ConformanceExample
from registry.kit.admin.facts import short

_EXAMPLES_SHOWN, _PICTURES_SHOWN = 20, 8


@dataclass(frozen=True, slots=True)
class PictureExample:
    position: int
    pictures: range  # their numbers
    expected: str


def draw_example_pictures(request: HttpRequest, version: Version) -> SafeString | str:
    """Nothing for tasks without pictures, or without examples."""
    if not TASK_KINDS[version.model.task].has_pictures:
        return ""
    examples = [_shown(each) for each in version.conformance_examples.order_by("position")[:_EXAMPLES_SHOWN]]
    if not examples:
        return ""
    context = {"version": version, "examples": examples}
    return render_to_string("admin/registry/example_pictures.html", context, request)


def _shown(example: ConformanceExample) -> PictureExample:
    sent = example.inputs.get("image")
    pictures = sent if isinstance(sent, list) else [sent]
    count = len(pictures) if all(isinstance(picture, str) for picture in pictures) else 0
    return PictureExample(
        example.position, range(1, min(count, _PICTURES_SHOWN) + 1), short(example.expected)
    )
