"""The example `contraband`: where are the drawn pistols and capsules of a picture?

It shows boxes of what a policy forbids, without pictures of real weapons or drugs: it knows only figures that drawing.py draws.
Needs torch (on the CPU), and about 15 minutes. Another machine's training gives other weights, so `make_examples.py` leaves this
example alone.

Run: PYTHONPATH=. python examples/contraband.py
"""

from itertools import islice

import numpy as np
import torch
from box_network import BoxNetwork, config_of, graph_of, measure, metadata_of, train_boxes
from drawing import Figure, Scene, circle, on_circle, several_places, square, star, triangle
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

LABELS = ["weapon", "drugs"]
CONFIG = config_of(LABELS, threshold=0.4)
WIDTHS = (16, 24, 32, 40, 56)
PICTURES = 8_000
ROUNDS = ((8, 2_500, 0.004), (9, 2_000, 0.003), (10, 1_500, 0.002))
MEASURED = 500


def _pistol(random):
    """From the side: a barrel, a slanting grip, and the notch of the trigger between them."""
    corners = np.array([
        [-1.0, -0.52], [0.8, -0.52], [0.84, -0.2], [1.0, 0.6], [0.56, 0.66], [0.36, 0.14], [0.28, 0.14], [0.16, 0.34],
        [-0.04, 0.34], [-0.1, 0.02], [-1.0, -0.04],
    ])  # fmt: skip
    return (corners + random.uniform(-0.05, 0.05, corners.shape)) * [random.choice([-1, 1]), 1]


def _capsule(random):
    """Two half circles and straight sides. The first half of its corners is one half of the capsule."""
    down = np.array([0, random.uniform(1.0, 1.7)])
    upper = on_circle(np.linspace(-np.pi / 2, np.pi / 2, 13)) - down
    lower = on_circle(np.linspace(np.pi / 2, 3 * np.pi / 2, 13)) + down
    return np.concatenate([[[-1, 0]], upper, [[1, 0]], lower])


def _bar(random):
    return square(random) * [1, random.uniform(0.2, 0.7)]


# The model learns to leave other figures alone
SCENE = Scene(
    3 * [Figure(0, _pistol), Figure(1, _capsule, has_halves=True)]
    + [Figure(None, corners) for corners in (circle, square, triangle, star, _bar, _capsule)],
    several_places,
    cluttered=0.4,
)


def make_contraband():
    torch.manual_seed(8)
    network = BoxNetwork(LABELS, WIDTHS)
    train_boxes(network, SCENE, ROUNDS, pictures=PICTURES)
    graph = graph_of(network, "contraband")
    files = picture_files(np.random.default_rng(82), SCENE, smallest=200, largest=2_000)
    found, false, milliseconds = measure(serialize(graph), CONFIG, islice(files, MEASURED))
    print(f"{found:.2%} found, {false:.2%} false, {milliseconds:.2f} ms each")
    sample = _next_with(small_files(np.random.default_rng(86), SCENE, MOST_SAMPLE_BYTES), LABELS)
    files = small_files(np.random.default_rng(81), SCENE, MOST_GOLDEN_BYTES)
    golden = [_next_with(files, _wanted(number)) for number in range(GOLDEN_PICTURES)]
    save(
        "contraband",
        graph,
        title="Drawn pistols and capsules (a demo, finds nothing real)",
        notes="Finds drawings of a pistol, which it calls weapon, and of a capsule in two colours, which it calls drugs, if they "
        "are at least an eighth of the picture wide. It was made for this demo, to show boxes of what a policy forbids: it finds "
        "no real weapon and no real drugs, in photos or elsewhere, and may take anything of such an outline for one. A small "
        f"network, trained on {len(ROUNDS) * PICTURES:,} pictures that a script drew, not for real use. In {MEASURED:,} other "
        f"pictures by the same script, 200 to 2,000 pixels wide, it found {found:.1%} of the figures (right label, intersection "
        f"over union of 0.5 or more); {false:.1%} of its boxes were false.",
        sample=sample_of(sample[0]),
        files={"golden.zip": golden_zip(golden, lambda shapes: box_label(shapes, LABELS))},
        metadata=metadata_of(LABELS, "Roundhouse example: boxes of drawn pistols and capsules"),
        task="object-detection",
        task_config=CONFIG,
        golden_metric="map50",
    )


def _wanted(number):
    """The labels of a golden picture: both, only the first, only the second, or none."""
    return [LABELS, LABELS[:1], LABELS[1:], []][number % 4]


def _next_with(files, labels):
    """The next picture that shows exactly these."""
    wanted = {LABELS.index(label) for label in labels}
    return next((data, shapes) for data, shapes in files if {label for label, _ in shapes} == wanted)


if __name__ == "__main__":
    make_contraband()
