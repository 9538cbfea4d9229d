"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

import pytest
from django.utils import timezone

from registry.intake.examples.models import ConformanceExample, GoldenResult, GoldenSet
from tests.support.constraints import passes
from tests.support.factories import a_model, a_version, an_uploaded_version

pytestmark = pytest.mark.django_db


def an_example(version=None, **values):
    given = {"position": 1, "inputs": {"x": [1]}, "expected": {"y": [1]}, "atol": 0, "rtol": 0, **values}
    return ConformanceExample(version=version or an_uploaded_version(), **given)


def a_set(model=None, **values):
    given = {"revision": 1, "rows": 1, "metric": "accuracy", "sha256": "0" * 64, "reason": "x", **values}
    return GoldenSet(model=model or a_model(), made_by="x", **given)


@pytest.mark.parametrize(
    ("values", "is_good"),
    [({}, True), ({"position": 0}, False), ({"atol": -1}, False), ({"rtol": -1}, False)],
    ids=["good", "position", "atol", "rtol"],
)
def test_example(values, is_good):
    assert passes(an_example(**values)) is is_good


def test_example_position_once_per_version():
    version = an_uploaded_version()

    assert passes(an_example(version))
    assert not passes(an_example(version))
    assert passes(an_example(version, position=2))


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"revision": 0}, False),
        ({"rows": 0}, False),
        ({"metric": "beauty"}, False),
        ({"margin": 0}, True),
        ({"margin": -0.1}, False),
        ({"floor": 0.9}, True),
        ({"sha256": "x" * 64}, False),
        ({"sha256": "0" * 63}, False),
    ],
    ids=["good", "revision", "rows", "metric", "margin", "negative margin", "floor", "no hash", "short hash"],
)
def test_golden_set(values, is_good):
    assert passes(a_set(**values)) is is_good


def test_golden_sets_of_a_model():
    model = a_model()

    assert passes(a_set(model))
    assert not passes(a_set(model, revision=2))
    assert not passes(a_set(model, is_current=False))
    assert passes(a_set(model, revision=2, is_current=False))
    assert passes(a_set())


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"rows": 0}, False),
        ({"answers_sha256": "0" * 64}, True),
        ({"answers_sha256": "x"}, False),
    ],
    ids=["good", "rows", "answers", "no hash"],
)
def test_golden_result(values, is_good):
    version = a_version()
    golden_set = a_set(version.model)
    golden_set.save()

    def result():
        return GoldenResult(
            version=version, golden_set=golden_set, **{"value": 0.5, "rows": 1, **values}, created_at=timezone.now()
        )  # fmt: skip

    assert passes(result()) is is_good
    assert not passes(result())
