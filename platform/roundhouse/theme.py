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


def command_script(_request: HttpRequest) -> str:
    return static("roundhouse/command.js")


def forms_script(_request: HttpRequest) -> str:
    return static("roundhouse/forms.js")


def copy_script(_request: HttpRequest) -> str:
    return static("roundhouse/copy.js")


def favicon(_request: HttpRequest) -> str:
    return static("roundhouse/mark.svg")


def navigation(_request: HttpRequest) -> list[dict[str, Any]]:
    return navigation_groups()
