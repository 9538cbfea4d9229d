"""What a new installation gets: people, a key, and in the demo the example models."""

import errno
import json
import os
import secrets
import textwrap
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from inference.checks.services import import_version
from inference.serving.plans import session_options
from registry.access.models import ApiKey, Tenant
from registry.access.policies import Role, command_actor, key_scopes
from registry.access.services import (
    Person,
    change_person,
    create_person,
    create_tenant,
    issue_key,
    set_password,
)
from registry.catalogue.models import Model, Task
from registry.catalogue.services import create_model
from registry.kit.actors import Actor
from registry.traffic.models import Split
from registry.traffic.services import set_approval_rule
from roundhouse.env import ROOT, why_unusable

EXAMPLES = ROOT / "examples"


class Credentials(TypedDict):
    url: str
    admin_user: str
    admin_password: str
    approver_user: str
    approver_password: str
    api_key: str


def prepare() -> str:
    """Make people and a key on an empty database; return what to print. The secrets are kept nowhere."""
    if User.objects.exists():
        return f"Roundhouse answers at {settings.PUBLIC_URL} (admin: {settings.PUBLIC_URL}/admin/). Ctrl-C stops it."
    credentials = _make_credentials()
    return _welcome(credentials, "These are shown only now; write them down.")


def prepare_demo() -> str:
    """As `prepare`, with example models, and with the credentials kept in a file for the next time."""
    path = Path(settings.DATA_DIR) / "first-run.json"
    credentials = _kept(path)
    if credentials is None:
        credentials = _make_credentials()
        _keep(path, credentials)
    credentials["url"] = settings.PUBLIC_URL
    _import_examples(command_actor("serve"))
    return _welcome(
        credentials,
        f"Kept for you in {path} (readable by you alone). Delete it when you no longer try things out.",
    )


def why_not_prepared(error: OSError | DatabaseError) -> str:
    """Say what an error during preparation means for the person at the terminal."""
    folder = settings.DATA_DIR
    if isinstance(error, OSError):
        return why_unusable(folder, error)
    if "disk is full" in str(error):
        return why_unusable(folder, OSError(errno.ENOSPC, ""))
    if connection.vendor == "sqlite":
        return (
            f"The database in {folder} cannot be used: {error}. Is the folder writable, and on a local disk?"
        )
    return (
        f"The database cannot be used: {error}".strip()
        + " Check ROUNDHOUSE_DATABASE_URL and that PostgreSQL runs."
    )


@transaction.atomic
def _make_credentials() -> Credentials:
    by = command_actor("serve")
    tenant = Tenant.objects.filter(slug="default").first() or create_tenant(slug="default", by=by)
    _, key_text = issue_key(name="first key", tenant=tenant, scopes=key_scopes(), by=by)
    return Credentials(
        url=settings.PUBLIC_URL,
        admin_user="admin",
        admin_password=make_person("admin", [Role.OPERATOR, Role.ADMIN], by),
        approver_user="approver",
        approver_password=make_person("approver", [Role.APPROVER], by),
        api_key=key_text,
    )


def make_person(username: str, roles: list[Role], by: Actor) -> str:
    """Make the account, or take a known one back in hand; return its new password."""
    password = secrets.token_urlsafe(12)
    person = Person(username=username, roles=roles)
    known = User.objects.filter(username=username).first()
    if known is None:
        create_person(person=person, password=password, by=by)
    else:
        change_person(user=known, person=person, by=by)
        set_password(user=known, password=password, by=by)
    return password


def _kept(path: Path) -> Credentials | None:
    """Read the file, if it still opens the door: its key must be in this database."""
    if not path.exists():
        return None
    credentials: Credentials = json.loads(path.read_text())
    prefix = credentials["api_key"].split("_")[1]
    return credentials if ApiKey.objects.filter(prefix=prefix, revoked_at=None).exists() else None


def _keep(path: Path, credentials: Credentials) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(credentials, file, indent=2)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _import_examples(by: Actor) -> None:
    for file in sorted(EXAMPLES.glob("*/model.onnx")):
        slug = file.parent.name
        if not Split.objects.filter(model__slug=slug).exists():  # a first run may have been stopped half-way
            about = json.loads((file.parent / "about.json").read_text())
            model = _made_example(slug, about, by)
            import_version(
                slug=slug,
                task_config=about.get("task_config"),
                path=file,
                go_live=True,
                options=session_options(),
                by=by,
            )
            if about.get("needs_approval"):
                set_approval_rule(
                    model=model, needed=True, reason="an example of a Model that takes two people", by=by
                )


def _made_example(slug: str, about: dict[str, Any], by: Actor) -> Model:
    """The Model, which asks for one person: it is to answer before a second one has come."""
    model = Model.objects.filter(slug=slug).first() or create_model(
        slug=slug, title=about["title"], notes=about["notes"], task=about.get("task", Task.TENSOR), by=by
    )
    if not model.needs_approval:
        return model
    return set_approval_rule(model=model, needed=False, reason="an example, to be tried out alone", by=by)


def _welcome(credentials: Credentials, note: str) -> str:
    url, key = credentials["url"], credentials["api_key"]
    lines = textwrap.dedent(f"""
        Roundhouse answers at {url}

          admin      {url}/admin/
          operator   {credentials["admin_user"]} / {credentials["admin_password"]}
          approver   {credentials["approver_user"]} / {credentials["approver_password"]}
          API key    {key}
          API docs   {url}/api/docs

        {note}
        """)
    return lines + _curl_lines(url, key) + "\nCtrl-C stops everything.\n"


def _curl_lines(url: str, key: str) -> str:
    models = set(Model.objects.values_list("slug", flat=True))
    samples = [path for path in sorted(EXAMPLES.glob("*/sample.json")) if path.parent.name in models]
    if not samples:
        return (
            "\nRegister a model, then ask it:\n\n"
            "  .venv/bin/python manage.py import_model NAME FILE.onnx\n"
            "  .venv/bin/python manage.py approve_request NAME 1 --as approver --reason 'looked at'\n"
            f"  curl -H 'Authorization: Bearer {key}' {url}/api/v1/models/NAME/predict -d '{{\"inputs\": …}}'\n"
        )
    lines = [
        f"  curl {url}/readyz?verbose",
        *(
            f"  curl -H 'Authorization: Bearer {key}' {url}/api/v1/models/{sample.parent.name}/predict "
            f"-d '{json.dumps(json.loads(sample.read_text()))}'"
            for sample in samples[:2]
        ),
    ]
    return "\nTry it:\n\n" + "\n".join(lines) + "\n"
