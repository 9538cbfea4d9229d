"""A small convolutional network that finds figures in a picture: a box for each cell of one grid, in the layout of YOLOv8.

It is trained with torch (on the CPU), on pictures that drawing.py draws. Another machine's training gives other weights.
"""

import numpy as np
import torch
from drawing import letterbox, random_size
from networks import GraphBuilder, step, to_pictures, train
from onnx import TensorProto
from pictures_of_shapes import open_model
from saving import floats
from torch import nn
from torch.nn import functional

from inference.pipelines.object_detection import ObjectDetection

SIDE, CELL, BATCH = 160, 8, 32
LARGEST = 200.0  # side of a box, in pixels
MOST_BOXES = 7


def config_of(labels, *, threshold):
    """The task configuration. Boxes with a score below the threshold are left out."""
    return {
        "labels": labels, "box_layout": "yolov8", "output": "output0", "threshold": threshold, "overlap": 0.45,
        "width": SIDE, "height": SIDE, "resize": "letterbox", "scale": "1/255", "mean": [0, 0, 0], "std": [1, 1, 1],
    }  # fmt: skip


def metadata_of(labels, description):
    """As exporters of detectors write them; it does not claim to come from one."""
    return {
        "description": description,
        "task": "detect",
        "names": str(dict(enumerate(labels))),
        "imgsz": str([SIDE, SIDE]),
        "stride": str(CELL),
        "channels": "3",
        "end2end": "False",
        "args": str({"dynamic": True, "half": False, "nms": False}),
    }


class BoxNetwork(nn.Module):
    """Goes down to a coarse grid, which sees whole shapes, and back up to a fine one."""

    def __init__(self, labels, widths):
        """`widths` are the channels of three fine steps, of the middle grid and of the coarse one."""
        super().__init__()
        self.labels = labels
        one, two, three, middle, coarse = widths
        self.fine = nn.ModuleList(
            [step(3, one, stride=2), step(one, two, stride=2), step(two, three, stride=2), step(three, three)]
        )
        self.middle = nn.ModuleList([step(three, middle, stride=2), step(middle, middle)])
        self.coarse = nn.ModuleList([step(middle, coarse, stride=2), step(coarse, coarse)])
        self.to_middle, self.to_fine = nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, three, 1)
        self.merged_middle, self.merged_fine = step(middle, middle), step(three, middle)
        self.head = nn.Conv2d(middle, 4 + len(labels), 1)
        nn.init.constant_(self.head.bias[4:], -4.0)  # most cells have no shape

    def forward(self, pictures):
        fine = self._through(self.fine, pictures)
        middle = self._through(self.middle, fine)
        coarse = self._through(self.coarse, middle)
        middle = self.merged_middle(middle + self._doubled(self.to_middle(coarse)))
        fine = self.merged_fine(fine + self._doubled(self.to_fine(middle)))
        return self.head(fine).flatten(2)

    def _through(self, steps, values):
        for one in steps:
            values = one(values)
        return values

    def _doubled(self, values):
        return functional.interpolate(values, scale_factor=2, mode="nearest")


def train_boxes(network, scene, rounds, *, pictures):
    """`rounds` are seed, steps and rate; each has so many pictures of its own."""
    torch.set_num_threads(1)
    for seed, steps, rate in rounds:
        batches = _batches(np.random.default_rng(seed), scene, pictures)
        train(network, batches, _loss, steps=steps, rate=rate)


