"""Whether a host can confine is found out by trying, and what it lacks is said."""

import pytest

from inference.confinement import guard


@pytest.fixture(autouse=True)
def forget():
    guard.why_not_confined.cache_clear()
    yield
    guard.why_not_confined.cache_clear()


def test_this_host_can():
    assert guard.why_not_confined() == ""


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("landlock.version = lambda: 0", "no Landlock of version 3"),
        ("child.restrict_files = lambda **_: None", "a confined process can still read a file outside"),
        ("child.refuse_calls = lambda: None", "a confined process can still open a socket"),
        ("child.refuse_calls = None", "ended with 1"),
    ],
    ids=["no_landlock", "landlock_does_nothing", "seccomp_does_nothing", "an_error"],
)
def test_what_is_missing_is_said(monkeypatch, without, said):
    """The negative control, too: it believes the kernel, not itself."""
    change = (
        f"from inference.confinement import child, landlock\n{without}\nconfine = child.confine\nacts = {{"
    )
    monkeypatch.setattr(guard, "_TRY", guard._TRY.replace("acts = {", change))

    assert said in guard.why_not_confined()
