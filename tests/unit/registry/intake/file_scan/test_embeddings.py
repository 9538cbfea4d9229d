"""Embeddings from numpy become a model; hostile archives become a refusal."""

import io
import tracemalloc
import zipfile
from contextlib import ExitStack

import numpy as np
import onnxruntime
import pytest

from registry.intake.file_scan import embeddings
from registry.intake.file_scan.declarations import read_declaration
from registry.intake.file_scan.embeddings import are_embeddings, model_of_embeddings
from registry.intake.file_scan.errors import ArchiveRefused, FileRefused, TooMuch
from registry.intake.file_scan.limits import ScanLimits
from registry.intake.file_scan.scan import scan_file
from registry.intake.file_scan.sent_files import open_file

RNG = np.random.default_rng(5)
USERS = RNG.standard_normal((7, 4), dtype=np.float32)
ITEMS = RNG.standard_normal((5, 4), dtype=np.float32)


def packed(*, save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def zipped(**files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in files.items():
            target.writestr(f"{name}.npy", content)
    return file.getvalue()


def saved(values, **kwargs):
    file = io.BytesIO()
    np.save(file, values, **kwargs)
    return file.getvalue()


@pytest.fixture
def made(tmp_path):
    """Makes a model of an archive's bytes: its path, and the lines of the files beside it."""
    with ExitStack() as stack:

        def make(content, *, is_outline=False, **limits):
            sent = tmp_path / "embeddings.npz"
            sent.write_bytes(content)
            file = stack.enter_context(open_file(sent, "embeddings.npz"))
            if not are_embeddings(file):
                raise ArchiveRefused("These are no embeddings.")
            out = stack.enter_context(
                model_of_embeddings(file, tmp_path, ScanLimits(**limits), is_outline=is_outline)
            )
            model = tmp_path / "model.onnx"
            model.write_bytes(b"".join(out.unpacked.model.read(0, out.unpacked.model.size)))
            lines = {
                each.name: b"".join(each.read(0, each.size)).decode().splitlines()
                for each in out.unpacked.others
            }
            return model, lines, out.change

        yield make


def declaration(model):
    with open_file(model, model.name) as file:
        return read_declaration(file)


def scores(model, users):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"user": np.array(users, np.int64)})[0]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_model_multiplies_users_with_items(made, save):
    model, lines, change = made(
        packed(
            save=save, users=USERS, items=ITEMS, user_ids=list("abcdefg"), item_ids=["ä", "β", "字", "d", "e"]
        )
    )

    np.testing.assert_allclose(scores(model, [6, 0]), USERS[[6, 0]] @ ITEMS.T, rtol=1e-5)
    assert lines == {"users.txt": list("abcdefg"), "items.txt": ["ä", "β", "字", "d", "e"]}
    assert change == "'embeddings.npz' became a model that scores 5 items for 7 users, with 4 numbers each."


def test_the_model_passes_the_scan(made):
    model, _, _ = made(packed(users=USERS, items=ITEMS))

    scan_file(model)


@pytest.mark.parametrize("kind", ["<f8", ">f4", ">f8"])
def test_numbers_of_other_types(made, kind):
    model, _, _ = made(packed(users=USERS.astype(kind), items=ITEMS.astype(kind)))

    np.testing.assert_allclose(scores(model, [3]), USERS[[3]] @ ITEMS.T, rtol=1e-5)


@pytest.mark.parametrize("kind", ["<i8", ">i4", "u1", "<u8", ">U3", "S3"])
def test_ids_of_any_type(made, kind):
    _, lines, _ = made(packed(users=USERS, items=ITEMS, item_ids=np.array([11, 7, 5, 3, 2]).astype(kind)))

    assert lines == {"users.txt": list("0123456"), "items.txt": ["11", "7", "5", "3", "2"]}


def test_many_rows_are_read_in_pieces(made):
    items = np.arange(40_000 * 2, dtype=np.float32).reshape(-1, 2)

    model, lines, _ = made(packed(users=np.ones((1, 2), np.float32), items=items))

    assert scores(model, [0])[0].tolist() == items.sum(axis=1).tolist()
    assert lines["items.txt"] == [str(number) for number in range(40_000)]


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_pieces_are_small_however_wide_rows_are(tmp_path, kind):
    """Other threads run between pieces only."""
    sent = tmp_path / "embeddings.npz"
    np.savez(sent, users=np.ones((100, 65_536), kind), items=np.ones((1, 65_536), kind))
    with open_file(sent, sent.name) as file:
        tracemalloc.start()
        try:
            with model_of_embeddings(file, tmp_path) as made:
                peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert made.unpacked.model.size > 25 << 20
    assert peak < 10 << 20


