"""Archives of SavedModels: what belongs is unpacked, and a hostile archive writes nothing outside and little inside."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from inference.convert import archives
from inference.convert.archives import UnpackingLimits, unpack_saved_model
from inference.convert.errors import ConversionRefused
from tests.support.zips import a_zip

MIB = 1 << 20
FILES = {
    "saved_model.pb": b"graph",
    "fingerprint.pb": b"print",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"weights",
    "assets/vocabulary of words.txt": b"words",
}
DROPPED = {"keras_metadata.pb": b"keras", "assets.extra/tf_serving_warmup_requests": b"requests"}
JUNK = {"__MACOSX/._saved_model.pb": b"resources", ".DS_Store": b"folders", "variables/.DS_Store": b"folders"}


def a_tar(*entries, mode="w", form=tarfile.PAX_FORMAT) -> bytes:
    """A tar of pairs of a name, or a TarInfo, and content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=form) as archive:
        for name, content in entries:
            entry = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def special(name, kind, target="") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def zip_link(name) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def zeros(archive: bytes) -> bytes:
    """A gzip that starts with an archive and goes on with 300 MiB of zeros, in 1 MB."""
    packer = zlib.compressobj(1, wbits=31)
    block = bytes(MIB)
    return packer.compress(archive) + b"".join(packer.compress(block) for _ in range(300)) + packer.flush()


def tar_bomb(name="saved_model.pb") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = 2 << 30
    return zeros(entry.tobuf(tarfile.USTAR_FORMAT))


def long_note() -> bytes:
    """A note for tar programs, which many of them hold in memory, of 2 GiB."""
    entry = special("note", tarfile.XHDTYPE)
    entry.size = 2 << 30
    return zeros(entry.tobuf(tarfile.USTAR_FORMAT))


def zip_bomb() -> bytes:
    return a_zip(("saved_model.pb", bytes(150 * MIB)), method=zipfile.ZIP_DEFLATED)


def lying_zip() -> bytes:
    """A bomb that lists itself as 10 bytes, in the entry and in the list of entries."""
    content = zip_bomb()
    at = content.index(b"PK\x01\x02")
    content = bytearray(content)
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    content[22:26] = struct.pack("<I", 10)
    return bytes(content)


