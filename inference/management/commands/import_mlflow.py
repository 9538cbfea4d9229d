import os
from base64 import b64encode
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from inference.management.imports import ImportCommand, read_object
from inference.pipelines.tasks import TASKS
from inference.serving.plans import session_options
from inference.sources.mlflow import MlflowServer, read_uri
from inference.sources.services import import_registered_version
from inference.sources.triton import slug_of
from registry.catalogue.models import Version
from registry.errors import RoundhouseError


class Command(ImportCommand):
    help = (
        "Import a version of a registered model of an MLflow server, with its run's metrics and tags, as the next version of a"
        " Model. The server hands out the file (--serve-artifacts). A token is read from MLFLOW_TRACKING_TOKEN, or a name and"
        " password from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("uri", help="The version: models:/name@alias or models:/name/3.")
        parser.add_argument(
            "--server", default="", metavar="URL",
            help="The MLflow server, such as http://mlflow.internal:5000; by default MLFLOW_TRACKING_URI.",
        )  # fmt: skip
        parser.add_argument(
            "--name", default="", help="The Model's name here; by default made of the one on the server."
        )
        parser.add_argument(
            "--task", choices=[name for name, _ in TASKS.items()],
            help="What the Model does; by default what an existing Model has, and tensor for a new one.",
        )  # fmt: skip
        parser.add_argument(
            "--task-config", type=Path, metavar="FILE",
            help="A JSON file with the task configuration; by default that of the Model's newest version.",
        )  # fmt: skip
        parser.add_argument(
            "--live", action="store_true", help="Give this version all traffic, or request approval for that."
        )

    def handle(self, *_: Any, uri: str, server: str, name: str, live: bool, **options: Any) -> None:
        try:
            version, is_new = self._import(uri, server, name, live, options)
        except OSError as error:
            raise CommandError(f"The file cannot be stored: {error.strerror}.") from None
        except RoundhouseError as error:
            raise CommandError(str(error)) from None
        if is_new:
            self.report(version)
        else:
            failed = ", and did not pass its checks" if version.failure else ""
            self.tell(
                f"Nothing was imported: {version.model} version {version.number} has this file{failed}."
            )

    def _import(
        self, uri: str, server: str, name: str, live: bool, options: dict[str, Any]
    ) -> tuple[Version, bool]:
        wanted = read_uri(uri)
        address = server or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not address:
            raise CommandError("Name the MLflow server with --server, or in MLFLOW_TRACKING_URI.")
        slug = name or slug_of(wanted.name)
        if not slug:
            raise CommandError(f"No Model can be named after {wanted.name!r}; give a name with --name.")
        mlflow = MlflowServer(
            address, authorization=_authorization(), allowed_hosts=settings.FETCH_ALLOWED_HOSTS
        )
        found = mlflow.find(wanted)
        self.tell(f"{found.name} version {found.version} of {mlflow.url} becomes a version of {slug}.")
        for sentence in found.lost:
            self.tell(f"  not carried over: {sentence}")
        return import_registered_version(
            server=mlflow,
            found=found,
            slug=slug,
            task=options["task"],
            task_config=read_object(options["task_config"], "the task configuration"),
            options=session_options(),
            go_live=live or None,
            by=self.actor(),
        )


def _authorization() -> str:
    """As MLflow's own client reads it: variables of MLflow, not settings of ours."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return f"Bearer {token}"
    name, password = (os.environ.get(f"MLFLOW_TRACKING_{word}", "") for word in ("USERNAME", "PASSWORD"))
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}" if name else ""
