"""Inputs as a user of each model would send them: pictures, sounds, texts, tables, molecules; one row each."""

import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.support.processes import ROOT

Inputs = dict[str, np.ndarray]
Maker = Callable[[np.random.Generator], Inputs]

COUNT = 6
_WORDS = [
    "a",
    "and",
    "answers",
    "asked",
    "cold",
    "even",
    "model",
    "morning",
    "nobody",
    "noon",
    "some",
    "the",
    "true",
]
_RATE = 16000


def several(name: str, make: Maker) -> list[Inputs]:
    """COUNT different inputs, the same in every run."""
    return [make(np.random.default_rng([zlib.crc32(name.encode()), number])) for number in range(COUNT)]


def floats(shapes: Mapping[str, tuple[int, ...]], *, low: float = -2, high: float = 2) -> Maker:
    """Decimals in which every row differs."""
    return lambda rng: {
        name: rng.uniform(low, high, shape).astype(np.float32) for name, shape in shapes.items()
    }


def table(name: str, means: list[float], spread: float = 0.2) -> Maker:
    """A row of measurements around these means."""
    return lambda rng: {name: (np.array([means]) * rng.normal(1, spread, (1, len(means)))).astype(np.float32)}


def ids(
    name: str, below: int, *, at_least: int = 5, at_most: int = 40, middle: tuple[int, ...] = ()
) -> Maker:
    """Tokens of a sentence, whose length differs."""

    def make(rng):
        return {name: rng.integers(1, below, (1, *middle, rng.integers(at_least, at_most)), np.int64)}

    return make


# -- pictures


