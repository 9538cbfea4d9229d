"""Asks every route, admin page and admin action, as every role, and compares with tests/support/permissions.toml.

    python -m tests.support.permissions            say what differs
    python -m tests.support.permissions --write    add what is missing and drop what is gone; what differs stays, and is named
    python -m tests.support.permissions --accept   the same, and take what was measured for what differs

A line gives the answers in the order of ROLES: an HTTP status, `login` for a redirect to the login page, and for
actions `yes` or `no`. Read what the tool adds before you commit it: the file says what is meant, not what happens.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("permissions.toml")
PEOPLE = ("viewer", "operator", "approver", "admin")
KEYS = ("predict", "predict.unapproved", "registry.read", "registry.write", "registry.download")
EVERY_SCOPE = "all of them"
ROLES = ("anonymous", *PEOPLE, *(f"key {scope}" for scope in KEYS))
# What stands for a path's parameter, where the rows below do not say.
WORDS = {
    "app_label": "registry",
    "url": "no-such-page",
    "name": "champion",
    "alias": "champion",
    "version": "1",
    "link": "no-such-link",
    "call": "status",
    "protocol": "openai",
    "author_id": "ann",
}
# Whose rows a number counts on pages that are no table's.
OWN_PAGES = {
    "/admin/moderation/review/cases/": "moderation.Case",
    "/admin/moderation/review/verdicts/": "moderation.Verdict",
    "/admin/moderation/quality/reviewers/": "auth.User",
    "/admin/moderation/quality/golden-sets/": "registry.Model",
}
ROWS = {"decision": "moderation.Decision", "strike": "moderation.Strike"}  # by the parameter's name
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")

Matrix = dict[str, str]


@dataclass(frozen=True)
class Route:
    """One address and one method of it."""

    method: str
    pattern: str
    view: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.pattern}"

    @property
    def is_unsafe(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}


def routes() -> Iterator[Route]:
    """Every route there is, each address once: the first of several is the one that answers.

    Probes are answered before Django, by their address alone.
    """
    from django.urls import get_resolver

    seen: set[str] = set()
    for pattern, view in _walk(get_resolver().url_patterns, "/"):
        if pattern not in seen:
            seen.add(pattern)
            for method in _methods(view):
                yield Route(method, pattern, view)


def actions() -> Iterator[tuple[str, Any, str]]:
    """Every admin action: its line, its page, its name."""
    from django.contrib import admin

    for model, page in admin.site._registry.items():
        for _function, name, _text in page._get_base_actions():
            yield f"action {model._meta.label_lower} {name}", page, name


def _walk(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for found in patterns:
        path = prefix + str(found.pattern).lstrip("^").rstrip("$")
        if hasattr(found, "url_patterns"):
            yield from _walk(found.url_patterns, path)
        else:
            yield path, found.callback


def _methods(view: Any) -> list[str]:
    from django.views.generic import RedirectView

    if hasattr(view, "actions"):
        return sorted(method.upper() for method in view.actions if method != "head")
    if getattr(view, "view_class", None) is RedirectView:
        return ["GET"]
    made = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if made is None:
        return ["GET", "POST"]
    return [method.upper() for method in ("get", "post", "put", "patch", "delete") if hasattr(made, method)]


class World:
    """Rows to ask about: one Model with all that hangs on it, somebody of every role, a key of every scope."""

    def __init__(self, slug: str = "sample") -> None:
        from axes.models import AccessAttempt

        from inference.doors.celery.models import RefusedOrder
        from inference.jobs.services import SubmittedJob, accept
        from registry.intake.checklist.services import end_run, start_run
        from registry.intake.examples.services import put_golden_set
        from registry.record.checkpoints import write_checkpoint
        from registry.record.subscriptions import SubscriptionSettings, add_subscription, send_test
        from registry.traffic.services import ask_for_split, freeze_model
        from tests.support import factories as make
        from tests.support.engines import an_engine

        self.model = make.a_live_model(60, 40, slug=slug)
        self.tenant = make.a_tenant(slug)
        self.slug = slug
        by, version = make.an_actor(), self.model.versions.get(number=1)
        an_engine(version, kind="worker", role="on_demand", pool="infer")
        end_run(run=start_run(version_id=version.pk, runtime_version="1", by=by), signature=None, by=by)
        put_golden_set(
            model=self.model, lines=[b'{"inputs": {"x": [1]}, "label": "a"}'], metric="f1", floor=None, margin=None,
            reason=slug, by=by,
        )  # fmt: skip
        self.people = {role: make.a_person(role) for role in PEOPLE}
        self.key_texts = {scope: make.a_key(scope, tenant=self.tenant)[1] for scope in KEYS}
        self.key_texts[EVERY_SCOPE] = make.a_key(tenant=self.tenant)[1]
        self.subscription, _ = add_subscription(
            values=SubscriptionSettings(
                name=slug, model_id=self.model.pk, url="https://example.org/hook", enabled=False
            ),
            by=make.an_actor(),
        )
        self.delivery = send_test(subscription=self.subscription, by=make.an_actor())
        self.locked_login = AccessAttempt.objects.create(
            username=slug, failures_since_start=10, get_data="", post_data="", path_info="/"
        )
        self.job = accept(
            SubmittedJob(model=slug, rows=[{"x": [1, 2, 3, 4]}]),
            by=replace(make.an_actor(), tenant_id=self.tenant.pk),
            principal=None,
        )
        RefusedOrder.objects.create(model_slug=slug, sender="key sample", code="bad_job", why="because")
        halves = dict.fromkeys(self.model.versions.all(), 5_000)
        ask_for_split(model=self.model, arms=halves, comment="because", by=by)
        freeze_model(model=make.a_model(f"{slug}-frozen"), reason="because", by=make.an_actor())
        self._moderate()
        write_checkpoint()
        self.sessions = {role: session_of(person) for role, person in self.people.items()}

    def _moderate(self) -> None:
        """A policy for a context of our own, with a preview and a revision that waits, and a decision."""
        from moderation.deciding.models import PolicyPreview
        from moderation.policies import services
        from moderation.policies.models import Policy
        from tests.support.decision_rows import OTHER, a_decision, a_list_policy
        from tests.support.factories import an_actor

        name = WORDS["name"] if not Policy.objects.exists() else "another"  # policies belong to no Model
        policy = a_list_policy(name=name, context=name)
        services.save_draft(policy=policy, content={"rules": [OTHER]}, expected=None, by=an_actor())
        services.request_publication(policy=policy, reason="because", by=an_actor())
        self.preview = PolicyPreview.objects.create(policy=policy, content={"rules": [OTHER]}, draft_edits=1)
        a_decision(policy)
        self._review(policy)

    def _review(self, policy: Any) -> None:
        """A case that was decided, with a strike, an appeal and a report, and what leads set up."""
        from moderation.appeals.services import make_appeal
        from moderation.cases.models import Guideline, ReviewQueue
        from moderation.reports.services import make_report
        from moderation.review.models import AccountProposal, ReviewAction, Strike
        from moderation.rights import ModerationRole
        from tests.support import cases
        from tests.support.factories import an_actor

        # The rows that a migration makes, where tables are made without migrations.
        for name, weight in {"remove": 1.0, "suspend": 0.0}.items():
            values = {"title": name, "effect": name, "strike_weight": weight}
            ReviewAction.objects.get_or_create(name=name, defaults=values)
        ReviewQueue.objects.get_or_create(name="reports", defaults={"title": "Reports"})
        by = cases.a_reviewer(ModerationRole.REVIEWER)
        case = cases.a_case(policy, author_id="an author")
        cases.finish(cases.decide(case, "remove", by))
        decision = case.items.get().decision
        make_appeal(decision=decision, by=an_actor())
        make_report(decision=decision, by=an_actor())
        if not Guideline.objects.exists():
            cases.a_guideline(WORDS["name"])
        self.strike = Strike.objects.latest("pk")
        AccountProposal.objects.create(
            author_id=f"{self.slug}'s author", action=cases.the_action("suspend"), weight=3
        )

    def path(self, route: Route) -> str:
        """Fill the pattern's parameters in with what there is."""
        return _PARAMETER.sub(lambda match: str(self._value(match[1] or match[2], route)), route.pattern)

    def _value(self, name: str, route: Route) -> Any:
        if name in WORDS:
            return WORDS[name]
        if name in {"slug", "model"}:
            return self.slug
        if "/previews/<" in route.pattern and name in {"preview", "number"}:
            return self.preview.pk
        if name == "decision":
            return self.strike.final.decision_id
        if name == "strike":
            return self.strike.pk
        if name in {"number", "row", "position"}:
            return 1
        if name == "sha256":
            return self.model.versions.first().artifact.sha256
        if name == "request_id":
            from inference.serving.request_id import make

            return make(version_id=self.model.versions.first().pk, split=1, arm="a", routing_key=None)
        if name == "content_type_id":
            from django.contrib.contenttypes.models import ContentType

            return ContentType.objects.get_for_model(self.model).pk
        if name in ROWS:
            return _id_of_first(ROWS[name])
        if name in {"object_id", "pk", "id"}:
            kind = _rows_behind(route)
            row = self.own_row(kind) or kind._default_manager.order_by("pk").first()
            return row.pk if row else 0
        raise LookupError(f"{route.line}: tell tests/support/permissions.py what <{name}> stands for")

    def own_row(self, kind: Any) -> Any:
        """A row of this kind that belongs to our Model."""
        path = owner_path(kind)
        return kind._default_manager.filter(**{path: self.slug}).first() if path else None


