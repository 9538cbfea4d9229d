"""Changes of tenants, keys and people. Each checks the right, writes, and adds an audit record, in one transaction."""

from registry.access.services.keys import change_key, change_tenant, create_tenant, issue_key, revoke_key
from registry.access.services.people import (
    Person,
    change_person,
    create_person,
    set_password,
    unlock_login,
)

__all__ = [
    "Person",
    "change_key",
    "change_person",
    "change_tenant",
    "create_person",
    "create_tenant",
    "issue_key",
    "revoke_key",
    "set_password",
    "unlock_login",
]
