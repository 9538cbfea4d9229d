"""The data folder is closed at each start, or reported if that fails."""

import os
import stat

import pytest

from roundhouse.data_folder import UMASK, prepare_data_folder
from roundhouse.system_checks import check_data_folder
from tests.support.modes import open_to_others
from tests.support.processes import manage


def mode_of(path):
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_parent_folders_are_private(tmp_path, usual_umask):
    prepare_data_folder(tmp_path / "srv" / "data")

    assert open_to_others(tmp_path / "srv") == {}
    assert os.umask(0o022) == UMASK


@pytest.fixture
def older(tmp_path, usual_umask):
    """As an installation that knew no umask left it, reached through a link."""
    folder = tmp_path / "older"
    (folder / "artifacts" / "ab").mkdir(parents=True)
    for name in ("roundhouse.sqlite3", "roundhouse.sqlite3-wal", "roundhouse.sqlite3-shm", "secret-key"):
        (folder / name).touch()
    (tmp_path / "outside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "data").symlink_to(folder)
    return tmp_path / "data"


def test_an_older_installation_is_closed(older, tmp_path):
    assert len(open_to_others(older.resolve())) == 7

    prepare_data_folder(older)

    # What is below a closed folder nobody reaches, and a walk through all artifacts at each start would cost.
    assert set(open_to_others(older.resolve())) == {"artifacts/ab"}
    assert mode_of(tmp_path / "outside") == "0o755"


def test_a_folder_that_may_belong_to_others_keeps_its_mode_and_is_reported(tmp_path, usual_umask, settings):
    folder = settings.DATA_DIR = tmp_path / "shared"
    folder.mkdir()
    (folder / "letters").touch()

    prepare_data_folder(folder)

    assert mode_of(folder) == "0o755"
    assert [found.id for found in check_data_folder()] == ["roundhouse.E008"]


@pytest.mark.parametrize(
    ("mode", "found"),
    [(0o700, []), (0o750, ["roundhouse.W003"]), (0o701, ["roundhouse.E008"]), (0o777, ["roundhouse.E008"])],
    ids=["private", "group", "passable", "open"],
)
def test_the_check_reports_who_can_read_the_folder(tmp_path, settings, mode, found):
    settings.DATA_DIR = tmp_path
    tmp_path.chmod(mode)

    told = check_data_folder()

    assert [message.id for message in told] == found
    assert all(f"chmod 700 {tmp_path}" in message.hint and f"{mode:04o}" in message.msg for message in told)


def test_no_command_starts_on_an_open_folder(tmp_path):
    (tmp_path / "letters").touch()
    tmp_path.chmod(0o755)

    result = manage("migrate", DATA=tmp_path)

    assert result.returncode == 1
    assert "roundhouse.E008" in result.stderr
