"""Jobs of versions that answer users, candidates and rows of columns, in every format of rows."""

import csv
import io
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from inference.jobs import files, selectors
from inference.jobs.models import Format, InputSource
from inference.pipelines.recommendation import Recommendation
from inference.serving import runtime
from tests.support.house import errors, order, results, work_off
from tests.support.user_models import MISSING, put_bills, put_foods, put_offers, put_people

pytestmark = pytest.mark.django_db(transaction=True)
SKIP = {"on_row_error": "skip", "error_limit": 2_000}
WITH_MISSING = {"missing": "nan"}
OFFERS = [{"topic": "art", "price": 3}, {"topic": "art", "price": 1}]
PUT = {"foods": put_foods, "offers": put_offers, "people": put_people, "bills": put_bills}
USERS = [{"user": "ann", "exclude": ["jam"]}, {"user": "5", "exclude": []}]
OF_USERS = [("egg", 3.0, False), ("tea", 5.0, False)]
CANDIDATES = [
    {"user": {"likes": "art"}, "candidates": OFFERS},
    {"user": {"likes": "sport"}, "candidates": OFFERS[:1]},
]
PEOPLE = [{"age": 25.0, "city": "Lugano"}, {"age": None, "city": None}]
OF_PEOPLE = [("no", 0.625), ("yes", 0.75)]


@pytest.fixture
def put(transactional_db, tmp_path):
    def put(name, **config):
        version = PUT[name](tmp_path, **config)
        runtime.start()
        return version

    yield put
    runtime.stop()


def from_file(version, data, input_format, **more):
    ref, size, _ = files.save_input([data])
    source = {"source": InputSource.FILE, "input_ref": ref, "input_bytes": size, "input_format": input_format}
    return work_off(order(version, rows=None, **source, **more))


