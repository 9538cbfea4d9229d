"""Makes rows for tests, through the services, so that what tests see is what the product makes."""

import itertools
import json
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User

from registry.access import services as access
from registry.access.models import ApiKey, Tenant
from registry.access.policies import every_right, key_scopes
from registry.catalogue import services as catalogue
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Model, Version
from registry.catalogue.task_kinds import TaskFacts
from registry.intake.examples import services as examples
from registry.intake.examples.models import GoldenResult, GoldenSet
from registry.kit.actors import Actor, Source
from registry.traffic import services as traffic
from registry.traffic.models import Split

_numbers = itertools.count(1)
PASSWORD = "correct-horse-battery"
SIGNATURE: dict[str, Any] = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [None, 4], "optional": False, "any_rank": False}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [None, 2], "optional": False, "any_rank": False}],
}


def an_actor(*rights: str, models: frozenset[int] | None = None, user: User | None = None) -> Actor:
    """Somebody with these rights; with all of them where none is named."""
    return Actor(
        name=user.username if user else "tester",
        source=Source.TASK,
        rights=frozenset(rights) if rights else every_right(),
        models=models,
        user_id=user.pk if user else None,
    )


def a_person(*roles: str, username: str | None = None, **more: Any) -> User:
    """Somebody with these roles, whose password is PASSWORD."""
    person = access.Person(username=username or f"person-{next(_numbers)}", roles=roles, **more)
    return access.create_person(person=person, password=PASSWORD, by=an_actor())


def a_tenant(slug: str | None = None) -> Tenant:
    return access.create_tenant(slug=slug or f"tenant-{next(_numbers)}", by=an_actor())


def a_key(*scopes: str, tenant: Tenant | None = None, **more: Any) -> tuple[ApiKey, str]:
    """A key with these scopes, all where none is named, and its text."""
    return access.issue_key(
        name=f"key-{next(_numbers)}",
        tenant=tenant or a_tenant(),
        scopes=scopes or key_scopes(),
        by=an_actor(),
        **more,
    )


def a_model(slug: str | None = None, *, needs_approval: bool = False, **more: Any) -> Model:
    """A Model that asks for one person, unless said otherwise."""
    model = catalogue.create_model(slug=slug or f"model-{next(_numbers)}", by=an_actor(), **more)
    if not needs_approval:
        model = traffic.set_approval_rule(model=model, needed=False, reason="a test", by=an_actor())
    return model


def a_file() -> StoredFile:
    """A file that nobody stored: good enough where nothing reads it."""
    return StoredFile(f"{next(_numbers):064x}", 1234)


def an_uploaded_version(model: Model | None = None, **more: Any) -> Version:
    more.setdefault("file", a_file())
    return catalogue.register_version(model=model or a_model(), by=an_actor(), **more)


def a_version(model: Model | None = None, *, preprocessing: str = "", **more: Any) -> Version:
    """A version that is ready to answer; with this pre-processing hash."""
    by = an_actor()
    version = catalogue.start_check(version=an_uploaded_version(model, **more), by=by)
    return catalogue.pass_check(
        version=version, signature=SIGNATURE, task=TaskFacts(preprocessing=preprocessing), by=by
    )


def a_split(model: Model, *shares: int, versions: list[Version] | None = None, **more: Any) -> Split:
    """A current split with these percentages, over the Model's ready versions from the oldest on."""
    chosen = versions or list(model.versions.filter(status="ready").order_by("number"))
    arms = {version: round(share * 100) for version, share in zip(chosen, shares, strict=False)}
    return traffic.set_split(model=model, arms=arms, reason="because", by=an_actor(), **more)


def a_live_model(*shares: int, slug: str | None = None) -> Model:
    """A Model with one ready version per share, and a split over them."""
    model = a_model(slug)
    for _ in shares:
        a_version(model)
    a_split(model, *shares)
    return Model.objects.get(pk=model.pk)


def a_golden_set(model: Model, *rows: dict[str, Any], **more: Any) -> GoldenSet:
    """A golden set of these rows, of one where none is named, that demands nothing unless said otherwise."""
    lines = [json.dumps(row).encode() for row in rows or ({"inputs": {"x": [1, 2]}, "label": "cat"},)]
    demands = {"metric": "accuracy", "floor": None, "margin": None, "reason": "because", **more}
    return examples.put_golden_set(model=model, lines=lines, by=an_actor(), **demands)


def a_golden_result(version: Version, golden_set: GoldenSet, value: float, wrong: Any = ()) -> GoldenResult:
    return examples.record_golden_result(
        version=version, golden_set=golden_set, value=value, rows=golden_set.rows, wrong=wrong, by=an_actor()
    )


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
