"""Labels for pictures: from a request to a model's inputs, and from its outputs to an answer."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from inference.pipelines.errors import (
    BadTaskConfig,
    InvalidItem,
    InvalidPicture,
    TooManyItems,
    UnsupportedPicture,
)
from inference.pipelines.image_classification import ImageClassification
from inference.tensors.signature import Signature, TensorSpec
from tests.support.pipelines import decoded, encoded_rows, inputs_of

LABELS = ["cat", "dog", "tram"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def classifier(shape=(None, 3, 224, 224), datatype="FP32", labels=LABELS, outputs=None, **config):
    specs = outputs or (TensorSpec("logits", "FP32", (None, len(labels))),)
    signature = Signature((TensorSpec("pixels", datatype, shape),), specs)
    return ImageClassification({"labels": labels, **config}, {}, signature)


def file_of(width, height, file_format="PNG", orientation=None):
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    tags, file = Image.Exif(), BytesIO()
    if orientation:
        tags[0x0112] = orientation
    Image.fromarray(pixels).save(file, file_format, exif=tags)
    return file.getvalue()


def reference(data):
    """The usual way of models of ImageNet, step by step."""
    image = ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")
    short = min(image.size)
    image = image.resize((256 * image.width // short, 256 * image.height // short), Image.Resampling.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    values = np.asarray(image.crop((left, top, left + 224, top + 224))).astype(np.float64) / 255
    return ((values - MEAN) / STD).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("size", "file_format", "orientation"),
    [
        ((640, 480), "JPEG", 6), ((331, 517), "JPEG", 3), ((256, 256), "PNG", None),
        ((17, 33), "PNG", 5), ((800, 99), "WEBP", 8), ((1, 1), "PNG", None),
    ],
    ids=str,
)  # fmt: skip
def test_a_picture_becomes_the_usual_input(size, file_format, orientation):
    data = file_of(*size, file_format, orientation)
    pipeline = classifier()

    encoded = pipeline.encode({"image": data})
    (tensor,) = pipeline.prepare(encoded.groups[0].tensors).values()

    assert encoded.groups[0].tensors["pixels"].dtype == np.uint8
    assert (tensor.dtype, tensor.shape) == (np.dtype(np.float32), (1, 3, 224, 224))
    assert np.abs(tensor[0] - reference(data)).max() < 1e-5


def test_pictures_come_as_bytes_or_as_base64_text():
    files = [file_of(30, 20), file_of(20, 30, "JPEG")]
    texts = [base64.b64encode(data).decode() for data in files]
    pipeline = classifier()

    rows = [encoded_rows(pipeline, {"images": items})["pixels"] for items in (files, texts)]
    rows.append(np.concatenate([encoded_rows(pipeline, {"image": item})["pixels"] for item in files]))

    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


def test_labels_come_best_first_with_the_size_after_the_turn():
    pipeline = classifier()
    encoded = pipeline.encode({"images": [file_of(30, 20, "JPEG", 6), file_of(30, 20)], "top_k": 2})

    first, second = decoded(pipeline, {"logits": np.log([[0.7, 0.1, 0.2], [0.1, 0.1, 0.8]])}, encoded)

    assert [(one.label, round(one.score, 3)) for one in first.labels] == [("cat", 0.7), ("tram", 0.2)]
    assert [one.label for one in second.labels] == ["tram", "cat"]
    assert (first.width, first.height) == (20, 30)
    assert (second.width, second.height, second.frames) == (30, 20, 1)


def test_frames_that_were_not_looked_at_are_told():
    file = BytesIO()
    Image.new("RGB", (9, 9), "red").save(file, "GIF", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    pipeline = classifier()

    (answer,) = decoded(pipeline, {"logits": np.zeros((1, 3))}, pipeline.encode({"image": file.getvalue()}))

    assert answer.frames == 2
    with pytest.raises(InvalidItem, match="more than 1 frames"):
        classifier(max_frames=1).encode({"image": file.getvalue()})


@pytest.mark.parametrize(
    ("config", "count"),
    [({}, 5), ({"top_k": 2}, 2), ({"labels": LABELS}, 3)],
    ids=["usual", "fewer", "no more"],
)
def test_how_many_labels(config, count):
    labels = config.pop("labels", [f"n{number}" for number in range(1_000)])
    pipeline = classifier(labels=labels, **config)
    encoded = pipeline.encode({"image": file_of(8, 8)})

    (answer,) = decoded(pipeline, {"logits": np.zeros((1, len(labels)))}, encoded)

    assert len(answer.labels) == count


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({}, InvalidItem, "image"),
        ({"image": "a", "images": ["a"]}, InvalidItem, "image"),
        ({"images": []}, InvalidItem, "images"),
        ({"images": "a"}, InvalidItem, "images"),
        ({"image": None}, InvalidPicture, "image"),
        ({"image": 5}, InvalidPicture, "image"),
        ({"image": {"url": "http://169.254.169.254/"}}, InvalidPicture, "image"),
        ({"image": "http://169.254.169.254/"}, InvalidPicture, "image"),
        ({"image": "file:///etc/passwd"}, InvalidPicture, "image"),
        ({"image": "AAAA"}, UnsupportedPicture, "image"),
        ({"images": [file_of(9, 9), file_of(9, 9)[:-20]]}, InvalidPicture, "images[1]"),
        ({"image": file_of(9, 9), "top_k": 0}, InvalidItem, "top_k"),
        ({"image": file_of(9, 9), "top_k": True}, InvalidItem, "top_k"),
        ({"images": [b""] * 65}, TooManyItems, "images"),
    ],
    ids=[
        "nothing", "both", "none", "no list", "null", "a number", "an object", "an address", "a path", "no picture", "cut off",
        "top 0", "top true", "too many",
    ],
)  # fmt: skip
def test_bad_requests_are_refused(body, error, field):
    with pytest.raises(error) as refused:
        classifier().encode(body)

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["a", "b"]}, "labels"),
        ({"labels": "abc"}, "labels"),
        ({"output": "nothing"}, "output"),
        ({"function": "tanh"}, "function"),
        ({"top_k": 4}, "top_k"),
        ({"layout": "nhwc"}, "layout"),
        ({"std": [1, 1]}, "std"),
        ({"lable": "x"}, "lable"),
    ],
    ids=str,
)
def test_a_bad_configuration_names_the_field(config, field):
    with pytest.raises(BadTaskConfig) as refused:
        classifier(outputs=(TensorSpec("logits", "FP32", (None, 3)),), **config)

    assert refused.value.field == field


def test_a_model_with_another_number_of_labels_is_found_when_it_runs():
    pipeline = classifier(outputs=(TensorSpec("logits", "FP32", (None, None)),))

    with pytest.raises(BadTaskConfig, match="1,000 numbers for 3 labels"):
        decoded(pipeline, {"logits": np.zeros((1, 1_000))}, pipeline.encode({"image": file_of(8, 8)}))


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.5, 0.5, 0.5]}, {"std": [0.5, 0.5, 0.5]}, {"resampler": "bicubic"}, {"antialias": False},
        {"resize": "letterbox"}, {"resize": "stretch"}, {"resize": "square"}, {"rounding": "paddleclas"},
        {"as_jpeg": True}, {"channels": "bgr"}, {"scale": "none"}, {"background": [0, 0, 0]},
        {"labels": ["dog", "cat", "tram"]}, {"function": "sigmoid"}, {"shape": (None, 3, 192, 224)},
        {"shape": (None, 224, 224, 3)}, {"datatype": "FP16"}, {"shorter_side": 232}, {"top_k": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_answers_changes_the_hash(change):
    assert classifier().digest == classifier().digest != classifier(**change).digest


@pytest.mark.parametrize("change", [{"padding_value": 0}, {"padding": "right_and_bottom"}], ids=str)
def test_letterboxes_with_other_padding_have_another_hash(change):
    box = {"resize": "letterbox"}

    assert classifier(**box).digest != classifier(**box, **change).digest
    assert classifier().digest == classifier(**change).digest  # nothing else is padded


@pytest.mark.parametrize("change", [{"max_bytes": 5}, {"max_pixels": 5}, {"max_frames": 5}], ids=str)
def test_what_changes_no_answer_does_not_change_the_hash(change):
    assert classifier().digest == classifier(**change).digest


def test_as_many_bytes_are_fetched_from_a_url_as_the_version_accepts():
    assert classifier(max_bytes=64 * 2**20).most_item_bytes == 64 * 2**20


@pytest.mark.parametrize("datatype", ["FP32", "FP16", "UINT8"])
@pytest.mark.parametrize("shape", [(None, 3, None, None), (1, 96, 128, 3)], ids=str)
def test_examples_are_answered(shape, datatype):
    pipeline = classifier(shape, datatype)

    (tensor,) = inputs_of(pipeline, pipeline.example).values()

    assert tensor.shape == ((1, 3, 224, 224) if shape[1] == 3 else shape)
