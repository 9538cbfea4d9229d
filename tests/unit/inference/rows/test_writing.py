import csv
import gzip
import io
import json
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.rows import Contract, FileFormat, FileKind, ResultWriter, RowError, assemble, write_errors
from inference.rows.errors import UnevenResults, UnknownFormat
from inference.rows.result_parts import safe_cell
from inference.tensors.signature import Signature, TensorSpec
from tests.unit.inference.rows.tools import CSV, JSONL, NPZ, PARQUET, read_all

OUT = (
    TensorSpec("score", "FP32", (None,)),
    TensorSpec("probs", "FP32", (None, 2)),
    TensorSpec("top", "BYTES", (None,)),
)
SIGNATURE = Signature((TensorSpec("x", "FP32", (None,)),), OUT)
CONTRACT = Contract(columns={"x": "x"}, id="key", passthrough=("note",))
KINDS = [JSONL, CSV, FileKind(FileFormat.JSONL, True), FileKind(FileFormat.CSV, True), NPZ, PARQUET]
NOTES = ["plain", '"q", x\r\n', "é ", "", "=1+1"]


def answers(batch):
    x = batch.tensors["x"]
    return {"score": x, "probs": np.stack([x, -x], axis=1), "top": np.array([f"t{v:.0f}" for v in x], object)}


def written(folder, kind, rows, *, contract=CONTRACT, per_chunk=2):
    """One part per chunk of `rows`, and what they make together."""
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    batches = read_all(data, FileFormat.JSONL, contract, SIGNATURE, batch_rows=1)
    parts = []
    for chunk in range(0, len(rows), per_chunk):
        parts.append(folder / f"part-{chunk}")
        with ResultWriter(parts[-1], kind, contract, SIGNATURE) as writer:
            for batch in batches[chunk : chunk + per_chunk]:
                assert writer.write(batch, answers(batch), {"label": [f"l{key}" for key in batch.ids]}) == ()
    return parts


def joined(parts, kind):
    out = io.BytesIO()
    assemble([partial(path.open, "rb") for path in parts], out, kind)
    data = out.getvalue()
    return gzip.decompress(data) if kind.gzipped else data


def some_rows(count=5):
    return [{"x": place / 4, "key": f"k{place}", "note": NOTES[place % 5]} for place in range(count)]


def test_outputs_that_are_json_become_part_of_a_line_and_stay_text_elsewhere(tmp_path):
    found = Signature(SIGNATURE.inputs, (TensorSpec("found", "BYTES", (None,)),), frozenset({"found"}))
    (batch,) = read_all(b'{"x": 1, "key": "a", "note": ""}\n', FileFormat.JSONL, CONTRACT, found)
    written_as = {}
    for kind in (JSONL, CSV):
        with ResultWriter(tmp_path / str(kind), kind, CONTRACT, found) as writer:
            writer.write(batch, {"found": np.array(['[{"label":"PER"}]'], object)})
        written_as[kind] = (tmp_path / str(kind)).read_text()

    assert json.loads(written_as[JSONL])["found"] == [{"label": "PER"}]
    assert next(csv.DictReader(io.StringIO(written_as[CSV])))["found"] == '[{"label":"PER"}]'


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_parts_become_one_file_with_all_rows_in_order(tmp_path, kind):
    rows = some_rows()

    data = joined(written(tmp_path, kind, rows), kind)

    assert table_of(data, kind.format) == {
        "key": [row["key"] for row in rows],
        "note": [row["note"] for row in rows],
        "score": [row["x"] for row in rows],
        "probs": [[row["x"], -row["x"]] for row in rows],
        "top": [f"t{row['x']:.0f}" for row in rows],
        "label": [f"l{row['key']}" for row in rows],
    }


def table_of(data, format):
    if format is FileFormat.JSONL:
        rows = [json.loads(line) for line in data.splitlines()]
        return {name: [row[name] for row in rows] for name in rows[0]}
    if format is FileFormat.NPZ:
        return {name: array.tolist() for name, array in np.load(io.BytesIO(data)).items()}
    if format is FileFormat.PARQUET:
        return pq.read_table(io.BytesIO(data)).to_pydict()
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    return {
        "key": [row["key"] for row in rows],
        "note": [row["note"].removeprefix("'") for row in rows],
        "score": [float(row["score"]) for row in rows],
        "probs": [[float(row["probs.0"]), float(row["probs.1"])] for row in rows],
        "top": [row["top"] for row in rows],
        "label": [row["label"] for row in rows],
    }


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_parts_without_rows_are_left_out(tmp_path, kind):
    empty = tmp_path / "empty"
    with ResultWriter(empty, kind, CONTRACT, SIGNATURE):
        pass
    (part,) = written(tmp_path, kind, some_rows(2))

    assert joined([empty, part, empty], kind) == joined([part], kind)
    if kind.format in (FileFormat.JSONL, FileFormat.CSV):
        assert joined([empty], kind) == b""


