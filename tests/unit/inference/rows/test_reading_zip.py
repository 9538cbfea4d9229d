"""A zip of pictures: which entries are rows, in which chunks, and archives that were made to do harm."""

import io
import stat
import struct
import tracemalloc
import zipfile
from functools import cache, partial

import pytest

from inference.rows import Contract, FileFormat, RowLimits, check, kind_of, plan, preview_file, read_chunk
from inference.rows.errors import BadContract, BadFile, NoPreview, RowFileTooLarge, UnknownFormat
from inference.tensors.signature import Signature, TensorSpec
from tests.unit.inference.rows.tools import SCORE, WIDE, bad_of, read_all, rows_of, values_of

PICTURES = Signature((TensorSpec("image", "BYTES", (None,)),), (SCORE,), binary_inputs=frozenset({"image"}))
NAMED = Contract().for_format(FileFormat.ZIP)
ZIP = kind_of("holiday.zip")
THREE = {"a.png": b"first\0", "b/c.jpg": b"\xff\xd8second", "d.gif": b""}


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def patched(data, at, format, *values, entry=0):
    """The archive with other numbers at this place of an entry's record in the directory."""
    changed, begin = bytearray(data), -1
    for _ in range(entry + 1):
        begin = data.index(b"PK\1\2", begin + 1)
    struct.pack_into(format, changed, begin + at, *values)
    return bytes(changed)


def read(data, contract=NAMED, **sizes):
    return read_all(data, FileFormat.ZIP, contract, PICTURES, **sizes)


def ids_of(batches):
    return [row_id for batch in batches for row_id in batch.ids]


def reasons_of(batches):
    return {error.id: error.reason for batch in batches for error in batch.bad}


class TestRows:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_files_are_rows_in_the_order_of_the_zip(self, method):
        batches = read(zipped(THREE, method))

        assert ids_of(batches) == list(THREE)
        assert values_of(batches, "image") == list(THREE.values())
        assert rows_of(batches) == [1, 2, 3]

    def test_folders_and_hidden_files_are_no_rows(self):
        names = [
            "p/",
            "__MACOSX/p/._a.png",
            ".DS_Store",
            "p/.DS_Store",
            ".git/a.png",
            "p/a.png",
            "p/.b.png",
            "p/Thumbs.db",
        ]

        assert ids_of(read(zipped(dict.fromkeys(names, b"")))) == ["p/a.png"]

    def test_what_a_stream_of_unknown_length_was_packed_as_is_read(self):
        class Stream(io.RawIOBase):
            held = b""

            def writable(self):
                return True

            def write(self, data):
                self.held += bytes(data)
                return len(data)

        stream = Stream()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", b"streamed")

        assert values_of(read(stream.held), "image") == [b"streamed"]

    def test_names_in_other_scripts(self):
        assert ids_of(read(zipped({"ünï/猫.png": b"x"}))) == ["ünï/猫.png"]

    def test_the_contract_may_number_rows_instead(self):
        assert ids_of(read(zipped(THREE), Contract(passthrough=("name",)))) == [1, 2, 3]
        assert Contract(id="image").for_format(FileFormat.ZIP).id == "image"
        assert Contract(passthrough=("name",)).for_format(FileFormat.ZIP).id is None
        assert Contract().for_format(FileFormat.CSV).id is None

    def test_an_empty_zip_has_no_rows(self):
        assert read(zipped({})) == []

    def test_a_comment_at_the_end(self):
        file = io.BytesIO(zipped(THREE))
        with zipfile.ZipFile(file, "a") as archive:
            archive.comment = b"PK\5\6 of a holiday" * 5

        assert ids_of(read(file.getvalue())) == list(THREE)

    def test_a_model_without_pictures_is_told_what_the_zip_has(self):
        with pytest.raises(BadContract, match="the file has 'image', 'name'"):
            check(io.BytesIO(zipped(THREE)), FileFormat.ZIP, NAMED, [WIDE])

    def test_a_zip_is_not_gzipped_as_well(self):
        with pytest.raises(UnknownFormat, match="without gzip"):
            kind_of("a.zip.gz")


