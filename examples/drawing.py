"""Random drawings of circles, squares, triangles and stars, or of other figures, and how they get a model's size.

A drawing is made at twice its size and shrunk, which smooths its edges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

LABELS = ["circle", "square", "triangle", "star"]
FINE = 2  # times a drawing's size
OUTLINE_POINTS = 120


@dataclass(frozen=True)
class Figure:
    """What a script can draw."""

    label: int | None  # the label's number; None if a model is not to find it
    corners: Callable  # those of a random one
    has_halves: bool = False  # which have a colour each


@dataclass(frozen=True)
class Scene:
    """What random pictures show: some of these figures, each as likely as the others."""

    figures: list[Figure]
    places_of: Callable  # for random numbers, width and height; a place is the centre and a size
    cluttered: float = 0.0  # the share of pictures with scribbles behind the figures

    def draw(self, random, width, height):
        """A picture of this size, and its shapes: pairs of a label's number and a box."""
        places = self.places_of(random, width, height)
        canvas = _background(random, width * FINE, height * FINE)
        background = np.asarray(canvas.resize((1, 1), Image.Resampling.BOX), float)[0, 0]
        if random.random() < 0.15:
            _draw_lines(random, canvas, background)
        if self.cluttered and random.random() < self.cluttered:
            _draw_clutter(random, canvas, places)
        found = [self._draw_one(random, canvas, background, place) for place in places]
        most = [width, height, width, height]
        shapes = [(label, np.clip(corners / FINE, 0, most)) for label, corners in found if label is not None]
        return _worn(random, canvas.reduce(FINE)), shapes

    def _draw_one(self, random, canvas, background, place):
        x, y, size = place
        figure = self.figures[int(random.integers(len(self.figures)))]
        points = np.array([x, y]) * FINE + outline(random, figure, size * FINE)
        margin = _draw_shape(random, canvas, points, size * FINE, background, figure.has_halves)
        return figure.label, np.concatenate([points.min(axis=0) - margin, points.max(axis=0) + margin])


def outline(random, figure, size):
    """The points of a figure around (0, 0) whose larger side is about `size`."""
    corners = figure.corners(random)
    is_upright = random.random() < 0.5
    turn = random.normal(0, 0.06) if is_upright else random.uniform(0, 2 * np.pi)
    points = _along(corners * [1, random.uniform(0.88, 1.12)])
    if random.random() < 0.4:
        points *= _wobble(random, len(points))
    points = points @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    return points * size / np.ptp(points, axis=0).max()


def on_circle(angles, radius=1.0):
    return np.stack([np.sin(angles), -np.cos(angles)], axis=-1) * np.reshape(radius, (-1, 1))


def circle(random):
    return on_circle(np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False))


def square(random):
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + random.uniform(-0.05, 0.05, (4, 2))


def triangle(random):
    return on_circle(2 * np.pi / 3 * (np.arange(3) + random.uniform(-0.17, 0.17, 3)))


def star(random):
    rays = random.choice([5, 5, 5, 5, 6, 4])
    inner = random.uniform(0.36, 0.5) if rays > 4 else random.uniform(0.3, 0.42)
    return on_circle(np.arange(2 * rays) * np.pi / rays, np.tile([1, inner], rays))


