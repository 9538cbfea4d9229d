from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import inference.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from inference.try_it.panels import draw_for_model, draw_for_version
        from registry.console import Place, register_panel

        register_panel(name="try it", place=Place.MODEL, render=draw_for_model, order=10)
        register_panel(name="try it", place=Place.VERSION, render=draw_for_version, order=10)
