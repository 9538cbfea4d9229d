"""On a Model's page: which people and keys may change what is live here."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from registry.access.models import ApiKey
from registry.access.policies import Right, rights_by_role, rights_of_roles, rights_of_scopes
from registry.catalogue.models import Model

SHOWN = 12
_ASKED = (
    (Right.SET_SPLIT, "set the split"),
    (Right.APPROVE, "approve what others ask for"),
    (Right.STOP, "stop it"),
)
_READ_AT_MOST = 500


@dataclass(frozen=True, slots=True)
class WhoMay:
    """Who holds one right for a Model: the first names, and how many more."""

    title: str
    people: list[str]
    more_people: int
    keys: list[str]
    more_keys: int


def draw_who_may(_request: HttpRequest, model: Model) -> SafeString:
    """The panel of a Model's page."""
    return render_to_string("admin/registry/who_may.html", {"who_may": who_may(model)})


def who_may(model: Model) -> list[WhoMay]:
    people, keys = _people(model), _keys(model)
    return [_line(title, right, people, keys) for right, title in _ASKED]


Holders = list[tuple[str, frozenset[str]]]  # name, rights


def _line(title: str, right: Right, people: Holders, keys: Holders) -> WhoMay:
    def may(holders: Holders) -> list[str]:
        return [name for name, rights in holders if right in rights]

    persons, programs = may(people), may(keys)
    return WhoMay(
        title, persons[:SHOWN], max(0, len(persons) - SHOWN), programs[:SHOWN], max(0, len(programs) - SHOWN)
    )


def _people(model: Model) -> Holders:
    """Active people whose reach holds the Model."""
    asked = {right for right, _ in _ASKED}
    roles = [role for role, rights in rights_by_role().items() if rights & asked]
    found = User.objects.filter(
        Q(groups__name__in=roles) | Q(is_superuser=True),
        Q(object_scope=None) | Q(object_scope__models=model),
        is_active=True,
    )
    rows = found.distinct().prefetch_related("groups").order_by("username")[:_READ_AT_MOST]
    return [(user.get_username(), _rights(user)) for user in rows]


def _rights(user: User) -> frozenset[str]:
    return frozenset(Right) if user.is_superuser else rights_of_roles(_names(user))


def _names(user: User) -> Iterable[str]:
    return (group.name for group in user.groups.all())


def _keys(model: Model) -> Holders:
    found = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        Q(all_models=True) | Q(only_models=model),
        revoked_at=None,
    )
    rows = found.distinct().order_by("name").values_list("name", "scopes")[:_READ_AT_MOST]
    return [(name, rights_of_scopes(frozenset(scopes))) for name, scopes in rows]
