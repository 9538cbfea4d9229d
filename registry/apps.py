from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        import registry.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from registry.access.roles import sync_roles
        from registry.catalogue.selectors import USES
        from registry.record import triggers
        from registry.traffic.selectors import split_use

        post_migrate.connect(sync_roles, sender=self)
        post_migrate.connect(triggers.install, sender=self, dispatch_uid="registry.triggers")
        USES.add("splits", split_use)
