"""What a new installation starts with: accounts, an API key, and in the demo the example models and a policy."""

import errno
import json
import os
import secrets
import shlex
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet

from inference.checks.services import import_version
from inference.serving.plans import session_options
from moderation.policies.models import Policy
from moderation.policies.rules import read_rules
from moderation.policies.services import create_policy, publish
from moderation.rights import ModerationRole
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
from registry.catalogue.artifacts import read_chunks
from registry.catalogue.models import Model
from registry.catalogue.services import create_model
from registry.catalogue.task_kinds import TENSOR
from registry.intake.examples.golden_files import rows_in
from registry.intake.examples.selectors import current_golden_set
from registry.intake.examples.services import put_golden_set
from registry.kit.actors import Actor
from registry.traffic.models import Split
from registry.traffic.services import set_approval_rule
from roundhouse.data_folder import explain_os_error
from roundhouse.demo_contents import contents_to_send, describe_violations
from roundhouse.env import ROOT


@dataclass(frozen=True)
class Demo:
    """Models to try the product out, each in a folder of its own, and a policy that asks some of them."""

    folder: Path
    shown: tuple[str, ...]  # whose requests are printed
    default_models: str  # which answer requests that name no Model
    policy: Path  # the content of the default policy
    also: tuple[Path, ...] = ()  # folders of Models that lie elsewhere

    @property
    def models(self) -> list[Path]:
        """The folder of each Model."""
        return sorted(
            [*{file.parent for file in self.folder.glob("*/model.*")}, *self.also],
            key=lambda folder: folder.name,
        )


DEMOS = {
    "examples": Demo(
        ROOT / "examples",
        ("ripeness", "tone", "shapes", "picks", "clicks"),
        "predict=ripeness,classify=tone,classify-images=figures,detect=shapes,entities=names,recommend=picks,rank=clicks",
        policy=ROOT / "examples" / "policy.json",
    ),
    "real": Demo(  # what examples/real/models.py fetches
        ROOT / ".real" / "models",
        ("toxicity", "personal-data", "nsfw", "contraband"),
        "classify=toxicity,classify-images=nsfw,detect=contraband,entities=personal-data",
        policy=ROOT / "examples" / "policy-real.json",
        also=(ROOT / "examples" / "contraband",),
    ),
}
_GOLDEN = ("golden.zip", "golden.jsonl")
_ABOUT_EXAMPLE = ("about.json", "sample.json", *_GOLDEN)
_LONG = 300  # characters
_JSON = {"Content-Type": "application/json"}
_COMMENT = {
    "text": "You are an idiot, get lost. Maria Rossi, customer AL-181512",
    "content_id": "comment-1",
    "context": "comments",
    "language": "en",
}
STOP = "Press Ctrl-C to stop everything."


class Credentials(TypedDict):
    url: str
    operator_user: str
    operator_password: str
    approver_user: str
    approver_password: str
    api_key: str


class DemoCredentials(Credentials):
    moderator_user: str
    moderator_password: str
    lead_user: str
    lead_password: str


def prepare() -> str:
    """In an empty database, create accounts and a key. Return the text to print; the secrets are not stored."""
    if User.objects.exists():
        return f"Roundhouse runs at {settings.PUBLIC_URL} (admin: {settings.PUBLIC_URL}/admin/). Press Ctrl-C to stop it."
    credentials = _create_credentials()
    return f"{_welcome(credentials, 'These credentials are shown only once. Write them down.')}{STOP}\n"


def prepare_demo(name: str = "examples", tell: Callable[[str], None] = lambda line: None) -> str:
    """Like `prepare`, but with a demo's Models, and with the credentials saved in a file for the next start.

    `tell` is called with lines about each Model that is registered.
    """
    demo, path = DEMOS[name], _credentials_path()
    credentials = _read_credentials(path)
    if credentials is None:
        credentials = _create_demo_credentials()
        _save_credentials(path, credentials)
    _import_examples(demo.models, tell, command_actor("serve"))
    _publish_policy(demo.policy, tell, command_actor("serve"))
    describe_violations(command_actor("serve"))
    return f"{_welcome_again(credentials, demo)}Only warnings are logged here; set ROUNDHOUSE_LOG_LEVEL=info for more. {STOP}\n"


def saved_welcome() -> str | None:
    """What `prepare_demo` returned, of all demos that are there; None without a valid file of credentials."""
    credentials = _read_credentials(_credentials_path())
    demos = [demo for demo in DEMOS.values() if demo.folder.exists()]
    return _welcome_again(credentials, *demos) if credentials is not None else None


def _welcome_again(credentials: DemoCredentials, *demos: Demo) -> str:
    moderator = f"{credentials['moderator_user']} / {credentials['moderator_password']}"
    lead = f"{credentials['lead_user']} / {credentials['lead_password']}"
    here: DemoCredentials = {**credentials, "url": settings.PUBLIC_URL}
    return _welcome(
        here,
        f"Saved in {_credentials_path()} (only you can read it); `manage.py credentials` prints this again. "
        "Delete the file when you are done trying things out.",
        *demos,
        more=f"  moderator  {moderator}   (reviews contents, edits policies)\n"
        f"  lead       {lead}   (decides appeals and what reviewers escalate)\n",
    )


