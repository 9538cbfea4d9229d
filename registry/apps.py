from collections.abc import Callable

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        import registry.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from registry.access.policies import GRANTS
        from registry.access.roles import REGISTRY_GRANTS, sync_roles
        from registry.catalogue.selectors import USES
        from registry.kit.admin.history import HISTORIES, RowHistory
        from registry.record.audit import install_triggers
        from registry.record.history import draw_records, has_records
        from registry.traffic.selectors import split_use

        GRANTS.add("registry", REGISTRY_GRANTS)
        post_migrate.connect(sync_roles, sender=self)
        post_migrate.connect(install_triggers, sender=self, dispatch_uid="registry.triggers")
        USES.add("splits", split_use)
        HISTORIES.add("audit records", RowHistory(has_records, draw_records))
        _add_event_kinds()
        _add_sentences()
        _add_links()
        _add_tabs()
        _add_search()
        _add_panels()
        _add_chart_marks()
        _add_attention()
        _add_first_steps()
        _add_past_reasons()
        _add_key_examples()


def _add_key_examples() -> None:
    from registry.access.key_examples import KEY_EXAMPLES, list_models_example

    KEY_EXAMPLES.add("models", list_models_example, order=20)


def _add_past_reasons() -> None:
    from registry.console.reasons import reasons_given_before
    from registry.kit.admin.verbs import PAST_REASONS

    PAST_REASONS.add("audit", reasons_given_before)


def _add_links() -> None:
    from registry.console.requests import decisions_badge
    from registry.kit.admin.navigation import ListLink, add_links

    add_links(
        ListLink("registry.model", "Models", "deployed_code", "Models"),
        ListLink("registry.version", "Versions", "layers", "Models"),
        ListLink("registry.alias", "Aliases", "label", "Models"),
        ListLink("registry.servingsettings", "Serving settings", "tune", "Models"),
        order=10,
    )
    add_links(
        ListLink("registry.splitrequest", "Approval requests", "approval", "Releases", decisions_badge),
        ListLink("registry.split", "Splits", "call_split", "Releases"),
        ListLink("registry.hold", "Stops and freezes", "block", "Releases"),
        order=100,
    )
    add_links(
        ListLink("registry.event", "Events", "notifications", "Operations"),
        ListLink(
            "registry.subscription", "Subscriptions", "rss_feed", "Operations", add_title="New subscription"
        ),
        ListLink("registry.delivery", "Deliveries", "outbox", "Operations"),
        order=600,
    )
    add_links(
        ListLink("registry.auditrecord", "Audit records", "history", "Audit"),
        ListLink("registry.auditcheckpoint", "Checkpoints", "verified", "Audit"),
        order=800,
    )
    add_links(
        ListLink("registry.apikey", "API keys", "key", "Access", add_title="New API key"),
        ListLink("registry.tenant", "Tenants", "apartment", "Access", add_title="New tenant"),
        ListLink("auth.user", "People", "group", "Access", add_title="New person"),
        ListLink("auth.group", "Roles", "badge", "Access"),
        ListLink("axes.accessattempt", "Locked logins", "lock", "Access"),
        order=900,
    )


def _add_tabs() -> None:
    """The tabs of Model and version pages. Apps above add theirs between these."""
    from registry.console.headers import is_unfinished
    from registry.kit.admin.panels import PanelPage
    from registry.kit.admin.tabs import TABS, Tab

    model, version = PanelPage.MODEL, PanelPage.VERSION
    TABS.add("live", Tab(model, "live", "Live", refresh_s=15), order=0)
    TABS.add("versions", Tab(model, "versions", "Versions"), order=10)
    TABS.add("traffic", Tab(model, "traffic", "Traffic", opened_by=("at", "figures")), order=20)
    TABS.add("access", Tab(model, "access", "Access"), order=80)
    TABS.add("settings", Tab(model, "settings", "Settings"), order=90)
    TABS.add("version overview", Tab(version, "overview", "Overview"), order=0)
    TABS.add("version checks", Tab(version, "checks", "Checks", opens_for=is_unfinished), order=10)
    TABS.add("version file", Tab(version, "file", "File & settings"), order=90)


