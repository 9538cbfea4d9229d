"""What tests of traffic share."""

import pytest

from registry.traffic import readiness
from registry.traffic.readiness import Readiness, Verdict


@pytest.fixture
def verdict():
    """Lets a test say how ready splits are."""

    def say(word: Verdict, sentence: str = ""):
        readiness.register_readiness(lambda _split: Readiness(word, sentence))

    before = readiness.register_readiness(readiness.always_ready)
    yield say
    readiness.register_readiness(before)
