import numpy as np
import pytest

from inference.engine.backends import SessionOptions
from inference.engine.errors import RunFailed, RunTimedOut
from inference.engine.fake import FakeModel, FakeSession
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.probe_inputs import (
    MAX_EXTREME_RUNS,
    SIZES,
    extreme_values,
    find_sample,
    try_extreme_integers,
)
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec
from tests.support.onnx_models import sum_and_difference


class Picky:
    """A session that runs on the shapes, or values, that a test says."""

    def __init__(self, *inputs, runs, axis_names=None, texts=()):
        self.signature = Signature(inputs=tuple(inputs), outputs=())
        self.axis_names = axis_names or {}
        self.left_out, self.texts = (), texts
        self.tried = []
        self._runs = runs

    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        self.tried.append({name: tensor.shape for name, tensor in inputs.items()})
        if not self._runs(**inputs):
            raise RunFailed(f"not on {self.tried[-1]}")
        return {}


IMAGE = TensorSpec("image", "FP32", (None, 3, None, None))
TOKENS = TensorSpec("tokens", "INT64", (None, None))


def test_what_runs_on_the_smallest_sizes_is_run_once():
    session = Picky(IMAGE, runs=lambda image: True)

    found = find_sample(session)

    assert (found.sample, found.source) == (Sample({"image": (1, 3, 1, 1)}), "made up")
    assert session.tried == [{"image": (1, 3, 1, 1)}]


def test_sizes_that_are_alike_come_first():
    session = Picky(IMAGE, runs=lambda image: image.shape[2] % 32 == 0 == image.shape[3] % 32)

    assert find_sample(session).sample.shapes == {"image": (1, 3, 32, 32)}
    assert [shapes["image"][2:] for shapes in session.tried] == [(1, 1), (2, 2), (8, 8), (32, 32)]


def test_axes_are_tried_each_for_itself():
    session = Picky(
        TensorSpec("sound", "FP32", (None, None)),
        TensorSpec("state", "FP32", (2, None, 128)),
        runs=lambda sound, state: sound.shape[1] >= 200 and state.shape[1] == 1,
    )

    assert find_sample(session).sample.shapes == {"sound": (1, 224), "state": (2, 1, 128)}


def test_axes_of_one_name_have_one_size():
    session = Picky(
        TOKENS,
        TensorSpec("mask", "INT64", (None, None)),
        axis_names={"tokens": ("batch", "length"), "mask": ("batch", "length")},
        runs=lambda tokens, mask: tokens.shape == mask.shape and tokens.shape[1] >= 8,
    )

    find_sample(session)

    assert all(shapes["tokens"] == shapes["mask"] for shapes in session.tried)


def test_inputs_of_whole_numbers_may_want_ones():
    session = Picky(TOKENS, runs=lambda tokens: tokens.all())

    assert find_sample(session).sample == Sample({"tokens": (1, 1)}, {"tokens": [[1]]})


def test_texts_that_the_file_knows_are_tried_in_each_input():
    city, colour = TensorSpec("city", "BYTES", (None, 1)), TensorSpec("colour", "BYTES", (None, 1))
    known = lambda city, colour: (city[0, 0], colour[0, 0]) == ("Graz", "red")  # noqa: E731
    session = Picky(city, colour, runs=known, texts=("red", "Graz"))

    assert find_sample(session).sample.values == {"city": [["Graz"]], "colour": [["red"]]}


def test_a_model_that_needs_many_rows_gets_them_last():
    session = Picky(TensorSpec("frames", "FP32", (None, 80)), runs=lambda frames: len(frames) >= 8)

    assert find_sample(session).sample.shapes == {"frames": (8, 80)}