class TestChunks:
    def test_by_rows_and_by_bytes(self):
        data = zipped({f"{number}": b"x" * 40 for number in range(5)} | {"big": b"x" * 500, "last": b"x"})

        sizes = [
            chunk.rows
            for chunk in plan(io.BytesIO(data), FileFormat.ZIP, 3, limits=RowLimits(chunk_bytes=100))
        ]

        assert sizes == [2, 2, 1, 1, 1]
        assert [chunk.rows for chunk in plan(io.BytesIO(data), FileFormat.ZIP, 3)] == [3, 3, 1]

    def test_a_chunk_in_the_middle_reads_only_its_own_files(self):
        data = zipped({f"{number}.png": bytes([number]) * 1_000 for number in range(50)}, zipfile.ZIP_STORED)

        class Noted(io.BytesIO):
            read_bytes = 0

            def read(self, size=-1, /):
                piece = super().read(size)
                self.read_bytes += len(piece)
                return piece

        chunks = list(plan(io.BytesIO(data), FileFormat.ZIP, 5))
        file = Noted(data)
        (batch,) = read_chunk(file, FileFormat.ZIP, chunks[4], NAMED, PICTURES, 5)

        assert list(batch.rows) == [21, 22, 23, 24, 25]
        assert [value[0] for value in batch.tensors["image"]] == [20, 21, 22, 23, 24]
        assert (
            file.read_bytes < 5 * 1_100 + 70_000
        )  # and the end of the file, where its directory is looked for

    def test_a_file_that_changed_is_told(self):
        first, second = zipped(THREE), zipped({**THREE, ".d.gif": b""})
        (chunk,) = plan(io.BytesIO(first), FileFormat.ZIP, 5)

        with pytest.raises(BadFile):
            list(read_chunk(io.BytesIO(second), FileFormat.ZIP, chunk, NAMED, PICTURES, 5))


def a_link(mode=stat.S_IFLNK):
    return patched(zipped({"a.png": b"/etc/passwd", "b.png": b"x"}), 38, "<I", (mode | 0o777) << 16)


def two_that_overlap():
    data = zipped({"a.png": b"x" * 50, "b.png": b"y" * 50}, zipfile.ZIP_STORED)
    return patched(data, 42, "<I", 0, entry=1)


