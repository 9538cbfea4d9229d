"""Imports the admin pages of every room, so that Django finds them."""

from moderation.console import (
    account_proposals,
    appeals_and_reports,
    case_list,
    review_settings,
    team_page,
)
from moderation.console import admin as console_admin
from moderation.console import erasures as erasures_admin
from moderation.doors.categories import admin as categories_admin

__all__ = [
    "account_proposals",
    "appeals_and_reports",
    "case_list",
    "categories_admin",
    "console_admin",
    "erasures_admin",
    "review_settings",
    "team_page",
]
