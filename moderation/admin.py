"""Imports the admin pages of moderation, so that Django finds them."""

from moderation.console import admin as console_admin

__all__ = ["console_admin"]
