from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        import inference.doors.celery.tasks
        import inference.jobs.tasks
        import inference.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from inference.jobs.selectors import open_jobs_use
        from inference.measure.panels import requests_refused_by_stop
        from inference.rights import INFERENCE_GRANTS
        from inference.serving.stewards.readiness import (
            MEMORY_GATE,
            engines_are_warm,
            memory_gates,
            warm_everywhere,
        )
        from registry.access.policies import GRANTS
        from registry.access.roles import sync_roles
        from registry.catalogue.selectors import USES
        from registry.console.holds import STOP_PREVIEWS
        from registry.traffic.gates import GATES
        from registry.traffic.readiness import READINESS, ReadinessCheck

        # before the registry: `predict` is the first key scope
        GRANTS.add("inference", INFERENCE_GRANTS, order=50)
        post_migrate.connect(sync_roles, sender=self)  # runs after our pages' permissions exist
        USES.add("jobs", open_jobs_use)
        READINESS.add("engines", ReadinessCheck(engines_are_warm, warm_everywhere))
        GATES.add(MEMORY_GATE, memory_gates)
        STOP_PREVIEWS.add("traffic", requests_refused_by_stop)
        _add_event_kinds()
        _add_links()
        _add_panels()
        _add_chapters()


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
    from inference.jobs.presentation import draw_jobs
    from inference.measure import panels as traffic
    from inference.serving.stewards.admin import draw_unhealthy
    from inference.try_it.panels import draw_for_model, draw_for_version
    from registry.kit.admin.panels import COLUMNS, PANELS, ColumnGroup, Panel, PanelPage

    COLUMNS.add("traffic", ColumnGroup(traffic.COLUMNS, traffic.draw_columns, traffic.NOTE))
    PANELS.add("sick workers", Panel(PanelPage.HOME, draw_unhealthy), order=20)
    PANELS.add("traffic of a Model", Panel(PanelPage.MODEL, traffic.draw_for_model), order=5)
    PANELS.add("try a Model", Panel(PanelPage.MODEL, draw_for_model), order=10)
    PANELS.add("jobs", Panel(PanelPage.MODEL, draw_jobs), order=20)
    PANELS.add("traffic of a version", Panel(PanelPage.VERSION, traffic.draw_for_version), order=7)
    PANELS.add("try a version", Panel(PanelPage.VERSION, draw_for_version), order=10)


def _add_chapters() -> None:
    from inference.story.answers import tell_answer, tell_settings
    from inference.story.chapters import CHAPTERS
    from inference.story.releases import tell_approval, tell_split
    from inference.story.states import tell_changes, tell_state

    CHAPTERS.add("answer", tell_answer, order=10)
    CHAPTERS.add("split", tell_split, order=20)
    CHAPTERS.add("approval", tell_approval, order=30)
    CHAPTERS.add("settings", tell_settings, order=40)
    CHAPTERS.add("state", tell_state, order=50)
    CHAPTERS.add("changes", tell_changes, order=900)  # after those of other rooms


def _add_event_kinds() -> None:
    from registry.record.events import EVENT_KINDS

    sentences = {
        "job_done": "A job has ended: done, failed or cancelled.",
        "job_dead_letter": "A part of a job was abandoned after several workers died on it.",
        "worker_lost": "A worker stopped reporting.",
        "worker_back": "A lost worker is reporting again, or has been replaced.",
        "merging_ended": "A version gave a different answer in a shared run, so its requests now run alone.",
        "provider_fell_back": "A version that should run on CUDA runs on the CPU.",
    }
    for kind, sentence in sentences.items():
        EVENT_KINDS.add(kind, sentence)
