from django.apps import AppConfig


class ModerationConfig(AppConfig):
    """Moderation of content."""

    name = "moderation"
