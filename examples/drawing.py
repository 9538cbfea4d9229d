"""Random drawings of circles, squares, triangles and stars, and how they get a model's size.

A drawing is made at twice its size and shrunk, which smooths its edges.
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LABELS = ["circle", "square", "triangle", "star"]
FINE = 2  # times a drawing's size
OUTLINE_POINTS = 120


def draw(random, width, height, places):
    """A picture of this size, and its shapes: pairs of a label's number and a box. A place is the centre and a size."""
    canvas = _background(random, width * FINE, height * FINE)
    background = np.asarray(canvas.resize((1, 1), Image.Resampling.BOX), float)[0, 0]
    shapes = []
    if random.random() < 0.15:
        _draw_lines(random, canvas, background)
    for x, y, size in places:
        label = int(random.integers(len(LABELS)))
        points = np.array([x, y]) * FINE + outline(random, label, size * FINE)
        margin = _draw_shape(random, canvas, points, size * FINE, background)
        corners = np.concatenate([points.min(axis=0) - margin, points.max(axis=0) + margin]) / FINE
        shapes.append((label, np.clip(corners, 0, [width, height, width, height])))
    picture = canvas.reduce(FINE)
    return _worn(random, picture), shapes


def outline(random, label, size):
    """The points of a shape around (0, 0) whose larger side is about `size`."""
    corners = (_circle, _square, _triangle, _star)[label](random)
    is_upright = random.random() < 0.5
    turn = random.normal(0, 0.06) if is_upright else random.uniform(0, 2 * np.pi)
    points = _along(corners * [1, random.uniform(0.88, 1.12)])
    if random.random() < 0.4:
        points *= _wobble(random)
    points = points @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    return points * size / np.ptp(points, axis=0).max()


def _on_circle(angles, radius=1.0):
    return np.stack([np.sin(angles), -np.cos(angles)], axis=-1) * np.reshape(radius, (-1, 1))


def _circle(random):
    return _on_circle(np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False))


def _square(random):
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + random.uniform(-0.05, 0.05, (4, 2))


def _triangle(random):
    return _on_circle(2 * np.pi / 3 * (np.arange(3) + random.uniform(-0.17, 0.17, 3)))


def _star(random):
    rays = random.choice([5, 5, 5, 5, 6, 4])
    inner = random.uniform(0.36, 0.5) if rays > 4 else random.uniform(0.3, 0.42)
    return _on_circle(np.arange(2 * rays) * np.pi / rays, np.tile([1, inner], rays))


def _along(corners):
    """More points, on the straight lines between the corners."""
    steps = np.linspace(0, 1, -(-OUTLINE_POINTS // len(corners)), endpoint=False)[:, None, None]
    lines = corners + steps * (np.roll(corners, -1, axis=0) - corners)
    return lines.transpose(1, 0, 2).reshape(-1, 2)


def _wobble(random):
    """An unsteady hand: factors for the points' distances from the centre."""
    angles = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
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


def _contrasting(random, background):
    """A colour that is visible on this background."""
    while True:
        colour = random.choice([0.0, 255.0], 3) if random.random() < 0.3 else random.uniform(0, 255, 3)
        if np.linalg.norm(colour - background) > 90:
            return tuple(int(value) for value in colour)


def _draw_shape(random, canvas, points, size, background):
    """Filled, as an outline, or both. Returns how far the pen went beyond the points."""
    brush = ImageDraw.Draw(canvas)
    flat = [tuple(point) for point in points]
    kind = random.random()
    if kind < 0.7:
        fill = _contrasting(random, background)
        brush.polygon(flat, fill=fill)
        if kind < 0.5:
            return 0
    pen = max(FINE, round(size * random.uniform(0.01, 0.1)))
    brush.line([*flat, flat[0], flat[1]], fill=_contrasting(random, background), width=pen, joint="curve")
    return pen / 2


def _draw_lines(random, canvas, background):
    """A few strokes that are no shapes, behind the shapes."""
    brush = ImageDraw.Draw(canvas)
    for _ in range(random.integers(1, 4)):
        ends = random.uniform(0, 1, 4) * np.tile(canvas.size, 2)
        pen = max(FINE, round(max(canvas.size) * random.uniform(0.003, 0.015)))
        brush.line(tuple(ends), fill=_contrasting(random, background), width=pen)


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
