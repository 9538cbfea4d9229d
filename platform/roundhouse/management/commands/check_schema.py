from typing import Any

from django.core.management.base import BaseCommand, CommandError
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings

VERSIONS = ("3.1.1", "3.0.3")


class Command(BaseCommand):
    help = "Generate both versions of the OpenAPI description. Fail on warnings or an invalid document."

    def handle(self, *_: Any, **__: Any) -> None:
        from openapi_spec_validator import validate  # a development dependency

        for version in VERSIONS:
            with patched_settings({"OAS_VERSION": version}):
                document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
            if GENERATOR_STATS:
                GENERATOR_STATS.emit_summary()
                raise CommandError(f"The OpenAPI {version} description has warnings.")
            validate(document)
            self.stdout.write(f"OpenAPI {version}: {len(document['paths'])} paths, valid")