def test_numbers_that_are_nearly_infinite(made):
    largest = np.finfo("f4").max
    users = np.array([[largest, -largest, 1, 0]], np.float32)

    model, _, _ = made(packed(users=users, items=np.eye(4, dtype=np.float32)))

    assert scores(model, [0]).tolist() == users.tolist()


def test_an_outline_declares_what_the_model_would(made):
    content = packed(
        users=USERS, items=NAN, item_ids=[11, 11, 7, 3, 2]
    )  # faults that only reading would find
    whole, _, _ = made(packed(users=USERS, items=ITEMS, item_ids=[5, 4, 3, 2, 1]))
    declared = declaration(whole)

    model, lines, _ = made(content, is_outline=True)

    assert declaration(model) == declared
    assert declared.metadata == {"item_ids": "numbers"}
    assert lines == {"users.txt": [], "items.txt": []}
    with pytest.raises(ArchiveRefused, match="NaN"):
        made(content)
    with pytest.raises(ArchiveRefused, match="one id for each"):
        made(packed(users=USERS, items=ITEMS, item_ids=[1]), is_outline=True)


def test_ids_are_compared_and_not_only_their_hashes(made, monkeypatch):
    monkeypatch.setattr(embeddings, "hash", len, raising=False)  # of ids with one length it is the same

    _, lines, _ = made(packed(users=USERS, items=ITEMS, item_ids=["aa", "b", "ab", "c", "ba"]))

    assert lines["items.txt"] == ["aa", "b", "ab", "c", "ba"]
    with pytest.raises(ArchiveRefused, match="'ab' twice, in rows 2 and 4"):
        made(packed(users=USERS, items=ITEMS, item_ids=["aa", "b", "ab", "c", "ab"]))


def test_ids_of_200_bytes(made):
    longest = "ä" * 100

    assert made(packed(users=USERS, items=ITEMS, item_ids=[*"abcd", longest]))[1]["items.txt"][4] == longest


def test_too_many_bytes_of_ids_are_refused_by_the_name_of_their_array(made, monkeypatch):
    ids = [f"{number}" * 20 for number in range(7)]
    monkeypatch.setattr(embeddings, "MAX_ID_FILE_BYTES", 7 * 21)
    made(packed(users=USERS, items=ITEMS, user_ids=ids))
    monkeypatch.setattr(embeddings, "MAX_ID_FILE_BYTES", 7 * 21 - 1)

    with pytest.raises(ArchiveRefused, match="'user_ids' has more than"):
        made(packed(users=USERS, items=ITEMS, user_ids=ids))