class TestGiven:
    def test_shapes_are_run_as_one_row(self):
        session = Picky(IMAGE, runs=lambda image: image.shape[2:] == (300, 500))

        found = find_sample(session, shapes={"image": [4, 3, 300, 500]})

        assert (found.sample.shapes, found.source) == ({"image": (1, 3, 300, 500)}, "given shapes")

    def test_as_many_rows_as_were_given_where_one_does_not_run(self):
        session = Picky(IMAGE, runs=lambda image: len(image) == 4)

        found = find_sample(session, shapes={"image": [4, 3, 8, 8]})

        assert found.sample.shapes == {"image": (4, 3, 8, 8)}

    def test_what_was_given_is_kept_where_axes_of_one_name_were_given_two_sizes(self):
        session = Picky(
            TOKENS,
            TensorSpec("mask", "INT64", (None, None)),
            axis_names={"tokens": ("batch", "length"), "mask": ("batch", "length")},
            runs=lambda tokens, mask: True,
        )

        found = find_sample(session, shapes={"tokens": [1, 16], "mask": [1, 8]})

        assert found.sample.shapes == {"tokens": (1, 16), "mask": (1, 8)}

    def test_an_input_that_shares_an_axis_with_a_given_one_has_its_size(self):
        session = Picky(
            TOKENS,
            TensorSpec("mask", "INT64", (None, None)),
            axis_names={"tokens": ("batch", "length"), "mask": ("batch", "length")},
            runs=lambda tokens, mask: True,
        )

        assert find_sample(session, shapes={"tokens": [1, 16]}).sample.shapes["mask"] == (1, 16)

    def test_only_the_other_axes_are_searched(self):
        session = Picky(
            IMAGE, TOKENS, runs=lambda image, tokens: image.shape[2] == 50 and tokens.shape[1] == 64
        )

        found = find_sample(session, shapes={"image": [1, 3, 50, 50]})

        assert found.sample.shapes == {"image": (1, 3, 50, 50), "tokens": (1, 64)}

    @pytest.mark.parametrize(
        ("shapes", "text"),
        [
            ({"picture": [1]}, "for 'picture', which is not an input of the file; it accepts 'image'"),
            ({"image": [1, 3, 8]}, "1 x 3 x 8 does not fit 'image': the file accepts any x 3 x any x any"),
            ({"image": [1, 4, 8, 8]}, "1 x 4 x 8 x 8 does not fit"),
        ],
        ids=["name", "rank", "size"],
    )
    def test_a_shape_that_cannot_be_is_refused_without_a_run(self, shapes, text):
        session = Picky(IMAGE, runs=lambda image: True)

        with pytest.raises(RunFailed, match=text):
            find_sample(session, shapes=shapes)

        assert session.tried == []

    def test_a_shape_that_does_not_run_is_refused_with_its_run(self):
        session = Picky(IMAGE, runs=lambda image: False)

        with pytest.raises(
            RunFailed, match=r"on the given sizes; give sizes .+ With 'image' of 1 x 3 x 8 x 8: not on"
        ):
            find_sample(session, shapes={"image": [1, 3, 8, 8]})

    def test_examples_come_before_everything(self):
        session = Picky(TOKENS, runs=lambda tokens: tokens.tolist() == [[5, 6]])

        found = find_sample(
            session, examples=[{"tokens": np.array([[1, 1]])}, {"tokens": np.array([[5, 6]])}]
        )

        assert (found.sample.values, found.source, found.tries) == ({"tokens": [[5, 6]]}, "examples", 2)


class TestRefused:
    def test_with_the_smallest_run_and_what_to_give(self):
        session = Picky(IMAGE, runs=lambda image: False)

        with pytest.raises(RunFailed) as refused:
            find_sample(session)

        assert str(refused.value).startswith("The file does not run on any of ")
        assert "With 'image' of 1 x 3 x 1 x 1: not on" in str(refused.value)
        assert "; give sizes that it accepts, such as image=1,3,320,320, or an example. With" in str(
            refused.value
        )

    def test_a_model_without_free_axes_is_tried_as_it_is(self):
        session = Picky(TensorSpec("x", "FP32", (1, 4)), runs=lambda x: False)

        with pytest.raises(RunFailed) as refused:
            find_sample(session)

        assert len(session.tried) == 1
        assert "give the sizes" not in str(refused.value)

    def test_when_the_time_is_over(self):
        """Each run takes a second; the first does not count."""
        now = iter(range(1000))
        session = Picky(IMAGE, runs=lambda image: False)

        with pytest.raises(RunFailed):
            find_sample(session, time_limit_s=4, clock=lambda: next(now))

        assert 1 < len(session.tried) <= 5

    def test_a_first_run_that_is_ended_is_no_wrong_size(self):
        def late(image):
            raise RunTimedOut

        with pytest.raises(RunTimedOut):
            find_sample(Picky(IMAGE, runs=late))

    def test_sizes_that_no_memory_holds_are_left_out(self):
        session = Picky(TensorSpec("x", "FP32", (None,) * 5), runs=lambda x: False)

        with pytest.raises(RunFailed):
            find_sample(session)

        assert all(np.prod(shapes["x"]) <= 1 << 26 for shapes in session.tried)
        assert max(max(shapes["x"]) for shapes in session.tried) == max(SIZES)


