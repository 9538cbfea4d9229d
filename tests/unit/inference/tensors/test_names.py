import pytest

from inference.tensors.names import nearest


@pytest.mark.parametrize(
    "name, known, found",
    [
        ("hours", ["hour", "warmth"], "hour"),
        ("Hour", ["hour", "warmth"], "hour"),
        ("wramth", ["hour", "warmth"], "warmth"),
        ("pixels", ["hour", "warmth"], None),
        ("hour", [], None),
        ("x" * 5000, ["x" * 4000], "x" * 4000),
    ],
)
def test_the_name_that_was_meant(name, known, found):
    assert nearest(name, known) == found