class Trap:
    """What unpickling would run."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


NAN = ITEMS.copy()
NAN[2, 1] = np.nan
SAVED = {"users": saved(USERS), "items": saved(ITEMS)}
REFUSED = {
    "pickle": (zipped(**SAVED | {"users": saved(np.array([[Trap()]], object))}), "Python objects"),
    "widths": (packed(users=USERS, items=ITEMS[:, :3]), "has 4 numbers a row, and `items` has 3"),
    "NaN": (packed(users=USERS, items=NAN), "Row 2 of 'items' has NaN"),
    "too large": (packed(users=USERS.astype("f8") * 1e300, items=ITEMS), "too large for float32"),
    "float16": (packed(users=USERS.astype("f2"), items=ITEMS), "float32 or float64"),
    "integers": (packed(users=USERS.astype("i4"), items=ITEMS), "float32 or float64"),
    "by columns": (packed(users=np.asfortranarray(USERS), items=ITEMS), "stored by columns"),
    "no rows": (packed(users=USERS[:0], items=ITEMS), "'users' has no rows;"),
    "no numbers": (packed(users=USERS[:, :0], items=ITEMS[:, :0]), "'users' has no numbers;"),
    "one axis": (packed(users=USERS[0], items=ITEMS), "table"),
    "too few ids": (packed(users=USERS, items=ITEMS, item_ids=[1, 2]), "one id for each of the 5 rows"),
    "ids of objects": (
        zipped(**SAVED, item_ids=saved(np.array([Trap()] * 5, object))), "Python objects",
    ),
    "decimal ids": (packed(users=USERS, items=ITEMS, item_ids=np.ones(5)), "whole numbers, or texts"),
    "long ids": (packed(users=USERS, items=ITEMS, item_ids=["x" * 201] * 5), "at most 200 characters"),
    "ids of many bytes": (
        packed(users=USERS, items=ITEMS, user_ids=[*"abcdef", "ä" * 100 + "x"]), "Row 6 of 'user_ids' has 201 bytes",
    ),
    "empty ids": (packed(users=USERS, items=ITEMS, item_ids=[*"abc", "", "e"]), "Row 3 of 'item_ids' is empty"),
    "ids twice": (
        packed(users=USERS, items=ITEMS, user_ids=[*"abcdef", "b"]), "'user_ids' has the id 'b' twice, in rows 1 and 6",
    ),
    "numbers twice": (
        packed(users=USERS, items=ITEMS, item_ids=[7, -1, -2, 4, 7]), "'item_ids' has the id '7' twice, in rows 0 and 4",
    ),
    "large numbers": (
        packed(users=USERS, items=ITEMS, item_ids=np.array([1, 2, 3, 4, 2**63], "u8")), "'item_ids' has numbers above",
    ),
    "line breaks": (packed(users=USERS, items=ITEMS, item_ids=[*"abcd", "e\nf"]), "Row 4 .* line break"),
    "NUL": (packed(users=USERS, items=ITEMS, item_ids=[*"abcd", "e\0f"]), "Row 4 .* control character"),
    "spaces": (packed(users=USERS, items=ITEMS, item_ids=["a", "b c", "d ", "e", "f"]), "Row 2 .* ends with a space"),
    "no Unicode": (
        packed(users=USERS, items=ITEMS, item_ids=np.array([b"a", b"b", b"\xff", b"d", b"e"])), "Row 2 .* not Unicode",
    ),
    "other arrays": (packed(users=USERS, items=ITEMS, more=ITEMS), "'more'"),
    "cut off": (zipped(**SAVED | {"items": saved(ITEMS)[:-4]}), "ends too early"),
    "too long": (zipped(**SAVED | {"items": saved(ITEMS) + b"\0"}), "longer than its header"),
    "no header": (zipped(**SAVED | {"items": b"hello"}), "not an array"),
    "wild header": (
        zipped(**SAVED | {"items": b"\x93NUMPY\x01\x00" + (6000).to_bytes(2, "little") + b"(" * 6000}), "damaged",
    ),
    "negative shape": (
        zipped(**SAVED | {"items": saved(ITEMS).replace(b"(5, 4)", b"(-5,4)")}), "damaged",
    ),
    "huge shape": (
        zipped(**SAVED | {"items": saved(np.zeros((10_000, 4), "f4")).replace(b"(10000, 4)", b"(99999999,4)")[:200]}),
        "at most",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(made, name):
    content, why = REFUSED[name]

    with pytest.raises(ArchiveRefused, match=why):
        made(content)


def test_a_model_above_the_limit_is_refused_before_it_is_written(made):
    content = zipped(users=saved(USERS)[:-4], items=saved(ITEMS))  # whoever reads the first numbers notices

    with pytest.raises(TooMuch):
        made(content, max_file_bytes=70_000 - 4_400)
    with pytest.raises(ArchiveRefused, match="ends too early"):
        made(content)


def test_any_damage_is_refused_or_harmless(made):
    content = packed(users=USERS, items=ITEMS, item_ids=[5, 4, 3, 2, 1])
    model, lines, _ = made(content)
    whole, answers = declaration(model), scores(model, range(7)).tolist()
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(300):
        broken = bytearray(content)
        for at in rng.integers(0, len(broken), 3):
            broken[at] = rng.integers(0, 256)
        try:
            model, found, _ = made(bytes(broken))
        except FileRefused:
            refused += 1
            continue
        scan_file(model)
        assert (declaration(model), found, scores(model, range(7)).tolist()) == (whole, lines, answers)
    assert 100 < refused < 300
