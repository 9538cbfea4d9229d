"""Whose fault an error is, when a request is counted."""

from types import SimpleNamespace

import pytest

from inference.doors import request_counts
from inference.engine import errors as engine
from inference.errors import InvalidOutput, TooManyRequests
from inference.measure.counts import ArmKey, Windows
from inference.tensors.errors import InvalidInput
from registry.errors import Invalid, NotFound

KEY = ArmKey(1, 1, "a", 1)


@pytest.fixture
def counted(monkeypatch):
    windows = Windows()
    monkeypatch.setattr(request_counts.runtime, "current", lambda: SimpleNamespace(windows=windows))

    def count(error):
        request_counts.count_turned_away(SimpleNamespace(arm_key=KEY), error)
        ((_, counts),) = windows.take(all_of_it=True)
        return counts.errors, counts.refused

    return count


@pytest.mark.parametrize(
    "error",
    [engine.RunFailed(), engine.RunTimedOut(), engine.OutOfMemory(), engine.Overloaded(), InvalidOutput("NaN"), ValueError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_version_that_does_not_answer_valid_input_is_at_fault(counted, error):
    assert counted(error) == (1, 0)


@pytest.mark.parametrize(
    "error",
    [InvalidInput("x"), Invalid("x"), NotFound("x"), TooManyRequests("x")],
    ids=lambda error: type(error).__name__,
)
def test_an_invalid_request_is_the_callers_mistake(counted, error):
    assert counted(error) == (0, 1)
