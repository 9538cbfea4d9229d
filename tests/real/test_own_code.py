"""Tasks answer as the packages that published the models do: the same labels and spans, and nearly the same scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from inference.pipelines.entities import Entities
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.pipeline import FilesBeside, ItemPipeline
from inference.pipelines.text_classification import TextClassification
from inference.tensors.signature import Signature, TensorSpec
from tests.real.composed import personal_data, remarks
from tests.real.composed_pictures import pictures
from tests.real.own_code import (
    nsfw_answers,
    orientation_answers,
    profanity_answers,
    rampart_answers,
    rampart_files,
)

TOLERANCE = 1e-4
PICTURE_TOLERANCE = 1e-3  # a score may move where one pixel of a resized picture is a level of grey off
AT_ONCE = 50
_DATATYPES = {
    "tensor(int64)": "INT64", "tensor(float)": "FP32", "tensor(string)": "BYTES", "tensor(bool)": "BOOL",
}  # fmt: skip
RAMPART_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


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
    texts, folder = personal_data(), rampart_files()
    own = rampart_answers(texts)
    files = {name: (folder / name).read_bytes() for name in RAMPART_FILES}
    session = session_of(folder / "onnx" / "model_q4.onnx")
    pipeline = Entities(Entities.prefill(FilesBeside(files)), files, signature_of(session))

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


def test_labels_of_a_model_that_reads_texts_are_those_of_the_package(prepared):
    texts = remarks()
    path, own = profanity_answers(texts)
    session = session_of(path)
    config = {"labels": ["0", "1"], "output": "probabilities", "function": "none"}
    pipeline = TextClassification(config, {}, signature_of(session))

    answers = list(answers_of(pipeline, session, texts))

    labels = [int(answer.label) for answer in answers]
    scores = np.array([{one.label: one.score for one in answer.labels}["1"] for answer in answers])
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


# Stretched to a square, cut, written as a JPEG, and the mean of blue, green and red subtracted
NSFW = {"resize": "square", "as_jpeg": True, "channels": "bgr", "scale": "none", "mean": [104, 117, 123]}
# Resized as OpenCV does; the package uses the mean of red for blue, and the other way round
ORIENTATION = {"resampler": "lanczos", "antialias": False, "rounding": "paddleclas", "channels": "bgr"}


def test_nsfw_scores_of_pictures_are_those_of_the_package():
    check_pictures(*nsfw_answers(pictures()), NSFW)


def test_orientations_of_pictures_are_those_of_the_package():
    path, own = orientation_answers(pictures())

    check_pictures(path, own, ORIENTATION)
    assert {*own["best"]} == {"0", "90", "180", "270"}


@pytest.mark.parametrize("field", ["as_jpeg", "resampler"])
def test_without_one_field_scores_are_others(field):
    """Control: far beyond the tolerance."""
    answers, config = (nsfw_answers, NSFW) if field == "as_jpeg" else (orientation_answers, ORIENTATION)
    path, own = answers(pictures())
    scores = picture_scores(
        path, own["labels"], {name: value for name, value in config.items() if name != field}
    )

    assert np.abs(scores - own["scores"]).max() > 3 * PICTURE_TOLERANCE


def check_pictures(path: Path, own: dict[str, Any], config: dict[str, Any]) -> None:
    scores = picture_scores(path, own["labels"], config)
    furthest = np.abs(scores - own["scores"]).max()
    best, expected = (
        [own["labels"][number] for number in np.argmax(one, axis=1)] for one in (scores, own["scores"])
    )
    print(f"\n{len(best)} pictures, {len(set(best))} labels, scores within {furthest:.1e}")
    assert best == expected == own.get("best", expected)
    assert furthest <= PICTURE_TOLERANCE


def picture_scores(path: Path, labels: list[str], config: dict[str, Any]) -> np.ndarray:
    session = session_of(path)
    pipeline = ImageClassification(
        {"labels": labels, "function": "none", **config}, {}, signature_of(session)
    )
    answers = answers_of(pipeline, session, pictures(), "images")
    return np.array(
        [[{one.label: one.score for one in answer.labels}[label] for label in labels] for answer in answers]
    )
