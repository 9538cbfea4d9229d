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
        from registry.record.audit import install_triggers
        from registry.traffic.selectors import split_use

        GRANTS.add("registry", REGISTRY_GRANTS)
        post_migrate.connect(sync_roles, sender=self)
        post_migrate.connect(install_triggers, sender=self, dispatch_uid="registry.triggers")
        USES.add("splits", split_use)
        _add_event_kinds()
        _add_links()
        _add_panels()
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
    from registry.kit.admin.navigation import ListLink, add_links

    add_links(
        ListLink("registry.model", "Models", "deployed_code"),
        ListLink("registry.version", "Versions", "layers"),
        ListLink("registry.split", "Splits", "call_split"),
        ListLink("registry.splitrequest", "Approval requests", "approval"),
        order=10,
    )
    add_links(
        ListLink("registry.alias", "Aliases", "label"),
        ListLink("registry.hold", "Stops and freezes", "block"),
        ListLink("registry.servingsettings", "Serving settings", "tune"),
        order=200,
    )
    add_links(
        ListLink("registry.auditrecord", "Audit records", "history", group="Record"),
        ListLink("registry.auditcheckpoint", "Checkpoints", "verified", group="Record"),
        ListLink("registry.event", "Events", "notifications", group="Record"),
        ListLink("registry.delivery", "Deliveries", "outbox", group="Record"),
        ListLink("registry.subscription", "Subscriptions", "rss_feed", group="Record"),
        order=800,
    )
    add_links(
        ListLink("registry.apikey", "API keys", "key", group="Access"),
        ListLink("registry.tenant", "Tenants", "apartment", group="Access"),
        ListLink("auth.user", "People", "group", group="Access"),
        ListLink("auth.group", "Roles", "badge", group="Access"),
        ListLink("axes.accessattempt", "Locked logins", "lock", group="Access"),
        order=900,
    )


def _add_panels() -> None:
    """The console's own panels are added here too, so that one list shows the order of all panels."""
    from registry.console.aliases import draw_guards
    from registry.console.checks import draw_checklist
    from registry.console.golden_set import draw_golden
    from registry.console.holds import draw_home_holds
    from registry.console.home import draw_failed_checks
    from registry.console.model_panels import draw_history, draw_permissions, draw_waiting
    from registry.console.requests import draw_home_requests, draw_model_requests
    from registry.console.version_panels import draw_crashes, draw_file, draw_lineage
    from registry.kit.admin.panels import PANELS, Panel, PanelPage

    PANELS.add("holds", Panel(PanelPage.HOME, draw_home_holds), order=0)
    PANELS.add("open requests", Panel(PanelPage.HOME, draw_home_requests), order=2)
    PANELS.add("failed checks", Panel(PanelPage.HOME, draw_failed_checks), order=10)
    PANELS.add("waiting split", Panel(PanelPage.MODEL, draw_waiting), order=1)
    PANELS.add("approval requests", Panel(PanelPage.MODEL, draw_model_requests), order=2)
    PANELS.add("history", Panel(PanelPage.MODEL, draw_history), order=8)
    PANELS.add("golden set", Panel(PanelPage.MODEL, draw_golden), order=30)
    PANELS.add("permissions", Panel(PanelPage.MODEL, draw_permissions), order=40)
    PANELS.add("guards", Panel(PanelPage.MODEL, draw_guards), order=40)
    PANELS.add("crashes", Panel(PanelPage.VERSION, draw_crashes), order=0)
    PANELS.add("lineage", Panel(PanelPage.VERSION, draw_lineage), order=1)
    PANELS.add("file", Panel(PanelPage.VERSION, draw_file), order=3)
    PANELS.add("checks", Panel(PanelPage.VERSION, draw_checklist), order=5)


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