def _credentials_path() -> Path:
    return Path(settings.DATA_DIR) / "first-run.json"


def explain_failure(error: OSError | DatabaseError) -> str:
    """Tell the person at the terminal what an error during preparation means."""
    folder = settings.DATA_DIR
    if isinstance(error, OSError):
        return explain_os_error(folder, error)
    if "disk is full" in str(error):
        return explain_os_error(folder, OSError(errno.ENOSPC, ""))
    if connection.vendor == "sqlite":
        return f"The database in {folder} cannot be used: {error}. The folder must be writable, and on a local disk."
    return (
        f"The database cannot be used: {error}".strip()
        + " Check ROUNDHOUSE_DATABASE_URL, and that PostgreSQL is running."
    )


@transaction.atomic
def _create_credentials() -> Credentials:
    by = command_actor("serve")
    tenant = Tenant.objects.filter(slug="default").first() or create_tenant(slug="default", by=by)
    _, key_text = issue_key(name="first key", tenant=tenant, scopes=key_scopes(), by=by)
    return Credentials(
        url=settings.PUBLIC_URL,
        operator_user="operator",
        operator_password=create_or_reset_person("operator", [Role.OPERATOR, Role.ADMIN], by),
        approver_user="approver",
        approver_password=create_or_reset_person("approver", [Role.APPROVER], by),
        api_key=key_text,
    )


@transaction.atomic
def _create_demo_credentials() -> DemoCredentials:
    by = command_actor("serve")
    reviews, leads = (
        [ModerationRole.REVIEWER, ModerationRole.POLICY_EDITOR],
        [ModerationRole.LEAD, ModerationRole.CHILD_SAFETY],
    )
    return {
        **_create_credentials(),
        "moderator_user": "moderator",
        "moderator_password": create_or_reset_person("moderator", reviews, by),
        "lead_user": "lead",
        "lead_password": create_or_reset_person("lead", leads, by),
    }


def create_or_reset_person(username: str, roles: Sequence[str], by: Actor) -> str:
    """Create the account, or reset an existing one. Return the new password."""
    password = secrets.token_urlsafe(12)
    person = Person(username=username, roles=roles)
    user = User.objects.filter(username=username).first()
    if user is None:
        create_person(person=person, password=password, by=by)
    else:
        change_person(user=user, person=person, by=by)
        set_password(user=user, password=password, by=by)
    return password


def _read_credentials(path: Path) -> DemoCredentials | None:
    """Read the file, if its key is still valid in this database."""
    if not path.exists():
        return None
    credentials: DemoCredentials = json.loads(path.read_text())
    if not DemoCredentials.__required_keys__ <= credentials.keys():
        return None  # an older release wrote it
    prefix = credentials["api_key"].split("_")[1]
    return credentials if ApiKey.objects.filter(prefix=prefix, revoked_at=None).exists() else None


def _save_credentials(path: Path, credentials: DemoCredentials) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(credentials, file, indent=2)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _import_examples(folders: Sequence[Path], tell: Callable[[str], None], by: Actor) -> None:
    for file in [next(folder.glob("model.*")) for folder in folders]:
        slug = file.parent.name
        if not Split.objects.filter(
            model__slug=slug
        ).exists():  # an earlier first run may have been interrupted
            tell(f"Registering {slug}")
            about, started = _read_about(file.parent), time.monotonic()
            model = _create_example(slug, about, by)
            _put_golden_set(model, file.parent, about, by)
            import_version(
                slug=slug,
                task_config=about.get("task_config"),
                path=file,
                data=_files_beside(file),
                notes=about.get("version_notes", ""),
                go_live=True,
                options=session_options(),
                by=by,
            )
            if about.get("needs_approval"):
                set_approval_rule(
                    model=model,
                    needed=True,
                    reason="an example of a Model that needs a second person's approval",
                    by=by,
                )
            tell(f"  checked and live, {time.monotonic() - started:.1f} s")


@transaction.atomic
def _publish_policy(path: Path, tell: Callable[[str], None], by: Actor) -> None:
    """Publish it if there is no default policy yet, and all Models that it asks are there."""
    content = json.loads(path.read_text())
    asked = read_rules(content).detectors
    if default_policy().exists() or Model.objects.filter(slug__in=asked).count() < len(asked):
        return
    tell("Publishing the default policy")
    policy = create_policy(name="default", title="Example policy", content=content, by=by)
    publish(policy=policy, reason="an example of a policy", by=by)


def default_policy() -> QuerySet[Policy]:
    return Policy.objects.filter(tenant=None, context="", retired_at=None)


