"""Which inputs rows are for: the items of a task, or a model's own tensors."""

from dataclasses import replace

import pytest

from inference.rows import Contract
from inference.rows.errors import BadContract
from inference.rows.layout import FileColumns, choose_signature, lay_out
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


def test_values_that_become_json_may_be_lists():
    """A model whose own input has the name of an item's: lists beside it do not make the rows the model's own."""
    of_users = Signature(
        (TensorSpec("user", "BYTES", (None,)), TensorSpec("exclude", "BYTES", (None,), optional=True)),
        OUT,
        json_inputs=frozenset({"user", "exclude"}),
        may_lack=frozenset({"exclude"}),
    )
    own = Signature((TensorSpec("user", "INT64", (None,)),), OUT)
    have = FileColumns(("user", "exclude"), lists=frozenset({"exclude"}))

    assert choose_signature(Contract(), [of_users, own], have) is of_users
    assert choose_signature(Contract(), [replace(of_users, json_inputs=frozenset()), own], have) is own


@pytest.mark.parametrize(
    ("have", "read", "needed"),
    [
        (FileColumns(("age", "city")), ["age", "city"], ("age",)),
        (FileColumns(("age",)), ["age"], ("age",)),
        (FileColumns(("age",), open_ended=True), ["age", "city"], ("age",)),
    ],
    ids=["a column", "no column", "objects"],
)
def test_columns_that_rows_may_lack_are_read_where_they_are(have, read, needed):
    inputs = (TensorSpec("age", "FP32", (None,)), TensorSpec("city", "BYTES", (None,), optional=True))

    layout = lay_out(Contract(), Signature(inputs, OUT, may_lack=frozenset({"city"})), have)

    assert [item.spec.name for item in layout.inputs] == read
    assert layout.needed == needed
    assert layout.columns == tuple(read)


def test_a_file_with_none_of_the_columns_that_rows_may_lack_is_refused():
    inputs = (
        TensorSpec("title", "BYTES", (None,), optional=True),
        TensorSpec("text", "BYTES", (None,), optional=True),
    )
    signature = Signature(inputs, OUT, may_lack=frozenset({"title", "text"}))

    with pytest.raises(BadContract, match="none of the columns 'title', 'text'; it has 'words'"):
        lay_out(Contract(), signature, FileColumns(("words",)))
    layout = lay_out(Contract(), signature, FileColumns(("text", "words")), merges=True)
    assert (layout.columns, layout.merges) == (("text",), True)


def test_other_optional_inputs_are_read_only_if_the_contract_names_them():
    """Negative control: a file may have a column with the name of a constant of the model."""
    inputs = (TensorSpec("age", "FP32", (None,)), TensorSpec("city", "BYTES", (None,), optional=True))
    have = FileColumns(("age", "city"))

    assert len(lay_out(Contract(), Signature(inputs, OUT), have).inputs) == 1
    assert len(lay_out(Contract(columns={"city": "city"}), Signature(inputs, OUT), have).inputs) == 2
