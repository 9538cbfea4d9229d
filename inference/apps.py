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
        from inference.jobs.kinds import JOB_KINDS
        from inference.jobs.models import PREDICTION
        from inference.jobs.predictions import Predictions
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
        JOB_KINDS.add(PREDICTION, Predictions(), order=0)
        READINESS.add("engines", ReadinessCheck(engines_are_warm, warm_everywhere))
        GATES.add(MEMORY_GATE, memory_gates)
        STOP_PREVIEWS.add("traffic", requests_refused_by_stop)
        _add_tasks()
        _add_formats()
        _add_event_kinds()
        _add_sentences()
        _add_links()
        _add_tabs()
        _add_search()
        _add_panels()
        _add_chart_marks()
        _add_attention()
        _add_first_steps()
        _add_key_examples()
        _add_chapters()


def _add_formats() -> None:
    from inference.convert.formats import FORMATS
    from registry.intake.source_formats import SOURCE_FORMATS

    for name, found in FORMATS.items():
        SOURCE_FORMATS.add(name, found)


def _add_tasks() -> None:
    from inference.checks.version_tasks import registered_tasks
    from registry.catalogue.task_kinds import TASK_KINDS

    for name, task in registered_tasks().items():
        TASK_KINDS.add(name, task)


def _add_key_examples() -> None:
    from inference.try_it.key_example import predict_example
    from registry.access.key_examples import KEY_EXAMPLES

    KEY_EXAMPLES.add("predict", predict_example, order=10)


def _add_links() -> None:
    from inference.jobs.search import failed_jobs_badge
    from registry.kit.admin.navigation import ListLink, add_links

    add_links(
        ListLink("inference.job", "Jobs", "checklist", "Jobs", failed_jobs_badge, add_title="New job"),
        ListLink("inference.refusedorder", "Rejected jobs", "unsubscribe", "Jobs"),
        ListLink("inference.store", "Job storage", "folder_open", "Jobs", add_title="New job storage"),
        order=300,
    )
    add_links(ListLink("inference.enginereport", "Workers", "memory", "Operations"), order=500)


def _add_search() -> None:
    from inference.jobs.search import find_jobs
    from inference.story.search import find_story
    from registry.kit.admin.search import SEARCH, SearchSource

    SEARCH.add("story", SearchSource("Answered requests", "receipt_long", find_story), order=0)
    SEARCH.add("jobs", SearchSource("Jobs", "checklist", find_jobs), order=50)


def _add_tabs() -> None:
    from registry.kit.admin.panels import PanelPage
    from registry.kit.admin.tabs import TABS, Tab

    model, version = PanelPage.MODEL, PanelPage.VERSION
    TABS.add("try", Tab(model, "try", "Try it"), order=30)
    TABS.add("jobs", Tab(model, "jobs", "Jobs"), order=40)
    TABS.add("version traffic", Tab(version, "traffic", "Traffic", opened_by=("figures",)), order=20)
    TABS.add("version try", Tab(version, "try", "Try it"), order=30)


def _add_panels() -> None:
    from inference.jobs.presentation import draw_jobs
    from inference.measure import panels as traffic
    from inference.serving.stewards.readiness import engines_health
    from inference.try_it.comparison import draw_answers
    from inference.try_it.panels import draw_for_model, draw_for_version
    from registry.console.comparison import COMPARISONS
    from registry.console.headers import MODEL_FACTS
    from registry.console.health import HEALTH
    from registry.kit.admin.panels import COLUMNS, PANELS, ColumnGroup, Panel, PanelPage

    COLUMNS.add("traffic", ColumnGroup(traffic.COLUMNS, traffic.draw_columns, traffic.NOTE, traffic.NUMBERS))
    model, version = PanelPage.MODEL, PanelPage.VERSION
    PANELS.add("traffic in short", Panel(model, traffic.draw_short_for_model, "live"), order=5)
    PANELS.add("traffic of a Model", Panel(model, traffic.draw_for_model, "traffic"), order=5)
    PANELS.add("try a Model", Panel(model, draw_for_model, "try"), order=10)
    PANELS.add("jobs", Panel(model, draw_jobs, "jobs"), order=20)
    PANELS.add("traffic of a version", Panel(version, traffic.draw_for_version, "traffic"), order=7)
    PANELS.add("try a version", Panel(version, draw_for_version, "try"), order=10)
    PANELS.add("traffic beside a request", Panel(PanelPage.REQUEST, traffic.draw_for_request), order=0)
    COMPARISONS.add("answers", draw_answers)
    MODEL_FACTS.add("traffic", traffic.requests_per_second)
    HEALTH.add("engines", engines_health, order=5)


def _add_chart_marks() -> None:
    from inference.serving.stewards.marks import loaded_marks
    from registry.kit.admin.plots import CHART_MARKS

    CHART_MARKS.add("loaded versions", loaded_marks)


def _add_sentences() -> None:
    from inference.jobs.sentences import JOB_SENTENCES
    from registry.record.sentences import SENTENCES

    for action, sentence in JOB_SENTENCES.items():
        SENTENCES.add(action, sentence)


def _add_attention() -> None:
    from inference.jobs import attention as jobs
    from inference.measure.attention import errors_and_turned_away
    from inference.serving.stewards.attention import troubled_processes
    from registry.kit.admin.attention import ATTENTION

    ATTENTION.add("errors", errors_and_turned_away, order=20)
    ATTENTION.add("workers", troubled_processes, order=30)
    ATTENTION.add("stuck queues", jobs.stuck_queues, order=40)
    ATTENTION.add("stuck parts of jobs", jobs.stuck_parts, order=50)
    ATTENTION.add("failed jobs", jobs.failed_jobs, order=55)


def _add_first_steps() -> None:
    from django.urls import reverse

    from inference.measure.selectors import has_answered
    from registry.access.policies import Right
    from registry.kit.admin.first_steps import FIRST_STEPS, FirstStep

    step = FirstStep(
        "Send a prediction",
        Right.PREDICT,
        has_answered,
        lambda: reverse("admin:registry_model_changelist"),
        "docs/clients.md",
    )
    FIRST_STEPS.add("prediction", step, order=10)


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
