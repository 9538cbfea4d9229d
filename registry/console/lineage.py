"""On a version's page: where it stands, what it comes from, and what comes from it."""

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.catalogue.models import Version
from registry.kit.actors import in_scope
from registry.kit.admin.theme import actor
from registry.traffic.models import Split
from registry.traffic.selectors import arms_of, with_arms
from registry.traffic.transitions import Status

_SHOWN = 10
_EVER_LIVE = (Status.CURRENT, Status.PAST)


def draw_lineage(request: HttpRequest, version: Version) -> SafeString:
    """Relatives are only those that the reader may see: the same file may belong to another's Model."""
    relatives = in_scope(Version.objects.select_related("model").exclude(pk=version.pk), actor(request))
    live = with_arms(Split.objects.filter(arms__version=version, status__in=_EVER_LIVE)).exclude(
        arms__letter=""
    )
    splits = [
        (split, next((arm for arm in arms_of(split) if arm.version == version.number), None))
        for split in live.order_by("-number")[:_SHOWN]
    ]
    shown = {
        "version": version,
        "shapes": [
            (name, " × ".join(map(str, shape)) or "one value") for name, shape in version.input_shapes.items()
        ],
        "aliases": version.aliases.order_by("name")[:_SHOWN],
        "splits": [(split, arm) for split, arm in splits if arm is not None],
        "parent": relatives.filter(derived=version).first() if version.derived_from_id else None,
        "derived": relatives.filter(derived_from=version).order_by("number")[:_SHOWN],
        "same_file": relatives.filter(artifact=version.artifact_id).order_by("model__slug", "number")[
            :_SHOWN
        ],
    }
    return render_to_string("admin/registry/lineage.html", shown, request)
