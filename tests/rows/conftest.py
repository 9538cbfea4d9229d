"""What all tests with rows need."""

import pytest

from inference.measure.attention import recent_figures
from inference.measure.hours import HOURS


@pytest.fixture(autouse=True)
def forgotten_counts():
    """What a process remembers about one test's counts is not about the next one's, whose rows may have the same ids."""
    recent_figures.cache_clear()
    HOURS.clear()
