"""Zip archives: one model with its weights comes out, or a refusal; never a file under a name of theirs."""

import io
import random
import stat
import struct
import zipfile
from dataclasses import replace

import pytest

from registry.intake.file_scan import ScanLimits, sent_files
from registry.intake.file_scan.errors import FileRefused
from registry.intake.file_scan.sent_files import is_archive, open_file
from tests.unit.registry.intake.onnx_bytes import a_file, external

MIB = 1 << 20
MODEL = a_file(weights=[external("w.bin")])
DATA = bytes(range(16))


def archive_of(*entries, method=zipfile.ZIP_DEFLATED):
    """A zip of pairs of a name, or a ZipInfo, and content."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return target.getvalue()


GOOD = archive_of(("model.onnx", MODEL), ("w.bin", DATA))


@pytest.fixture
def unpack(tmp_path):
    def of(content, **limits):
        path, folder = tmp_path / "sent", tmp_path / "scratch"
        path.write_bytes(content)
        folder.mkdir(exist_ok=True)
        try:
            with (
                open_file(path, "demo.zip") as sent,
                sent_files.unpack(sent, folder, replace(ScanLimits(), **limits)) as out,
            ):
                assert is_archive(sent)
                return {file.label: b"".join(file.read(0, file.size)) for file in (out.model, *out.others)}
        finally:
            assert list(folder.iterdir()) == []
            assert sorted(each.name for each in tmp_path.iterdir()) == ["scratch", "sent"]

    return of


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_model_and_its_weights_come_out(unpack, method):
    content = archive_of(("model.onnx", MODEL), ("w.bin", DATA), ("v.bin", DATA * 9), method=method)

    assert unpack(content) == {"model.onnx": MODEL, "w.bin": DATA, "v.bin": DATA * 9}


def test_folders_are_labels_and_what_file_managers_add_is_left_out(unpack):
    content = archive_of(
        ("demo/", b""),
        ("demo/model.onnx", MODEL),
        ("demo/w.bin", DATA),
        ("__MACOSX/demo/._model.onnx", b"x"),
        ("demo/._model.onnx", b"x"),
        ("demo/Thumbs.db", b"x"),
    )

    assert unpack(content) == {"model.onnx": MODEL, "w.bin": DATA}


def _entry(name="w.bin", mode=stat.S_IFREG | 0o644, **fields):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def _patched(find, put, content=GOOD):
    """The archive with these bytes replaced, in local headers and in the list alike."""
    assert find in content
    return content.replace(find, put)


def _claims(size):
    """An archive whose only data file claims another size than it has, in both places."""
    content = bytearray(archive_of(("model.onnx", MODEL), ("w.bin", bytes(MIB))))
    for at in range(len(content) - 4):
        if content[at : at + 4] == struct.pack("<I", MIB):
            content[at : at + 4] = struct.pack("<I", size)
    return bytes(content)


def _encrypted():
    content = bytearray(GOOD)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(magic, at + 1)) >= 0:
            content[at + offset] |= 1
    return bytes(content)


def _a_long_list():
    """A list of entries that claims 3 GiB, so that reading it at once would fill memory."""
    at = GOOD.rindex(b"PK\x05\x06")
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 200 * MIB, 0, 0)
    return GOOD[:at] + bytes(200 * MIB) + end


def _overlapping():
    """Two entries of the list that point at the same bytes."""
    content = archive_of(("model.onnx", MODEL), ("a.bin", DATA), ("b.bin", DATA))
    first, second = (
        content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02")),
        content.rindex(b"PK\x01\x02"),
    )
    changed = bytearray(content)
    changed[second + 42 : second + 46] = content[first + 42 : first + 46]
    return bytes(changed)


HOSTILE = {
    "traversal": (lambda: archive_of(("model.onnx", MODEL), ("../w.bin", DATA)), "archive_refused", "'../w.bin'"),
    "inner traversal": (lambda: archive_of(("model.onnx", MODEL), ("a/../../w.bin", DATA)), "archive_refused", "plain"),
    "absolute": (lambda: archive_of(("model.onnx", MODEL), ("/etc/w.bin", DATA)), "archive_refused", "'/etc/w.bin'"),
    "backslashes": (lambda: archive_of(("model.onnx", MODEL), ("..\\w.bin", DATA)), "archive_refused", "plain"),
    "drive": (lambda: archive_of(("model.onnx", MODEL), ("C:w.bin", DATA)), "archive_refused", "plain"),
    "nul": (lambda: _patched(b"w.bin", b"w\0bin"), "archive_refused", "plain"),
    "link": (lambda: archive_of(("model.onnx", MODEL), (_entry(mode=stat.S_IFLNK | 0o777), b"/etc/passwd")),
             "archive_refused", "link"),
    "device": (lambda: archive_of(("model.onnx", MODEL), (_entry(mode=stat.S_IFCHR | 0o666), b"")),
               "archive_refused", "device"),
    "pipe": (lambda: archive_of(("model.onnx", MODEL), (_entry(mode=stat.S_IFIFO | 0o666), b"")), "archive_refused", "link"),
    "encrypted": (_encrypted, "archive_refused", "encrypted"),
    "twice": (lambda: archive_of(("model.onnx", MODEL), ("a/w.bin", DATA), ("b/w.bin", DATA)), "archive_refused",
              "two files"),
    "two models": (lambda: archive_of(("a.onnx", MODEL), ("b.ONNX", MODEL)), "archive_refused", "2 files"),
    "no model": (lambda: archive_of(("w.bin", DATA)), "archive_refused", "no files"),
    "torch": (lambda: archive_of(("model.onnx", MODEL), ("m/data.pkl", DATA)), "not_onnx", "PyTorch"),
    "torch, broken off": (lambda: archive_of(("m/data.pkl", DATA))[:-30], "not_onnx", "PyTorch"),
    "lzma": (lambda: archive_of(("model.onnx", MODEL), method=zipfile.ZIP_LZMA), "archive_refused", "unusual"),
    "bzip2": (lambda: archive_of(("model.onnx", MODEL), method=zipfile.ZIP_BZIP2), "archive_refused", "unusual"),
    "bomb": (lambda: archive_of(("model.onnx", MODEL), ("w.bin", bytes(80 * MIB))), "archive_refused", "200 times"),
    "claims less": (lambda: _claims(100), "archive_refused", "damaged"),
    "claims more": (lambda: _claims(2 * MIB), "archive_refused", "size"),
    "long list": (_a_long_list, "archive_refused", "damaged"),
    "many entries": (lambda: archive_of(*((f"{number}/", b"") for number in range(2_001))), "archive_refused", "2,000"),
    "many files": (lambda: archive_of(("m.onnx", MODEL), *((f"{number}.bin", b"") for number in range(500))),
                   "archive_refused", "500 files"),
    "broken off": (lambda: GOOD[:-30], "archive_refused", "damaged"),
    "half": (lambda: GOOD[: len(GOOD) // 2], "archive_refused", "damaged"),
    "changed bytes": (lambda: _patched(DATA, DATA[::-1], archive_of(("model.onnx", MODEL), ("w.bin", DATA),
                                                                  method=zipfile.ZIP_STORED)),
                      "archive_refused", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(unpack, hostile):
    make, code, says = hostile

    with pytest.raises(FileRefused) as caught:
        unpack(make())

    assert (caught.value.code, says in str(caught.value)) == (code, True), str(caught.value)
    assert str(caught.value).endswith(".") and str(caught.value).isprintable()


def test_overlapping_entries_give_no_more_than_they_claim(unpack):
    """The name at the shared bytes is another one."""
    with pytest.raises(FileRefused):
        unpack(_overlapping())


def test_what_it_unpacks_to_is_bounded(unpack):
    with pytest.raises(FileRefused, match="unpacks to"):
        unpack(GOOD, max_file_bytes=len(MODEL) + len(DATA) - 1)


@pytest.mark.parametrize("claimed", [100, 5000], ids=["hidden", "seen"])
def test_a_bomb_that_lies_writes_no_more_than_it_claims(unpack, monkeypatch, claimed):
    import tempfile

    written, real = [], tempfile.TemporaryFile

    def counting(**more):
        file = real(**more)
        write = file.write
        wrapper = type("Counting", (), {"__getattr__": lambda _, name: getattr(file, name),
                                        "__enter__": lambda me: me, "__exit__": lambda *_: file.close(),
                                        "write": lambda _, piece: written.append(len(piece)) or write(piece)})  # fmt: skip
        return wrapper()

    monkeypatch.setattr(tempfile, "TemporaryFile", counting)

    with pytest.raises(FileRefused):
        unpack(_claims(claimed))

    assert sum(written) <= len(MODEL) + claimed


def test_thousands_of_broken_archives_are_refused_or_unpacked(unpack):
    dice, passed = random.Random(20_261_129), 0
    good = archive_of(("demo/model.onnx", MODEL), ("demo/w.bin", DATA * 10))
    for _ in range(3_000):
        mutant = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(mutant))
            mutant[at] = dice.randrange(256)
        try:
            unpack(bytes(mutant))
            passed += 1
        except FileRefused:
            pass
        except AssertionError:
            assert mutant[:4] != b"PK\x03\x04"
    assert 0 < passed < 3_000
