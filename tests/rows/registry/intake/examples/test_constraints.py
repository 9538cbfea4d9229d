"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

import pytest
from django.utils import timezone

from registry.intake.examples.models import ConformanceExample, GoldenResult, GoldenSet
from tests.support.constraints import passes
from tests.support.factories import a_model, a_version, an_uploaded_version

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def an_example(version=None, **values):
    given = {"position": 1, "inputs": {"x": [1]}, "expected": {"y": [1]}, "atol": 0, "rtol": 0, **values}
    return ConformanceExample(version=version or an_uploaded_version(), **given)


def a_set(model=None, **values):
    given = {"revision": 1, "rows": 1, "metric": "accuracy", "sha256": "0" * 64, "reason": "x", **values}
    return GoldenSet(model=model or a_model(), made_by="x", **given)


def a_result(golden_set=None, **values):
    version = a_version()
    if golden_set is None:
        golden_set = a_set(version.model)
        golden_set.save()
    given = {"version": version, "value": 0.5, "rows": 1, "created_at": timezone.now(), **values}
    return GoldenResult(golden_set=golden_set, **given)


@pytest.mark.parametrize(
    ("make", "values", "is_good"),
    [
        (an_example, {}, True),
        (an_example, {"position": 0}, False),
        (an_example, {"atol": -1}, False),
        (an_example, {"rtol": -1}, False),
        (a_set, {}, True),
        (a_set, {"revision": 0}, False),
        (a_set, {"rows": 0}, False),
        (a_set, {"metric": "beauty"}, False),
        (a_set, {"margin": 0}, True),
        (a_set, {"margin": -0.1}, False),
        (a_set, {"floor": 0.9}, True),
        (a_set, {"sha256": "x" * 64}, False),
        (a_set, {"sha256": "0" * 63}, False),
        (a_result, {}, True),
        (a_result, {"rows": 0}, False),
        (a_result, {"answers_sha256": "0" * 64}, True),
        (a_result, {"answers_sha256": "x"}, False),
    ],
)
def test_a_row_by_itself(make, values, is_good):
    assert passes(make(**values)) is is_good


def test_example_position_once_per_version():
    version = an_uploaded_version()

    assert passes(an_example(version))
    assert not passes(an_example(version))
    assert passes(an_example(version, position=2))


def test_golden_sets_of_a_model():
    model = a_model()

    assert passes(a_set(model))
    assert not passes(a_set(model, revision=2))
    assert not passes(a_set(model, is_current=False))
    assert passes(a_set(model, revision=2, is_current=False))
    assert passes(a_set())


def test_one_result_of_a_version_on_a_set():
    first = a_result()

    assert passes(first)
    assert not passes(a_result(first.golden_set, version=first.version))
    assert passes(a_result(first.golden_set))
