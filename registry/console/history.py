"""On a Model's page: its splits and what was live when, its versions and its aliases."""

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.catalogue.models import Model
from registry.console.live_then import live_then
from registry.traffic.selectors import arms_of, with_arms

_SHOWN = 20


def draw_history(request: HttpRequest, model: Model) -> SafeString:
    """The newest of each; lists of their own have the rest."""
    newest = with_arms(model.splits.order_by("-number"))[:_SHOWN]
    shown = {
        "model": model,
        "then": live_then(request, model),
        "splits": [(split, arms_of(split)) for split in newest],
        "versions": model.versions.select_related("artifact").order_by("-number")[:_SHOWN],
        "aliases": model.aliases.select_related("version"),
    }
    return render_to_string("admin/registry/model_history.html", shown, request)
