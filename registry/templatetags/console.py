"""Template tags and filters: the home page's content, hold banners, times and names."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from registry.catalogue.models import Model, Version
from registry.kit.admin.facts import ago, size, when

register = template.Library()
register.filter(ago)
register.filter(size)
register.filter(when)


@register.filter
def words(name: str) -> str:
    """Turn a name such as `set_split` into words: set split."""
    return name.replace("_", " ")


# The tags import lazily: the theme loads this library during its own import, and the console needs the theme.
@register.simple_tag(takes_context=True)
def home(context: dict[str, Any]) -> dict[str, Any]:
    from registry.console.home import home_context

    return home_context(context["request"])


@register.simple_tag(takes_context=True)
def breadcrumbs(context: dict[str, Any]) -> list[Any]:
    from registry.kit.admin.navigation import breadcrumbs

    return list(breadcrumbs(context))


@register.simple_tag(takes_context=True)
def hold_banners(context: dict[str, Any], row: Model | Version) -> SafeString | str:
    """The banners of a stopped or frozen Model, above everything else on the page."""
    from registry.console.holds import draw_row_holds

    return draw_row_holds(context["request"], row)


@register.simple_tag(takes_context=True)
def emergency_links(context: dict[str, Any], model: Model) -> list[tuple[str, str]]:
    """Stop and roll back, as (title, address), for a row of a list; no query if the Model's splits are prefetched."""
    from registry.console.rollback import emergency_links

    return emergency_links(context["request"], model)