def picture(name: str, *sizes: tuple[int, int], channels_last: bool = False, is_scaled: bool = True) -> Maker:
    """A photograph, more or less: sky, ground, things; of one of these heights and widths."""

    def make(rng):
        height, width = sizes[rng.integers(len(sizes))]
        image = Image.new("RGB", (width, height), tuple(rng.integers(90, 250, 3)))
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, int(height * 0.6), width, height), fill=tuple(rng.integers(0, 160, 3)))
        for _ in range(6):
            x, y, size = rng.integers(0, width), rng.integers(0, height), rng.integers(4, 3 + width // 3)
            draw.ellipse((x, y, x + size, y + size), fill=tuple(rng.integers(0, 255, 3)))
        return {name: _pixels(image, rng, channels_last, is_scaled)}

    return make


def page(name: str, *sizes: tuple[int, int]) -> Maker:
    """Lines of print, as a camera sees them."""

    def make(rng):
        height, width = sizes[rng.integers(len(sizes))]
        image = Image.new("RGB", (width, height), (245, 242, 235))
        draw, size = ImageDraw.Draw(image), int(min(28, height * 0.6))
        for top in range(height // 8, height - size, size * 2):
            words = " ".join(rng.choice(_WORDS, 4))
            draw.text((rng.integers(4, 20), top), words, fill=(20, 20, 40), font=ImageFont.load_default(size))
        return {name: _pixels(image, rng, channels_last=False, is_scaled=True)}

    return make


def _pixels(image, rng, channels_last, is_scaled):
    values = np.asarray(image, np.float32) + rng.normal(0, 3, (image.height, image.width, 3))
    values = (values / 255 - 0.5) / 0.5 if is_scaled else values - np.array([104, 117, 123])
    return (values if channels_last else values.transpose(2, 0, 1))[None].astype(np.float32)


# -- sounds


def speech(rng, samples: int) -> np.ndarray:
    """A voice that hums: a wandering tone with overtones, and breath."""
    time_s = np.arange(samples) / _RATE
    tone_hz = rng.uniform(90, 240) + 12 * np.sin(2 * np.pi * 3 * time_s)
    phase = 2 * np.pi * np.cumsum(tone_hz) / _RATE
    voice = sum(np.sin(phase * overtone) / overtone for overtone in range(1, 9))
    return (0.15 * voice + rng.normal(0, rng.uniform(0.001, 0.05), samples)).astype(np.float32)


def voice_activity(has_rate: bool, rng: np.random.Generator) -> Inputs:
    made = {"input": speech(rng, 576)[None], "state": rng.normal(0, 0.3, (2, 1, 128)).astype(np.float32)}
    return {**made, "sr": np.array(_RATE, np.int64)} if has_rate else made


def voice_activity_in_pieces(rng: np.random.Generator) -> Inputs:
    pieces = int(rng.integers(4, 12))
    state = {name: np.zeros((1, 1, 128), np.float32) for name in ("h", "c")}
    return {"input": speech(rng, 576 * pieces).reshape(pieces, 576), **state}


def voice_filter(rng: np.random.Generator) -> Inputs:
    time = int(rng.integers(5, 30))
    return floats({"stacked_logmel": (1, time, 512), "dvec": (1, 256), "h0": (3, 1, 512), "c0": (3, 1, 512)})(
        rng
    )


# -- texts and files


def file_bytes(rng: np.random.Generator) -> Inputs:
    """How magika reads a file: its first and last 1,024 bytes, 256 where there are none."""
    files = sorted([*ROOT.glob("*.*"), *(ROOT / "docs").glob("*.*"), *(ROOT / "registry").glob("*.py")])
    content = files[rng.integers(len(files))].read_bytes().strip()
    row = np.full((1, 2048), 256, np.int32)
    first, last = np.frombuffer(content[:1024], np.uint8), np.frombuffer(content[-1024:], np.uint8)
    row[0, : len(first)], row[0, 2048 - len(last) :] = first, last
    return {"bytes": row}


def bert_tokens(rng: np.random.Generator) -> Inputs:
    """[CLS] words [SEP]; the vocabulary has 19,730 words."""
    length = int(rng.integers(6, 48))
    tokens = rng.integers(1000, 19000, (1, length), np.int64)
    tokens[0, 0], tokens[0, -1] = 101, 102
    tokens = np.where(tokens >= 19730, 5, tokens)
    return {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }


def thai_windows(*names: str) -> Maker:
    """For each character of a sentence the 21 around it: the character and its type, and maybe whether a word ends."""

    def make(rng):
        rows, highest = int(rng.integers(1, 24)), (178, 12, 12)
        return {
            name: rng.integers(0, below, (rows, 21)).astype(np.float32)
            for name, below in zip(names, highest, strict=False)
        }

    return make


def two_rows_of_ids(rng: np.random.Generator) -> Inputs:
    """Characters and syllables of one sentence."""
    length = int(rng.integers(5, 40))
    rows = [rng.integers(1, below, length) for below in (139, 6227)]
    return {"input": np.stack(rows)[None].astype(np.int64)}


def messages(rng: np.random.Generator) -> Inputs:
    return {
        "text": np.array([[" ".join(rng.choice([*_WORDS, "money", "prize", "pills", "report"], 7))]], object)
    }


def customer(rng: np.random.Generator) -> Inputs:
    return {
        "city": np.array([[["Graz", "Wien", "Linz"][rng.integers(3)]]], object),
        "age": rng.normal(40, 9, (1, 1)).astype(np.float32),
        "income": rng.normal(30, 5, (1, 1)).astype(np.float32),
    }


def masked_tokens(rng: np.random.Generator) -> Inputs:
    length, padding = int(rng.integers(6, 30)), int(rng.integers(0, 4))
    mask = np.ones((1, length), np.int64)
    mask[0, length - padding :] = 0
    return {"tokens": rng.integers(1, 1000, (1, length), np.int64), "attention_mask": mask}


# -- others


def series(rng: np.random.Generator) -> Inputs:
    return {
        "series": np.cumsum(rng.normal(0, 0.3, (1, int(rng.integers(5, 40)), 12)), axis=1).astype(np.float32)
    }


def molecule(rng: np.random.Generator) -> Inputs:
    """A ring with branches, every bond in both directions."""
    atoms = int(rng.integers(6, 20))
    bonds = [(at, at + 1) for at in range(atoms - 1)] + [(0, 5)]
    edges = np.array([*bonds, *[(b, a) for a, b in bonds]], np.int64).T
    kinds = rng.integers(0, 9, atoms)
    feat, edge_feat = np.zeros((atoms, 85), np.float32), np.zeros((edges.shape[1], 13), np.float32)
    feat[np.arange(atoms), kinds] = 1
    edge_feat[:, 0] = 1
    return {
        "feat": feat,
        "edge_feat": edge_feat,
        "edge_index": edges,
        "laplacian_eigvec": rng.normal(0, 0.3, (atoms, 8)).astype(np.float32),
        "laplacian_eigval": np.tile(np.sort(rng.uniform(0, 2, 8)), (atoms, 1)).astype(np.float32),
        "rw_return_probs": rng.uniform(0, 1, (atoms, 16)).astype(np.float32),
        "batch": np.zeros(atoms, np.int64),
        "graph_slots": np.zeros(1, np.float32),
    }
