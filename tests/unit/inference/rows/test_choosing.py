"""Which inputs rows are for: the items of a task, or a model's own tensors."""

import pytest

from inference.rows import Contract
from inference.rows.layout import FileColumns, choose_signature
from inference.tensors.signature import Signature, TensorSpec

OUT = (TensorSpec("y", "FP32", (None,)),)
ITEMS = Signature((TensorSpec("text", "BYTES", (None,)),), OUT)
OWN = Signature((TensorSpec("ids", "INT64", (None, None)), TensorSpec("mask", "INT64", (None, None))), OUT)


FILES = Signature((TensorSpec("image", "BYTES", (None,)),), OUT)
URLS = Signature((TensorSpec("image_url", "BYTES", (None,)),), OUT)
PIXELS = Signature((TensorSpec("image", "UINT8", (None, None, None, 3)),), OUT)


@pytest.mark.parametrize(
    ("columns", "have", "lists", "chosen"),
    [
        ({}, ["image"], [], FILES),
        ({}, ["image"], ["image"], PIXELS),
        ({}, ["image_url"], [], URLS),
        ({}, ["image", "image_url"], [], FILES),
        ({"image_url": "link"}, ["link", "image"], ["image"], URLS),
        ({"image": "table"}, ["table"], ["table"], PIXELS),
        ({"image_url": "list"}, ["list"], ["list"], URLS),
        ({}, ["path"], [], FILES),
    ],
    ids=["files", "pixels", "URLs", "both", "URLs mapped", "pixels mapped", "lists of URLs", "none"],
)
def test_which_form_of_a_picture_rows_have(columns, have, lists, chosen):
    found = FileColumns(tuple(have), lists=frozenset(lists))

    assert choose_signature(Contract(columns=columns), [FILES, URLS, PIXELS, OWN], found) is chosen


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