def _along(corners):
    """More points, about OUTLINE_POINTS, on the straight lines between the corners."""
    steps = np.linspace(0, 1, -(-OUTLINE_POINTS // len(corners)), endpoint=False)[:, None, None]
    lines = corners + steps * (np.roll(corners, -1, axis=0) - corners)
    return lines.transpose(1, 0, 2).reshape(-1, 2)


def _wobble(random, count):
    """An unsteady hand: factors for the points' distances from the centre."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    waves = [np.sin(times * angles + random.uniform(0, 2 * np.pi)) for times in range(2, 9)]
    return (1 + random.uniform(0.004, 0.012) * np.sum(waves, axis=0))[:, None]


def _background(random, width, height):
    """Plain, or gently textured."""
    colour = _background_colour(random)
    if random.random() < 0.4:
        return Image.new("RGB", (width, height), tuple(int(value) for value in colour))
    cells = random.integers(2, 12, 2)
    spots = (
        colour
        + random.uniform(3, 22) * random.uniform(-1, 1, (*cells, 1))
        + random.uniform(-6, 6, (*cells, 3))
    )
    image = Image.fromarray(spots.clip(0, 255).astype(np.uint8))
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _background_colour(random):
    kind = random.random()
    if kind < 0.25:
        return np.full(3, random.uniform(235, 255))
    if kind < 0.4:
        return np.full(3, random.uniform(0, 40))
    return random.uniform(0, 255, 3)


def _contrasting(random, *others):
    """A colour that is visible beside these."""
    while True:
        colour = random.choice([0.0, 255.0], 3) if random.random() < 0.3 else random.uniform(0, 255, 3)
        if all(np.linalg.norm(colour - other) > 90 for other in others):
            return tuple(int(value) for value in colour)


def _draw_shape(random, canvas, points, size, background, has_halves):
    """Filled, as an outline, or both. Returns how far the pen went beyond the points."""
    brush = ImageDraw.Draw(canvas)
    flat = [tuple(point) for point in points]
    middle = len(flat) // 2
    kind = random.random()
    if kind < 0.7:
        fill = _contrasting(random, background)
        brush.polygon(flat, fill=fill)
        if has_halves:
            brush.polygon(flat[: middle + 1], fill=_contrasting(random, background, fill))
        if kind < 0.5:
            return 0
    pen = max(FINE, round(size * random.uniform(0.01, 0.1 if not has_halves else 0.04)))
    ink = _contrasting(random, background)
    brush.line([*flat, flat[0], flat[1]], fill=ink, width=pen, joint="curve")
    if has_halves:
        brush.line([flat[0], flat[middle]], fill=ink, width=pen)
    return pen / 2


def _draw_lines(random, canvas, background):
    """A few strokes that are no shapes, behind the shapes."""
    brush = ImageDraw.Draw(canvas)
    for _ in range(random.integers(1, 4)):
        ends = random.uniform(0, 1, 4) * np.tile(canvas.size, 2)
        pen = max(FINE, round(max(canvas.size) * random.uniform(0.003, 0.015)))
        brush.line(tuple(ends), fill=_contrasting(random, background), width=pen)


def _draw_clutter(random, canvas, places):
    """Many things behind the figures, as in a photo or on a page; but a figure stands on a clear ground."""
    brush = ImageDraw.Draw(canvas)
    around = np.array([-1, -1, 1, 1]) * 0.6
    clear = [(np.array([x, y, x, y]) + around * size) * FINE for x, y, size in places]
    kinds = random.permutation(5)[: random.integers(1, 6)]  # as few pictures show everything
    for _ in range(random.integers(10, 150)):
        middle = random.uniform(0, 1, 2) * canvas.size
        reach = 2 + max(canvas.size) * random.uniform(0.01, 0.2, 2) ** random.uniform(1, 2)
        if not any((box[:2] < middle + reach).all() and (middle - reach < box[2:]).all() for box in clear):
            _draw_scrap(random, brush, random.choice(kinds), middle, reach)


def _draw_scrap(random, brush, kind, middle, reach):
    """A word, a spot, a stroke, a panel or a splinter, within so much of its middle."""
    ink = tuple(int(value) for value in random.uniform(0, 255, 3))
    frame, pen = [*(middle - reach), *(middle + reach)], max(1, int(min(reach) * random.uniform(0.05, 0.3)))
    if kind == 0:
        word = "".join(
            chr(letter) for letter in random.integers(ord("A"), ord("z") + 1, random.integers(1, 9))
        )
        font = ImageFont.load_default(max(6, int(2 * max(reach) / len(word))))
        brush.text(tuple(middle), word, fill=ink, font=font, anchor="mm")
    elif kind == 1:
        brush.ellipse(frame, fill=ink)
    elif kind == 2:
        ends = middle + random.uniform(-1, 1, (2, 2)) * reach
        brush.line([tuple(end) for end in ends], fill=ink, width=pen)
    elif kind == 3:
        fill = ink if random.random() < 0.5 else None
        brush.rounded_rectangle(frame, int(min(reach) * random.uniform(0, 0.9)), fill, outline=ink, width=pen)
    else:
        corners = middle + random.uniform(-1, 1, (int(random.integers(3, 7)), 2)) * reach
        brush.polygon([tuple(corner) for corner in corners], fill=ink)


def _worn(random, picture):
    """Sometimes blurred, noisy, or saved as a JPEG of low quality."""
    if random.random() < 0.15:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.7) * max(picture.size) / 100))
    if random.random() < 0.25:
        noise = random.normal(0, random.uniform(1, 9), (picture.height, picture.width, 3))
        picture = Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
    if random.random() < 0.3:
        picture = Image.open(BytesIO(encoded(picture, "JPEG", quality=int(random.integers(25, 90)))))
    return picture


def one_place(random, width, height):
    """Where a single large shape goes."""
    size = min(width, height) * random.uniform(0.4, 0.88)
    return [(*_centre(random, width, height, size * 1.06), size)]


def several_places(random, width, height):
    """Where up to seven shapes go that do not touch each other; there may be none."""
    places = []
    wanted, largest = random.integers(0, 8), random.uniform(0.25, 0.7)
    for _ in range(40):
        if len(places) >= wanted:
            break
        size = min(max(width, height) * random.uniform(0.12, largest), 0.85 * min(width, height))
        x, y = _centre(random, width, height, size * 1.12)
        if all(max(abs(x - u), abs(y - v)) > (size + other) * 0.57 for u, v, other in places):
            places.append((x, y, size))
    return places


def _centre(random, width, height, size):
    return random.uniform(size / 2, width - size / 2), random.uniform(size / 2, height - size / 2)


def random_size(random, longest):
    """The sides of a picture; most are no squares."""
    ratio = 1.0 if random.random() < 0.3 else random.uniform(0.5, 1)
    sides = longest, max(1, round(longest * ratio))
    return sides if random.random() < 0.6 else sides[::-1]


def letterbox(picture, side):
    """The picture in the middle of a grey square, and how far it was moved. It must not be larger than the square."""
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    square = Image.new("RGB", (side, side), (114, 114, 114))
    square.paste(picture, (left, top))
    return np.asarray(square), np.array([left, top, left, top])


def encoded(picture, kind, **options):
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


SHAPES = [Figure(number, corners) for number, corners in enumerate([circle, square, triangle, star])]
ONE_SHAPE, SEVERAL_SHAPES = Scene(SHAPES, one_place), Scene(SHAPES, several_places)
