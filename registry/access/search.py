"""What the search over everything finds in this room: people and API keys."""

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.kit.admin.search import HITS_PER_SOURCE, Hit
from registry.kit.admin.theme import actor


def find_people(request: HttpRequest, text: str) -> list[Hit]:
    if Right.MANAGE_PEOPLE not in actor(request).rights:
        return []
    named = (
        Q(username__icontains=text)
        | Q(email__icontains=text)
        | Q(first_name__icontains=text)
        | Q(last_name__icontains=text)
    )
    people = User.objects.filter(named).order_by("-is_active", "username")[:HITS_PER_SOURCE]
    return [
        Hit(
            person.username,
            reverse("admin:auth_user_change", args=[person.pk]),
            person.get_full_name() or person.email if person.is_active else "deactivated",
        )
        for person in people
    ]


def find_keys(request: HttpRequest, text: str) -> list[Hit]:
    if Right.MANAGE_KEYS not in actor(request).rights:
        return []
    prefix = text.removeprefix("rh_").split("_")[0]
    keys = ApiKey.objects.filter(Q(name__icontains=text) | Q(prefix=prefix)).select_related("tenant")
    return [
        Hit(
            key.name,
            reverse("admin:registry_apikey_change", args=[key.pk]),
            f"rh_{key.prefix}_… of {key.tenant}{'' if key.is_valid else ', no longer valid'}",
        )
        for key in keys.order_by("-id")[:HITS_PER_SOURCE]
    ]
