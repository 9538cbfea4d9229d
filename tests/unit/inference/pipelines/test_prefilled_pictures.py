"""What the files of picture models fill in: what is certain, and nothing else."""

import json

import pytest

from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.object_detection import ObjectDetection
from inference.pipelines.pipeline import FilesBeside
from inference.pipelines.tasks import TASKS
from inference.tensors.signature import Signature, TensorSpec

CLASSIFIER = Signature(
    (TensorSpec("images", "FP32", (1, 3, 224, 224)),), (TensorSpec("output0", "FP32", (1, 2)),)
)
DETECTOR = Signature(
    (TensorSpec("images", "FP32", (1, 3, 64, 64)),), (TensorSpec("output0", "FP32", (1, 6, 84)),)
)
NAMES = "{0: 'cat', 1: 'dog'}"
CROP = {
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
}
CUT_OUT = {
    "resize": "shorter_side",
    "shorter_side": 256,
    "rounding": "transformers",
    "height": 224,
    "width": 224,
}
NORMAL = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
}


def beside(preprocessor=None, **config):
    files = {"config.json": config} if config else {}
    if preprocessor is not None:
        files["preprocessor_config.json"] = preprocessor
    return FilesBeside({name: json.dumps(content).encode() for name, content in files.items()})


def ultralytics(task, signature, **more):
    metadata = {"author": "Ultralytics", "task": task, "names": NAMES, "stride": "32", **more}
    return FilesBeside(metadata=metadata, signature=signature)


def test_the_labels_of_config_json():
    config = {"id2label": {"1": "dog", "0": "cat"}, "problem_type": "multi_label_classification"}

    assert ImageClassification.prefill(beside(**config)) == {"labels": ["cat", "dog"], "function": "sigmoid"}
    assert ObjectDetection.prefill(beside(**config)) == {"labels": ["cat", "dog"]}


def test_labels_that_are_there_twice_are_no_labels_of_a_detector():
    assert ObjectDetection.prefill(beside(id2label={"0": "cat", "1": "N/A", "2": "N/A"})) == {}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (CROP, CUT_OUT),
        (CROP | {"crop_size": 224}, CUT_OUT),
        ({"do_resize": True, "size": {"height": 300, "width": 200}}, {"resize": "stretch", "height": 300, "width": 200}),
        (CROP | {"resample": 3}, {"resampler": "bicubic"}),
        (CROP | {"resample": 5}, {"resampler": None}),
        (NORMAL, {"scale": "1/255", "mean": [0.5] * 3, "std": [0.25] * 3}),
        ({"do_rescale": False, "do_normalize": False}, {"scale": "none", "mean": [0] * 3, "std": [1] * 3}),
    ],
    ids=["cut out", "a square", "stretched", "a resampler", "an unknown resampler", "scaled", "as they are"],
)  # fmt: skip
def test_what_a_preprocessor_states(said, expected):
    found = ImageClassification.prefill(beside(said))

    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"size": 224, "do_resize": True},
        {"size": {"height": 224, "width": 224}},
        {"do_resize": True, "size": {"height": "224", "width": True}},
        CROP | {"crop_pct": 0.9},
        CROP | {"size": {"shortest_edge": 200}},
        CROP | {"crop_size": None},
        NORMAL | {"rescale_offset": True},
        NORMAL | {"rescale_factor": 1 / 127.5},
        {"do_normalize": True, "image_mean": [0.5, 0.5, 0.5]},
        {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    ],
)
def test_what_is_not_certain_stays_open(said):
    assert ImageClassification.prefill(beside(said)) == {}


def test_a_preprocessor_that_is_no_json():
    with pytest.raises(BadTaskConfig, match="is not valid JSON"):
        ImageClassification.prefill(FilesBeside({"preprocessor_config.json": b"{"}))


def test_a_classifier_of_ultralytics():
    found = ImageClassification.prefill(ultralytics("classify", CLASSIFIER))

    assert found == {
        "labels": ["cat", "dog"],
        "function": "none",
        "scale": "1/255",
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "width": 224,
        "height": 224,
        "resize": "shorter_side",
        "shorter_side": 224,
    }
    ImageClassification(found, {}, CLASSIFIER)


def test_files_beside_the_model_count_more_than_its_metadata():
    files = beside(NORMAL, id2label={"0": "Katze", "1": "Hund"}).files
    sent = ultralytics("classify", CLASSIFIER)

    found = ImageClassification.prefill(FilesBeside(files, metadata=sent.metadata, signature=sent.signature))

    assert (found["labels"], found["mean"], found["function"]) == (["Katze", "Hund"], [0.5] * 3, "none")


def test_a_detector_of_ultralytics():
    found = ObjectDetection.prefill(ultralytics("detect", DETECTOR))

    assert (found["box_layout"], found["labels"], found["output"]) == ("yolov8", ["cat", "dog"], "output0")
    assert set(ObjectDetection.asked) <= set(found)
    ObjectDetection(found, {}, DETECTOR)


def test_metadata_for_another_task_fill_in_no_classification():
    assert ImageClassification.prefill(ultralytics("detect", DETECTOR)) == {}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"author": "Ultralytics", "task": "detect"}, ["object-detection"]),
        ({"author": "Ultralytics", "task": "classify"}, ["image-classification"]),
        ({"author": "Ultralytics", "task": "pose"}, []),
        ({"task": "detect"}, []),
        ({}, []),
    ],
)
def test_the_task_that_a_file_states(metadata, expected):
    stated = [name for name, kind in TASKS.items() if kind.is_stated(FilesBeside(metadata=metadata))]

    assert stated == expected
