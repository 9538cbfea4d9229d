"""The example `shapes`: where are the circles, squares, triangles and stars of a picture?

Needs torch (on the CPU), and about 15 minutes. Another machine's training gives other weights, so `make_examples.py` leaves this
example alone.

Run: PYTHONPATH=. python examples/shapes.py
"""

from itertools import islice

import numpy as np
import torch
from box_network import BoxNetwork, config_of, graph_of, measure, metadata_of, train_boxes
from drawing import LABELS, SEVERAL_SHAPES
from pictures_of_shapes import (
    GOLDEN_PICTURES,
    MOST_GOLDEN_BYTES,
    MOST_SAMPLE_BYTES,
    box_label,
    golden_zip,
    picture_files,
    sample_of,
    small_files,
)
from saving import save, serialize

PICTURES = 8_000
CONFIG = config_of(LABELS, threshold=0.35)
ROUNDS = ((6, 2_000, 0.004), (7, 700, 0.002))
MEASURED = 500


def make_shapes():
    torch.manual_seed(6)
    network = BoxNetwork(LABELS, (16, 24, 32, 40, 56))
    train_boxes(network, SEVERAL_SHAPES, ROUNDS, pictures=PICTURES)
    graph = graph_of(network, "shapes")
    files = picture_files(np.random.default_rng(62), SEVERAL_SHAPES, smallest=200, largest=2_000)
    found, false, milliseconds = measure(serialize(graph), CONFIG, islice(files, MEASURED))
    print(f"{found:.2%} found, {false:.2%} false, {milliseconds:.2f} ms each")
    random = np.random.default_rng(61)
    sample = _next_with(small_files(random, SEVERAL_SHAPES, MOST_SAMPLE_BYTES), labels=len(LABELS))
    files = small_files(random, SEVERAL_SHAPES, MOST_GOLDEN_BYTES)
    golden = [_next_with(files, labels=1 + number % len(LABELS)) for number in range(GOLDEN_PICTURES)]
    save(
        "shapes",
        graph,
        title="Shapes",
        notes="Finds circles, squares, triangles and stars in a picture, filled or as outlines, that do not overlap and are at "
        f"least an eighth of the picture wide. A small network, trained on {len(ROUNDS) * PICTURES:,} pictures that a script "
        f"drew: an example for trying out the product, not for real use. In {MEASURED:,} other pictures by the same script, 200 "
        f"to 2,000 pixels wide, it found {found:.1%} of the shapes (right label, intersection over union of 0.5 or more); "
        f"{false:.1%} of its boxes were false.",
        sample=sample_of(sample[0]),
        files={"golden.zip": golden_zip(golden, lambda shapes: box_label(shapes, LABELS))},
        metadata=metadata_of(LABELS, "Roundhouse example: boxes of simple shapes"),
        task="object-detection",
        task_config=CONFIG,
        golden_metric="map50",
    )


def _next_with(files, *, labels):
    """The next picture with so many kinds of shapes."""
    return next((data, shapes) for data, shapes in files if len({label for label, _ in shapes}) == labels)


if __name__ == "__main__":
    make_shapes()
