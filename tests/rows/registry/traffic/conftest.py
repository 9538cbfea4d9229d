"""What tests of traffic share."""

import pytest

from registry.traffic.readiness import READINESS, READY, Readiness, ReadinessCheck, ReadinessState


@pytest.fixture
def verdict():
    """Sets how ready splits are."""
    readiness = READY

    def set_verdict(word: ReadinessState, sentence: str = ""):
        nonlocal readiness
        readiness = Readiness(word, sentence)

    with READINESS.changed(engines=ReadinessCheck(lambda _split: readiness)):
        yield set_verdict
