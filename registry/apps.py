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
        from registry.catalogue.uses import register_use
        from registry.record.audit import install_triggers
        from registry.traffic.selectors import split_use

        GRANTS.add("registry", REGISTRY_GRANTS)
        post_migrate.connect(sync_roles, sender=self)
        post_migrate.connect(install_triggers, sender=self, dispatch_uid="registry.triggers")
        register_use(split_use)
        _add_links()
        _add_panels()


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
    """The console's own panels are added here too, so that one list shows the order of a page."""
    from registry.console.alias_pages import draw_guards
    from registry.console.checks import draw_checklist
    from registry.console.crashes import draw_crashes
    from registry.console.downloads import draw_file
    from registry.console.failing import draw_failing
    from registry.console.golden import draw_golden
    from registry.console.history import draw_history
    from registry.console.incidents import draw_for_home
    from registry.console.lineage import draw_lineage
    from registry.console.split_requests import draw_open_requests, draw_requests
    from registry.console.waiting import draw_waiting
    from registry.console.who_may import draw_who_may
    from registry.kit.admin.panels import PANELS, Panel, PanelPage

    PANELS.add("incidents", Panel(PanelPage.HOME, draw_for_home), order=0)
    PANELS.add("open requests", Panel(PanelPage.HOME, draw_open_requests), order=2)
    PANELS.add("failing checks", Panel(PanelPage.HOME, draw_failing), order=10)
    PANELS.add("waiting split", Panel(PanelPage.MODEL, draw_waiting), order=1)
    PANELS.add("approval requests", Panel(PanelPage.MODEL, draw_requests), order=2)
    PANELS.add("history", Panel(PanelPage.MODEL, draw_history), order=8)
    PANELS.add("golden set", Panel(PanelPage.MODEL, draw_golden), order=30)
    PANELS.add("permissions", Panel(PanelPage.MODEL, draw_who_may), order=40)
    PANELS.add("guards", Panel(PanelPage.MODEL, draw_guards), order=40)
    PANELS.add("crashes", Panel(PanelPage.VERSION, draw_crashes), order=0)
    PANELS.add("lineage", Panel(PanelPage.VERSION, draw_lineage), order=1)
    PANELS.add("file", Panel(PanelPage.VERSION, draw_file), order=3)
    PANELS.add("checks", Panel(PanelPage.VERSION, draw_checklist), order=5)
