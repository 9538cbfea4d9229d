"""Finding something on which a file runs: examples, shapes that were given, sizes that models often have."""

import numpy as np
import pytest

from inference.engine.errors import RunFailed, RunTimedOut
from inference.engine.sample_search import SIZES, find_sample
from inference.engine.samples import Sample
from inference.tensors.signature import Signature, TensorSpec


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
            ({"picture": [1]}, "for 'picture', which is no input of the file; it takes 'image'"),
            ({"image": [1, 3, 8]}, "1 x 3 x 8 is given for 'image', and the file takes any x 3 x any x any"),
            ({"image": [1, 4, 8, 8]}, "1 x 4 x 8 x 8 is given"),
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
            RunFailed, match=r"on the sizes that were given; say .+ With 'image' of 1 x 3 x 8 x 8: not on"
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

        assert str(refused.value).startswith("It does not run on any of ")
        assert "With 'image' of 1 x 3 x 1 x 1: not on" in str(refused.value)
        assert "; say which sizes it takes, as in image=1,3,320,320, or give it an example. With" in str(
            refused.value
        )

    def test_a_model_without_free_axes_is_tried_as_it_is(self):
        session = Picky(TensorSpec("x", "FP32", (1, 4)), runs=lambda x: False)

        with pytest.raises(RunFailed) as refused:
            find_sample(session)

        assert len(session.tried) == 1
        assert "say which sizes" not in str(refused.value)

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
