"""The example `figures`: is a picture of a circle, a square, a triangle or a star?

A small convolutional network, trained on pictures that drawing.py draws. Needs torch (on the CPU), and about ten minutes. Another
machine's training gives other weights, so `make_examples.py` leaves this example alone.

Run: PYTHONPATH=. python examples/figures.py
"""

from itertools import islice

import numpy as np
import torch
from drawing import LABELS, ONE_SHAPE, letterbox, random_size
from networks import GraphBuilder, step, to_pictures, train
from pictures_of_shapes import (
    GOLDEN_PICTURES,
    MOST_GOLDEN_BYTES,
    MOST_SAMPLE_BYTES,
    golden_zip,
    open_model,
    picture_files,
    sample_of,
    small_files,
)
from saving import floats, save, serialize
from torch import nn

from inference.pipelines.image_classification import ImageClassification

SIDE, PICTURES, STEPS, BATCH = 96, 24_000, 3_000, 64
MEASURED = 1_000
CONFIG = {
    "labels": LABELS, "output": "logits", "function": "softmax", "width": SIDE, "height": SIDE, "resize": "letterbox",
    "scale": "1/255", "mean": [0, 0, 0], "std": [1, 1, 1],
}  # fmt: skip


def make_figures():
    torch.set_num_threads(1)
    torch.manual_seed(5)
    layers = _layers()
    loss = nn.CrossEntropyLoss(label_smoothing=0.02)
    train(layers, _batches(np.random.default_rng(5)), loss, steps=STEPS, rate=0.004)
    graph = _graph(layers)
    right, milliseconds = _measure(serialize(graph))
    print(f"{right:.2%} right, {milliseconds:.2f} ms each")
    random = np.random.default_rng(51)
    samples = small_files(random, ONE_SHAPE, MOST_SAMPLE_BYTES)
    files = small_files(random, ONE_SHAPE, MOST_GOLDEN_BYTES)
    golden = [_next_of(files, number % len(LABELS)) for number in range(GOLDEN_PICTURES)]
    save(
        "figures",
        graph,
        title="Figures",
        notes="Says whether a picture shows a circle, a square, a triangle or a star: one large figure, filled or as an outline, "
        f"on a calm background. A small network, trained on {PICTURES:,} pictures that a script drew: an example for trying out "
        f"the product, not for real use. It was right on {right:.1%} of {MEASURED:,} other pictures by the same script, 200 to "
        "2,000 pixels wide. It always names one of the four, whatever the picture shows.",
        sample=sample_of(_next_of(samples, LABELS.index("star"))[0]),
        files={"golden.zip": golden_zip(golden, lambda shapes: LABELS[shapes[0][0]])},
        task="image-classification",
        task_config=CONFIG,
        golden_metric="accuracy",
    )


def _next_of(files, label):
    return next((data, shapes) for data, shapes in files if shapes[0][0] == label)


def _layers():
    return nn.Sequential(
        step(3, 16, stride=2),
        step(16, 24, stride=2),
        step(24, 32, stride=2),
        step(32, 48, stride=2),
        step(48, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(64, len(LABELS), 1),
        nn.Flatten(),
    )


def _batches(random):
    drawn = [_draw_one(random) for _ in range(PICTURES)]
    pixels = np.stack([picture for picture, _ in drawn])
    labels = torch.tensor([label for _, label in drawn])
    while True:
        rows = random.integers(0, PICTURES, BATCH)
        turned = np.rot90(pixels[rows], random.integers(4), axes=(1, 2))
        yield to_pictures(turned[:, :, :: random.choice([1, -1])], random), labels[rows]


def _draw_one(random):
    width, height = random_size(random, SIDE)
    picture, shapes = ONE_SHAPE.draw(random, width, height)
    return letterbox(picture, SIDE)[0], shapes[0][0]


def _graph(layers):
    builder, at = GraphBuilder(), "pictures"
    *steps, _, last, _ = layers
    for one in steps:
        at = builder.step(at, one)
    # The last layer is a convolution, as its answer does not depend on how many pictures are in a batch. That of a Gemm does.
    at = builder.convolution(builder.add("GlobalAveragePool", at), last)
    return builder.finish(
        "figures",
        builder.add("Flatten", at),
        [floats("pictures", "rows", 3, SIDE, SIDE)],
        [floats("logits", "rows", len(LABELS))],
    )


def _measure(model):
    """The share of pictures that are named rightly, and how long the model takes for one."""
    answer, milliseconds = open_model(model, ImageClassification, CONFIG)
    files = picture_files(np.random.default_rng(52), ONE_SHAPE, smallest=200, largest=2_000)
    right = sum(
        answer(data).labels[0].label == LABELS[shapes[0][0]] for data, shapes in islice(files, MEASURED)
    )
    return right / MEASURED, milliseconds


if __name__ == "__main__":
    make_figures()
