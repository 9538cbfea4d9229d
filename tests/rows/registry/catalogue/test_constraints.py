"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.catalogue.models import (
    Alias,
    AliasGuard,
    AliasMove,
    Artifact,
    Model,
    RouteClock,
    ServingSettings,
    Tag,
    Version,
)
from tests.support.constraints import passes
from tests.support.factories import a_model, a_version

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.mark.parametrize(
    ("sha256", "is_good"),
    [("0" * 64, True), ("0" * 63, False), ("G" * 64, False), ("A" * 64, False), ("0" * 63 + "\n", False)],
    ids=["hash", "short", "other letters", "upper case", "newline"],
)
def test_artifact_sha256(sha256, is_good):
    assert passes(Artifact(sha256=sha256, size_bytes=1)) is is_good


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"slug": "Bad"}, False),
        ({"slug": "bad\n"}, False),
        ({"slug": "../x"}, False),
        ({"key_source": "field", "key_field": "x"}, True),
        ({"key_source": "field"}, False),
        ({"key_field": "x"}, False),
        ({"salt": ""}, False),
        ({"task": "poetry"}, False),
    ],
    ids=["good", "upper", "newline", "path", "field", "no name", "no field", "no salt", "task"],
)
def test_model(values, is_good):
    assert passes(Model(**{"slug": "good", **values})) is is_good


def test_model_slug_once():
    assert passes(Model(slug="good"))
    assert not passes(Model(slug="good"))


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"number": 0}, False),
        ({"status": "ready", "signature": {"inputs": []}}, True),
        ({"status": "ready"}, False),
        ({"status": "ready", "signature": {}, "failure": "x"}, False),
        ({"status": "failed", "failure": "x"}, True),
        ({"status": "failed"}, False),
        ({"status": "uploaded", "failure": "x"}, False),
        ({"status": "checking", "failure": "x"}, False),
    ],
)
def test_version(values, is_good):
    artifact = a_version().artifact

    assert passes(Version(**{"model": a_model(), "number": 1, "artifact": artifact, **values})) is is_good


def test_version_number_once_per_model():
    version = a_version()

    assert not passes(Version(model=version.model, number=1, artifact=version.artifact))
    assert passes(Version(model=version.model, number=2, artifact=version.artifact))


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({"revision": 2, "is_current": False}, True),
        ({"revision": 2, "is_current": True}, False),
        ({"revision": 1, "is_current": False}, False),
        ({"revision": 0, "is_current": False}, False),
    ],
    ids=["next", "second current", "revision twice", "revision zero"],
)
def test_serving_settings(values, is_good):
    assert passes(ServingSettings(version=a_version(), values={}, reason="x", **values)) is is_good


def test_alias():
    model = a_model()

    assert passes(Alias(model=model, name="next"))
    assert not passes(Alias(model=model, name="next"))
    assert not passes(Alias(model=model, name="Next"))


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"name": "other"}, False),
        ({"name": "Next"}, False),
        ({"name": "champion"}, False),
        ({"reason": ""}, False),
    ],
    ids=["good", "twice", "upper", "champion", "no reason"],
)
def test_alias_guard(values, is_good):
    model = a_model()
    AliasGuard.objects.create(model=model, name="other", reason="x", made_at=NOW)

    guard = AliasGuard(**{"model": model, "name": "next", "reason": "x", "made_at": NOW, **values})
    assert passes(guard) is is_good


@pytest.mark.parametrize(
    ("to_at", "is_good"),
    [(None, True), (NOW, True), (NOW - timedelta(seconds=1), False)],
    ids=["open", "closed", "ends before it begins"],
)
def test_alias_move(to_at, is_good):
    version = a_version()
    alias = Alias.objects.create(model=version.model, name="next")

    assert passes(AliasMove(alias=alias, version=version, from_at=NOW, to_at=to_at)) is is_good


def test_one_open_move_per_alias():
    version = a_version()
    alias = Alias.objects.create(model=version.model, name="next")

    assert passes(AliasMove(alias=alias, version=version, from_at=NOW))
    assert not passes(AliasMove(alias=alias, version=version, from_at=NOW))


def test_tag_once_per_model():
    model = a_model()

    assert passes(Tag(model=model, name="x"))
    assert not passes(Tag(model=model, name="x"))
    assert passes(Tag(model=a_model(), name="x"))


def test_the_route_clock_is_one_row():
    assert passes(RouteClock(id=1, at=NOW))
    assert not passes(RouteClock(id=2, at=NOW))