@cache
def a_bomb():
    """200 MiB of zeros, and another entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.png", "w") as entry:
            for _ in range(200):
                entry.write(bytes(2**20))
        archive.writestr("b.png", b"fine")
    return file.getvalue()


SMALL = zipped({"a.png": b"x" * 1_000, "b.png": b"fine"})

REFUSED = {
    "a bomb": (a_bomb, RowFileTooLarge, "200 times its size"),
    "entries that share bytes": (two_that_overlap, BadFile, "share the same bytes"),
    "too many entries": (SMALL[:-14] + b"\xff" * 4 + SMALL[-10:], RowFileTooLarge, "zip64"),
    "sizes of zip64": (patched(SMALL, 20, "<I", 0xFFFFFFFF), RowFileTooLarge, "zip64"),
    "cut off": (SMALL[:-30], BadFile, "its end is missing"),
    "no zip": (b"PK" * 500, BadFile, "not a zip file"),
    "a program before it": (b"#!/bin/sh\n" + SMALL, BadFile, "damaged"),
    "a directory that is not one": (SMALL.replace(b"PK\1\2", b"PK\1\3", 1), BadFile, "damaged"),
    "a wrong number of entries": (SMALL[:-14] + b"\5\0\5\0" + SMALL[-10:], BadFile, "damaged"),
    "a name that runs over the end": (patched(SMALL, 28, "<H", 60_000, entry=1), BadFile, "damaged"),
    "bytes behind the end": (patched(SMALL, 42, "<I", 2**31, entry=1), BadFile, "damaged"),
    "the second disk": (SMALL[:-18] + b"\1\0" + SMALL[-16:], BadFile, "part of several"),
}  # fmt: skip

BAD_ROWS = {
    "a link": (a_link, "a link or a device"),
    "a device": (partial(a_link, stat.S_IFCHR), "a link or a device"),
    "encrypted": (patched(SMALL, 8, "<H", 1), "encrypted"),
    "another compression": (patched(SMALL, 10, "<H", 14), "another way than by deflate"),
    "more than it says": (patched(SMALL, 24, "<I", 900), "damaged"),
    "less than it says": (patched(SMALL, 24, "<I", 1_100), "damaged"),
    "other bytes than they were": (patched(SMALL, 16, "<I", 1), "damaged"),
    "no header where it says": (SMALL.replace(b"PK\3\4", b"PK\3\5", 1), "damaged"),
    "a bomb that says it is small": (lambda: patched(a_bomb(), 24, "<I", 500_000), "damaged"),
}  # fmt: skip


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """The most that Python held; and nothing may lie in the working folder afterwards."""
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []


class TestHarm:
    @pytest.mark.parametrize("case", REFUSED)
    def test_refused_before_anything_is_unpacked(self, case, memory):
        data, error, words = REFUSED[case]
        data = data() if callable(data) else data

        with pytest.raises(error, match=words):
            list(plan(io.BytesIO(data), FileFormat.ZIP, 10))

        assert memory() < 100 * 2**20

    @pytest.mark.parametrize("case", BAD_ROWS)
    def test_only_the_entry_itself_is_a_bad_row(self, case, memory):
        data, words = BAD_ROWS[case]
        data = data() if callable(data) else data

        batches = read(data)

        assert list(reasons_of(batches)) == ["a.png"]
        assert words in reasons_of(batches)["a.png"]
        assert ids_of(batches) == ["b.png"]
        assert [row for row, _ in bad_of(batches)] == [1]
        assert memory() < 100 * 2**20

    def test_reading_stops_after_the_number_of_entries_that_the_end_states(self, memory):
        """A directory of 32 MiB may hold 700,000 records, each an object in memory."""
        at, record, more = SMALL.index(b"PK\5\6"), b"PK\1\2" + bytes(42), 20_000
        stated = struct.unpack_from("<I", SMALL, at + 12)[0]
        length = struct.pack("<I", stated + more * len(record))
        data = SMALL[:at] + record * more + SMALL[at : at + 12] + length + SMALL[at + 16 :]

        with pytest.raises(BadFile, match="damaged"):
            list(plan(io.BytesIO(data), FileFormat.ZIP, 10))

        assert memory() < 5 * len(data)

    @pytest.mark.parametrize("name", ["../../../tmp/x.png", "/etc/cron.d/x.png", "C:\\x.png", "a\0.png"])
    def test_a_name_is_a_name_and_never_a_path(self, name, memory):
        data = zipped({"N" * len(name): b"x"}).replace(b"N" * len(name), name.encode())

        assert ids_of(read(data)) == [name]

    def test_a_zip_in_a_zip_is_a_file_like_others(self, memory):
        assert values_of(read(zipped({"a.zip": a_bomb()})), "image") == [a_bomb()]

    def test_a_file_is_unpacked_up_to_a_limit(self):
        file, limits = io.BytesIO(SMALL), RowLimits(entry_bytes=999)
        (chunk,) = plan(file, FileFormat.ZIP, 10, limits=limits)

        (batch,) = read_chunk(file, FileFormat.ZIP, chunk, NAMED, PICTURES, 10, limits=limits)

        assert reasons_of([batch]) == {"a.png": "The entry has 1,000 bytes; at most 999 are read."}

    def test_entries_of_the_same_name_are_two_rows(self):
        with pytest.warns(UserWarning, match="Duplicate name"):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("a.png", b"one")
                archive.writestr("a.png", b"two")

        assert values_of(read(file.getvalue()), "image") == [b"one", b"two"]

    def test_a_directory_is_read_up_to_a_limit(self):
        names = {f"{number:05}" + "n" * 60_000: b"" for number in range(600)}

        with pytest.raises(RowFileTooLarge, match="directory"):
            list(plan(io.BytesIO(zipped(names)), FileFormat.ZIP, 10))


class TestPreview:
    def test_names_and_sizes_are_shown(self):
        shown = preview_file(zipped(THREE), ZIP, Contract(), [PICTURES], is_whole=True)

        assert [row.values for row in shown.rows] == [
            ("6 bytes", "a.png"), ("8 bytes", "b/c.jpg"), ("0 bytes", "d.gif"),
        ]  # fmt: skip
        assert [(column.name, column.use) for column in shown.columns] == [
            ("image", "input image"),
            ("name", "id"),
        ]
        assert (shown.problem, shown.inputs[0].columns) == ("", ("image",))

    def test_the_end_of_a_large_zip_is_enough(self):
        data = zipped({f"{number}.png": b"%d" % number * 5_000 for number in range(9)}, zipfile.ZIP_STORED)

        shown = preview_file(data[-1_000:], ZIP, Contract(), [PICTURES], is_whole=False)

        assert [row.values[1] for row in shown.rows] == [f"{number}.png" for number in range(5)]
        assert {row.problem for row in shown.rows} == {""}

    def test_an_entry_that_cannot_be_read_is_told_where_the_zip_is_small(self):
        shown = preview_file(a_link(), ZIP, Contract(), [PICTURES], is_whole=True)

        assert [bool(row.problem) for row in shown.rows] == [True, False]

    def test_a_directory_that_is_longer_than_the_part_that_was_sent(self):
        data = zipped({f"{number}.png": b"" for number in range(100)})

        with pytest.raises(NoPreview, match="too many entries"):
            preview_file(data[-1_000:], ZIP, Contract(), [PICTURES], is_whole=False)
