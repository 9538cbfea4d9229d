"""How the admin looks: our stylesheet and the sidebar."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def stylesheet(_request: HttpRequest) -> str:
    return static("roundhouse/console.css")


def zone_script(_request: HttpRequest) -> str:
    return static("roundhouse/zone.js")


def field_names_script(_request: HttpRequest) -> str:
    return static("roundhouse/field_names.js")


def command_script(_request: HttpRequest) -> str:
    return static("roundhouse/command.js")


def favicon(_request: HttpRequest) -> str:
    return static("roundhouse/mark.svg")


def _link(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


def navigation(_request: HttpRequest) -> list[dict[str, Any]]:
    return [
        {
            "items": [
                {"title": "Home", "icon": "home", "link": reverse_lazy("admin:index")},
                _link("Models", "deployed_code", "registry.model"),
                _link("Versions", "layers", "registry.version"),
                _link("Splits", "call_split", "registry.split"),
                _link("Requests", "approval", "registry.splitrequest"),
                _link("Jobs", "checklist", "inference.job"),
                _link("Refused orders", "unsubscribe", "inference.refusedorder"),
                _link("Stores of jobs", "folder_open", "inference.store"),
                _link("Workers", "memory", "inference.enginereport"),
                _link("Aliases", "label", "registry.alias"),
                _link("Stops and freezes", "block", "registry.hold"),
                _link("Serving settings", "tune", "registry.servingsettings"),
            ]
        },
        {
            "title": "Record",
            "separator": True,
            "items": [
                _link("Audit records", "history", "registry.auditrecord"),
                _link("Checkpoints", "verified", "registry.auditcheckpoint"),
                _link("Events", "notifications", "registry.event"),
                _link("Deliveries", "outbox", "registry.delivery"),
                _link("Subscriptions", "rss_feed", "registry.subscription"),
            ],
        },
        {
            "title": "Access",
            "separator": True,
            "items": [
                _link("API keys", "key", "registry.apikey"),
                _link("Tenants", "apartment", "registry.tenant"),
                _link("People", "group", "auth.user"),
                _link("Roles", "badge", "auth.group"),
                _link("Locked logins", "lock", "axes.accessattempt"),
            ],
        },
    ]
