"""What holds a Model back, above everything else on a page."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from registry.catalogue.models import Model, Version
from registry.console.incidents import draw_for_row

register = template.Library()


@register.simple_tag(takes_context=True)
def incidents(context: dict[str, Any], row: Model | Version) -> SafeString | str:
    return draw_for_row(context["request"], row)
