"""How the admin looks: our stylesheet, scripts and the sidebar."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static

from registry.kit.admin.navigation import navigation_groups


def stylesheet(_request: HttpRequest) -> str:
    return static("roundhouse/console.css")


def zone_script(_request: HttpRequest) -> str:
    return static("roundhouse/zone.js")


def field_names_script(_request: HttpRequest) -> str:
    return static("roundhouse/field_names.js")


def search_script(_request: HttpRequest) -> str:
    return static("roundhouse/search.js")


def live_script(_request: HttpRequest) -> str:
    return static("roundhouse/live.js")


def forms_script(_request: HttpRequest) -> str:
    return static("roundhouse/forms.js")


def copy_script(_request: HttpRequest) -> str:
    return static("roundhouse/copy.js")


def favicon(_request: HttpRequest) -> str:
    return static("roundhouse/mark.svg")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    return navigation_groups(request)
