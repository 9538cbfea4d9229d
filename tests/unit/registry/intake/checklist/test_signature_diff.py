import pytest

from registry.intake.checklist.signature_diff import is_breaking, signature_diff


def spec(name="x", datatype="FP32", shape=(None, 4), **more):
    return {"name": name, "datatype": datatype, "shape": list(shape), "optional": False, "any_rank": False, **more}  # fmt: skip


def signature(*inputs, outputs=None):
    return {"inputs": list(inputs), "outputs": outputs if outputs is not None else [spec("y")]}


SAME = signature(spec())


@pytest.mark.parametrize(
    ("old", "new", "kinds", "breaks"),
    [
        (SAME, SAME, [], False),
        (SAME, signature(spec(), spec("w", optional=True)), ["added"], False),
        (SAME, signature(spec(), spec("w")), ["added"], True),
        (SAME, signature(), ["removed"], True),
        (SAME, signature(spec("z")), ["removed", "added"], True),
        (SAME, signature(spec(datatype="FP64")), ["datatype"], True),
        (SAME, signature(spec(shape=(4,))), ["rank"], True),
        (SAME, signature(spec(shape=(1, 4))), ["dims"], True),
        (SAME, signature(spec(shape=(None, 5))), ["dims"], True),
        (SAME, signature(spec(shape=(None, None))), ["wider"], False),
        (SAME, signature(spec(shape=(), any_rank=True)), ["wider"], False),
        (signature(spec(shape=(), any_rank=True)), SAME, ["dims"], True),
        (SAME, signature(spec(optional=True)), ["optional"], False),
        (signature(spec(optional=True)), SAME, ["required"], True),
        (signature(spec("a"), spec("b")), signature(spec("b"), spec("a")), [], False),
    ],
    ids=[
        "same", "new optional input", "new required input", "input removed", "renamed", "datatype", "rank",
        "fixed dim", "other dim", "wider dim", "any rank", "no longer any rank", "now optional", "now required", "order",
    ],
)  # fmt: skip
def test_inputs(old, new, kinds, breaks):
    changes = signature_diff(old, new)

    assert [change.kind for change in changes] == kinds
    assert is_breaking(changes) is breaks


@pytest.mark.parametrize(
    ("old", "new", "kinds", "breaks"),
    [
        ([spec("y")], [spec("y"), spec("p")], ["added"], False),
        ([spec("y"), spec("p")], [spec("y")], ["removed"], True),
        ([spec("y")], [spec("y", datatype="INT64")], ["datatype"], True),
        ([spec("y")], [spec("y", shape=(2, 4))], ["narrower"], False),
        ([spec("y", shape=(2, 4))], [spec("y")], ["dims"], True),
        ([spec("y")], [spec("y", shape=(None,))], ["rank"], True),
        ([spec("y")], [spec("y", shape=())], ["rank"], True),
    ],
    ids=["added", "removed", "datatype", "narrower dim", "wider dim", "rank", "scalar"],
)
def test_outputs(old, new, kinds, breaks):
    changes = signature_diff(signature(outputs=old), signature(outputs=new))

    assert [change.kind for change in changes] == kinds
    assert is_breaking(changes) is breaks


def test_sentences_name_the_tensor_and_both_sides():
    (change,) = signature_diff(SAME, signature(spec(shape=(None, 5))))

    assert change.sentence == "The shape of the input 'x' was (any × 4) and is now (any × 5)."


def test_a_change_of_two_kinds_is_two_changes():
    changes = signature_diff(SAME, signature(spec(datatype="FP16", shape=(4,))))

    assert [change.kind for change in changes] == ["datatype", "rank"]