def _add_search() -> None:
    from registry.access.search import find_keys, find_people
    from registry.console.search import find_models, find_requests, find_verbs, find_versions
    from registry.kit.admin.search import SEARCH, SearchSource, find_pages
    from registry.record.search import find_records

    SEARCH.add("models", SearchSource("Models", "deployed_code", find_models), order=10)
    SEARCH.add("versions", SearchSource("Versions", "layers", find_versions), order=20)
    SEARCH.add("verbs", SearchSource("Actions", "bolt", find_verbs), order=30)
    SEARCH.add("requests", SearchSource("Approval requests", "approval", find_requests), order=40)
    SEARCH.add("pages", SearchSource("Pages", "description", find_pages), order=60)
    SEARCH.add("people", SearchSource("People", "person", find_people), order=70)
    SEARCH.add("keys", SearchSource("API keys", "key", find_keys), order=80)
    SEARCH.add("audit", SearchSource("Audit records", "history", find_records), order=90)


def _add_panels() -> None:
    """The console's own panels are added here too, so that one list shows the order of all panels."""
    from registry.access.policies import Right
    from registry.console.aliases import draw_guards
    from registry.console.checks import draw_checklist
    from registry.console.example_pictures import draw_example_pictures
    from registry.console.golden_set import draw_golden
    from registry.console.health import HEALTH, checks_health, crashes_health, draw_health
    from registry.console.model_panels import (
        draw_aliases,
        draw_changes,
        draw_permissions,
        draw_splits,
        draw_versions,
        draw_waiting,
    )
    from registry.console.requests import draw_model_requests
    from registry.console.version_panels import (
        draw_crashes,
        draw_facts,
        draw_file,
        draw_lineage,
        draw_requested_training,
        draw_serving,
        draw_training,
    )
    from registry.kit.admin.panels import PANELS, Panel, PanelPage

    model, version = PanelPage.MODEL, PanelPage.VERSION
    PANELS.add("waiting split", Panel(model, draw_waiting, "live"), order=1)
    PANELS.add("approval requests", Panel(model, draw_model_requests, "live"), order=2)
    PANELS.add("health", Panel(model, draw_health, "live"), order=6)
    PANELS.add("changes", Panel(model, draw_changes, "live", Right.READ_RECORD), order=8)
    PANELS.add("versions", Panel(model, draw_versions, "versions"), order=10)
    PANELS.add("aliases", Panel(model, draw_aliases, "versions"), order=20)
    PANELS.add("golden set", Panel(model, draw_golden, "versions"), order=30)
    PANELS.add("splits", Panel(model, draw_splits, "traffic"), order=10)
    PANELS.add("permissions", Panel(model, draw_permissions, "access"), order=40)
    PANELS.add("guards", Panel(model, draw_guards, "access"), order=40)
    PANELS.add("crashes", Panel(version, draw_crashes, "overview"), order=0)
    PANELS.add("facts", Panel(version, draw_facts, "overview"), order=1)
    PANELS.add("lineage", Panel(version, draw_lineage, "overview"), order=2)
    PANELS.add("training", Panel(version, draw_training, "overview"), order=3)
    PANELS.add("training of requested versions", Panel(PanelPage.REQUEST, draw_requested_training), order=5)
    PANELS.add("checks", Panel(version, draw_checklist, "checks"), order=5)
    PANELS.add("example pictures", Panel(version, draw_example_pictures, "checks"), order=6)
    PANELS.add("file", Panel(version, draw_file, "file"), order=3)
    PANELS.add("serving settings", Panel(version, draw_serving, "file"), order=4)
    HEALTH.add("crashes", crashes_health, order=0)
    HEALTH.add("checks", checks_health, order=10)


