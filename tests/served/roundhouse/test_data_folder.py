"""Files of running processes in the data folder are private."""

import pytest

from tests.support.modes import open_to_others


@pytest.mark.parametrize("installation", ["embedded", "production"])
def test_other_users_can_read_nothing(request, installation):
    served = request.getfixturevalue(installation)
    written = {path.name for path in served.data.rglob("*")}

    assert open_to_others(served.data) == {}
    assert {"first-run.json", "secret-key", "audit-key", "artifacts"} <= written
    if installation == "embedded":
        assert {"roundhouse.sqlite3", "roundhouse.sqlite3-wal", "messages"} <= written


def test_files_of_commands_are_private_too(embedded):
    made = embedded.manage(
        "shell", "--no-imports", "-c",
        "from django.conf import settings; (settings.DATA_DIR / 'tmp' / 'by-a-command').mkdir()",
    )  # fmt: skip

    assert made.returncode == 0, made.stderr
    assert (embedded.data / "tmp" / "by-a-command").stat().st_mode & 0o777 == 0o700


def test_the_list_would_show_them(tmp_path):
    """Negative control."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "file").touch()
    (tmp_path / "folder" / "inner" / "file").chmod(0o604)
    (tmp_path / "folder" / "inner").chmod(0o700)
    (tmp_path / "folder").chmod(0o710)

    assert open_to_others(tmp_path / "folder") == {".": "0o710", "inner/file": "0o604"}
