from django.apps import AppConfig


class RoundhouseConfig(AppConfig):
    name = "roundhouse"
    verbose_name = "Roundhouse"

    def ready(self) -> None:
        from roundhouse import schema, system_checks  # noqa: F401 (register themselves)
        from roundhouse.celery import app  # noqa: F401 (tasks started from here go to our broker)
