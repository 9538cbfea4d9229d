"""Which inputs rows are for: the items of a task, or a model's own tensors."""

import pytest

from inference.rows import Contract
from inference.rows.layout import FileColumns, choose_signature
from inference.tensors.signature import Signature, TensorSpec

OUT = (TensorSpec("y", "FP32", (None,)),)
ITEMS = Signature((TensorSpec("text", "BYTES", (None,)),), OUT)
OWN = Signature((TensorSpec("ids", "INT64", (None, None)), TensorSpec("mask", "INT64", (None, None))), OUT)


@pytest.mark.parametrize(
    ("columns", "have", "chosen"),
    [
        ({}, ["text"], ITEMS),
        ({}, ["ids", "mask"], OWN),
        ({}, ["ids", "text"], ITEMS),
        ({}, ["features"], ITEMS),
        ({}, [], ITEMS),
        ({"text": "ids"}, ["ids", "mask"], ITEMS),
        ({"ids": ("a", "b")}, ["a", "b", "mask"], OWN),
        ({"ids": "text"}, ["text", "mask"], OWN),
        ({"words": "text"}, ["text"], ITEMS),
    ],
    ids=["text", "own", "both", "features", "nothing", "mapped", "own mapped", "own from text", "unknown"],
)
def test_which_inputs_rows_are_for(columns, have, chosen):
    assert choose_signature(Contract(columns=columns), [ITEMS, OWN], FileColumns(tuple(have))) is chosen
