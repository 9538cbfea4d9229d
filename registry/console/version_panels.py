"""Panels of a version's page: its facts, where it comes from and was live, its file, settings and crashes."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from registry.access.policies import Right
from registry.catalogue.downloads import file_name_of, sign_link
from registry.catalogue.models import Version
from registry.catalogue.services import CRASHES_TO_BREAK, make_download_link
from registry.catalogue.serving_settings import ServingValues
from registry.console.headers import awaited, requests_for_version
from registry.errors import RoundhouseError
from registry.intake.bundles.keys import can_sign
from registry.intake.source_formats import SOURCE_FORMATS
from registry.kit.actors import in_scope, require_right
from registry.kit.admin.facts import config_in_words, settings_in_words
from registry.kit.admin.theme import actor
from registry.traffic.models import Split, SplitRequest
from registry.traffic.selectors import arms_of, requested_shares, with_arms
from registry.traffic.transitions import Status

_SHOWN = 10
_EVER_LIVE = (Status.CURRENT, Status.PAST)


def draw_lineage(request: HttpRequest, version: Version) -> SafeString:
    """Shows only relatives that the reader may see: another team's Model may have the same file."""
    relatives = in_scope(Version.objects.select_related("model").exclude(pk=version.pk), actor(request))
    live = with_arms(Split.objects.filter(arms__version=version, status__in=_EVER_LIVE)).exclude(
        arms__letter=""
    )
    splits = [
        (split, next((arm for arm in arms_of(split) if arm.version == version.number), None))
        for split in live.order_by("-number")[:_SHOWN]
    ]
    context = {
        "version": version,
        "shapes": [
            (name, " × ".join(map(str, shape)) or "one value") for name, shape in version.input_shapes.items()
        ],
        "aliases": version.aliases.order_by("name")[:_SHOWN],
        "splits": [(split, arm) for split, arm in splits if arm is not None],
        "awaited": [] if splits else [awaited(request) for request, _ in requests_for_version(version)],
        "parent": relatives.filter(derived=version).first() if version.derived_from_id else None,
        "derived": relatives.filter(derived_from=version).order_by("number")[:_SHOWN],
        "same_file": relatives.filter(artifact=version.artifact_id).order_by("model__slug", "number")[
            :_SHOWN
        ],
    }
    return render_to_string("admin/registry/lineage.html", context, request)


def draw_training(request: HttpRequest, version: Version) -> SafeString | str:
    """Where it comes from, as its uploader stated it; nothing if nobody did."""
    return _draw_training(request, [version], names_version=False)


def draw_requested_training(request: HttpRequest, asked: SplitRequest) -> SafeString | str:
    """The same of each version that would get share, for the person who decides on that."""
    arms, _shadows = requested_shares(asked)
    return _draw_training(request, sorted(arms, key=lambda version: version.number), names_version=True)


def _draw_training(
    request: HttpRequest, versions: Sequence[Version], *, names_version: bool
) -> SafeString | str:
    records = [_shown_training(version) for version in versions if version.origin.get("training")]
    if not records:
        return ""
    context = {"records": records, "names_version": names_version}
    return render_to_string("admin/registry/training.html", context, request)


def _shown_training(version: Version) -> dict[str, Any]:
    """Metrics and tags as pairs: a template would look up a metric called `items`."""
    record = version.origin["training"]
    pairs = {name: list(record.get(name, {}).items()) for name in ("metrics", "tags")}
    return {**record, **pairs, "number": version.number, "made_by": version.made_by}


def draw_facts(request: HttpRequest, version: Version) -> SafeString:
    """What was given when it was uploaded, and what the check found."""
    context = {
        "version": version,
        "config": config_in_words(version.task_config),
        "may_download": actor(request).may(Right.DOWNLOAD, model_id=version.model_id),
    }
    return render_to_string("admin/registry/version_facts.html", context, request)


def draw_serving(request: HttpRequest, version: Version) -> SafeString | str:
    """The settings in effect: a revision from an older release lacks newer ones, which get their defaults."""
    serving = version.serving_settings.filter(is_current=True).first()
    if serving is None:
        return ""
    context = {
        "version": version,
        "serving": serving,
        "settings": settings_in_words(ServingValues.from_json(serving.values).to_json()),
    }
    return render_to_string("admin/registry/serving_panel.html", context, request)


def draw_crashes(request: HttpRequest, version: Version) -> SafeString | str:
    """The processes that crashed while running it; nothing if none did."""
    crashes = list(version.crashes.all()[: _SHOWN + 1])
    if not crashes:
        return ""
    context = {
        "version": version,
        "crashes": crashes[:_SHOWN],
        "has_more": len(crashes) > _SHOWN,
        "limit": CRASHES_TO_BREAK,
        "may_clear": actor(request).may(Right.SET_SPLIT, model_id=version.model_id),
    }
    return render_to_string("admin/registry/crashes.html", context, request)


def draw_file(request: HttpRequest, version: Version) -> SafeString:
    context = {
        "version": version,
        "file_name": file_name_of(version),
        "source": _shown_source(version),
        "can_export": can_sign(),
        "may_download": actor(request).may(Right.DOWNLOAD, model_id=version.model_id),
    }
    return render_to_string("admin/registry/file_panel.html", context, request)


def _shown_source(version: Version) -> dict[str, str] | None:
    """The file that was sent, if it was converted; and what converted it, once that is known."""
    if version.source_id is None:
        return None
    known = SOURCE_FORMATS[version.source_format].label if version.source_format in SOURCE_FORMATS else ""
    lineage, sent = version.origin.get("converted", {}), version.origin.get("files", [])
    return {
        "label": known or version.source_format,
        "by": ", ".join(str(lineage[name]) for name in ("converter", "runtime") if lineage.get(name)),
        "name": str(sent[0]["name"]) if sent else "",
    }


@require_POST
def download(request: HttpRequest, version: Version) -> HttpResponse:
    """Redirect to a fresh link, which is valid for a few minutes and only while the person has the right."""
    by = actor(request)
    require_right(by, Right.DOWNLOAD, model_id=version.model_id)
    try:
        link = make_download_link(version=version, by=by)
    except RoundhouseError as error:
        messages.error(request, str(error))
        return redirect(f"{reverse('admin:registry_version_change', args=[version.pk])}?tab=file")
    return redirect(reverse("download", args=[sign_link(link)]))
