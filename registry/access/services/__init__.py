"""Writes of access: tenants, keys, people. Each checks the right, writes, and records, in one transaction."""

from registry.access.services.keys import change_key, issue_key, revoke_key
from registry.access.services.logins import unlock_login
from registry.access.services.people import Person, change_person, create_person, set_password
from registry.access.services.tenants import change_tenant, create_tenant

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
