"""On a version's page: the processes that it ended. Nothing where it ended none."""

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Version
from registry.catalogue.services import CRASHES_TO_BREAK
from registry.kit.admin.theme import actor

_SHOWN = 10


def draw_crashes(request: HttpRequest, version: Version) -> SafeString | str:
    crashes = list(version.crashes.all()[: _SHOWN + 1])
    if not crashes:
        return ""
    shown = {
        "version": version,
        "crashes": crashes[:_SHOWN],
        "has_more": len(crashes) > _SHOWN,
        "limit": CRASHES_TO_BREAK,
        "may_clear": actor(request).may(Right.SET_SPLIT, model_id=version.model_id),
    }
    return render_to_string("admin/registry/crashes.html", shown, request)
