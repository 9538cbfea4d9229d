"""Requests in words, from the REST door to a version's pipeline and back."""

import pytest
from django.db import OperationalError
from django.test import Client

from inference.engine.errors import LoadFailed
from inference.serving import pipelines, runtime
from inference.serving.off_loop import off_loop
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from tests.support.factories import a_key
from tests.support.live_models import put_example

LOVELY, AWFUL = "The food was wonderful and the staff were kind.", "Terrible service, I want my money back."
ADA = "Ada Lovelace met Charles Babbage in London."


@pytest.fixture
def ask(transactional_db):
    """Ask a live Model; both examples of texts are live."""
    put_example("tone")
    put_example("names")
    runtime.start()
    _, key = a_key("predict")

    def ask(model, body, **query):
        address = f"/api/v1/models/{model}/predict"
        headers = {"Authorization": f"Bearer {key}"}
        return Client().post(
            address, body, content_type="application/json", headers=headers, query_params=query
        )

    yield ask
    runtime.stop()


def test_a_text_gets_labels(ask):
    answer = ask("tone", {"text": LOVELY}).json()

    assert (answer["label"], answer["confidence"]) == ("positive", answer["labels"][0]["score"])
    assert [one["label"] for one in answer["labels"]] != sorted(one["label"] for one in answer["labels"])
    assert sum(one["score"] for one in answer["labels"]) == pytest.approx(1)
    assert answer["tokens_given"] == answer["tokens_used"] > 5
    assert (answer["model"], answer["version"], answer["arm"]) == ("tone", 1, "a")


def test_texts_get_an_answer_each_in_their_order(ask):
    texts = [LOVELY, AWFUL * 20, AWFUL, "The parcel arrived on Tuesday."]

    together = ask("tone", {"texts": texts, "top_k": 1}).json()["answers"]

    assert [answer["label"] for answer in together] == ["positive", "negative", "negative", "neutral"]
    for text, answer in zip(texts, together, strict=True):
        alone = ask("tone", {"text": text, "top_k": 1}).json()
        assert alone["confidence"] == pytest.approx(answer["confidence"], abs=1e-5)
        assert len(answer["labels"]) == 1


@pytest.mark.parametrize("unit", ["codepoint", "utf16", "byte"])
def test_a_text_gets_entities_that_slice_it(ask, unit):
    text = f"😀 {ADA}"
    cut = {
        "codepoint": lambda start, end: text[start:end],
        "utf16": lambda start, end: text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le"),
        "byte": lambda start, end: text.encode()[start:end].decode(),
    }[unit]

    answer = ask("names", {"text": text, "offset_unit": unit}).json()

    assert answer["offset_unit"] == unit
    found = [(one["label"], one["text"]) for one in answer["entities"]]
    assert found == [("PER", "Ada Lovelace"), ("PER", "Charles Babbage"), ("LOC", "London")]
    assert [cut(one["start"], one["end"]) for one in answer["entities"]] == [text for _, text in found]


def test_the_answers_hash_is_the_configurations(ask):
    first, again, other = (
        ask(model, {"text": text}).json()["preprocessing"]
        for model, text in (("tone", LOVELY), ("tone", AWFUL), ("names", ADA))
    )

    assert first == again != other
    assert len(first) == 16


def test_a_cut_text_is_told(ask):
    answer = ask("tone", {"text": "good " * 1_000}).json()

    assert (answer["tokens_given"], answer["tokens_used"]) == (1_002, 256)


def test_items_may_be_sent_as_tensors_and_rows(ask):
    tensors = ask("tone", {"inputs": {"text": [LOVELY, AWFUL]}}).json()["outputs"]
    rows = ask("tone", {"instances": [LOVELY, AWFUL]}).json()["predictions"]

    assert tensors["label"] == ["positive", "negative"] == [row["label"] for row in rows]
    assert [row["confidence"] for row in rows] == tensors["confidence"]


def test_the_models_own_tensors_may_be_sent(ask):
    ids = [[5, 6, 7]]

    answer = ask("tone", {"inputs": {"input_ids": ids, "attention_mask": [[1, 1, 1]]}})

    assert list(answer.json()["outputs"]) == ["logits"]


@pytest.mark.parametrize(
    ("model", "body", "code", "pointer"),
    [
        ("tone", {"text": 5}, "invalid_text", "#/text"),
        ("tone", {"texts": []}, "invalid_item", "#/texts"),
        ("tone", {"text": "a", "texts": ["a"]}, "not_a_prediction", None),
        ("tone", {"text": "a", "offset_unit": "byte"}, "invalid_item", "#/offset_unit"),
        ("tone", {"text": "a", "topk": 1}, "unknown_field", "#/topk"),
        ("tone", {"text": "a", "top_k": 0}, "invalid_item", "#/top_k"),
        ("names", {"text": "a", "offset_unit": "pixels"}, "invalid_item", "#/offset_unit"),
        ("names", {"features": [1]}, "unfit_form", None),
    ],
    ids=["no text", "none", "both", "of another task", "misspelt", "top 0", "unit", "features"],
)
def test_bad_requests_say_where(ask, model, body, code, pointer):
    problem = ask(model, body)

    assert (problem.status_code, problem.json()["code"]) == (422, code)
    if pointer is not None:
        assert [error["pointer"] for error in problem.json()["errors"]] == [pointer]


