"""Every address, form, action, command and task, as everybody, with bodies that try to give a version live share."""

import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from io import StringIO
from itertools import product
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands
from django.db import transaction

from inference.doors.celery.submissions import receive
from inference.jobs.running import runner
from registry.access.keys import ring
from registry.access.policies import Role, actor_from_key, actor_from_user, command_actor, task_actor
from registry.kit.actors import Actor, Source
from registry.traffic import services as traffic
from registry.traffic.readiness import READINESS, ReadinessCheck
from registry.traffic.services import approvals, splits
from tests.rows.registry.traffic.judging import look, wrongs
from tests.support import factories as make
from tests.support.bundles import CONTENTS, SECRET, a_bundle, a_manifest, bundled
from tests.support.permissions import EVERY_SCOPE, KEYS, Route, World, actions, client_as, routes, session_of
from tests.support.processes import ROOT
from tests.support.sending import ROWS, SUBMIT, raw, signed

pytestmark = [pytest.mark.django_db]
NEWCOMER = 3  # the version that was never live
EVERYTHING = {
    "arms": [{"version": NEWCOMER, "share": 10_000}], "shadows": [], "reason": "x", "comment": "x", "text": "x",
    "version": NEWCOMER, "to_version": NEWCOMER, "needed": False, "needs_approval": False, "status": "approved",
    "split_revision": 99, "champion": NEWCOMER, "buckets": "a" * 10_000, "go_live": True, "live": True, "model": "sample",
    "title": "x", "notes": "x", "role": "approver", "decider_id": 1, "is_superuser": True,
}  # fmt: skip
BACK = {"to_split": 1, "reason": "x"}
# What only serves, installs packages, or only writes files of the repository.
NOT_RUN = {
    "beat", "check_schema", "credentials", "grpc", "install_converter", "serve", "story", "web", "worker", "write_docs",
    "check_erasure", "erase_contents", "verify_evidence_package",  # of contents; Models are not reached
}  # fmt: skip
WHY = ("--reason", "x")
FILE = str(ROOT / "examples" / "demand" / "model.onnx")


class GuardedWorld(World):
    """A Model that asks for two people. Version 1 answers, 2 did once, 3 never; somebody asks for 3."""

    def __init__(self) -> None:
        super().__init__()
        make.a_version(self.model)
        make.a_split(self.model, 100)
        self.model = traffic.set_approval_rule(model=self.model, needed=True, reason="x", by=make.an_actor())
        both = make.a_person(Role.OPERATOR, Role.APPROVER)
        root = make.a_person()
        User.objects.filter(pk=root.pk).update(is_superuser=True)
        self.people |= {"both": both, "root": User.objects.get(pk=root.pk)}
        self.sessions |= {name: session_of(self.people[name]) for name in ("both", "root")}
        self.request = traffic.ask_for_split(
            model=self.model, arms={self.model.versions.get(number=NEWCOMER): 10_000}, comment="x",
            by=actor_from_user(both, Source.API),
        )  # fmt: skip
        self.before = look(self.model)

    def _value(self, name: str, route: Route):
        return NEWCOMER if name == "number" and "/versions/" in route.pattern else super()._value(name, route)

    def actor(self, caller: str, source: Source) -> Actor:
        if caller in self.people:
            return actor_from_user(self.people[caller], source)
        if caller == "anonymous":
            return Actor(name="anonymous", source=source)
        return actor_from_key(ring.admit(self.key_texts[caller.removeprefix("key ")]).principal)


PEOPLE = ("viewer", "operator", "approver", "admin", "both", "root")
# Those who come near to it; the census says that others are refused before what they send is read.
SOME = ("both", "root", f"key {EVERY_SCOPE}")
CALLERS = ("anonymous", *PEOPLE, *(f"key {scope}" for scope in (*KEYS, EVERY_SCOPE)))


@pytest.fixture
def world(tmp_path):
    ring.clear()
    logging.disable(logging.CRITICAL)
    with READINESS.changed(engines=ReadinessCheck()):
        guarded = GuardedWorld()
        guarded.repository = tmp_path  # of Triton, with one version of the Model
        (tmp_path / guarded.slug / "1").mkdir(parents=True)
        shutil.copy(FILE, tmp_path / guarded.slug / "1" / "model.onnx")
        yield guarded
    logging.disable(logging.NOTSET)
    ring.clear()


def tried(world, by, attempt, *told) -> list[str]:
    """What is wrong after an attempt, which is undone then."""
    with transaction.atomic():
        attempt(*told)
        found = wrongs(world.model, world.before, by)
        transaction.set_rollback(True)
    return found


def api_holes(world, callers) -> Iterator[str]:
    for route in routes():
        if route.is_unsafe and not route.pattern.startswith("/admin/"):
            path = world.path(route)
            for caller, body in product(callers, (EVERYTHING, BACK)):
                by = world.actor(caller, Source.API)
                for found in tried(world, by, send, client_as(caller, world), route.method, path, body):
                    yield f"{route.line} by {caller}: {found}"