def _id_of_first(table: str) -> Any:
    from django.apps import apps

    row = apps.get_model(table)._default_manager.first()
    return row.pk if row else 0


def owner_path(kind: Any) -> str | None:
    """The way from a row to the slug of its Model."""
    from django.apps import apps

    if kind is apps.get_model("registry.Model"):
        return "slug"
    names = {field.name for field in kind._meta.get_fields()}
    if "model_slug" in names:
        return "model_slug"
    steps = {"model": "model__slug", "version": "version__model__slug", "versions": "versions__model__slug",
             "event": "event__model_slug"}  # fmt: skip
    return next((path for step, path in steps.items() if step in names), None)


def _rows_behind(route: Route) -> Any:
    """Whose rows a number in the address counts: the view's, else the admin page's."""
    from django.apps import apps

    queryset = getattr(getattr(route.view, "cls", None), "queryset", None)
    if queryset is not None:
        return queryset.model
    for beginning, table in OWN_PAGES.items():
        if route.pattern.startswith(beginning):
            return apps.get_model(table)
    page = re.match(r"/admin/(\w+)/(\w+)/", route.pattern)
    return apps.get_model(f"{page[1]}.{page[2]}" if page else "registry.Model")


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    text: str

    @property
    def shown(self) -> str:
        return (
            "login" if self.status == 302 and self.location.startswith("/admin/login/") else str(self.status)
        )


