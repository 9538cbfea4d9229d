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
        from inference.jobs.selectors import open_jobs_use
        from inference.measure.rates import answered_per_second
        from inference.rights import INFERENCE_GRANTS
        from inference.serving.stewarding import memory_gate
        from inference.serving.stewarding.readiness import engines_are_warm, warm_everywhere
        from registry.access.policies import GRANTS
        from registry.access.roles import sync_roles
        from registry.catalogue.uses import register_use
        from registry.console.previews import register_rate
        from registry.record.events import EVENT_KINDS
        from registry.traffic.gates import register_gate
        from registry.traffic.readiness import register_readiness
        from registry.traffic.warmth import register_warmth

        GRANTS.add(
            "inference", INFERENCE_GRANTS, order=50
        )  # before the registry: `predict` is the first key scope
        post_migrate.connect(sync_roles, sender=self)  # the permissions of our pages exist only now
        register_use(open_jobs_use)
        register_readiness(engines_are_warm)
        register_warmth(warm_everywhere)
        register_gate(memory_gate.NAME, memory_gate.has_room)
        for kind, sentence in ending.KINDS.items():
            EVENT_KINDS.add(kind, sentence)
        register_rate(answered_per_second)
        _add_links()
        _add_panels()


def _add_links() -> None:
    from registry.kit.admin.navigation import ListLink, add_links

    add_links(
        ListLink("inference.job", "Jobs", "checklist"),
        ListLink("inference.refusedorder", "Rejected jobs", "unsubscribe"),
        ListLink("inference.store", "Job storage", "folder_open"),
        ListLink("inference.enginereport", "Workers", "memory"),
        order=100,
    )


def _add_panels() -> None:
    from inference.jobs.panels import draw_jobs
    from inference.measure import panels as traffic
    from inference.serving.stewarding.panels import draw_sick
    from inference.try_it.panels import draw_for_model, draw_for_version
    from registry.kit.admin.panels import COLUMNS, PANELS, ColumnGroup, Panel, PanelPage

    COLUMNS.add("traffic", ColumnGroup(traffic.COLUMNS, traffic.draw_columns, traffic.NOTE))
    PANELS.add("sick workers", Panel(PanelPage.HOME, draw_sick), order=20)
    PANELS.add("traffic of a Model", Panel(PanelPage.MODEL, traffic.draw_for_model), order=5)
    PANELS.add("try a Model", Panel(PanelPage.MODEL, draw_for_model), order=10)
    PANELS.add("jobs", Panel(PanelPage.MODEL, draw_jobs), order=20)
    PANELS.add("traffic of a version", Panel(PanelPage.VERSION, traffic.draw_for_version), order=7)
    PANELS.add("try a version", Panel(PanelPage.VERSION, draw_for_version), order=10)
