"""Imports the admin pages of every room, so that Django finds them."""

from moderation.console import admin as console_admin
from moderation.console import erasures as erasures_admin
from moderation.doors.categories import admin as categories_admin

__all__ = ["categories_admin", "console_admin", "erasures_admin"]
