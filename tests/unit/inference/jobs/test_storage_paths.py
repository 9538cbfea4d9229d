import pytest

from inference.jobs.errors import BadStorePath
from inference.jobs.storage import checked_path


@pytest.mark.parametrize("path", ["a", "a/b.csv", "été/x y", "a" * 200, "..a/b"[2:]])
def test_paths_that_lead_down_are_kept(path):
    assert checked_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", ".hidden", "a/.writing-1",
        "a\\b", "a\nb", "a\0", "a" * 401, "é" * 101, "\ud800",
    ],
    ids=ascii,
)  # fmt: skip
def test_paths_that_could_lead_elsewhere_are_refused(path):
    with pytest.raises(BadStorePath):
        checked_path(path)


def test_a_prefix_may_be_empty():
    assert checked_path("", may_be_empty=True) == ""