def send(client, method, path, body) -> None:
    getattr(client, method.lower())(path, body, format="json")


class Fields(HTMLParser):
    """What a page's forms would send."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._select = ""

    def handle_starttag(self, tag, attributes) -> None:
        said = dict(attributes)
        name, value = said.get("name") or "", said.get("value") or ""
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and value:
            self.values[self._select] = value
        elif tag == "textarea" and name:
            self.values[name] = "x"
        elif tag == "input" and name and said.get("type") not in {"file", "submit", "checkbox"}:
            self.values[name] = _filled(name, value)


def _filled(name: str, value: str) -> str:
    share = re.fullmatch(r"version_(\d+)", name)
    if share:
        return "100" if int(share[1]) == NEWCOMER else "0"
    return make.PASSWORD if "password" in name else value or "x"


def admin_holes(world, callers, below="/admin/") -> Iterator[str]:
    for route in routes():
        if route.pattern.startswith(below) and route.method == "POST":
            path = world.path(route)
            for caller in callers:
                by = world.actor(caller, Source.ADMIN)
                for found in tried(world, by, fill_in, client_as(caller, world), path):
                    yield f"{route.line} by {caller}: {found}"


def fill_in(client, path) -> None:
    page = client.get(path)
    fields = Fields()
    if page.status_code == 200 and "html" in page.get("Content-Type", ""):
        fields.feed(page.getvalue().decode())
    smuggled = {name: value for name, value in EVERYTHING.items() if isinstance(value, str | int)}
    send_form(client, path, smuggled | {"number": "99"} | fields.values | {"post": "yes"})


def send_form(client, path, fields) -> None:
    client.post(path, fields, format="multipart")


def action_holes(world, callers) -> Iterator[str]:
    for line, page, name in actions():
        path = f"/admin/{page.opts.app_label}/{page.opts.model_name}/"
        chosen = [str(pk) for pk in page.model._default_manager.values_list("pk", flat=True)]
        body = {"action": name, "_selected_action": chosen, "post": "yes", "reason": "x"}
        for caller in callers:
            by = world.actor(caller, Source.ADMIN)
            for found in tried(world, by, send_form, client_as(caller, world), path, body):
                yield f"{line} by {caller}: {found}"


def words_of_commands(world) -> dict[str, list[tuple[str, ...]]]:
    """How each command is called; one that is not here fails the test."""
    model, request = world.slug, str(world.request.pk)
    return {
        "add_examples": [(model, "3", FILE)],
        "approval_rule": [(model, "off", *WHY), (model, "on", *WHY)],
        "approve_request": [(model, request, *WHY)],
        "archive_version": [(model, "2", *WHY)],
        "ask_split": [(model, "3=100", *WHY)],
        "check_version": [(model, "3", *WHY), (model, "3")],
        "bundle_key": [("staging",)],
        "export_artifact": [(model, "3", "/dev/null/none")],
        "export_checkpoint": [()],
        "export_version": [(model, "3", "/dev/null/none")],
        "first_admin": [("somebody",)],
        "guard_alias": [(model, "next", "--person", world.people["operator"].username, *WHY)],
        "unguard_alias": [(model, "champion", *WHY)],
        "freeze_model": [(model, *WHY)],
        "import_model": [(model, FILE, "--live")],
        "import_mlflow": [("models:/x/1", "--server", "http://127.0.0.1:1", "--name", model, "--live")],
        "import_repository": [(str(world.repository),)],
        "import_version": [(str(a_signed_bundle(world)), "--replace-golden-set")],
        "issue_key": [("key", "--scope", "registry.write")],
        "list_requests": [(), (model, "--all")],
        "live_at": [(model,)],
        "move_alias": [(model, "champion", "3", *WHY), (model, "next", "3", *WHY)],
        "put_golden_set": [(model, FILE, "--metric", "f1", *WHY)],
        "reject_request": [(model, request, *WHY)],
        "renew_webhook_secret": [(world.slug,)],
        "resend_delivery": [(str(world.delivery.pk),)],
        "reshuffle": [(model, *WHY)],
        "retire_alias": [(model, "champion", *WHY)],
        "revoke_key": [("0" * 12, *WHY)],
        "roll_back": [(model, *WHY), (model, "--to-version", "3", *WHY), (model, "--to", "1", *WHY)],
        "set_model_limits": [(model, "--none")],
        "set_split": [(model, "3=100", *WHY), (model, "1=99", "3=1", *WHY), (model, "2=100", *WHY)],
        "start_model": [(model, *WHY)],
        "stop_model": [(model, "--text", "x")],
        "test_subscription": [(world.slug,)],
        "unarchive_version": [(model, "3", *WHY)],
        "unfreeze_model": [(model, *WHY)],
        "verify_audit": [()],
        "withdraw_request": [(model, request, *WHY)],
    }


def a_signed_bundle(world) -> Path:
    """A bundle for the Model that is guarded, which its installation trusts."""
    contents = {name: content for name, content in CONTENTS.items() if name != "task-file-1"}
    contents["model.onnx"] = Path(FILE).read_bytes()
    manifest = a_manifest(
        model=world.slug, files=bundled(contents), task_files=(), serving={}, input_shapes={}
    )
    path = Path(settings.DATA_DIR) / "signed.roundhouse"
    path.write_bytes(a_bundle(manifest, contents))
    return path


OF_PEOPLE = {"ask_split", "approve_request", "reject_request", "withdraw_request"}


def our_commands() -> set[str]:
    ours = {"roundhouse", "registry", "inference", "moderation"}
    return {name for name, app in get_commands().items() if app in ours}


def command_holes(world, monkeypatch) -> Iterator[str]:
    for name, calls in words_of_commands(world).items():
        for words in calls:
            for caller in PEOPLE if name in OF_PEOPLE else ("the machine",):
                by, whom = command_actor(name), ()
                if name in OF_PEOPLE:
                    by = world.actor(caller, Source.COMMAND)
                    whom = ("--as", by.name, "--password-stdin")
                monkeypatch.setattr("sys.stdin", StringIO(f"{make.PASSWORD}\n"))
                for found in tried(world, by, run, name, *words, *whom):
                    yield f"{name} {' '.join(words)} by {caller}: {found}"


def run(*words) -> None:
    with suppress(CommandError, SystemExit):
        call_command(*words, stdout=StringIO(), stderr=StringIO())


def task_holes(world, monkeypatch) -> Iterator[str]:
    version = world.model.versions.get(number=NEWCOMER)
    words = {"version_id": version.pk, "job_id": str(world.job.pk), "delivery_id": world.delivery.pk}
    # Its threads would look at another database than this test's.
    monkeypatch.setattr(runner, "hint", lambda: None)
    for name, task in current_app.tasks.items():
        if not name.startswith("celery."):
            wanted = {word: value for word, value in words.items() if word in task.run.__code__.co_varnames}
            for found in tried(world, task_actor(name), task.apply, (), wanted):
                yield f"{name}: {found}"


def celery_door_holes(world) -> Iterator[str]:
    for scope, task in product((*KEYS, EVERY_SCOPE), (SUBMIT, "set_split", "inference.settle_splits")):
        task_id = uuid.uuid4()
        order = signed(world.key_texts[scope], task_id, {**EVERYTHING, "rows": ROWS}, task=task)
        by = world.actor(f"key {scope}", Source.API)
        for found in tried(world, by, receive, raw(order, task_id, task=task)):
            yield f"{task} through Celery by key {scope}: {found}"


class TestNoDoor:
    """Each finds nothing wrong."""

    def test_of_the_api(self, world):
        assert list(api_holes(world, SOME)) == []

    def test_of_the_admin(self, world):
        assert list(admin_holes(world, ("both",))) == []

    def test_among_admin_actions(self, world):
        assert list(action_holes(world, ("both", "admin"))) == []

    @pytest.mark.long
    def test_for_all_others(self, world):
        assert list(api_holes(world, CALLERS)) == []
        assert list(admin_holes(world, PEOPLE)) == []
        assert list(action_holes(world, PEOPLE)) == []

    def test_among_commands(self, world, monkeypatch, settings):
        settings.TRUSTED_BUNDLE_KEYS = {"staging": SECRET}
        assert our_commands() == words_of_commands(world).keys() | NOT_RUN
        assert list(command_holes(world, monkeypatch)) == []

    def test_among_tasks(self, world, monkeypatch):
        assert {"inference.settle_splits", "registry.deliver"} <= current_app.tasks.keys()
        assert list(task_holes(world, monkeypatch)) == []
        assert list(celery_door_holes(world)) == []


class TestTheSearchItself:
    """Its negative control: where the services forget the rule, the doors that lead there are found."""

    @pytest.fixture(autouse=True)
    def no_rule(self, world, monkeypatch):
        found = splits.lock_model

        def one_person_is_enough(model):
            present = found(model)
            present.needs_approval = False
            return present

        monkeypatch.setattr(splits, "lock_model", one_person_is_enough)
        monkeypatch.setattr(approvals, "lock_model", one_person_is_enough)

    def test_at_the_api(self, world):
        holes = "\n".join(api_holes(world, ("viewer", "operator")))

        assert "POST /api/v1/models/<str:slug>/splits by operator: sample split" in holes
        assert "nobody approved it" in holes
        assert "by viewer" not in holes

    def test_at_the_admin(self, world):
        holes = "\n".join(admin_holes(world, ("viewer", "operator"), below="/admin/registry/model/"))

        assert "POST /admin/registry/model/<int:pk>/split/ by operator: sample split" in holes
        assert "by viewer" not in holes

    def test_among_commands(self, world, monkeypatch, settings):
        settings.TRUSTED_BUNDLE_KEYS = {"staging": SECRET}
        holes = "\n".join(command_holes(world, monkeypatch))

        assert "set_split sample 3=100 --reason x by the machine: sample split" in holes
        assert f"import_model sample {FILE} --live by the machine: sample split" in holes
