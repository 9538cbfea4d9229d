"""Roles are groups, made after every migration. Which admin pages they open follows from their rights."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission

from registry.access.policies import ROLE_RIGHTS, Right, Role

# Django's permission -> the right that carries it. What is not here, no role has.
PAGES: Mapping[str, Right] = {
    "registry.view_model": Right.READ,
    "registry.change_model": Right.WRITE,
    "registry.view_version": Right.READ,
    "registry.view_artifact": Right.READ,
    "registry.view_alias": Right.READ,
    "registry.view_aliasmove": Right.READ,
    "registry.view_servingsettings": Right.READ,
    "registry.view_split": Right.READ,
    "registry.view_splitrequest": Right.READ,
    "registry.view_arm": Right.READ,
    "registry.view_hold": Right.READ,
    "inference.view_job": Right.READ,
    "inference.view_enginereport": Right.READ,
    "inference.view_store": Right.MANAGE_SETTINGS,
    "inference.add_store": Right.MANAGE_SETTINGS,
    "inference.change_store": Right.MANAGE_SETTINGS,
    "inference.delete_store": Right.MANAGE_SETTINGS,
    "registry.view_auditrecord": Right.READ_RECORD,
    "registry.view_auditcheckpoint": Right.READ_RECORD,
    "registry.view_event": Right.READ_RECORD,
    "registry.view_delivery": Right.READ_RECORD,
    "inference.view_refusedorder": Right.READ_RECORD,
    "registry.view_subscription": Right.MANAGE_EVENTS,
    "registry.add_subscription": Right.MANAGE_EVENTS,
    "registry.change_subscription": Right.MANAGE_EVENTS,
    "registry.delete_subscription": Right.MANAGE_EVENTS,
    "registry.change_delivery": Right.MANAGE_EVENTS,
    "registry.view_tenant": Right.MANAGE_KEYS,
    "registry.add_tenant": Right.MANAGE_KEYS,
    "registry.change_tenant": Right.MANAGE_KEYS,
    "registry.view_apikey": Right.MANAGE_KEYS,
    "registry.add_apikey": Right.MANAGE_KEYS,
    "registry.change_apikey": Right.MANAGE_KEYS,
    "auth.view_user": Right.MANAGE_PEOPLE,
    "auth.add_user": Right.MANAGE_PEOPLE,
    "auth.change_user": Right.MANAGE_PEOPLE,
    "auth.view_group": Right.MANAGE_PEOPLE,
    "axes.view_accessattempt": Right.MANAGE_PEOPLE,
    "axes.change_accessattempt": Right.MANAGE_PEOPLE,
}


def sync_roles(**_: Any) -> None:
    """Make the groups and give them exactly what their rights open."""
    permissions = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role in Role:
        group, _created = Group.objects.get_or_create(name=role)
        held = [name for name, right in PAGES.items() if right in ROLE_RIGHTS[role]]
        group.permissions.set([permissions[name] for name in held if name in permissions])