LEAST, MOST = -(2**63), 2**63 - 1


def taking(*datatypes, **more):
    return Signature(
        tuple(TensorSpec(f"x{place}", kind, (None,), **more) for place, kind in enumerate(datatypes)), ()
    )


def test_one_input_takes_each_extreme_once():
    tried = [list(values.values()) for values in extreme_values(taking("INT64"))]

    assert tried == [[-1], [0], [LEAST], [MOST]]


def test_unsigned_ones_have_no_minus_one():
    assert [list(values.values()) for values in extreme_values(taking("UINT8"))] == [[0], [255]]


def test_few_inputs_are_combined_after_equal_values():
    tried = [tuple(values.values()) for values in extreme_values(taking("INT64", "INT64"))]

    assert tried[:4] == [(-1, -1), (0, 0), (LEAST, LEAST), (MOST, MOST)]
    assert (len(tried), len(set(tried))) == (16, 16)
    assert (LEAST, -1) in tried


def test_many_inputs_are_tried_one_by_one():
    tried = list(extreme_values(taking(*["INT32"] * 5)))

    assert len(tried) == 4 + 5 * 4
    assert {"x3": -(2**31)} in tried


@pytest.mark.parametrize(
    "signature", [taking("FP32"), taking("BYTES", "BOOL"), taking("INT64", optional=True)]
)
def test_other_inputs_stay_as_they_are(signature):
    assert list(extreme_values(signature)) == []


@pytest.fixture
def session():
    signature = Signature(
        (TensorSpec("x", "FP32", (None, 2)), TensorSpec("n", "INT64", (1,))),
        (TensorSpec("y", "FP32", (None, 2)),),
    )
    made = FakeSession(FakeModel(signature=signature))
    made.given = []
    real = made.run

    def run(inputs, outputs=None, *, soft_limit_s=None):
        made.given.append((inputs["x"].tolist(), inputs["n"].tolist(), soft_limit_s))
        return real(inputs, outputs, soft_limit_s=soft_limit_s)

    made.run = run
    return made


def test_what_is_run_is_told_before_and_the_rest_is_as_in_the_sample(session):
    told = []

    assert try_extreme_integers(session, EMPTY_SAMPLE, report=told.append, clock=lambda: 0.0) == 4

    assert told[:2] == ["'n' = -1", "'n' = 0"]
    assert session.given[0] == ([[0.0, 0.0]], [-1], 3.0)


def test_refusals_and_a_lack_of_memory_count_for_nothing(session):
    errors = iter([RunFailed(), MemoryError(), RunFailed(), MemoryError()])

    def fail(rows):
        raise next(errors)

    session.model.on_run = fail

    assert try_extreme_integers(session, EMPTY_SAMPLE, report=lambda _: None) == 4


def test_it_ends_in_time_and_after_so_many_runs(session):
    now = [0.0]

    def spend(rows):
        now[0] += 2.0

    session.model.on_run = spend
    assert try_extreme_integers(session, EMPTY_SAMPLE, report=lambda _: None, clock=lambda: now[0]) == 2

    many = FakeSession(FakeModel(signature=taking(*["INT8"] * 40)))
    assert (
        try_extreme_integers(many, EMPTY_SAMPLE, report=lambda _: None, clock=lambda: 0.0) == MAX_EXTREME_RUNS
    )


def test_a_real_file_of_decimals_is_run_on_nothing_more(tmp_path):
    session = OnnxBackend().load(sum_and_difference(tmp_path / "m.onnx"), SessionOptions())

    assert try_extreme_integers(session, EMPTY_SAMPLE, report=lambda _: None) == 0
    assert np.isfinite(
        session.run({"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2), np.float32)})["sum"]
    ).all()