def test_texts_for_a_model_of_tensors(ask):
    """The version says what it takes instead."""
    put_example("ripeness")
    runtime.started().refresh()
    problem = ask("ripeness", {"text": "red"}).json()

    assert problem["code"] == "invalid_item"
    assert "takes tensors" in problem["detail"]


def test_a_dry_run_shows_the_models_inputs(ask):
    checked = ask("tone", {"text": LOVELY}, dry_run="1").json()

    assert checked["valid"] is True
    assert set(checked["inputs"]) == {"input_ids", "attention_mask"}


def test_only_long_texts_are_read_in_a_thread(ask, monkeypatch):
    """The loop must not wait for them."""
    sent_away = []

    async def noted(work):
        sent_away.append(work)
        return await off_loop(work)

    monkeypatch.setattr(pipelines, "off_loop", noted)

    ask("tone", {"text": LOVELY})
    assert sent_away == []
    ask("tone", {"text": LOVELY * 100})
    assert len(sent_away) == 3  # encode, prepare and decode


def test_a_pipeline_is_built_once(ask, monkeypatch):
    built = []
    build = pipelines.pipeline_of
    monkeypatch.setattr(
        pipelines,
        "pipeline_of",
        lambda version, signature: built.append(version) or build(version, signature),
    )

    for _ in range(3):
        ask("tone", {"text": LOVELY})

    assert built == []  # it was, when the process started


@pytest.fixture
def builds(monkeypatch):
    """Attempts to build a pipeline; set `error` to make them fail."""

    class Builds:
        attempts, error = 0, None

    build = pipelines.pipeline_of

    def noted(version, signature):
        Builds.attempts += 1
        if Builds.error is not None:
            raise Builds.error
        return build(version, signature)

    monkeypatch.setattr(pipelines, "pipeline_of", noted)
    return Builds


@pytest.fixture
def tone(transactional_db):
    version = put_example("tone")
    return version.pk, Signature.from_json(version.signature)


class TestBuilding:
    @pytest.mark.parametrize("error", [ValueError("a vocabulary of none"), MemoryError(), OSError("/secret")])
    def test_a_failure_is_remembered_for_a_while(self, tone, builds, error, monkeypatch):
        built, builds.error = pipelines.Pipelines(), error

        for _ in range(3):
            with pytest.raises(LoadFailed, match=r"The task of .* cannot be read") as failed:
                built.get(*tone)
        assert builds.attempts == 1
        assert "secret" not in str(failed.value)
        assert built.failure(tone[0]) == str(failed.value)

        builds.error = None
        monkeypatch.setattr(pipelines.time, "monotonic", lambda now=pipelines.time.monotonic: now() + 11)
        assert built.get(*tone) is built.known(tone[0])
        assert built.failure(tone[0]) is None

    def test_a_database_that_is_away_says_nothing_about_the_version(self, tone, builds):
        built, builds.error = pipelines.Pipelines(), OperationalError()
        with pytest.raises(OperationalError):
            built.get(*tone)

        builds.error = None
        assert built.get(*tone) is built.known(tone[0])

    def test_a_version_that_no_longer_exists(self, tone):
        with pytest.raises(LoadFailed):
            pipelines.Pipelines().get(tone[0] + 1, tone[1])

    def test_what_is_not_needed_is_forgotten(self, tone):
        built = pipelines.Pipelines()
        built.get(*tone)

        built.keep_only(lambda version_id: version_id == tone[0])
        assert built.known(tone[0]) is not None
        built.keep_only(lambda version_id: False)
        assert built.known(tone[0]) is None


def test_a_version_whose_task_cannot_be_read_answers_with_the_reason_and_keeps_no_other_from_starting(
    transactional_db,
):
    put_example("names")
    tone = put_example("tone")
    Version.objects.filter(pk=tone.pk).update(task_files={})
    runtime.start()
    _, key = a_key("predict")
    headers = {"Authorization": f"Bearer {key}"}

    broken, fine = (
        Client().post(
            f"/api/v1/models/{model}/predict", {"text": ADA}, content_type="application/json", headers=headers
        )
        for model in ("tone", "names")
    )
    runtime.stop()

    assert (broken.status_code, broken.json()["code"]) == (503, "load_failed")
    assert "vocab.txt" in broken.json()["detail"]
    assert fine.status_code == 200


def test_all_runs_of_a_request_have_one_deadline(ask, monkeypatch):
    deadlines = []
    infer = runtime.Runtime.infer

    def noted(self, target, request):
        deadlines.append(request.deadline)
        return infer(self, target, request)

    monkeypatch.setattr(runtime.Runtime, "infer", noted)

    assert ask("tone", {"texts": [LOVELY, LOVELY * 3, LOVELY * 9]}).status_code == 200
    assert len(deadlines) == 3
    assert len(set(deadlines)) == 1
