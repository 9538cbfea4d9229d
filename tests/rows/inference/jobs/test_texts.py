"""Jobs of versions that answer texts: a column of words, or the tensors that somebody else made of them."""

import csv
import io
import json

import numpy as np
import pytest

from inference.jobs import files, selectors
from inference.jobs.models import Format, InputSource
from inference.jobs.running import predictor as running
from inference.jobs.running.work import HeldChunk
from inference.pipelines.text_classification import TextClassification
from inference.rows import RowBatch, RowError
from inference.serving import runtime
from registry.catalogue import artifacts
from tests.support.house import errors, order, results, work_off
from tests.support.text_models import FILES, SENTIMENTS, WORDS, put_names, put_tone

pytestmark = pytest.mark.django_db(transaction=True)
SKIP = {"on_row_error": "skip", "error_limit": 5}


@pytest.fixture(autouse=True)
def stopped():
    yield
    runtime.stop()


@pytest.fixture
def tone(transactional_db, tmp_path):
    version = put_tone(tmp_path)
    runtime.start()
    return version


@pytest.fixture
def names(transactional_db, tmp_path):
    version = put_names(tmp_path)
    runtime.start()
    return version


def from_file(version, data, input_format=Format.CSV, **more):
    ref, size, _ = files.save_input([data.encode() if isinstance(data, str) else data])
    return work_off(
        order(
            version,
            rows=None,
            source=InputSource.FILE,
            input_ref=ref,
            input_bytes=size,
            input_format=input_format,
            **more,
        )
    )


def cells(job):
    return list(csv.DictReader(io.StringIO(b"".join(selectors.results_of(job)).decode())))


def test_a_column_of_texts_gets_labels_and_scores(tone):
    job = from_file(tone, 'key,text\nk1,good\nk2,"bad, bad"\nk3,parcel\n', contract={"id": "key"})

    assert (job.status, job.failure, job.rows_done) == ("done", "", 3)
    found = {row["key"]: row for row in cells(job)}
    assert {key: row["label"] for key, row in found.items()} == {
        "k1": "positive", "k2": "negative", "k3": "neutral",
    }  # fmt: skip
    assert list(found["k1"]) == [
        "key", "label", "confidence", "scores.0", "scores.1", "scores.2", "tokens_given", "tokens_used",
    ]  # fmt: skip
    assert float(found["k1"]["confidence"]) == float(found["k1"][f"scores.{SENTIMENTS.index('positive')}"])
    assert (found["k2"]["tokens_given"], found["k2"]["tokens_used"]) == ("2", "2")


def test_long_texts_share_no_batch_and_reading_them_is_progress(tone, monkeypatch):
    """256 long texts take minutes; a worker that is silent for so long is replaced."""
    events = []

    def note(kind, name):
        work = getattr(kind, name)

        def noted(*arguments, **options):
            events.append(name)
            return work(*arguments, **options)

        monkeypatch.setattr(kind, name, noted)

    monkeypatch.setattr(running, "_BATCH_CHARACTERS", 10)
    note(HeldChunk, "note_progress")
    for step in ("encode", "decode", "tensors_of"):
        note(TextClassification, step)

    job = from_file(tone, "text\ngood\nbad\nparcel parcel parcel\ngood\n")

    assert [row["label"] for row in cells(job)] == ["positive", "negative", "neutral", "positive"]
    assert events.count("encode") == 3
    for at, event in enumerate(events):
        if event in {"encode", "decode"}:
            assert events[at - 1] == "note_progress"
        if event == "tensors_of":
            assert events[at + 1] == "note_progress"


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        ([], [[]]),
        (["a" * 3, "b" * 7, "c"], [[1, 2], [3]]),
        (["a" * 99, "b", "c" * 99], [[1], [2], [3]]),
        (["a", "b" * 99, "c" * 10], [[1], [2], [3]]),
    ],
    ids=["none", "full", "longer ones", "one between"],
)
def test_batches_are_cut_by_their_characters(texts, parts):
    numbers = list(range(1, len(texts) + 1))
    bad = (RowError(9, 9, "no text"),)
    batch = RowBatch({"text": np.array(texts, object)}, numbers, numbers, {}, bad)

    cut = list(running.batch_parts(batch, 10))

    assert [part.rows for part in cut] == parts
    assert [part.tensors["text"].tolist() for part in cut] == [[texts[n - 1] for n in part] for part in parts]
    assert [part.bad for part in cut] == [bad] + [()] * (len(parts) - 1)


def test_the_contract_may_name_the_column_of_texts(tone):
    contract = {"columns": {"text": "comment"}, "passthrough": ["text"]}

    job = from_file(tone, "comment,text\ngood,bad\n", contract=contract)

    assert [(row["text"], row["label"]) for row in cells(job)] == [("bad", "positive")]


