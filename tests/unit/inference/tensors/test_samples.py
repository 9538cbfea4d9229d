"""What a file is run on: the sizes and small values that are known, zeros for the rest, so many rows."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.tensors.prepare import prepare
from inference.tensors.samples import Sample, sample_inputs, takes_rows
from inference.tensors.signature import DTYPES, Signature, TensorSpec

SHAPES = st.lists(st.none() | st.integers(0, 3), max_size=4).map(tuple)


def taking(*inputs):
    return Signature(inputs=tuple(inputs), outputs=())


@given(shape=SHAPES, datatype=st.sampled_from(list(DTYPES)), rows=st.integers(1, 3))
def test_it_fits_its_own_signature(shape, datatype, rows):
    signature = taking(TensorSpec("x", datatype, shape))

    prepared = prepare(signature, sample_inputs(signature, rows=rows))

    if signature.has_row_axis:
        assert len(prepared["x"]) == rows


def test_every_input_has_its_own_sizes_and_an_optional_one_is_left_out():
    signature = taking(
        TensorSpec("image", "FP32", (None, 3, None, None)),
        TensorSpec("length", "INT64", (None,)),
        TensorSpec("own", "FP32", (None,), optional=True),
    )
    sample = Sample({"image": (1, 3, 32, 64), "length": (1,)}, {"length": [64]})

    inputs = sample_inputs(signature, sample, rows=2)

    assert {name: tensor.shape for name, tensor in inputs.items()} == {
        "image": (2, 3, 32, 64),
        "length": (2,),
    }
    assert inputs["length"].tolist() == [64, 64]


def test_a_model_that_ran_on_many_rows_only_is_given_just_those():
    signature = taking(TensorSpec("frames", "FP32", (None, 80)))
    sample = Sample({"frames": (32, 80)})

    assert not takes_rows(signature, sample)
    assert sample_inputs(signature, sample, rows=4)["frames"].shape == (32, 80)


def test_an_example_gives_its_first_row_and_keeps_small_values():
    signature = taking(TensorSpec("image", "FP32", (None, 3, None)), TensorSpec("rate", "INT64", (None,)))
    tensors = {"image": np.ones((4, 3, 2000), np.float32), "rate": np.array([16000, 1, 2, 3])}

    sample = Sample.of(signature, tensors)

    assert sample == Sample({"image": (1, 3, 2000), "rate": (1,)}, {"rate": [16000]})
    assert sample_inputs(signature, sample)["image"].any() == np.False_


def test_an_example_of_a_model_without_rows_is_taken_whole():
    signature = taking(TensorSpec("state", "FP32", (2, None)), TensorSpec("rate", "INT64", ()))

    sample = Sample.of(signature, {"state": np.zeros((2, 5), np.float32), "rate": np.array(16000)})

    assert sample.shapes == {"state": (2, 5), "rate": ()}
    assert sample_inputs(signature, sample)["rate"].tolist() == 16000


def test_it_survives_json():
    sample = Sample({"x": (1, 3), "rate": ()}, {"rate": 8, "text": [["a"]]})

    assert Sample.from_json(json.loads(json.dumps(sample.to_json()))) == sample
