"""Environments of converters: installed from pinned, hashed packages, outdated when the pins change, gone when pip fails."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from inference.convert import environments
from inference.convert.environments import folder_of, python_of, state_of
from inference.convert.formats import ENVIRONMENTS


@pytest.fixture
def pinned(tmp_path, settings, monkeypatch):
    """The requirements of the environment `tensorflow`: none, which pip installs without a network."""
    settings.DATA_DIR = tmp_path / "data"
    monkeypatch.setattr(environments, "_PINNED", tmp_path)
    path = tmp_path / "tensorflow.txt"
    path.write_text("# nothing\n")
    return path


def run(*words) -> str:
    out = StringIO()
    call_command("install_converter", *words, stdout=out)
    return out.getvalue()


def test_an_environment_is_installed_listed_and_outdated_by_other_pins(pinned):
    missing = run("--list")

    said = run("tensorflow")
    python, listed = python_of("tensorflow"), run("--list")
    pinned.write_text("# other packages\n")

    assert f"Installed “tensorflow” in {folder_of('tensorflow')} (" in said
    assert python.is_file()
    assert "tensorflow: not installed" in missing and "tensorflow: installed" in listed
    assert all(f"{name}: " in missing for name in ENVIRONMENTS)
    assert (state_of("tensorflow"), python_of("tensorflow")) == ("outdated", None)
    assert "outdated, install it again" in run("--list")


def test_of_one_that_fails_nothing_is_left(pinned):
    folder_of("tensorflow").mkdir(parents=True)
    pinned.write_text("./somewhere --hash=sha256:00\n")

    with pytest.raises(CommandError, match=r"pip said:[^\0]*somewhere"):
        run("tensorflow")

    assert not folder_of("tensorflow").exists()


def test_without_a_name_it_says_which_there_are(pinned):
    with pytest.raises(CommandError, match="tensorflow, torch, sklearn"):
        run()
