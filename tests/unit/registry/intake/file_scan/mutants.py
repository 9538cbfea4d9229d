"""Good files with something broken in them, the same for the same seed."""

import random

import numpy as np
from onnx import helper, numpy_helper

from tests.unit.registry.intake.onnx_bytes import a_file, a_function, a_graph, a_weight


def everything():
    """A small file that has some of all that a file can have."""
    places = numpy_helper.from_array(np.array([0, 5]), "places")
    sparse = helper.make_sparse_tensor(a_weight("s"), places, [2, 3])
    branch = a_graph([helper.make_node("Constant", [], ["k"], value=a_weight("v"))], name="branch")
    nodes = [
        helper.make_node("Own", ["x"], ["o"], domain="own", name="call"),
        helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch, name="choice"),
        helper.make_node("Any", ["x"], ["q"], ints=[1, -2, 3], floats=[1.5, 2.5], texts=["a", "b"], text="t"),
        helper.make_node("Constant", [], ["d"], sparse_value=sparse),
    ]
    weights = [
        a_weight(),
        helper.make_tensor("i", 6, [3], [1, -2, 300]),
        helper.make_tensor("f", 1, [2, 2], [1.0] * 4),
        helper.make_tensor("t", 8, [2], ["one", "two"]),
        helper.make_tensor("d", 11, [2], [1.0, 2.0]),
    ]
    return a_file(
        *nodes, weights=weights, sparse=[sparse], functions=[a_function("Own", "Other"), a_function("Other")],
        opsets=[("", 17), ("own", 1)], producer_name="tests", doc_string="a text",
    )  # fmt: skip


def mutants(good: bytes, number: int, seed: int):
    """Yield that many mutants, each with one to four changes."""
    dice = random.Random(seed)
    for _ in range(number):
        mutant = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            _change(mutant, dice)
        yield bytes(mutant)


def _change(mutant, dice):
    at = dice.randrange(len(mutant) + 1)
    size = dice.choice([1, 1, 1, 2, 8, 64])
    match dice.randrange(6):
        case 0 | 1:
            if at < len(mutant):
                mutant[at] ^= 1 << dice.randrange(8)
        case 2:
            mutant[at : at + size] = dice.randbytes(len(mutant[at : at + size]))
        case 3:
            del mutant[at : at + size]
        case 4:
            mutant[at:at] = dice.choice([dice.randbytes(size), b"\xff" * size, bytes(size)])
        case 5:
            source = dice.randrange(len(mutant) + 1)
            mutant[at:at] = mutant[source : source + size]
