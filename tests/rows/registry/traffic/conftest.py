"""What tests of traffic share."""

import pytest

from registry.traffic import readiness
from registry.traffic.readiness import Readiness, Verdict


@pytest.fixture
def verdict():
    """Sets how ready splits are."""

    def set_verdict(word: Verdict, sentence: str = ""):
        readiness.register_readiness(lambda _split: Readiness(word, sentence))

    before = readiness.register_readiness(readiness.always_ready)
    yield set_verdict
    readiness.register_readiness(before)