def _read_about(folder: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((folder / "about.json").read_text())
    return about


def _put_golden_set(model: Model, folder: Path, about: dict[str, Any], by: Actor) -> None:
    """Give the Model the golden set of its example, if there is one."""
    if "golden_metric" not in about or current_golden_set(model) is not None:
        return
    path = next(folder / name for name in _GOLDEN if (folder / name).exists())
    with path.open("rb") as file:
        put_golden_set(
            model=model,
            lines=rows_in(read_chunks(file), has_pictures=path.suffix == ".zip"),
            metric=about["golden_metric"],
            floor=None,
            margin=None,
            reason="rows that the example was not trained on",
            by=by,
        )


def _files_beside(file: Path) -> list[Path]:
    """The files of an example that belong to its task, such as tokenizer.json."""
    return sorted(path for path in file.parent.iterdir() if path.name not in {file.name, *_ABOUT_EXAMPLE})


def _create_example(slug: str, about: dict[str, Any], by: Actor) -> Model:
    """Create the Model without two-person approval, so that it can go live immediately."""
    model = Model.objects.filter(slug=slug).first() or create_model(
        slug=slug, title=about["title"], notes=about["notes"], task=about.get("task", TENSOR), by=by
    )
    if not model.needs_approval:
        return model
    return set_approval_rule(
        model=model, needed=False, reason="an example that one person can try out alone", by=by
    )


def _welcome(credentials: Credentials, note: str, *demos: Demo, more: str = "") -> str:
    url, key = credentials["url"], credentials["api_key"]
    lines = textwrap.dedent(f"""
        Roundhouse runs at {url}

          admin      {url}/admin/
          operator   {credentials["operator_user"]} / {credentials["operator_password"]}   (requests changes)
          approver   {credentials["approver_user"]} / {credentials["approver_password"]}   (decides on them)
        """)
    lines += f"{more}  API key    {key}\n  API docs   {url}/api/docs\n\n{note}\n"
    return f"{lines}{_curl_lines(url, key, demos)}\n"


@dataclass(frozen=True)
class SampleRequest:
    """A request of a demo, as it is printed and as it is sent."""

    name: str
    path: str
    arguments: str  # of curl
    body: bytes
    headers: Mapping[str, str]


def requests_to_answer(name: str) -> list[SampleRequest]:
    """Those whose answers are printed once the server is ready: of the public models, and of moderation in both demos."""
    credentials = _read_credentials(_credentials_path())
    if credentials is None:
        return []
    samples = [*(_sample_requests(DEMOS[name]) if name == "real" else []), *_moderation_requests()]
    key = {"Authorization": f"Bearer {credentials['api_key']}"}
    return [replace(sample, headers={**sample.headers, **key}) for sample in samples]


def contents_of_demo() -> list[SampleRequest]:
    """What gives people something to review. They are sent once, and their answers are not printed."""
    credentials = _read_credentials(_credentials_path())
    if credentials is None or not default_policy().exists():
        return []
    headers = {**_JSON, "Authorization": f"Bearer {credentials['api_key']}"}
    return [SampleRequest("contents", path, "", body, headers) for path, body in contents_to_send()]


def _sample_requests(demo: Demo) -> list[SampleRequest]:
    """Of those Models that are shown and registered."""
    models = set(Model.objects.values_list("slug", flat=True))
    folders = {folder.name: folder for folder in demo.models if folder.name in models}
    return [_sample_request(folders[slug]) for slug in demo.shown if slug in folders]


def _moderation_requests() -> list[SampleRequest]:
    """A comment, if there is a policy that decides about it."""
    text = json.dumps(_COMMENT)
    comment = SampleRequest("moderation", "/api/v1/moderate", f"-d {shlex.quote(text)}", text.encode(), _JSON)
    return [comment] if default_policy().exists() else []


def _sample_request(folder: Path) -> SampleRequest:
    """A picture is sent as it is; a long JSON is printed as its file."""
    about, predict = _read_about(folder), f"/api/v1/models/{folder.name}/predict"
    if "picture" in about:
        path = ROOT / about["picture"]
        arguments = f"-H 'Content-Type: image/png' --data-binary @{shlex.quote(str(path))}"
        return SampleRequest(
            folder.name, predict, arguments, path.read_bytes(), {"Content-Type": "image/png"}
        )
    path = folder / "sample.json"
    text = json.dumps(json.loads(path.read_text()))
    data = text if len(text) < _LONG else f"@{path}"
    return SampleRequest(folder.name, predict, f"-d {shlex.quote(data)}", text.encode(), _JSON)


def _curl_lines(url: str, key: str, demos: Sequence[Demo]) -> str:
    shown = [request for demo in demos for request in _sample_requests(demo)]
    shown += _moderation_requests() if demos else []
    if not shown:
        return (
            "\nRegister a model, then send it a request:\n\n"
            "  .venv/bin/python manage.py import_model NAME FILE.onnx\n"
            "  .venv/bin/python manage.py approve_request NAME 1 --as approver --reason 'looked at'\n"
            f"  curl -H 'Authorization: Bearer {key}' {url}/api/v1/models/NAME/predict -d '{{\"inputs\": …}}'\n"
        )
    lines = [
        f"  curl {url}/readyz?verbose",
        *(
            f"  curl -H 'Authorization: Bearer {key}' {url}{request.path} {request.arguments}"
            for request in shown
        ),
    ]
    return "\nTry it:\n\n" + "\n".join(lines) + "\n"