def overlapping_zip() -> bytes:
    """Many entries that are all the same megabytes of the file, as in a "better zip bomb"."""
    content = bytearray(a_zip(("assets/0", bytes(8 * MIB)), method=zipfile.ZIP_DEFLATED))
    at, end = content.index(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    listed, entries = bytes(content[at:end]), 100
    names = [
        b"assets/%d" % (number % 10) if number < 10 else b"assets/%d" % number for number in range(entries)
    ]
    body = bytearray(content[:at])
    lists = b"".join(listed[:28] + struct.pack("<H", len(name)) + listed[30:46] + name for name in names)
    return bytes(body) + lists + struct.pack(
        "<4sHHHHIIH", b"PK\x05\x06", 0, 0, entries, entries, len(lists), len(body), 0
    )  # fmt: skip


GOOD = ("saved_model.pb", b"graph")
HOSTILE = {
    "zip: climbs out": lambda: a_zip(GOOD, ("../outside", b"x")),
    "zip: climbs out of assets": lambda: a_zip(GOOD, ("assets/../../outside", b"x")),
    "zip: is absolute": lambda: a_zip(GOOD, ("/tmp/outside", b"x")),
    "zip: of Windows": lambda: a_zip(GOOD, ("assets\\..\\..\\outside", b"x")),
    "zip: has a link": lambda: a_zip(GOOD, (zip_link("assets/link"), b"/etc/passwd")),
    "zip: has a file twice": lambda: a_zip(GOOD, ("./saved_model.pb", b"other")),
    "zip: bomb": zip_bomb,
    "zip: bomb that lies": lying_zip,
    "zip: overlapping entries": overlapping_zip,
    "zip: too many files": lambda: a_zip(GOOD, *((f"assets/{number}", b"") for number in range(1_500))),
    "zip: is cut off": lambda: a_zip(GOOD, ("assets/a", b"x" * 500))[:-30],
    "zip: a program beside it": lambda: a_zip(GOOD, ("setup.py", b"x")),
    "zip: two models": lambda: a_zip(("a/saved_model.pb", b"x"), ("b/fingerprint.pb", b"x")),
    "zip: no model": lambda: a_zip(("variables/variables.index", b"x")),
    "tar: climbs out": lambda: a_tar(GOOD, ("../outside", b"x")),
    "tar: climbs out of assets": lambda: a_tar(GOOD, ("assets/../../outside", b"x")),
    "tar: is absolute": lambda: a_tar(GOOD, ("/tmp/outside", b"x")),
    "tar: link, then a file through it": lambda: a_tar(
        (special("variables", tarfile.SYMTYPE, "../.."), b""), ("variables/variables.index", b"x"), GOOD
    ),
    "tar: hard link": lambda: a_tar(GOOD, (special("assets/a", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "tar: device": lambda: a_tar(GOOD, (special("assets/a", tarfile.CHRTYPE), b"")),
    "tar: pipe": lambda: a_tar((special("saved_model.pb", tarfile.FIFOTYPE), b"")),
    "tar: sparse file": lambda: a_tar((special("saved_model.pb", tarfile.GNUTYPE_SPARSE), b"")),
    "tar: has a file twice": lambda: a_tar(GOOD, ("./saved_model.pb", b"other")),
    "tar: bomb": tar_bomb,
    "tar: bomb that is left out": lambda: tar_bomb("assets.extra/a"),
    "tar: endless note": long_note,
    "tar: a name in a note": lambda: a_tar((f"assets/{'é' * 60}/../../outside", b"x"), GOOD),
    "tar: a long name of GNU": lambda: a_tar(("a/" * 80 + "b", b"x"), GOOD, form=tarfile.GNU_FORMAT),
    "tar: too many folders": lambda: a_tar(
        *((special(f"{number}", tarfile.DIRTYPE), b"") for number in range(5_000)), GOOD
    ),
    "tar: is cut off": lambda: a_tar(GOOD)[:600],
    "tar: damaged gzip": lambda: gzip.compress(a_tar(GOOD))[:-40] + bytes(40),
    "neither": lambda: b"\x7fELF" + bytes(2_000),
    "nothing": lambda: b"",
}  # fmt: skip


@pytest.fixture
def places(tmp_path):
    """A folder that is not the unpacked one's, and that one, two levels deeper."""
    folder = tmp_path / "outer" / "inner" / "unpacked"
    folder.mkdir(parents=True)
    return tmp_path, folder


def unpacked(archive: bytes, places, **limits):
    outer, folder = places
    path = outer / "archive"
    path.write_bytes(archive)
    unpack_saved_model(path, folder, UnpackingLimits(**limits))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


@pytest.mark.parametrize("leading", ["", "./", "my model/", "./my model/"])
@pytest.mark.parametrize(
    "pack",
    [
        lambda entries: a_zip(*entries),
        lambda entries: a_zip(*entries, method=zipfile.ZIP_DEFLATED),
        lambda entries: a_tar(*entries),
        lambda entries: a_tar(*entries, form=tarfile.GNU_FORMAT),
        lambda entries: a_tar(*entries, mode="w:gz"),
    ],
    ids=["zip", "deflated", "tar", "gnu", "gzip"],
)
def test_a_saved_model_is_unpacked_without_what_nobody_needs(places, pack, leading):
    entries = [(leading + name, content) for name, content in {**FILES, **DROPPED, **JUNK}.items()]

    found = unpacked(pack(entries), places)

    assert found == FILES


def test_a_tar_of_a_folder_made_by_tar_itself(places, tmp_path):
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(folder, "model")

    assert unpacked(file.getvalue(), places) == FILES


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(places, archive):
    outer, folder = places

    with pytest.raises(ConversionRefused) as caught:
        unpacked(archive(), places)

    assert caught.value.code == "refused"
    assert str(caught.value).endswith(".")
    outside = set(contents(outer)) - {f"outer/inner/unpacked/{name}" for name in contents(folder)}
    assert outside == {"archive"}
    assert sum(path.lstat().st_size for path in folder.rglob("*")) < 100_000_000


def test_the_bombs_would_unpack_without_the_limits(places, monkeypatch):
    """Negative control."""
    monkeypatch.setattr(archives, "check_unpacked_size", lambda *_: None)

    found = unpacked(zip_bomb(), places, ratio_from=1 << 40)

    assert len(found["saved_model.pb"]) == 150 * MIB


def test_no_more_than_the_limit_is_written(places):
    with pytest.raises(ConversionRefused, match="more than 3,000,000 bytes"):
        unpacked(
            a_tar(("assets/a", bytes(2 * MIB)), ("assets/b", bytes(2 * MIB)), GOOD), places, bytes=3_000_000
        )

    assert sum(len(content) for content in contents(places[1]).values()) <= 3_000_000


def test_weights_that_compress_well_are_unpacked(places):
    weights = bytes(50 * MIB)

    found = unpacked(a_tar(GOOD, ("variables/variables.data-00000-of-00001", weights), mode="w:gz"), places)

    assert found["variables/variables.data-00000-of-00001"] == weights
