"""Imports the admin pages of every room, so that Django finds them."""

from moderation.doors.categories import admin as categories_admin

__all__ = ["categories_admin"]
