"""Where a request in words is worked on: short ones on the loop, long ones in a thread."""

import asyncio
import threading
import time

import numpy as np
import pytest

from inference.engine.errors import DeadlineExceeded, Overloaded
from inference.engine.loop import complete
from inference.engine.requests import EngineAnswer
from inference.pipelines.entities import Entities
from inference.pipelines.object_detection import ObjectDetection
from inference.pipelines.recommendation import Recommendation
from inference.pipelines.text_classification import TextClassification
from inference.serving import off_loop, pipelines
from inference.serving.item_urls import NO_END, RequestEnd
from inference.serving.pipelines import (
    _GROUPS_AT_ONCE,
    _LOOP_CHARACTERS,
    _LOOP_ITEMS,
    ItemRequest,
    ItemTensorRequest,
    answer_items,
)
from inference.tensors.signature import Signature, TensorSpec
from tests.support.picture_models import a_picture, in_base64
from tests.support.text_models import FILES, NAMES, SENTIMENTS, TAGS, TONE

INPUTS = tuple(TensorSpec(name, "INT64", (None, None)) for name in ("input_ids", "attention_mask"))
OF_TEXTS = Signature(INPUTS, (TensorSpec("logits", "FP32", (None, len(SENTIMENTS))),))
OF_TOKENS = Signature(INPUTS, (TensorSpec("logits", "FP32", (None, None, len(TAGS))),))


class Notes:
    """Notes which threads a pipeline works in, and the rows of each run."""

    def __init__(self, pipeline, monkeypatch):
        self.pipeline, self.threads, self.runs, self.held = pipeline, {}, [], []
        for name in ("encode", "prepare", "decode", "tensors_of"):
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

    def answer(self, body, most_rows=64, end=NO_END):
        return answer_items(
            self.pipeline, body, self.run, most_rows=most_rows, hold=self.held.append, end=end
        )


@pytest.fixture
def tone(monkeypatch):
    return Notes(TextClassification(TONE, FILES, OF_TEXTS), monkeypatch)


@pytest.fixture
def names(monkeypatch):
    pipeline = Entities({**NAMES, "patterns": []}, FILES, OF_TOKENS)
    assert not pipeline.is_slow_to_decode
    return Notes(pipeline, monkeypatch)


