"""What a caller sees of a refusal."""

import pytest
from django.test import RequestFactory
from grpc import StatusCode

from inference.doors.grpc.codes import refusal_for
from inference.engine.errors import Overloaded
from inference.errors import LimitsUnavailable, TooManyRequests
from roundhouse import problems


@pytest.mark.parametrize(
    ("error", "status", "after_s", "code"),
    [
        (TooManyRequests("Slow down.", retry_after_s=23), 429, "23", StatusCode.RESOURCE_EXHAUSTED),
        (TooManyRequests(), 429, "1", StatusCode.RESOURCE_EXHAUSTED),
        (LimitsUnavailable(), 503, "1", StatusCode.UNAVAILABLE),
        (Overloaded("Full."), 503, "1", StatusCode.UNAVAILABLE),
    ],
    ids=["own-limit", "at-once", "nobody-counts", "full"],
)
def test_a_refusal_says_whose_it_is_and_when_to_come_again(error, status, after_s, code):
    request = type("Holder", (), {"_request": RequestFactory().post("/api/v1/x")})()

    response = problems.exception_handler(error, {"request": request})

    assert (response.status_code, response["Retry-After"]) == (status, after_s)
    assert refusal_for(error).code == code
