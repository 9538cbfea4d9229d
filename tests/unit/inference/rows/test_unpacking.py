import gzip
import io
import os
import zipfile

import numpy as np
import pytest

from inference.rows import FileFormat, FileKind, plain_file
from inference.rows.errors import BadFile, RowFileTooLarge
from inference.rows.files import RowLimits
from tests.unit.inference.rows.tools import CSV, NPZ, WIDE, read_all, values_of

PACKED = FileKind(FileFormat.CSV, True)
SMALL = RowLimits(bytes=10_000, ratio=20, ratio_floor=1_000)


@pytest.fixture
def unpack(tmp_path):
    def go(data, kind, limits=SMALL):
        source = tmp_path / "sent"
        (tmp_path / "scratch").mkdir(exist_ok=True)
        source.write_bytes(data)
        return plain_file(source, kind, tmp_path / "scratch" / "plain", limits=limits)

    yield go
    left = [path for path in (tmp_path / "scratch").glob("*") if path.name != "plain"]
    assert left == []


def test_plain_files_stay_where_they_are(unpack, tmp_path):
    assert unpack(b"x\n1\n", CSV) == tmp_path / "sent"


def test_gzip_is_unpacked_members_and_all(unpack):
    assert unpack(gzip.compress(b"x\n") + gzip.compress(b"1\n"), PACKED).read_bytes() == b"x\n1\n"


@pytest.mark.parametrize(
    ("plain", "limits"),
    [(b"0" * 9_999_000, RowLimits(bytes=2**30, ratio=20, ratio_floor=1_000)), (os.urandom(19_998), RowLimits(bytes=10_000))],
    ids=["too well", "too much"],
)  # fmt: skip
def test_bombs_are_refused_before_they_are_unpacked(unpack, tmp_path, plain, limits):
    with pytest.raises(RowFileTooLarge):
        unpack(gzip.compress(plain), PACKED, limits)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_small_files_may_pack_well(unpack):
    assert len(unpack(gzip.compress(b"0" * 999), PACKED).read_bytes()) == 999


@pytest.mark.parametrize(
    "data",
    [b"plain", gzip.compress(os.urandom(500))[:-9], gzip.compress(b"x") + b"junk", gzip.compress(b"x" * 900)[:20]],
    ids=["plain", "cut", "junk", "short"],
)  # fmt: skip
def test_what_is_no_gzip_is_told(unpack, data):
    with pytest.raises(BadFile, match="gzip"):
        unpack(data, PACKED)


def test_an_empty_file_is_taken_for_no_members(unpack):
    assert unpack(b"", PACKED).read_bytes() == b""


def packed_npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def test_packed_arrays_are_laid_out_plainly(unpack):
    table = np.arange(12, dtype=np.float32).reshape(4, 3)

    plain = unpack(packed_npz(features=table), NPZ)

    with plain.open("rb") as file:
        assert values_of(read_all(file, FileFormat.NPZ, signature=WIDE), "features") == table.tolist()


def test_packed_arrays_may_not_be_bombs(unpack):
    with pytest.raises(RowFileTooLarge):
        unpack(packed_npz(x=np.zeros(10**6)), NPZ)


def test_packed_arrays_that_are_damaged_are_told(unpack):
    data = bytearray(packed_npz(x=np.random.default_rng(1).random(100)))
    data[200] ^= 0xFF

    with pytest.raises(BadFile, match="NPZ"):
        unpack(bytes(data), NPZ)


def test_what_is_no_zip_is_told(unpack):
    with pytest.raises(BadFile, match="NPZ"):
        unpack(b"PK\x03\x04 no", NPZ)


def test_other_members_are_refused(unpack):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../evil.txt", "x")

    with pytest.raises(BadFile, match="something other than arrays"):
        unpack(out.getvalue(), NPZ)
