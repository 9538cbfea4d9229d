"""Panels of a Model's page: its splits with "What was live at", versions, aliases, changes, and who has permissions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from registry.access.models import ApiKey
from registry.access.policies import Right, rights_by_role, rights_of_roles, rights_of_scopes
from registry.catalogue.models import Model
from registry.console.headers import state_of_version
from registry.errors import Invalid
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from registry.traffic.selectors import LiveAt, arms_of, live_arms, live_at, waiting_split, with_arms

_HISTORY_LIMIT = 20
_ALIASES_SHOWN = 100
_CHANGES_SHOWN = 5
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
_NAMES_SHOWN = 12
_NAMES_READ = 500
_ACTIONS = (
    (Right.SET_SPLIT, "set the split"),
    (Right.APPROVE, "approve requests"),
    (Right.STOP, "stop it"),
)


def draw_splits(request: HttpRequest, model: Model) -> SafeString:
    """The newest splits, and what was live at a time."""
    newest = with_arms(model.splits.order_by("-number"))[:_HISTORY_LIMIT]
    context = {
        "model": model,
        "then": live_then(request, model),
        "splits": [(split, arms_of(split)) for split in newest],
    }
    return render_to_string("admin/registry/splits_panel.html", context, request)


def draw_versions(request: HttpRequest, model: Model) -> SafeString:
    """The newest versions with their live shares."""
    shares = {arm.version: arm.percent for arm in live_arms(model)}
    newest = list(model.versions.select_related("artifact").order_by("-number")[: _HISTORY_LIMIT + 1])
    context = {
        "model": model,
        "versions": [
            (version, state_of_version(version), shares.get(version.number))
            for version in newest[:_HISTORY_LIMIT]
        ],
        "has_more": len(newest) > _HISTORY_LIMIT,
    }
    return render_to_string("admin/registry/versions_panel.html", context, request)


def draw_aliases(request: HttpRequest, model: Model) -> SafeString:
    aliases = model.aliases.select_related("version")[:_ALIASES_SHOWN]
    return render_to_string("admin/registry/aliases_panel.html", {"aliases": aliases}, request)


def draw_changes(request: HttpRequest, model: Model) -> SafeString:
    """The newest changes to the Model and to what belongs to it."""
    records = AuditRecord.objects.filter(model_slug=model.slug).order_by("-seq")[:_CHANGES_SHOWN]
    context = {"model": model, "records": [(record, describe(record)) for record in records]}
    return render_to_string("admin/registry/changes_panel.html", context, request)


@dataclass(frozen=True, slots=True)
class LiveThen:
    """The time that was entered, and what was live then or what is wrong with the time."""

    typed: str
    answer: LiveAt | None = None
    problem: str = ""


def live_then(request: HttpRequest, model: Model) -> LiveThen:
    """What was live at `?at=`. A time without an offset is in the viewer's zone."""
    typed = request.GET.get("at", "")
    if not typed:
        return LiveThen("")
    at = _parse_time(typed)
    if at is None:
        return LiveThen(
            "", problem="This is not a valid date and time. Write it like this: 2026-01-31 14:05."
        )
    normalized = at.strftime(_TIME_FORMAT)
    try:
        return LiveThen(normalized, answer=live_at(model, at))
    except Invalid as error:
        return LiveThen(normalized, problem=str(error))


def _parse_time(typed: str) -> datetime | None:
    try:
        parsed = parse_datetime(typed)
    except ValueError:
        return None
    if parsed is None:
        return None
    try:
        aware = timezone.make_aware(parsed) if timezone.is_naive(parsed) else parsed
        return timezone.localtime(aware.astimezone(UTC))
    except (OverflowError, ValueError):  # before year 1 or after 9999 in the target zone
        return None


def draw_waiting(request: HttpRequest, model: Model) -> SafeString | str:
    """The split that is waiting to become current; nothing if there is none."""
    context = _waiting_context(model)
    if not context:
        return ""
    return render_to_string("admin/registry/waiting.html", {**context, "model": model}, request)


def _waiting_context(model: Model) -> dict[str, object]:
    waiting = waiting_split(model)
    return {"waiting": waiting, "arms": arms_of(waiting.split)} if waiting is not None else {}


@require_GET
def show_waiting(_request: HttpRequest, model: Model) -> HttpResponse:
    """What the panel of a waiting split fetches every second."""
    context = _waiting_context(model)
    html = render_to_string("admin/registry/waiting_said.html", {**context, "model": model})
    return JsonResponse({"html": html, "is_open": bool(context)}, headers={"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may do one thing with a Model: some of their names, and how many more there are."""

    action: str
    people: list[str]
    more_people: int
    keys: list[str]
    more_keys: int


Holders = list[tuple[str, frozenset[str]]]  # name, rights


def draw_permissions(_request: HttpRequest, model: Model) -> SafeString:
    return render_to_string("admin/registry/permissions.html", {"permissions": permissions(model)})


def permissions(model: Model) -> list[Permission]:
    people, keys = _people(model), _keys(model)
    return [_permission(action, right, people, keys) for right, action in _ACTIONS]


def _permission(action: str, right: Right, people: Holders, keys: Holders) -> Permission:
    people_names, key_names = (
        [name for name, rights in holders if right in rights] for holders in (people, keys)
    )
    return Permission(
        action=action,
        people=people_names[:_NAMES_SHOWN],
        more_people=max(0, len(people_names) - _NAMES_SHOWN),
        keys=key_names[:_NAMES_SHOWN],
        more_keys=max(0, len(key_names) - _NAMES_SHOWN),
    )


def _people(model: Model) -> Holders:
    """Active people whose scope includes the Model."""
    rights = {right for right, _ in _ACTIONS}
    roles = [role for role, role_rights in rights_by_role().items() if role_rights & rights]
    users = User.objects.filter(
        Q(groups__name__in=roles) | Q(is_superuser=True),
        Q(object_scope=None) | Q(object_scope__models=model),
        is_active=True,
    )
    rows = users.distinct().prefetch_related("groups").order_by("username")[:_NAMES_READ]
    return [(user.get_username(), _rights(user)) for user in rows]


def _rights(user: User) -> frozenset[str]:
    roles: Iterable[str] = (group.name for group in user.groups.all())
    return frozenset(Right) if user.is_superuser else rights_of_roles(roles)


def _keys(model: Model) -> Holders:
    keys = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        Q(all_models=True) | Q(only_models=model),
        revoked_at=None,
    )
    rows = keys.distinct().order_by("name").values_list("name", "scopes")[:_NAMES_READ]
    return [(name, rights_of_scopes(frozenset(scopes))) for name, scopes in rows]
