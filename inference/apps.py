from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        import inference.jobs.tasks
        import inference.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from inference.jobs import ending
        from inference.jobs.panels import draw_jobs
        from inference.jobs.selectors import open_jobs_use
        from inference.measure import panels as measured
        from inference.measure.rates import answered_per_second
        from inference.serving.stewards import readiness
        from inference.serving.stewards.admin import draw_unhealthy
        from inference.serving.stewards.readiness import engines_are_warm, warm_everywhere
        from inference.try_it.panels import draw_for_model, draw_for_version
        from registry.access.roles import sync_roles
        from registry.catalogue.uses import register_use
        from registry.console import Place, register_columns, register_panel
        from registry.console.previews import register_rate
        from registry.record.kinds import register_kind
        from registry.traffic.gates import register_gate
        from registry.traffic.readiness import register_readiness
        from registry.traffic.warmth import register_warmth

        register_use(open_jobs_use)
        register_readiness(engines_are_warm)
        register_warmth(warm_everywhere)
        register_gate(readiness.MEMORY_GATE, readiness.memory_gates)
        for kind, sentence in ending.KINDS.items():
            register_kind(kind, sentence)
        register_panel(name="sick workers", place=Place.HOME, render=draw_unhealthy, order=20)
        register_rate(answered_per_second)
        register_columns(
            name="measured", titles=measured.COLUMNS, cells=measured.draw_columns, note=measured.NOTE
        )
        register_panel(name="figures", place=Place.MODEL, render=measured.draw_for_model, order=5)
        register_panel(name="figures", place=Place.VERSION, render=measured.draw_for_version, order=7)
        register_panel(name="try it", place=Place.MODEL, render=draw_for_model, order=10)
        register_panel(name="try it", place=Place.VERSION, render=draw_for_version, order=10)
        register_panel(name="jobs", place=Place.MODEL, render=draw_jobs, order=20)
        post_migrate.connect(sync_roles, sender=self)  # the permissions of our pages are there only now
