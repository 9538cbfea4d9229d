"""TorchScript files: converted, equal to PyTorch's own answers, and refused where they cannot be."""

import shutil
import zipfile

import numpy as np
import pytest

from inference.convert.converting import Conversion, SourceFile
from tests.converters.conftest import make_models, refusal_of
from tests.converters.packages import package_file
from tests.converters.parity import check_parity

BATCHES = (1, 2, 7)
LENGTHS = (1, 3, 17)


def floats(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def whole(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 50, shape)


def each(make):
    """Inputs of each batch, at each odd length."""
    return [make(batch, length) for batch in BATCHES for length in LENGTHS]


# File: options, inputs.
MODELS = {
    "mlp": ({"shapes": {"features": [-1, 4]}}, [{"features": floats(batch, 4)} for batch in BATCHES]),
    "branches": ({"shapes": {"x": ["batch", "rounds", 8]}}, each(lambda n, length: {"x": floats(n, length, 8)})),
    "cnn": (
        {"shapes": {"image": [1, 3, "height", "width"]}, "outputs": ["scores"]},
        each(lambda n, length: {"image": floats(n, 3, 8 + length, 9)}),
    ),
    "encoder": ({"shapes": [[-1, -1, 16]]}, each(lambda n, length: {"input_0": floats(n, length, 16)})),
    "lstm": ({"shapes": {"x": [-1, "steps", 6]}}, each(lambda n, length: {"x": floats(n, length, 6)})),
    "two": (
        # In another order than the module takes them: its own names for them decide
        {"shapes": {"numbers": [1, 4], "ids": [1, "words"]}, "dtypes": {"ids": "int64"}},
        each(lambda n, length: {"ids": whole(n, length), "numbers": floats(n, 4)}),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("torchscript")
    make_models("torch", "torch_models.py", path)
    return path


@pytest.fixture
def source(folder):
    return lambda name, **options: SourceFile(folder / f"{name}.pt", "torchscript", options)


@pytest.mark.parametrize("name", MODELS)
def test_the_onnx_file_answers_like_torch(source, parities, name):
    options, inputs = MODELS[name]

    check_parity(source(name, **options), inputs, parities, name=f"{name}.pt")


def test_options_are_understood_as_people_write_them(source, parities):
    """Stored shapes have sizes only, and keep no order."""
    options = {
        "shapes": {"numbers": [1, 4], "words": [1, 3]},
        "inputs": "words, numbers",
        "dtypes": "int64,float32",
        "varying": "words=1",
        "sizes": "words_1=5",
        "outputs": "mixed, shares",
    }
    inputs = each(lambda n, length: {"words": whole(n, length), "numbers": floats(n, 4)})

    facts = check_parity(source("two", **options), inputs, parities, name="two.pt, options")

    assert [(one["name"], one["type"], one["shape"]) for one in facts["inputs"]] == [
        ("words", "int64", ["batch", "words_1"]), ("numbers", "float32", ["batch", 4]),
    ]  # fmt: skip
    assert [one["name"] for one in facts["outputs"]] == ["mixed", "shares"]


def test_silero_vad_of_its_package(parities, tmp_path):
    """A voice detector; the file keeps state between calls, but a part of it takes and returns the state."""
    path = package_file("silero-vad", "silero_vad/data/silero_vad.jit", tmp_path)
    options = {
        "submodule": "_model",
        "shapes": {"x": [-1, 576], "state": [2, "batch", 128]},
        "fixed_batch": "state",
        "outputs": "speech,next_state",
    }
    inputs = [{"x": 0.1 * floats(batch, 576), "state": floats(2, batch, 128)} for batch in BATCHES]

    facts = check_parity(SourceFile(path, "torchscript", options), inputs, parities, name="silero-vad")
    code, message = refusal_of(SourceFile(path, "torchscript", {"shapes": {"x": [-1, 512]}}))

    assert facts["outputs"][1] == {"name": "next_state", "type": "float32", "shape": [2, "batch", 128]}
    assert (code, "takes its state as an input" in message) == ("refused", True)


def test_the_facts_name_versions_flags_inputs_and_outputs(source):
    options, _ = MODELS["two"]
    with Conversion(source("two", **options)) as converted:
        facts = converted.facts

    assert facts["runtime"].startswith("torch 2.") and facts["converter"].startswith("torch.onnx 2.")
    assert (facts["opset"], facts["flags"]["dynamo"]) == (17, False)
    assert facts["inputs"] == [
        {"name": "ids", "type": "int64", "shape": ["batch", "words"]},
        {"name": "numbers", "type": "float32", "shape": ["batch", 4]},
    ]
    assert facts["outputs"] == [
        {"name": name, "type": "float32", "shape": ["batch", 16]} for name in ("output_0", "output_1")
    ]


def test_nothing_of_the_authors_folders_is_left(source, folder):
    options, _ = MODELS["cnn"]
    with Conversion(source("cnn", **options)) as converted:
        content = converted.path.read_bytes()

    assert b"site-packages" not in content and b".py" not in content


# What is stated, and what the refusal says.
REFUSALS = {
    "no shapes": ("mlp", {}, "State the size of each input"),
    "a wrong size": ("mlp", {"shapes": {"x": [-1, 5]}}, "fails on inputs of the shapes [2, 5]"),
    "too many inputs": ("mlp", {"shapes": [[-1, 4], [-1, 4]]}, "states 2 inputs, but the module takes 1"),
    "a size that is none": ("mlp", {"shapes": {"x": [-1, 0]}}, "is not one"),
    "a type that is none": ("mlp", {"shapes": {"x": [-1, 4]}, "dtypes": "complex64"}, "must be one of"),
    "too few names": ("two", {**MODELS["two"][0], "outputs": ["one"]}, "returns 2 tensors"),
    "names without an order": (
        "two",
        {"shapes": {"words": [1, 5], "more": [1, 4]}},
        "state all their names under “inputs”",
    ),
    "sizes that are none": ("mlp", {"shapes": {"x": [-1, 4]}, "sizes": "batch=many"}, "such as steps=16"),
    "an axis that cannot vary": ("mlp", {"shapes": {"x": [-1, "n"]}, "sizes": {"n": 4}}, "“n” cannot vary"),
    "state": ("counter", {"shapes": {"x": [-1, 4]}}, "keeps state between calls"),
    "no such part": ("counter", {"shapes": {"x": [-1, 4]}, "submodule": "outer"}, "it has “inner”"),
    "weights": ("weights", {"shapes": {"x": [-1, 4]}}, "This is a pickle, such as torch.save() writes"),
}


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.replace(" ", "_"))
def test_what_cannot_be_converted_is_refused_with_what_to_do(source, case):
    name, options, words = REFUSALS[case]

    code, message = refusal_of(source(name, **options))

    assert (code, words in message) == ("refused", True), message


def test_a_part_without_state_converts(source, parities):
    inputs = [{"input": floats(batch, 4)} for batch in BATCHES]

    check_parity(
        source("counter", shapes={"input": [-1, 4]}, submodule="inner"),
        inputs,
        parities,
        name="counter.pt, inner",
    )


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"x" * 100], ids=["empty", "zip", "pickle", "text"]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)

    assert refusal_of(SourceFile(path, "torchscript", {"shapes": [[-1, 4]]}))[0] == "refused"


def test_an_archive_without_a_program_is_refused(folder, tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(folder / "mlp.pt") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if "/code/" not in name:
                new.writestr(name, old.read(name))

    assert refusal_of(SourceFile(path, "torchscript", {"shapes": [[-1, 4]]}))[0] == "refused"
    shutil.copy(folder / "mlp.pt", path)
    with Conversion(SourceFile(path, "torchscript", {"shapes": [[-1, 4]]})):
        pass
