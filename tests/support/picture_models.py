"""Small models of pictures whose answers follow from colours, and pictures for them."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper
from PIL import Image

from registry.catalogue.models import Version
from tests.support.live_models import put_live
from tests.support.onnx_models import save, value

COLOURS = ["red", "green", "blue"]
SIDE, CELL = 64, 16
PLAIN = {"labels": COLOURS, "mean": [0, 0, 0], "std": [1, 1, 1], "width": SIDE, "height": SIDE}
COLOURS_CONFIG = {**PLAIN, "resize": "stretch"}
PATCHES_CONFIG = {"labels": COLOURS, "box_layout": "yolov8", "width": SIDE, "height": SIDE}


def write_colours(path: Path) -> Path:
    """Logits of a picture: ten times the mean of each channel."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["means", "ten"], ["logits"]),
    ]
    pixels = value("pixels", ("pictures", 3, SIDE, SIDE))
    return save(path, nodes, [pixels], [value("logits", ("pictures", 3))], [_floats("ten", [10])])


def write_patches(path: Path, largest: float = 1.0) -> Path:
    """A box for each cell of 16 x 16 pixels, in the layout of YOLOv8; a cell's score for a colour is what it has more of it
    than of both others together, cut at `largest`."""
    count = (SIDE // CELL) ** 2
    nodes = [
        helper.make_node(
            "AveragePool", ["pixels"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Reshape", ["cells", "flat"], ["colours"]),
        helper.make_node("ReduceSum", ["colours", "colour_axis"], ["sums"], keepdims=1),
        helper.make_node("Add", ["colours", "colours"], ["twice"]),
        helper.make_node("Sub", ["twice", "sums"], ["more"]),
        helper.make_node("Clip", ["more", "zero", "largest"], ["scores"]),
        helper.make_node("Mul", ["sums", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "places"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "scores"], ["found"], axis=1),
    ]
    down, across = np.mgrid[0 : SIDE // CELL, 0 : SIDE // CELL]
    centres = [(across.ravel() + 0.5) * CELL, (down.ravel() + 0.5) * CELL]
    places = np.stack([*centres, *[np.full(count, CELL)] * 2])[None]
    weights = [
        _floats("places", places), _floats("none", 0.0), _floats("zero", 0.0), _floats("largest", largest),
        _whole("flat", [0, 3, count]), _whole("colour_axis", [1]),
    ]  # fmt: skip
    pixels = value("pixels", ("pictures", 3, SIDE, SIDE))
    return save(path, nodes, [pixels], [value("found", ("pictures", 7, count))], weights)


def put_colours(folder: Path, slug: str = "colours", **config) -> Version:
    task_config = {**COLOURS_CONFIG, **config}
    path = write_colours(folder / f"{slug}.onnx")
    return put_live(slug, path, task="image-classification", task_config=task_config)


def put_patches(folder: Path, slug: str = "patches", largest: float = 1.0, **config) -> Version:
    task_config = {**PATCHES_CONFIG, **config}
    path = write_patches(folder / f"{slug}.onnx", largest)
    return put_live(slug, path, task="object-detection", task_config=task_config)


def a_picture(colour=(255, 0, 0), size=(SIDE, SIDE), kind="PNG", **patches) -> bytes:
    """A file in one colour; `patches`: boxes of other colours by name."""
    image = Image.new("RGB", size, colour)
    for name, box in patches.items():
        image.paste(tuple(255 * (name == each) for each in COLOURS), box)
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def in_base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _floats(name, values):
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def _whole(name, values):
    return numpy_helper.from_array(np.asarray(values, np.int64), name)