def _add_chart_marks() -> None:
    from registry.catalogue.marks import crash_marks, settings_marks
    from registry.kit.admin.plots import CHART_MARKS
    from registry.traffic.marks import hold_marks, split_marks

    CHART_MARKS.add("splits", split_marks)
    CHART_MARKS.add("holds", hold_marks)
    CHART_MARKS.add("serving settings", settings_marks)
    CHART_MARKS.add("crashes", crash_marks)


def _add_sentences() -> None:
    from registry.access.sentences import ACCESS_SENTENCES
    from registry.catalogue.sentences import CATALOGUE_SENTENCES
    from registry.intake.sentences import INTAKE_SENTENCES
    from registry.record.sentences import SENTENCES
    from registry.record.subscription_sentences import SUBSCRIPTION_SENTENCES
    from registry.traffic.sentences import TRAFFIC_SENTENCES

    rooms = (
        TRAFFIC_SENTENCES,
        INTAKE_SENTENCES,
        CATALOGUE_SENTENCES,
        ACCESS_SENTENCES,
        SUBSCRIPTION_SENTENCES,
    )
    for sentences in rooms:
        for action, sentence in sentences.items():
            SENTENCES.add(action, sentence)


def _add_attention() -> None:
    from registry.console import attention
    from registry.kit.admin.attention import ATTENTION

    ATTENTION.add("stopped and frozen Models", attention.stopped_and_frozen, order=0)
    ATTENTION.add("broken versions", attention.broken_versions, order=10)
    ATTENTION.add("failed checks", attention.failed_checks, order=60)
    ATTENTION.add("deliveries", attention.failing_deliveries, order=70)
    ATTENTION.add("approval requests", attention.requests_to_decide, order=80)
    ATTENTION.add("rejected requests", attention.own_requests_rejected, order=85)


def _add_first_steps() -> None:
    from django.urls import reverse

    from registry.access.policies import Right
    from registry.console import first_steps as steps
    from registry.kit.admin.first_steps import FIRST_STEPS, FirstStep

    def page(name: str) -> Callable[[], str]:
        return lambda: reverse(f"admin:{name}")

    for order, (name, step) in enumerate({
        "upload": FirstStep("Upload a version of your own", Right.WRITE, steps.uploaded_a_version,
                            page("registry_upload_add"), "docs/uploads.md"),
        "checks": FirstStep("See it pass its checks", Right.WRITE, steps.passed_checks,
                            page("registry_version_changelist"), "docs/checks.md"),
        "split": FirstStep("Set a split, or ask a second person for approval", Right.REQUEST_CHANGE,
                           steps.changed_a_split, page("registry_model_changelist"), "docs/routing.md"),
        "key": FirstStep("Create an API key for an application", Right.MANAGE_KEYS, steps.created_a_key,
                         page("registry_apikey_add"), "docs/access.md"),
        "person": FirstStep("Invite a second person", Right.MANAGE_PEOPLE, steps.invited_a_person,
                            page("auth_user_add"), "docs/access.md"),
    }.items(), start=2):  # fmt: skip
        FIRST_STEPS.add(name, step, order=order * 10)


def _add_event_kinds() -> None:
    from registry.record.events import EVENT_KINDS

    sentences = {
        "split_changed": "A Model has a new current split.",
        "check_failed": "A version did not pass its checks.",
        "version_crashed": "A version crashed the process running it; from now on it runs in its own process.",
        "version_broken": "A version crashed the processes running it and is now refused.",
        "recheck_failed": "A ready version failed a repeated check; it still answers requests.",
        "approval_asked": "Someone requested a split that another person has to approve.",
        "approval_decided": "A request for a split was approved, rejected or withdrawn.",
        "model_stopped": "An operator stopped a Model.",
        "model_started": "A stopped Model was started again.",
        "split_expired": "A split expired while waiting for engines to warm up.",
        "test": "Someone tested whether a subscription reaches its receiver.",
    }
    for kind, sentence in sentences.items():
        EVENT_KINDS.add(kind, sentence)