def test_entities_are_a_list_in_jsonl_and_a_text_in_csv(names):
    rows = [{"text": "ann lee met ann@x.org in paris"}, {"text": "met"}]
    persons = [
        {"label": "PER", "text": "ann lee", "start": 0, "end": 7},
        {"label": "MAIL", "text": "ann@x.org", "start": 12, "end": 21},
        {"label": "LOC", "text": "paris", "start": 25, "end": 30},
    ]

    in_lines = results(work_off(order(names, rows=rows)))
    in_cells = cells(work_off(order(names, rows=rows, output_format=Format.CSV)))

    assert [[without_score(entity) for entity in row["entities"]] for row in in_lines] == [persons, []]
    assert [json.loads(row["entities"]) for row in in_cells] == [row["entities"] for row in in_lines]


def without_score(entity):
    assert 0.9 < entity["score"] <= 1
    return {name: value for name, value in entity.items() if name != "score"}


def test_inputs_of_the_model_itself_still_work(tone):
    good, bad = WORDS.index("good"), WORDS.index("bad")
    rows = [
        {"input_ids": [good, 0], "attention_mask": [1, 0]},
        {"input_ids": [bad, bad], "attention_mask": [1, 1]},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)

    of_rows, of_file = work_off(order(tone, rows=rows)), from_file(tone, lines, Format.JSONL)

    assert results(of_rows) == results(of_file) == [
        {"row": 1, "logits": [0.0, 0.0, 4.0]},
        {"row": 2, "logits": [8.0, 0.0, 0.0]},
    ]  # fmt: skip


def test_a_file_that_names_neither_is_told_what_is_missing(tone):
    job = from_file(tone, "comment\ngood\n")

    assert job.status == "failed"
    assert "the model's inputs are 'text', but no column has that name" in job.failure


def test_only_bad_texts_are_left_out(transactional_db, tmp_path):
    version = put_tone(tmp_path, long_texts="refuse", max_tokens=3)
    runtime.start()
    rows = [{"text": text} for text in ("good", "bad " * 4, 5, "bad", None, "parcel")]

    job = work_off(order(version, rows=rows, contract=SKIP))

    assert (job.status, job.rows_done, job.rows_bad) == ("done", 3, 3)
    assert {row["row"]: row["label"] for row in results(job)} == {1: "positive", 4: "negative", 6: "neutral"}
    reasons = {error["row"]: error["reason"] for error in errors(job)}
    assert reasons[2] == "The text has 4 tokens; the model reads at most 3."
    assert list(reasons) == [2, 3, 5]


def test_a_text_on_which_a_pattern_takes_too_long_is_left_out_alone(transactional_db, tmp_path, monkeypatch):
    monkeypatch.setattr("inference.pipelines.entities._PATTERN_LIMIT_S", 0.05)
    version = put_names(tmp_path, patterns=[{"SLOW": r"(a+)+b\1{20}c"}])
    runtime.start()
    rows = [{"text": "ann lee"}, {"text": "a" * 5_000}, {"text": "paris"}]

    job = work_off(order(version, rows=rows, contract=SKIP))

    assert [row["row"] for row in results(job)] == [1, 3]
    assert [error["row"] for error in errors(job)] == [2]
    assert "took longer than" in errors(job)[0]["reason"]


def test_texts_are_encoded_together_and_rows_of_one_width_share_runs(tone, monkeypatch):
    encoded, runs = [], []
    encode, infer = TextClassification.encode, runtime.started().infer

    def noted_encode(self, body):
        encoded.append(len(body["texts"]))
        return encode(self, body)

    async def noted_infer(target, request):
        runs.append(request.inputs["input_ids"].shape)
        return await infer(target, request)

    monkeypatch.setattr(TextClassification, "encode", noted_encode)
    monkeypatch.setattr(runtime.started(), "infer", noted_infer)
    texts = ["good " * (1 if row % 2 else 10) for row in range(300)]

    job = from_file(tone, "text\n" + "\n".join(texts))

    assert job.rows_done == 300
    assert encoded == [256, 44]
    assert sorted(runs) == [(22, 8), (22, 16), *[(64, 8)] * 2, *[(64, 16)] * 2]


def test_a_column_of_texts_in_arrays(tone):
    texts = np.array(["good", "bad"])
    file = io.BytesIO()
    np.savez(file, text=texts)

    job = from_file(tone, file.getvalue(), Format.NPZ)

    with np.load(io.BytesIO(b"".join(selectors.results_of(job)))) as made:
        assert made["label"].tolist() == ["positive", "negative"]
        assert made["scores"].shape == (2, len(SENTIMENTS))


def test_files_beside_the_model_that_are_gone_fail_the_job(tone):
    runtime.stop()
    artifacts.path_of(tone.task_files[next(iter(FILES))]).unlink()
    runtime.start()

    job = work_off(order(tone, rows=[{"text": "good"}]))

    assert job.status == "failed"
    assert "cannot be read" in job.failure