def measure() -> Matrix:
    """Ask everything as everybody. Call it in a transaction: what the answers change is undone one by one."""
    world = World()
    found = {route.line: " ".join(answers(route, world)) for route in routes()}
    for line, page, name in actions():
        found[line] = " ".join(_offers(page, name, role, world) for role in ROLES)
    return found


def answers(route: Route, world: World) -> list[str]:
    """What everybody is answered. The admin knows sessions alone: one key with every scope stands for all keys there."""
    path = world.path(route)
    if not route.pattern.startswith("/admin/"):
        return [ask(role, route.method, path, world).shown for role in ROLES]
    key = ask(f"key {EVERY_SCOPE}", route.method, path, world).shown
    return [
        *(ask(role, route.method, path, world).shown for role in ("anonymous", *PEOPLE)),
        *[key] * len(KEYS),
    ]


def ask(role: str, method: str, path: str, world: World, *, enforce_csrf: bool = False) -> Answer:
    """Send one request as this role, and undo what it did."""
    from django.db import transaction

    client = client_as(role, world, enforce_csrf=enforce_csrf)
    body: dict[str, Any] = {} if path.startswith("/admin/") else {"data": {}, "format": "json"}
    with transaction.atomic():
        response = client.get(path) if method == "GET" else getattr(client, method.lower())(path, **body)
        answer = Answer(response.status_code, response.get("Location", ""), response.getvalue().decode())
        transaction.set_rollback(True)
    return answer


def client_as(role: str, world: World, *, enforce_csrf: bool = False) -> Any:
    from django.conf import settings

    client = _client(enforce_csrf)
    client.cookies.clear()
    client.credentials()
    if role in world.people:
        client.cookies[settings.SESSION_COOKIE_NAME] = world.sessions[role]
    elif role != "anonymous":
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {world.key_texts[role.removeprefix('key ')]}")
    return client


