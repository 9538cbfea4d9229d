"""SavedModels and TensorFlow Lite files: converted, equal to TensorFlow's own answers, and refused where they cannot be."""

import io
import tarfile

import numpy as np
import onnxruntime
import pytest

from inference.checks.steps.conversion import LARGEST_QUANTIZED
from inference.convert.converting import Conversion, SourceFile, run_source
from inference.convert.errors import ConversionRefused
from tests.converters.conftest import make_models, refusal_of

BATCHES = (1, 2, 7)
LENGTHS = (1, 3, 17)


def floats(*shape):
    return np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)


def whole(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 100, shape, dtype=np.int32)


def small(*shape):
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


def words(*shape):
    return np.random.default_rng(sum(shape)).choice(["cat", "dog", "fish", "bird"], shape).astype(object)


def each_batch(**makers):
    return [{name: make(batch) for name, make in makers.items()} for batch in BATCHES]


def each_length(name, make):
    return [{name: make(batch, length)} for batch in BATCHES for length in LENGTHS]


FEATURES = each_batch(features=lambda n: floats(n, 8))
PAIRS = each_batch(user=lambda n: floats(n, 5), item=lambda n: floats(n, 4))
IMAGES = each_batch(image=lambda n: floats(n, 16, 16, 3))
# File: format, inputs, the largest difference relative to the range.
MODELS = {
    "dense": ("saved_model", FEATURES, 1e-4),
    "cnn": ("saved_model", IMAGES, 1e-4),
    "two_ways": ("saved_model", PAIRS, 1e-4),
    "texts": ("saved_model", each_length("ids", whole), 1e-4),
    "words": ("saved_model", each_length("words", words), 1e-4),
    "sequences": ("saved_model", each_length("steps", lambda n, length: floats(n, length, 4)), 1e-4),
    "dense.tflite": ("tflite", FEATURES, 1e-4),
    "two_ways.tflite": ("tflite", PAIRS, 1e-4),
    "fixed.tflite": ("tflite", [{"x": floats(1, 4)}], 1e-4),
    "cnn-float16.tflite": ("tflite", IMAGES, 1e-4),
    "cnn-weights.tflite": ("tflite", IMAGES, 1e-2),
    "cnn-int8.tflite": ("tflite", each_batch(image=lambda n: small(n, 16, 16, 3)), 1e-2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tensorflow")
    make_models("tensorflow", "tensorflow_models.py", path, path / "marker")
    return path


@pytest.fixture
def source(folder, tmp_path):
    def make(name, **options):
        if name.endswith(".tflite"):
            return SourceFile(folder / name, "tflite", options)
        path = tmp_path / f"{name}.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(folder / name, name)
        return SourceFile(path, "saved_model", options)

    return make


@pytest.mark.parametrize("name", MODELS)
def test_the_onnx_file_answers_like_tensorflow(source, parities, name):
    _, inputs, allowed = MODELS[name]

    original = run_source(source(name), inputs)
    with Conversion(source(name)) as converted:
        session = onnxruntime.InferenceSession(converted.path, providers=["CPUExecutionProvider"])
        is_quantized = converted.facts.get("quantized", False)
    outputs = [one.name for one in session.get_outputs()]
    answers = [dict(zip(outputs, session.run(None, one), strict=True)) for one in inputs]

    assert {one.name for one in session.get_inputs()} == inputs[0].keys()
    for found, wanted in zip(answers, original, strict=True):
        assert found.keys() == wanted.keys()
        assert all(found[key].shape == wanted[key].shape for key in wanted)
        assert all(found[key].dtype == wanted[key].dtype for key in wanted)
    assert is_quantized == (allowed == LARGEST_QUANTIZED)  # the version's check allows as much
    for key in outputs:
        found, wanted = [one[key] for one in answers], [one[key] for one in original]
        difference = relative_difference(found, wanted)
        parities.append((name, key, difference, allowed))
        steps = max(
            np.abs(one.astype(float) - other.astype(float)).max()
            for one, other in zip(found, wanted, strict=True)
        )
        is_rounded = wanted[0].dtype.kind in "iu"  # a step may be a large part of a small range
        assert difference <= allowed or (is_rounded and steps <= 1)


def relative_difference(found, wanted) -> float:
    """The largest difference, relative to the range of what is wanted."""
    flat, other = (
        np.concatenate([one.ravel().astype(np.float64) for one in sets]) for sets in (wanted, found)
    )
    return float(np.abs(flat - other).max() / np.ptp(flat))


def test_the_measure_sees_a_difference():
    """Negative control."""
    assert relative_difference([np.array([0.0, 1.0])], [np.array([0.0, 1.1])]) == pytest.approx(0.1 / 1.1)


def test_the_facts_name_versions_flags_inputs_and_outputs(source):
    with Conversion(source("two_ways")) as converted:
        facts = converted.facts

    assert facts["converter"].startswith("tf2onnx 1.") and facts["runtime"].startswith("tensorflow 2.")
    assert (facts["opset"], facts["flags"]) == (17, {"tag": "serve", "signature": "serving_default"})
    assert facts["inputs"] == [
        {"name": "item", "type": "float32", "shape": [None, 4]},
        {"name": "user", "type": "float32", "shape": [None, 5]},
    ]
    assert [(one["name"], one["shape"]) for one in facts["outputs"]] == [
        ("both", [None, 12]), ("similarity", [None]),
    ]  # fmt: skip
    assert facts["fixed_batch"] is None


def test_a_quantized_file_states_how(source):
    with Conversion(source("cnn-int8.tflite")) as converted:
        image = converted.facts["inputs"][0]

    assert (image["name"], image["type"], image["shape"]) == ("image", "int8", [None, 16, 16, 3])
    assert image["scale"] == pytest.approx(1 / 255, rel=0.05)


class TestSignatures:
    def test_one_of_several_has_to_be_chosen(self, source):
        code, message = refusal_of(source("signatures"))

        assert (code, "choose one of double, halve, same_name" in message) == ("refused", True)

    @pytest.mark.parametrize(("name", "answer"), [("double", 8.0), ("halve", 2.0)])
    def test_the_chosen_one_is_converted(self, source, name, answer):
        chosen = source("signatures", signature=name)

        with Conversion(chosen) as converted:
            session = onnxruntime.InferenceSession(converted.path, providers=["CPUExecutionProvider"])
        inputs = {"x": np.array([4.0], np.float32)}

        assert run_source(chosen, [inputs])[0]["y"] == session.run(None, inputs)[0] == answer

    def test_one_that_is_not_there_is_refused(self, source):
        assert refusal_of(source("signatures", signature="other"))[0] == "refused"

    def test_a_name_for_both_ends_is_refused(self, source):
        code, message = refusal_of(source("signatures", signature="same_name"))

        assert (code, "both an input and an output" in message) == ("refused", True)


def test_a_fixed_batch_is_stated_and_other_batches_refused(source):
    with Conversion(source("fixed.tflite")) as converted:
        batch = converted.facts["fixed_batch"]
    with pytest.raises(ConversionRefused) as caught:
        run_source(source("fixed.tflite"), [{"x": floats(2, 4)}])

    assert batch == 1
    assert "fixes the shape" in str(caught.value)


def test_operators_that_onnx_lacks_are_named(source):
    code, message = refusal_of(source("decomposed"))

    assert (code, "StringLength, Svd;" in message) == ("refused", True)


def test_a_lite_file_runs_no_operators_of_tensorflow(source, folder):
    chosen = source("flex.tflite")

    code, message = refusal_of(chosen)
    with pytest.raises(ConversionRefused):
        run_source(chosen, [{"x": floats(1)}])

    assert (code, "operators of TensorFlow itself" in message) == ("refused", True)
    assert not (folder / "marker").exists()


def test_other_tags_are_refused_by_name(folder, tmp_path):
    path = tmp_path / "training.tar"
    graph = (folder / "dense" / "saved_model.pb").read_bytes().replace(b"\x22\x05serve", b"\x22\x05train")
    with tarfile.open(path, "w") as archive:
        for name, content in {"saved_model.pb": graph}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

    code, message = refusal_of(SourceFile(path, "saved_model"))

    assert (code, "it has: train" in message) == ("refused", True)