SHORT, LONG = "good" * (_LOOP_CHARACTERS // 4), "good " * (_LOOP_CHARACTERS // 5 + 1)


@pytest.mark.parametrize("kind", ["tone", "names"])
@pytest.mark.parametrize(
    ("body", "is_on_loop"),
    [
        ({"text": SHORT}, True),
        ({"text": LONG}, False),
        ({"texts": ["good"] * _LOOP_ITEMS}, True),
        ({"texts": ["good"] * (_LOOP_ITEMS + 1)}, False),
        ({"texts": [SHORT, "good"]}, False),
    ],
    ids=["short", "long", "a few short", "many short", "long together"],
)
def test_long_and_many_texts_are_read_and_answered_in_a_thread(kind, body, is_on_loop, request):
    notes = request.getfixturevalue(kind)

    answered = asyncio.run(notes.answer(body))

    assert len(answered.answers) == len(body.get("texts", "1"))
    assert {thread is threading.current_thread() for thread in notes.threads.values()} == {is_on_loop}
    assert notes.threads.keys() == {"encode", "prepare", "decode"}


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_nothing_is_read_once_the_request_has_ended(tone, text):
    with pytest.raises(DeadlineExceeded):
        asyncio.run(tone.answer({"text": text}, end=RequestEnd(time.monotonic())))

    assert tone.threads == {}


def _on_loop(notes, body):
    """The steps that are done on the loop, if callers send tensors."""

    async def ask():
        items = {"text": np.array([body["text"]], object)}
        asked = ItemTensorRequest(
            notes.pipeline, notes.pipeline.items, items, None, notes.held.append, NO_END
        )
        return await asked.answer(notes.run, lambda: 64)

    asyncio.run(ask())
    return {name for name, thread in notes.threads.items() if thread is threading.current_thread()}


def test_many_numbers_are_read_in_a_thread(names, monkeypatch):
    """However short the texts are: one may have a thousand labels."""
    assert _on_loop(names, {"text": "good"}) == {"encode", "prepare", "decode", "tensors_of"}
    monkeypatch.setattr(pipelines, "_LOOP_ELEMENTS", 8 * len(TAGS) - 1)
    assert _on_loop(names, {"text": "good"}) == {"encode", "prepare"}


def test_what_is_slow_to_read_is_read_in_a_thread(tone, monkeypatch):
    monkeypatch.setattr(tone.pipeline, "is_slow_to_decode", True)

    assert _on_loop(tone, {"text": "good"}) == {"encode", "prepare"}


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

    assert asyncio.run(ask()).answers[0].tokens_given == 90_000


def test_in_a_thread_everything_is_done_in_it(tone):
    complete(tone.answer({"text": LONG}))

    assert set(tone.threads.values()) == {threading.current_thread()}


def test_rows_of_one_width_share_runs_of_at_most_so_many(tone):
    answered = asyncio.run(tone.answer({"texts": ["good"] * 5 + ["good " * 12] * 2}, most_rows=3))

    assert sorted(tone.runs) == [(2, 8), (2, 16), (3, 8)]
    assert [answer.tokens_used for answer in answered.answers] == [1] * 5 + [12] * 2


class TestRunsOfOneRequest:
    """A long text is hundreds of rows. All at once would fill the version's queue."""

    @pytest.fixture
    def runs(self, tone):
        """`run` for requests; notes how many are in flight."""

        class Runs:
            now = most = begun = ended = 0
            fails_at = None

            async def run(self, tensors, outputs):
                self.begun += 1
                mine, self.now = self.begun, self.now + 1
                self.most = max(self.most, self.now)
                try:
                    if self.fails_at is not None:
                        await self._fail_once_all_have_begun(mine)
                    await asyncio.sleep(0.001)
                    self.ended += 1
                    return await tone.run(tensors, outputs)
                finally:
                    self.now -= 1

            async def _fail_once_all_have_begun(self, mine):
                if mine == _GROUPS_AT_ONCE:
                    self.all_have_begun.set()
                await self.all_have_begun.wait()
                if mine == self.fails_at:
                    raise Overloaded
                await asyncio.Event().wait()  # until it is cancelled

        return Runs()

    def test_only_a_few_are_in_flight_at_a_time(self, tone, runs):
        body = {"texts": ["good"] * 50}

        answered = asyncio.run(
            answer_items(tone.pipeline, body, runs.run, most_rows=1, hold=tone.held.append)
        )

        assert (runs.begun, runs.most, len(answered.answers)) == (50, _GROUPS_AT_ONCE, 50)

    def test_after_an_error_none_is_left_running_and_none_begins(self, tone, runs):
        runs.fails_at = 2

        async def ask():
            runs.all_have_begun = asyncio.Event()
            with pytest.raises(Overloaded):
                await answer_items(
                    tone.pipeline, {"texts": ["good"] * 50}, runs.run, most_rows=1, hold=tone.held.append
                )
            left = runs.now
            await asyncio.sleep(0.02)
            return left

        assert asyncio.run(ask()) == 0
        assert (runs.begun, runs.ended) == (_GROUPS_AT_ONCE, 0)

    def test_a_caller_who_leaves_ends_them_all(self, tone, runs):
        async def ask():
            asked = asyncio.ensure_future(
                answer_items(
                    tone.pipeline, {"texts": ["good"] * 50}, runs.run, most_rows=1, hold=tone.held.append
                )
            )
            while not runs.now:
                await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            return runs.now

        assert asyncio.run(ask()) == 0


class TestPicturesOfADetector:
    """With outputs of a usual size: 8,400 boxes with 80 labels, 2.8 MB for each picture."""

    SIGNATURE = Signature(
        (TensorSpec("images", "FP32", (None, 3, 640, 640)),), (TensorSpec("out", "FP32", (None, 84, 8400)),)
    )
    CONFIG = {"labels": [f"label {number}" for number in range(80)], "box_layout": "yolov8"}

    @pytest.fixture
    def detector(self):
        return ObjectDetection(self.CONFIG, {}, self.SIGNATURE)

    @pytest.fixture
    def asked(self, detector):
        """Asks about so many pictures; notes what is held, and how many inputs there are at the same time."""
        pictures = [in_base64(a_picture(size=(8, 8)))] * 64

        def ask(count):
            held, inside, most = [], [], []

            async def run(tensors, outputs):
                inside.append(tensors["images"].nbytes)
                most.append(sum(inside))
                await asyncio.sleep(0)
                inside.remove(tensors["images"].nbytes)
                rows = len(tensors["images"])
                return EngineAnswer({"out": np.zeros((rows, 84, 8400), np.float32)}, rows, 0.0, 0.0, False)

            body = {"images": pictures[:count]}
            asked = ItemRequest(detector, body, held.append, NO_END)
            answered = asyncio.run(asked.answer(run, lambda: 8))
            return answered, held, max(most)

        return ask

    def test_what_is_written_is_the_answer_and_not_the_outputs(self, asked):
        answered, held, _ = asked(4)

        assert [len(answer.objects) for answer in answered.answers] == [0] * 4
        assert answered.answers_bytes < 1_000
        assert held[-1] >= 4 * 84 * 8400 * 4

    def test_many_pictures_fit_into_the_usual_memory(self, asked, detector):
        answered, held, most = asked(detector.most_items)

        assert len(answered.answers) == detector.most_items >= 40
        assert max(held) < 320 << 20
        assert most <= 64 << 20

    def test_inputs_are_counted_before_they_are_made(self, asked):
        _, held, most = asked(12)

        assert held[0] >= 12 * 640 * 640 * 3 + most


def test_only_so_many_pictures_are_decoded_at_a_time_also_in_other_threads():
    inside, most, lock, full = [], [], threading.Lock(), threading.Event()

    def decode():
        with lock:
            inside.append(1)
            most.append(len(inside))
            if len(inside) == off_loop._DECODED_AT_ONCE:
                full.set()
        assert full.wait(60)
        with lock:
            inside.pop()

    threads = [
        threading.Thread(target=lambda: complete(off_loop.decoding_off_loop(decode)))
        for _ in range(3 * off_loop._DECODED_AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert max(most) == off_loop._DECODED_AT_ONCE


def test_scores_of_all_items_are_counted_before_they_are_made():
    items = 1_000_000
    files = {"users.txt": b"ann", "items.txt": b"\n".join(b"%d" % item for item in range(items))}
    scores = (TensorSpec("scores", "FP32", (None, items)),)
    recommender = Recommendation({}, files, Signature((TensorSpec("user", "INT64", (None,)),), scores))
    held, runs = [], []

    async def run(tensors, outputs):
        runs.append(len(tensors["user"]))
        assert sum(held) >= 4 * items * (30 + 1)
        outputs = {"scores": np.zeros((runs[-1], items), np.float32)}
        return EngineAnswer(outputs, runs[-1], 0.0, 0.0, False)

    answered = asyncio.run(
        answer_items(recommender, {"users": ["ann"] * 30}, run, most_rows=64, hold=held.append)
    )

    assert len(answered.answers) == 30
    assert max(runs) * 4 * items <= 64 << 20  # as much as a run may have
    assert sum(held) < 160 << 20  # and not twice