def test_csv_header_may_hold_anything(tmp_path):
    contract = Contract(columns={"x": "x"}, id="key", passthrough=('a\r\n"b"',))
    rows = [{"x": 1, "key": place, 'a\r\n"b"': "v"} for place in range(4)]

    data = joined(written(tmp_path, CSV, rows, contract=contract), CSV)

    assert len(list(csv.reader(io.StringIO(data.decode(), newline="")))) == 5


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=5))
def test_csv_texts_come_back_as_they_were_but_for_formulas(tmp_path_factory, texts):
    rows = [{"x": 1, "key": place, "note": text} for place, text in enumerate(texts)]

    data = joined(written(tmp_path_factory.mktemp("texts"), CSV, rows, per_chunk=5), CSV)

    found = [row["note"] for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]
    assert [text.removeprefix("'") for text in found] == [text.removeprefix("'") for text in texts]
    assert not any(text.startswith(("=", "@", "\t", "\r")) for text in found)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"), ("-2+3", "'-2+3"), ("-5", "-5"), ("+1.5e-3", "+1.5e-3"), ("a=1", "a=1"), ("", ""),
        (None, ""), (-5, "-5"), (True, "true"), ([1, "a"], '[1,"a"]'), (1.5, "1.5"),
    ],
)  # fmt: skip
def test_cells_run_no_formula(value, cell):
    assert safe_cell(value) == cell


@pytest.mark.parametrize("kind", [JSONL, CSV], ids=str)
def test_answers_that_are_no_numbers_become_errors_in_text(tmp_path, kind):
    (batch,) = read_all(b"x,key\n1,a\n2,b\n3,c\n", FileFormat.CSV, Contract(id="key"))
    outputs = {"score": np.array([1, np.nan, 3], np.float32)}

    with ResultWriter(tmp_path / "part", kind, Contract(id="key"), SIGNATURE) as writer:
        errors = writer.write(batch, outputs)

    assert [(error.row, error.id) for error in errors] == [(2, "b")]
    assert "score" in errors[0].reason
    assert writer.rows == 2
    assert b"null" not in (tmp_path / "part").read_bytes()


@pytest.mark.parametrize("kind", [NPZ, PARQUET], ids=str)
def test_arrays_carry_answers_that_are_no_numbers(tmp_path, kind):
    (batch,) = read_all(b"x\n1\n2\n", FileFormat.CSV)

    with ResultWriter(tmp_path / "part", kind, Contract(), SIGNATURE) as writer:
        errors = writer.write(batch, {"score": np.array([1, np.inf], np.float32)})

    assert errors == ()
    table = table_of(joined([tmp_path / "part"], kind), kind.format)
    assert table == {"row": [1, 2], "score": [1, float("inf")]}


def test_an_output_without_rows_is_repeated_and_a_single_run_loses_its_axis(tmp_path):
    common = Signature((TensorSpec("x", "FP32", (None,)),), (TensorSpec("bias", "FP32", (2,)),))
    single = Signature(
        (TensorSpec("x", "FP32", (1,)),), (TensorSpec("y", "FP32", (1, 2)), TensorSpec("z", "FP32", (2,)))
    )
    (two,) = read_all(b"x\n1\n2\n", FileFormat.CSV, signature=common)
    (one,) = read_all(b"x\n1\n", FileFormat.CSV, signature=single)

    with ResultWriter(tmp_path / "a", JSONL, Contract(), common) as writer:
        writer.write(two, {"bias": np.array([5, 6], np.float32)})
    with ResultWriter(tmp_path / "b", JSONL, Contract(), single) as writer:
        writer.write(one, {"y": np.array([[1, 2]], np.float32), "z": np.array([3, 4], np.float32)})

    assert [json.loads(line)["bias"] for line in (tmp_path / "a").read_bytes().splitlines()] == [
        [5, 6],
        [5, 6],
    ]
    assert json.loads((tmp_path / "b").read_bytes()) == {"row": 1, "y": [1, 2], "z": [3, 4]}


def test_bytes_of_a_file_are_written_as_text(tmp_path):
    table = io.BytesIO()
    pq.write_table(pa.table({"x": [1.0], "raw": pa.array([b"caf\xc3\xa9\xff"], pa.binary())}), table)
    contract = Contract(columns={"x": "x"}, passthrough=("raw",))
    (batch,) = read_all(table.getvalue(), FileFormat.PARQUET, contract)

    with ResultWriter(tmp_path / "part", JSONL, contract, SIGNATURE) as writer:
        writer.write(batch, answers(batch))

    assert json.loads((tmp_path / "part").read_bytes())["raw"] == "caf\u00e9\ufffd"