def in_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def in_cells(rows):
    """Lists and objects are JSON; nothing is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: json.dumps(value) if isinstance(value, (list, dict)) else value
                for name, value in row.items()
            }
        )
    return text.getvalue().encode()


def in_parquet(rows):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


WRITERS = {Format.JSONL: in_lines, Format.CSV: in_cells, Format.PARQUET: in_parquet}
each_format = pytest.mark.parametrize("kind", WRITERS, ids=str)


def read(job):
    """The rows of the results, with lists as lists, whatever their format is."""
    data = b"".join(selectors.results_of(job))
    if job.output_format == Format.JSONL:
        return [json.loads(line) for line in data.splitlines()]
    if job.output_format == Format.CSV:
        rows = list(csv.DictReader(io.StringIO(data.decode())))
    else:
        rows = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    lists = ("items", "scores", "indices", "fallback")
    return [
        {
            name: json.loads(value.lower() if name == "fallback" else value)
            if name in lists and isinstance(value, str)
            else value
            for name, value in row.items()
        }
        for row in rows
    ]


@each_format
def test_users_get_items(put, kind):
    job = from_file(put("foods", top_k=1), WRITERS[kind](USERS), kind)

    assert (job.status, job.failure) == ("done", "")
    found = [(row["items"], row["scores"], row["fallback"]) for row in read(job)]
    assert found == [([item], [score], fallback) for item, score, fallback in OF_USERS]


@each_format
def test_candidates_are_ranked(put, kind):
    job = from_file(put("offers"), WRITERS[kind](CANDIDATES), kind)

    assert (job.status, job.failure) == ("done", "")
    assert [row["indices"] for row in read(job)] == [[1, 0], [0]]


@each_format
def test_rows_may_lack_what_has_a_default(put, kind):
    job = from_file(put("people", **MISSING), WRITERS[kind](PEOPLE), kind, contract=WITH_MISSING)

    assert (job.status, job.failure) == ("done", "")
    assert [(row["label"], float(row["confidence"])) for row in read(job)] == OF_PEOPLE


@each_format
def test_without_the_contracts_permission_a_missing_number_makes_the_row_bad(put, kind):
    """Negative control of the test above."""
    job = from_file(put("people", **MISSING), WRITERS[kind](PEOPLE), kind, contract=SKIP)

    assert (job.status, job.rows_done, job.rows_bad) == ("done", 1, 1)
    assert [error["row"] for error in errors(job)] == [2]


def test_without_a_default_a_missing_value_makes_the_row_bad(put):
    job = work_off(order(put("people"), rows=PEOPLE, contract={**WITH_MISSING, **SKIP}))

    assert (job.rows_done, job.rows_bad) == (1, 1)


def test_json_rows_may_leave_columns_out(put):
    rows = [{"food": 1, "drinks": 2}, {"food": 1, "drinks": 2, "tip": 3}, {"food": 1}]

    job = work_off(order(put("bills"), rows=rows, contract={**WITH_MISSING, **SKIP}))

    assert [row["value"] for row in results(job)] == [3.5, 6.0]
    assert [(error["row"], error["reason"]) for error in errors(job)] == [(3, "The row has no 'drinks'.")]


def test_a_file_may_lack_the_column_of_a_default(put):
    job = from_file(put("bills"), b"id,food,drinks\na,1,2\nb,3,4\n", Format.CSV, contract={"id": "id"})

    assert [(row["id"], float(row["value"])) for row in read(job)] == [("a", 3.5), ("b", 7.5)]


def test_a_column_with_a_default_is_read_if_it_is_there(put):
    """Also where it first comes after the rows that show which columns there are."""
    rows = [{"food": 1, "drinks": 2}] * 150 + [{"food": 1, "drinks": 2, "tip": 3}]

    job = from_file(put("bills"), in_lines(rows), Format.JSONL, contract=WITH_MISSING)

    assert [row["value"] for row in results(job)] == [3.5] * 150 + [6.0]


def test_a_list_of_items_that_some_users_do_not_get(put):
    rows = [{"user": "ann"}, {"user": "ann", "exclude": ["jam"]}, {"user": "ann", "exclude": None}]

    job = work_off(order(put("foods", top_k=1), rows=rows))

    assert [row["items"] for row in results(job)] == [["jam"], ["egg"], ["jam"]]


def test_the_contract_may_name_other_columns(put):
    contract = {"columns": {"user": "customer", "exclude": "bought"}, "id": "customer"}
    data = b'customer,bought\nann,"[""jam""]"\nben,\n'

    job = from_file(put("foods", top_k=1), data, Format.CSV, contract=contract)

    assert [(row["customer"], row["items"]) for row in read(job)] == [("ann", ["egg"]), ("ben", ["fig"])]


def test_arrays(put):
    file = io.BytesIO()
    np.savez(file, user=np.array(["ann", "5"]), exclude=np.array(['["jam"]', ""]))

    job = from_file(put("foods", top_k=1), file.getvalue(), Format.NPZ)

    with np.load(io.BytesIO(b"".join(selectors.results_of(job)))) as made:
        assert made["items"].tolist() == ['["egg"]', '["tea"]']
        assert made["fallback"].tolist() == [False, False]


def test_only_unknown_users_are_left_out(put, monkeypatch):
    encoded = []
    encode = Recommendation.encode

    def noted(self, body):
        encoded.append(len(body["users"]))
        return encode(self, body)

    monkeypatch.setattr(Recommendation, "encode", noted)
    rows = [{"user": "ann" if row % 100 else "zoe"} for row in range(256)]

    job = work_off(order(put("foods"), rows=rows, contract=SKIP))

    assert (job.status, job.rows_done, job.rows_bad) == ("done", 253, 3)
    assert [(error["row"], error["reason"]) for error in errors(job)] == [
        (row, "This version knows no user 'zoe'.") for row in (1, 101, 201)
    ]
    assert len(encoded) == 6  # each unknown one is named, and those around it are answered together


def test_by_default_an_unknown_user_fails_the_job_and_with_a_fallback_it_is_answered(put):
    rows = [{"user": "ann"}, {"user": "zoe"}]

    failed = work_off(order(put("foods"), rows=rows))
    answered = work_off(order(_friendly(put), rows=rows))

    assert failed.status == "failed"
    assert "no user 'zoe'" in failed.failure
    assert [row["fallback"] for row in results(answered)] == [False, True]


def _friendly(put):
    runtime.stop()
    return put("foods", slug="friendly", fallback_user="ben")


def test_a_batch_of_nothing_but_bad_rows(put):
    """As many as a batch may have: each is taken out of what is left."""
    version = put("bills", defaults={})
    rows = [{"food": None, "drinks": 1, "tip": 1}] * 1_024 + [{"food": 1, "drinks": 1, "tip": 1}]

    job = work_off(order(version, rows=rows, contract={**SKIP, **WITH_MISSING}))

    assert (job.status, job.failure, job.rows_done, job.rows_bad) == ("done", "", 1, 1_024)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"user": {"likes": "art"}, "candidates": []}, "at least one candidate"),
        ({"user": {"likes": "art"}, "candidates": "art"}, "must be JSON"),
        ({"user": {"likes": "art"}, "candidates": [{"topic": "art"}]}, "no 'price'"),
        ({"user": "art", "candidates": OFFERS}, "must be JSON"),
        ({"user": {"likes": "art"}}, "The row has no 'candidates'"),
    ],
    ids=["none", "no JSON", "no price", "no features", "no list"],
)
def test_a_bad_row_says_why_and_the_others_are_answered(put, row, reason):
    job = work_off(order(put("offers"), rows=[CANDIDATES[0], row, CANDIDATES[1]], contract=SKIP))

    assert [row["row"] for row in results(job)] == [1, 3]
    assert [error["row"] for error in errors(job)] == [2]
    assert reason in errors(job)[0]["reason"]


def test_tensors_of_the_model_itself_still_work(put):
    file = io.BytesIO()
    np.savez(file, features=np.array([[1, 2, 3]], np.float32))

    job = from_file(put("bills"), file.getvalue(), Format.NPZ)

    with np.load(io.BytesIO(b"".join(selectors.results_of(job)))) as made:
        assert made["sum"].tolist() == [[6.0]]
