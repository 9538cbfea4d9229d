"""Imports the admin pages of every room, so that Django finds them."""

from registry.access import admin as access_admin
from registry.catalogue import admin as catalogue_admin
from registry.console import admin as console_admin
from registry.console import aliases, requests
from registry.intake import admin as intake_admin
from registry.record import admin as record_admin
from registry.traffic import admin as traffic_admin

__all__ = [
    "access_admin",
    "aliases",
    "catalogue_admin",
    "console_admin",
    "intake_admin",
    "record_admin",
    "requests",
    "traffic_admin",
]