def test_an_output_without_columns_leaves_none(tmp_path):
    signature = Signature(
        (TensorSpec("x", "FP32", (None,)),),
        (TensorSpec("y", "FP32", (None,)), TensorSpec("none", "FP32", (None, 0))),
    )
    (batch,) = read_all(b"x\n1\n2\n", FileFormat.CSV)

    with ResultWriter(tmp_path / "part", CSV, Contract(), signature) as writer:
        writer.write(batch, {"y": np.ones(2, np.float32), "none": np.zeros((2, 0), np.float32)})

    assert joined([tmp_path / "part"], CSV).split() == [b"row,y", b"1,1.0", b"2,1.0"]


def uneven(folder, kind):
    signature = Signature((TensorSpec("x", "FP32", (None,)),), (TensorSpec("y", "FP32", (None, None)),))
    parts = []
    for width in (2, 3):
        (batch,) = read_all(b"x\n1\n", FileFormat.CSV)
        parts.append(folder / str(width))
        with ResultWriter(parts[-1], kind, Contract(), signature) as writer:
            writer.write(batch, {"y": np.zeros((1, width), np.float32)})
    return parts


@pytest.mark.parametrize("kind", [CSV, FileKind(FileFormat.CSV, True), NPZ, PARQUET], ids=str)
def test_answers_of_unlike_length_are_no_table(tmp_path, kind):
    with pytest.raises(UnevenResults, match="JSONL"):
        joined(uneven(tmp_path, kind), kind)


def test_answers_of_unlike_length_are_fine_in_jsonl(tmp_path):
    assert joined(uneven(tmp_path, JSONL), JSONL).splitlines() == [
        b'{"row":1,"y":[0.0,0.0]}',
        b'{"row":1,"y":[0.0,0.0,0.0]}',
    ]


@pytest.mark.parametrize("kind", [NPZ, PARQUET], ids=str)
def test_ids_that_are_numbers_in_one_part_and_texts_in_another(tmp_path, kind):
    rows = [{"x": 1, "key": 1, "note": 1}, {"x": 1, "key": "a", "note": 2.5}]

    table = table_of(joined(written(tmp_path, kind, rows, per_chunk=1), kind), kind.format)

    assert table["key"] == ["1", "a"]
    assert table["note"] == [1, 2.5]


def test_a_text_that_would_blow_up_an_array_is_refused(tmp_path):
    rows = [{"x": 1, "key": place, "note": "n" * 200_000 if place == 0 else ""} for place in range(400)]

    with pytest.raises(UnevenResults, match="too long"):
        written(tmp_path, NPZ, rows, per_chunk=400)


@pytest.fixture
def batch():
    (one,) = read_all(b"x,key,note\n1,a,b\n", FileFormat.CSV, CONTRACT)
    return one


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_part_that_fails_leaves_nothing(tmp_path, kind, batch):
    class Stop(Exception): ...

    with pytest.raises(Stop), ResultWriter(tmp_path / "part", kind, CONTRACT, SIGNATURE) as writer:
        writer.write(batch, answers(batch))
        raise Stop
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_cannot_be_finished_leaves_nothing(tmp_path, batch):
    with pytest.raises(UnevenResults), ResultWriter(tmp_path / "part", NPZ, CONTRACT, SIGNATURE) as writer:
        writer.write(batch, {"y": np.zeros((1, 2))})
        writer.write(batch, {"y": np.zeros((1, 3))})
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_not_packed_once_more(tmp_path):
    with pytest.raises(UnknownFormat):
        ResultWriter(tmp_path / "part", FileKind(FileFormat.NPZ, True), CONTRACT, SIGNATURE)


def test_errors_are_lines(tmp_path):
    write_errors(tmp_path / "errors", [RowError(3, "a", "no number"), RowError(4, None, "é")])

    lines = [json.loads(line) for line in (tmp_path / "errors").read_bytes().splitlines()]
    assert lines == [{"row": 3, "id": "a", "reason": "no number"}, {"row": 4, "id": None, "reason": "é"}]


def test_fp32_is_written_as_short_as_it_can_be(tmp_path):
    (batch,) = read_all(b"x\n0.1\n", FileFormat.CSV)

    for kind in (CSV, JSONL):
        with ResultWriter(tmp_path / kind.format, kind, Contract(), SIGNATURE) as writer:
            writer.write(batch, {"score": batch.tensors["x"]})

    assert (tmp_path / "csv").read_bytes() == b"row,score\r\n1,0.1\r\n"
    assert (tmp_path / "jsonl").read_bytes() == b'{"row":1,"score":0.1}\n'
