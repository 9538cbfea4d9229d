"""What lists cost: `python -m bench.matching_bench`. Words, patterns and hashes of pictures, as `moderation.matching` finds them.

Prints CPU time, which other programs do not stretch much. Nothing here passes or fails.
"""

# ruff: noqa: SIM905 - lists of words are read more easily than lists of strings
import argparse
import io
import random
import secrets
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from moderation.matching.patterns import PatternList  # noqa: E402
from moderation.matching.pictures import HashList, PictureHashes  # noqa: E402
from moderation.matching.texts import Readable  # noqa: E402
from moderation.matching.words import WordList  # noqa: E402

now = time.process_time
SYLLABLES = "ba de ki lo mu na re si to vu st and er in ol".split()
COMMON = (
    "the of and to in a is that for it as was with be by on not he this are or his from at which good".split()
)
RUSSIAN = "и в не на что он как это по они мы так его за был от меня рак нос город".split()


def word(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(3, 4)))


def text(rng: random.Random, length: int, ordinary: list[str]) -> str:
    words: list[str] = []
    while sum(map(len, words)) < length:
        words.append(rng.choice(ordinary) if rng.random() < 0.8 else word(rng) + rng.choice(["", ",", "."]))
    return " ".join(words)


def words(rng: random.Random) -> None:
    for anywhere in (False, True):
        where = "anywhere" if anywhere else "whole words"
        began = now()
        known = WordList([f"{word(rng)}{number:x}" for number in range(10_000)], anywhere=anywhere)
        built = now() - began
        texts = [text(rng, 2_000, COMMON) for _ in range(50)]
        began = now()
        for long in texts:
            known.find(Readable(long))
        took = (now() - began) / len(texts)
        print(f"10,000 entries, {where}: built in {built:.2f} s; 2,000 characters in {1e3 * took:.2f} ms")
        known = WordList([word(rng) for _ in range(100)], anywhere=anywhere)
        for name, ordinary in (("English", COMMON), ("Russian", RUSSIAN)):
            texts = [text(rng, 80, ordinary) for _ in range(10_000)]
            began = now()
            for short in texts:
                known.find(Readable(short))
            took = 10 * (now() - began)
            print(f"100 entries, {where}: 100,000 {name} texts of 80 characters in {took:.1f} s")


def patterns(rng: random.Random) -> None:
    known = PatternList([rf"(?i)\b{word(rng)}\s*[:=]\s*\d+" for _ in range(20)])
    texts = [text(rng, 2_000, COMMON) for _ in range(50)]
    began = now()
    for long in texts:
        known.find(Readable(long))
    print(f"20 patterns: 2,000 characters in {1e3 * (now() - began) / len(texts):.2f} ms")


def pictures() -> None:
    for width, height in ((800, 600), (5_000, 5_000)):
        file = io.BytesIO()
        Image.radial_gradient("L").resize((width, height)).convert("RGB").save(file, "JPEG")
        began = now()
        hashes = PictureHashes.of(file.getvalue())
        print(f"hashes of {width:,} × {height:,} pixels: {1e3 * (now() - began):.1f} ms")
    known = HashList([f"pdq:{secrets.token_hex(32)}" for _ in range(1_000_000)])
    hashes = hashes._replace(pdq_quality=100)
    began = now()
    for _ in range(20):
        known.find(hashes)
    print(f"1,000,000 PDQ hashes: one look-up in {1e3 * (now() - began) / 20:.1f} ms")


def main() -> None:
    argparse.ArgumentParser("python -m bench.matching_bench", description=__doc__).parse_args()
    rng = random.Random(1)
    words(rng)
    patterns(rng)
    pictures()


if __name__ == "__main__":
    main()
