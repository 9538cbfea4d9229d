from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import inference.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
