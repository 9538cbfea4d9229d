"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

from datetime import UTC, datetime, timedelta

import pytest

from registry.catalogue import models
from tests.support.constraints import passes
from tests.support.factories import a_model, a_version

pytestmark = [pytest.mark.django_db, pytest.mark.both]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = NOW - timedelta(seconds=1)


def artifact(**values):
    return models.Artifact(**{"sha256": "0" * 64, "size_bytes": 1, **values})


def model(**values):
    return models.Model(**{"slug": "good", **values})


def version(**values):
    return models.Version(**{"model": a_model(), "number": 1, "artifact": a_version().artifact, **values})


def settings_of_a_version(**values):
    return models.ServingSettings(version=a_version(), values={}, reason="x", **values)


def guard(**values):
    """Beside a guard of the name `other`."""
    model = a_model()
    models.AliasGuard.objects.create(model=model, name="other", reason="x", made_at=NOW)
    return models.AliasGuard(**{"model": model, "name": "next", "reason": "x", "made_at": NOW, **values})


def move(**values):
    version = a_version()
    alias = models.Alias.objects.create(model=version.model, name="next")
    return models.AliasMove(alias=alias, version=version, from_at=NOW, **values)


def clock(**values):
    return models.RouteClock(at=NOW, **values)


@pytest.mark.parametrize(
    ("make", "values", "is_good"),
    [
        (artifact, {}, True),
        (artifact, {"sha256": "0" * 63}, False),
        (artifact, {"sha256": "G" * 64}, False),
        (artifact, {"sha256": "A" * 64}, False),
        (artifact, {"sha256": "0" * 63 + "\n"}, False),
        (model, {}, True),
        (model, {"slug": "Bad"}, False),
        (model, {"slug": "bad\n"}, False),
        (model, {"slug": "../x"}, False),
        (model, {"key_source": "field", "key_field": "x"}, True),
        (model, {"key_source": "field"}, False),
        (model, {"key_field": "x"}, False),
        (model, {"salt": ""}, False),
        (version, {}, True),
        (version, {"number": 0}, False),
        (version, {"status": "ready", "signature": {"inputs": []}}, True),
        (version, {"status": "ready"}, False),
        (version, {"status": "ready", "signature": {}, "failure": "x"}, False),
        (version, {"status": "failed", "failure": "x"}, True),
        (version, {"status": "failed"}, False),
        (version, {"status": "uploaded", "failure": "x"}, False),
        (version, {"status": "checking", "failure": "x"}, False),
        (settings_of_a_version, {"revision": 2, "is_current": False}, True),
        (settings_of_a_version, {"revision": 2, "is_current": True}, False),
        (settings_of_a_version, {"revision": 1, "is_current": False}, False),
        (settings_of_a_version, {"revision": 0, "is_current": False}, False),
        (guard, {}, True),
        (guard, {"name": "other"}, False),
        (guard, {"name": "Next"}, False),
        (guard, {"name": "champion"}, False),
        (guard, {"reason": ""}, False),
        (move, {"to_at": None}, True),
        (move, {"to_at": NOW}, True),
        (move, {"to_at": BEFORE}, False),
        (clock, {"id": 1}, True),
        (clock, {"id": 2}, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:60]),
)
def test_a_row_by_itself(make, values, is_good):
    assert passes(make(**values)) is is_good


def test_a_name_of_a_model_is_given_once():
    assert passes(model())
    assert not passes(model())


def test_a_number_of_a_version_is_given_once_per_model():
    first = a_version()

    assert not passes(version(model=first.model))
    assert passes(version(model=first.model, number=2))


def test_an_alias_is_there_once_per_model():
    model = a_model()

    assert passes(models.Alias(model=model, name="next"))
    assert not passes(models.Alias(model=model, name="next"))
    assert not passes(models.Alias(model=model, name="Next"))


def test_one_open_move_per_alias():
    first = move()

    assert passes(first)
    assert not passes(models.AliasMove(alias=first.alias, version=first.version, from_at=NOW))


def test_tag_once_per_model():
    model = a_model()

    assert passes(models.Tag(model=model, name="x"))
    assert not passes(models.Tag(model=model, name="x"))
    assert passes(models.Tag(model=a_model(), name="x"))