@cache
def _client(enforce_csrf: bool) -> Any:
    """One client for all: each new one builds the middleware again, which takes longer than the request."""
    from rest_framework.test import APIClient

    return APIClient(raise_request_exception=False, enforce_csrf_checks=enforce_csrf)


def session_of(person: Any) -> str:
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_login(person)
    return str(client.session.session_key)


def _offers(page: Any, name: str, role: str, world: World) -> str:
    from django.test import RequestFactory

    from registry.access.policies import actor_from_user
    from registry.kit.actors import Source

    if role not in world.people:
        return "no"  # neither strangers nor keys get past the admin's door: the routes say so
    request = RequestFactory().get("/admin/")
    request.user = world.people[role]
    request.actor = actor_from_user(request.user, Source.ADMIN)  # type: ignore[attr-defined]
    return (
        "yes" if page.has_view_or_change_permission(request) and name in page.get_actions(request) else "no"
    )


def listed() -> Matrix:
    lines: Matrix = {}
    for table in tomllib.loads(FILE.read_text()).values() if FILE.exists() else ():
        lines |= table
    return lines


@dataclass(frozen=True)
class Differences:
    unlisted: list[str]
    gone: list[str]
    changed: list[str]

    def __bool__(self) -> bool:
        return bool(self.unlisted or self.gone or self.changed)

    def __str__(self) -> str:
        return "\n".join([
            *(f"not listed: {line}" for line in self.unlisted),
            *(f"listed, but gone: {line}" for line in self.gone),
            *(f"differs: {line}" for line in self.changed),
        ])  # fmt: skip


def compare(meant: Matrix, measured: Matrix) -> Differences:
    return Differences(
        unlisted=sorted(f"{line} = {measured[line]}" for line in measured.keys() - meant.keys()),
        gone=sorted(meant.keys() - measured.keys()),
        changed=sorted(
            f"{line}: listed {meant[line]}, measured {measured[line]}"
            for line in meant.keys() & measured.keys()
            if " ".join(meant[line].split()) != measured[line]
        ),
    )


def write(meant: Matrix, measured: Matrix, *, accept: bool) -> None:
    kept = {line: measured[line] if accept else meant.get(line, measured[line]) for line in measured}
    tables = {
        "api": [line for line in kept if " /admin" not in line and not line.startswith("action ")],
        "admin": [line for line in kept if " /admin" in line],
        "actions": [line for line in kept if line.startswith("action ")],
    }
    out = [
        "# Who is answered what. tests/support/permissions.py explains, measures and writes it; people read and decide it.",
        f"# {' | '.join(ROLES)}",
    ]
    for table, lines in tables.items():
        out += ["", f"[{table}]"]
        width = max((len(line) for line in lines), default=0)
        for line in sorted(lines, key=lambda text: (text.split(" ", 1)[1], text)):
            cells = " ".join(f"{cell:5}" for cell in kept[line].split()).rstrip()
            out.append(f'{f"{chr(34)}{line}{chr(34)}":{width + 2}} = "{cells}"')
    FILE.write_text("\n".join(out) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--accept", action="store_true")
    given = parser.parse_args()
    measured = _measured_in_a_database_of_its_own()
    meant = listed()
    differences = compare(meant, measured)
    print(differences or "nothing differs")  # noqa: T201
    if given.write or given.accept:
        write(meant, measured, accept=given.accept)
        differences = compare(listed(), measured)
    return 1 if differences else 0


def _measured_in_a_database_of_its_own() -> Matrix:
    import logging
    import os

    sys.path.insert(0, str(FILE.parents[2] / "platform"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings
    from django.db import transaction
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    django.setup()
    setup_test_environment()
    logging.disable(logging.CRITICAL)
    # Tables as the models say, whether or not their migrations are written yet.
    settings.MIGRATION_MODULES = {app.split(".")[-1]: None for app in settings.INSTALLED_APPS}
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with transaction.atomic():
            measured = measure()
            transaction.set_rollback(True)
    finally:
        teardown_databases(databases, verbosity=0)
    return measured


if __name__ == "__main__":
    sys.exit(main())
