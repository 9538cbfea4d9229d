"""Where a request in words is worked on: short ones on the loop, long ones in a thread."""

import asyncio
import threading

import numpy as np
import pytest

from inference.engine.loop import complete
from inference.engine.requests import EngineAnswer
from inference.pipelines.entities import Entities
from inference.pipelines.text_classification import TextClassification
from inference.serving.pipelines import _LOOP_CHARACTERS, answer_items
from inference.tensors.signature import Signature, TensorSpec
from tests.support.text_models import FILES, NAMES, SENTIMENTS, TAGS, TONE

INPUTS = tuple(TensorSpec(name, "INT64", (None, None)) for name in ("input_ids", "attention_mask"))
OF_TEXTS = Signature(INPUTS, (TensorSpec("logits", "FP32", (None, len(SENTIMENTS))),))
OF_TOKENS = Signature(INPUTS, (TensorSpec("logits", "FP32", (None, None, len(TAGS))),))


class Notes:
    """Notes which threads a pipeline works in, and the rows of each run."""

    def __init__(self, pipeline, monkeypatch):
        self.pipeline, self.threads, self.runs = pipeline, {}, []
        for name in ("encode", "decode"):
            monkeypatch.setattr(pipeline, name, self._noting(name, getattr(pipeline, name)))

    def _noting(self, name, work):
        def noting(*arguments):
            self.threads[name] = threading.current_thread()
            return work(*arguments)

        return noting

    async def run(self, tensors, outputs):
        rows, width = tensors["input_ids"].shape
        self.runs.append((rows, width))
        shape = (
            (rows, len(SENTIMENTS))
            if isinstance(self.pipeline, TextClassification)
            else (rows, width, len(TAGS))
        )
        return EngineAnswer({"logits": np.zeros(shape, np.float32)}, rows, 0.0, 0.0, False)

    def answer(self, body, most_rows=64):
        return answer_items(self.pipeline, body, self.run, most_rows=most_rows)


@pytest.fixture
def tone(monkeypatch):
    return Notes(TextClassification(TONE, FILES, OF_TEXTS), monkeypatch)


@pytest.fixture
def names(monkeypatch):
    return Notes(Entities(NAMES, FILES, OF_TOKENS), monkeypatch)


SHORT, LONG = "good" * (_LOOP_CHARACTERS // 4), "good " * (_LOOP_CHARACTERS // 5 + 1)


@pytest.mark.parametrize("kind", ["tone", "names"])
@pytest.mark.parametrize(
    ("body", "is_on_loop"),
    [
        ({"text": SHORT}, True),
        ({"text": LONG}, False),
        ({"texts": ["good"] * 250}, True),
        ({"texts": [SHORT, "good"]}, False),
    ],
    ids=["short", "long", "many short", "long together"],
)
def test_long_texts_are_read_and_answered_in_a_thread(kind, body, is_on_loop, request):
    notes = request.getfixturevalue(kind)

    answers, _ = asyncio.run(notes.answer(body))

    assert len(answers) == len(body.get("texts", "1"))
    assert {thread is threading.current_thread() for thread in notes.threads.values()} == {is_on_loop}
    assert notes.threads.keys() == {"encode", "decode"}


def test_the_loop_goes_on_while_a_megabyte_is_read(names, monkeypatch):
    """The text is not read before the loop has done something else, whatever takes longer."""
    encode, has_gone_on = names.pipeline.encode, threading.Event()

    def encode_later(body):
        assert has_gone_on.wait(60)
        return encode(body)

    async def ask():
        monkeypatch.setattr(names.pipeline, "encode", encode_later)
        asyncio.get_running_loop().call_later(0.01, has_gone_on.set)
        return await names.answer({"text": f"ann lee met{' ' * 22}" * 30_000})

    assert asyncio.run(ask())[0][0].tokens_given == 90_000


def test_in_a_thread_everything_is_done_in_it(tone):
    complete(tone.answer({"text": LONG}))

    assert set(tone.threads.values()) == {threading.current_thread()}


def test_rows_of_one_width_share_runs_of_at_most_so_many(tone):
    answers, _ = asyncio.run(tone.answer({"texts": ["good"] * 5 + ["good " * 12] * 2}, most_rows=3))

    assert sorted(tone.runs) == [(2, 8), (2, 16), (3, 8)]
    assert [answer.tokens_used for answer in answers] == [1] * 5 + [12] * 2
