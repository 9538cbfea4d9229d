"""The registry's roles, key scopes and admin pages, and the groups created after every migration."""

from typing import Any

from django.contrib.auth.models import Group, Permission

from registry.access.policies import GRANTS, Grants, Right, Role, rights_by_role

_OPERATE = frozenset({
    Right.READ, Right.WRITE, Right.REQUEST_CHANGE, Right.SET_SPLIT, Right.MOVE_ALIAS, Right.LOWER, Right.STOP,
    Right.ROLL_BACK, Right.FREEZE,
})  # fmt: skip
_MANAGE = frozenset({Right.MANAGE_EVENTS, Right.MANAGE_PEOPLE, Right.MANAGE_KEYS, Right.MANAGE_SETTINGS})

_TABLES = {
    Right.READ: "model version artifact alias aliasmove servingsettings split splitrequest arm hold",
    Right.READ_RECORD: "auditrecord auditcheckpoint event delivery",
    Right.MANAGE_EVENTS: "subscription",
    Right.MANAGE_KEYS: "tenant apikey",
}

REGISTRY_GRANTS = Grants(
    rights=_OPERATE | _MANAGE | {Right.DOWNLOAD, Right.APPROVE, Right.READ_RECORD, Right.MANAGE_SUPERUSERS},
    roles={
        Role.VIEWER: frozenset({Right.READ}),
        Role.OPERATOR: _OPERATE | {Right.READ_RECORD, Right.DOWNLOAD},
        Role.APPROVER: frozenset({Right.READ, Right.READ_RECORD, Right.APPROVE}),
        Role.ADMIN: _MANAGE | {Right.READ, Right.READ_RECORD, Right.FREEZE},
    },
    scopes={
        "registry.read": frozenset({Right.READ}),
        "registry.write": _OPERATE,
        "registry.download": frozenset({Right.READ, Right.DOWNLOAD}),
    },
    scope_labels={
        "registry.read": "read the registry",
        "registry.write": "read and change the registry",
        "registry.download": "read the registry and download files",
    },
    pages={
        **{f"registry.view_{table}": right for right, tables in _TABLES.items() for table in tables.split()},
        "registry.change_model": Right.WRITE,
        "registry.add_subscription": Right.MANAGE_EVENTS,
        "registry.change_subscription": Right.MANAGE_EVENTS,
        "registry.delete_subscription": Right.MANAGE_EVENTS,
        "registry.change_delivery": Right.MANAGE_EVENTS,
        "registry.add_tenant": Right.MANAGE_KEYS,
        "registry.change_tenant": Right.MANAGE_KEYS,
        "registry.add_apikey": Right.MANAGE_KEYS,
        "registry.change_apikey": Right.MANAGE_KEYS,
        "auth.view_user": Right.MANAGE_PEOPLE,
        "auth.add_user": Right.MANAGE_PEOPLE,
        "auth.change_user": Right.MANAGE_PEOPLE,
        "auth.view_group": Right.MANAGE_PEOPLE,
        "axes.view_accessattempt": Right.MANAGE_PEOPLE,
        "axes.change_accessattempt": Right.MANAGE_PEOPLE,
    },
    global_rights=_MANAGE | {Right.MANAGE_SUPERUSERS},
)


def page_rights() -> dict[str, str]:
    """The admin permissions of all apps, with the right that grants each."""
    return {permission: right for grants in GRANTS for permission, right in grants.pages.items()}


def sync_roles(**_: Any) -> None:
    """Create a group for each role, with exactly the permissions that its rights grant."""
    permissions = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    pages = page_rights()
    for role, rights in rights_by_role().items():
        group, _created = Group.objects.get_or_create(name=role)
        group.permissions.set(
            [permissions[name] for name, right in pages.items() if right in rights and name in permissions]
        )
