import pytest

from inference.doors.errors import UnknownField
from inference.doors.rest.forms import ELSEWHERE_IN_HTTP, check_fields


def refusal(*given):
    with pytest.raises(UnknownField) as caught:
        check_fields(given, ["inputs", "parameters"], slug="fruit", elsewhere=ELSEWHERE_IN_HTTP)
    return caught.value


def test_fields_that_are_read_pass():
    check_fields(["parameters", "inputs"], ["inputs", "parameters"])


def test_another_is_refused_with_those_that_are_read():
    refused = refusal("inputs", "input")

    assert str(refused) == (
        "Field 'input' is not read from the body: only `inputs` and `parameters` are. Remove or rename it. "
        "Nothing was run."
    )
    assert refused.members["errors"][0]["pointer"] == "#/input"


def test_what_is_said_elsewhere_is_told_where():
    assert "/api/v1/models/fruit/versions/NUMBER/predict" in str(refusal("version"))


def test_a_long_name_is_cut():
    refused = refusal("x" * 200)

    assert f"{'x' * 80!r} is not read" in str(refused)
    assert refused.members["errors"][0]["pointer"] == "#/" + "x" * 80
