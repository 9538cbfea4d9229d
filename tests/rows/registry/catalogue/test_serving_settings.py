import pytest

from registry.catalogue.models import ServingSettings
from registry.catalogue.services import change_serving
from registry.catalogue.serving_settings import DEFAULTS, NAMES, ServingValues, checked_values
from registry.errors import Invalid, StaleState
from registry.record.models import AuditRecord
from tests.support.factories import a_version, an_actor


def test_the_defaults_are_good_and_survive_json():
    assert checked_values(DEFAULTS, DEFAULTS.to_json()) == DEFAULTS
    assert ServingValues.from_json(DEFAULTS.to_json()) == DEFAULTS


def test_values_of_another_release_are_read_as_far_as_they_are_known():
    assert ServingValues.from_json({"max_batch_rows": 8, "gone": 1}) == ServingValues(max_batch_rows=8)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_batch_rows": 0},
        {"max_batch_rows": True},
        {"max_batch_rows": 1.5},
        {"target_p99_ms": 0},
        {"target_p99_ms": float("nan")},
        {"target_p99_ms": "20"},
        {"target_p99_ms": 5, "max_wait_ms": 5},
        {"max_queue_rows": 10, "max_batch_rows": 11},
        {"providers": []},
        {"providers": ["TensorRT"]},
        {"providers": ["CPUExecutionProvider"] * 2},
        {"providers": "CPUExecutionProvider"},
        {"providers": [["CPUExecutionProvider"]]},
        {"graph_level": "most"},
        {"graph_level": []},
        {"soft_limit_s": 0},
        {"device_id": -1},
        {"max_output_bytes": None},
        {"max_output_bytes": 1023},
        {"intra_op_threads": 0},
        {"allow_non_finite": 1},
        {"allow_non_finite": None},
        {"allow_non_finite": "yes"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name(changes):
    with pytest.raises(Invalid, match=str(next(iter(changes)))):
        checked_values(DEFAULTS, changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"target_p99_ms": 20, "max_wait_ms": 2.5},
        {"target_p99_ms": None},
        {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"], "device_id": 1},
        {"intra_op_threads": 4, "graph_level": "basic", "soft_limit_s": 0.5},
        {"arena_limit_bytes": 2**30, "max_queue_bytes": 2**20, "max_output_bytes": 2**10},
        {"allow_non_finite": True},
    ],
    ids=str,
)
def test_what_can_be_is_taken(changes):
    values = checked_values(DEFAULTS, changes).to_json()

    assert {name: values[name] for name in changes} == changes
    assert set(values) == set(NAMES)


def change(version, expected_revision=None, **changes):
    return change_serving(
        version=version, changes=changes, reason="x", expected_revision=expected_revision, by=an_actor()
    )


@pytest.mark.django_db
def test_a_change_is_a_new_revision_and_the_record_keeps_only_what_changed():
    version = a_version()

    new = change(version, max_batch_rows=8)

    assert (new.revision, new.is_current) == (2, True)
    assert version.serving_settings.get(revision=1).is_current is False
    record = AuditRecord.objects.first()
    assert (record.before, record.after) == ({"max_batch_rows": 64}, {"max_batch_rows": 8, "revision": 2})


@pytest.mark.django_db
def test_of_two_who_saw_the_same_settings_the_second_is_told():
    version = a_version()
    change(version, expected_revision=1, max_batch_rows=8)

    with pytest.raises(StaleState):
        change(version, expected_revision=1, max_batch_rows=9)

    assert ServingSettings.objects.get(is_current=True).values["max_batch_rows"] == 8