def _centres():
    """Of the cells, in pixels."""
    places = (np.arange(SIDE // CELL, dtype=np.float32) + 0.5) * CELL
    return np.stack([np.tile(places, len(places)), np.repeat(places, len(places))])


def _batches(random, scene, count):
    drawn = [_draw_one(random, scene) for _ in range(count)]
    pixels, labels, boxes = (np.stack(part) for part in zip(*drawn, strict=True))
    while True:
        rows = random.integers(0, count, BATCH)
        turned, corners = pixels[rows], boxes[rows]
        if random.random() < 0.5:
            turned, corners = (
                turned[:, :, ::-1],
                [SIDE, 0, SIDE, 0] - corners[..., [2, 1, 0, 3]] * [1, -1, 1, -1],
            )
        if random.random() < 0.5:
            turned, corners = turned.transpose(0, 2, 1, 3), corners[..., [1, 0, 3, 2]]
        yield to_pictures(turned, random), torch.from_numpy(labels[rows]), torch.from_numpy(corners).float()


def _draw_one(random, scene):
    """Pixels, labels and boxes; labels are -1 where there are fewer shapes."""
    width, height = random_size(random, SIDE)
    picture, shapes = scene.draw(random, width, height)
    pixels, moved = letterbox(picture, SIDE)
    labels, boxes = np.full(MOST_BOXES, -1), np.zeros((MOST_BOXES, 4), np.float32)
    for place, (label, corners) in enumerate(shapes):
        labels[place], boxes[place] = label, corners + moved
    return pixels, labels, boxes


def _loss(values, labels, boxes):
    """How far scores and boxes are off. The cells around a shape's centre should find it, all others nothing."""
    centres = torch.from_numpy(_centres()).T[None, :, None]
    middles, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    reach = torch.clamp(sizes * 0.15, min=CELL / 2 + 0.01)
    near = ((centres - middles[:, None]).abs() <= reach[:, None]).all(-1) & (labels >= 0)[:, None]
    picture, cell, shape = near.nonzero(as_tuple=True)
    wanted = torch.zeros_like(values[:, 4:])
    wanted[picture, labels[picture, shape], cell] = 1
    wrong = (torch.sigmoid(values[:, 4:]) - wanted).abs()
    scores = functional.binary_cross_entropy_with_logits(values[:, 4:], wanted, reduction="none")
    found = _corners(values[:, :4])[picture, :, cell]
    count = max(1, len(cell))
    return ((wrong**1.5 * scores).sum() + (2 * (1 - _shared(found, boxes[picture, shape]))).sum()) / count


def _corners(values):
    centres = torch.from_numpy(_centres()) + CELL * values[:, :2]
    halves = torch.sigmoid(values[:, 2:]) * LARGEST / 2
    return torch.cat([centres - halves, centres + halves], 1)


def _shared(ones, others):
    """Intersection over union, less how far the two are apart in the smallest box around both."""
    begins, ends = ones[:, :2], ones[:, 2:]
    other_begins, other_ends = others[:, :2], others[:, 2:]
    common = (torch.minimum(ends, other_ends) - torch.maximum(begins, other_begins)).clamp(min=0).prod(1)
    around = (torch.maximum(ends, other_ends) - torch.minimum(begins, other_begins)).prod(1)
    union = (ends - begins).prod(1) + (other_ends - other_begins).prod(1) - common
    return common / union - (around - union) / around


def graph_of(network, name):
    builder, labels = GraphBuilder(), len(network.labels)
    fine = _through(builder, network.fine, "images")
    middle = _through(builder, network.middle, fine)
    coarse = _through(builder, network.coarse, middle)
    above = _doubled(builder, builder.convolution(coarse, network.to_middle))
    middle = builder.step(builder.add("Add", middle, above), network.merged_middle)
    above = _doubled(builder, builder.convolution(middle, network.to_fine))
    fine = builder.step(builder.add("Add", fine, above), network.merged_fine)
    values = builder.convolution(fine, network.head)
    moved = builder.add("Mul", _rows(builder, values, 0, 2), builder.constant(np.float32(CELL)))
    cells = SIDE // CELL
    centres = builder.add("Add", moved, builder.constant(_centres().reshape(1, 2, cells, cells)))
    shares = builder.add("Sigmoid", _rows(builder, values, 2, 4))
    sizes = builder.add("Mul", shares, builder.constant(np.float32(LARGEST)))
    scores = _peaks(builder, builder.add("Sigmoid", _rows(builder, values, 4, 4 + labels)))
    found = builder.add("Concat", centres, sizes, scores, axis=1)
    shape = builder.constant([0, 4 + labels, cells**2])
    return builder.finish(
        name,
        builder.add("Reshape", found, shape),
        [floats("images", "batch", 3, SIDE, SIDE)],
        [floats("output0", "batch", 4 + labels, cells**2)],
    )


def _peaks(builder, scores):
    """The scores of cells that none beside them exceeds, zeros elsewhere: few shapes then get a second box with another label."""
    best = builder.add("ReduceMax", scores, axes=[1], keepdims=1)
    around = builder.add("MaxPool", best, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    is_peak = builder.add("Cast", builder.add("GreaterOrEqual", best, around), to=TensorProto.FLOAT)
    return builder.add("Mul", scores, is_peak)


def _through(builder, steps, at):
    for one in steps:
        at = builder.step(at, one)
    return at


def _doubled(builder, at):
    factors = builder.constant(np.float32([1, 1, 2, 2]))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return builder.add("Resize", at, "", factors, **nearest)


def _rows(builder, values, first, end):
    return builder.add("Slice", values, *(builder.constant([number]) for number in (first, end, 1)))


def measure(model, config, files):
    """The share of shapes that are found, the share of boxes that are false, and how long the model takes for a picture."""
    answer, milliseconds = open_model(model, ObjectDetection, config)
    shown = found = given = 0
    for data, shapes in files:
        objects = answer(data).objects
        shown, given = shown + len(shapes), given + len(objects)
        found += _count_found(objects, shapes, config["labels"])
    return found / shown, 1 - found / given, milliseconds


def _count_found(objects, shapes, labels):
    """How many objects are of a shape that no better one is of."""
    left, found = list(shapes), 0
    for one in objects:
        corners = np.array([one.box.x1, one.box.y1, one.box.x2, one.box.y2])
        for place, (label, wanted) in enumerate(left):
            if labels[label] == one.label and _overlap(corners, wanted) >= 0.5:
                del left[place]
                found += 1
                break
    return found


def _overlap(one, other):
    common = np.prod(np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None))
    return common / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common)
