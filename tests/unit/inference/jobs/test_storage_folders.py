import os
import stat

import pytest

from inference.jobs.errors import BadStore, BadStorePath, NotInStore, StoreUnavailable
from inference.jobs.storage_backends import FolderFiles, check_folder


@pytest.fixture
def allowed(tmp_path, settings):
    folder = tmp_path / "allowed"
    (folder / "store" / "in").mkdir(parents=True)
    settings.JOB_FOLDERS = [folder]
    settings.DATA_DIR = tmp_path / "data"
    (tmp_path / "secret").write_text("secret")
    (folder / "store" / "in" / "rows.csv").write_text("x\n1\n")
    return folder


@pytest.fixture
def files(allowed):
    return FolderFiles(str(allowed / "store"), "")


def read(files, path):
    with files.reading(path) as file:
        return file.read()


def write(files, path, data=b"data"):
    with files.writing(path) as file:
        file.write(data)


def test_files_are_read_and_written_with_their_folders(files, allowed):
    write(files, "out/deep/result.csv")

    assert read(files, "in/rows.csv") == b"x\n1\n"
    assert read(files, "out/deep/result.csv") == b"data"
    assert [path.name for path in (allowed / "store/out/deep").iterdir()] == ["result.csv"]


def test_the_group_reads_what_is_written(files, allowed):
    """The store's owner shares it; the umask of our own files must not take that away."""
    (allowed / "store").chmod(0o2750)

    write(files, "out/deep/result.csv")

    modes = [oct(stat.S_IMODE((allowed / "store" / path).stat().st_mode))
             for path in ("out", "out/deep", "out/deep/result.csv")]  # fmt: skip
    assert modes == ["0o2750", "0o2750", "0o640"]


def test_a_prefix_is_part_of_the_way(allowed):
    assert read(FolderFiles(str(allowed / "store"), "in"), "rows.csv") == b"x\n1\n"


def test_what_is_not_there_is_told(files):
    for path in ("no.csv", "no/rows.csv"):
        with pytest.raises(NotInStore):
            read(files, path)
    with pytest.raises(NotInStore, match="not a file"):
        read(files, "in")


@pytest.mark.parametrize("place", ["file", "folder"])
def test_links_are_not_followed(files, allowed, tmp_path, place):
    if place == "file":
        (allowed / "store" / "in" / "link").symlink_to(tmp_path / "secret")
        path = "in/link"
    else:
        (allowed / "store" / "link").symlink_to(tmp_path)
        path = "link/secret"
    assert (allowed / "store" / path).read_text() == "secret"  # who follows links is led out

    with pytest.raises(BadStorePath, match="link"):
        read(files, path)


def test_writing_through_a_link_is_refused_and_a_link_is_replaced_not_followed(files, allowed, tmp_path):
    (allowed / "store" / "link").symlink_to(tmp_path)
    (allowed / "store" / "name").symlink_to(tmp_path / "secret")

    with pytest.raises(BadStorePath):
        write(files, "link/secret")
    write(files, "name")

    assert (tmp_path / "secret").read_text() == "secret"
    assert read(files, "name") == b"data"


def test_the_store_s_own_folder_may_not_be_a_link(allowed, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("secret")
    (allowed / "link").symlink_to(tmp_path / "other")

    with pytest.raises(BadStorePath):
        read(FolderFiles(str(allowed / "link"), ""), "secret")


def test_a_pipe_holds_nobody(files, allowed):
    os.mkfifo(allowed / "store" / "pipe")

    with pytest.raises(NotInStore, match="not a file"):
        read(files, "pipe")


def test_a_file_that_fails_on_the_way_leaves_nothing(files, allowed):
    class Stop(Exception): ...

    with pytest.raises(Stop), files.writing("out.csv") as file:
        file.write(b"half")
        raise Stop
    assert [path.name for path in (allowed / "store").iterdir()] == ["in"]


def test_a_name_that_is_a_folder_is_told_and_leaves_nothing(files, allowed):
    with pytest.raises(StoreUnavailable):
        write(files, "in")
    assert [path.name for path in (allowed / "store").iterdir()] == ["in"]


@pytest.mark.parametrize(
    "root", ["/etc", "relative", "{allowed}/../secret", "{allowed}x", "{data}", "{data}/jobs", "/"]
)
def test_folders_that_the_environment_does_not_allow_are_refused(allowed, tmp_path, settings, root):
    with pytest.raises(BadStore):
        check_folder(root.format(allowed=allowed, data=settings.DATA_DIR))
    check_folder(str(allowed))
    check_folder(str(allowed / "store"))


def test_the_server_s_own_folder_is_refused_even_where_the_environment_allows_it(allowed, settings):
    settings.JOB_FOLDERS = [settings.DATA_DIR.parent]

    with pytest.raises(BadStore, match="own data"):
        check_folder(str(settings.DATA_DIR / "artifacts"))


def test_without_allowed_folders_there_is_none(allowed, settings):
    settings.JOB_FOLDERS = []

    with pytest.raises(BadStore, match="ROUNDHOUSE_JOB_FOLDERS"):
        check_folder(str(allowed))
