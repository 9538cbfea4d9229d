import hashlib
import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from moderation.matching.errors import BadList, NotAPicture
from moderation.matching.pictures import HashList, PictureHashes, hash_pdq

# Of `made(number, size)`, from the reference implementation: pdqhash 0.2.8, which needs a compiler and is no dependency.
REFERENCE = {
    (0, (64, 64)): ("08f70bfeabdc08ef10df6398fd22dc23e301ea54fd202b0520944dacd5aa9ef3", 100),
    (1, (40, 30)): ("215ddcce53b1256700079ab1fe4c8b3c8bba764731430126ccd7b7f87f7e1884", 100),
    (2, (5, 300)): ("1e0fc1f03b0e61d8cb723e0fca723c8fc1f061d8ce33398ece333c0fc1f09b26", 100),
    (3, (129, 128)): ("e223b9151ffe500aec551ffcf00ac2031bfe54c8f44b0ff5592ea25132ff1c88", 100),
    (4, (320, 240)): ("5502b3fc2baad40155427aa856aa55cad2a368ab17fe75ded2a36d121bfc2a94", 100),
    (5, (320, 240)): ("f93a9d541e381e28ac7c1f6156adb9555aaa2e381c505ca8af54a95f52aa7387", 100),
    (6, (641, 1000)): ("65bd1407a2d21a066df09467c5e3b42d0c379ef24083ffec0c1bdfe22013fbbc", 100),
    (7, (1024, 768)): ("ad78efea180e08873bc6040f0a1f0b153c163c0e79ce9fd0b90ae5eaf7fa4237", 100),
    (8, (3000, 7)): ("97f058ab7a0faf54482958aba9f1b7fabadf480155206814760ebf5497f050ab", 100),
    (9, (1999, 1501)): ("2b52562aa5a55b5284ad775a6203a5b57212a6bd53326edaa4255b5aacad5bda", 90),
}


def made(number, size=(320, 240)):
    """Rectangles of grey and colour over a slope, the same on every machine."""
    rng = np.random.default_rng(number)
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels += (np.arange(width) * 200 // width).astype(np.uint8)[None, :, None]
    for _ in range(14):
        left, top = rng.integers(width), rng.integers(height)
        wide, high = rng.integers(width // 10, width // 2), rng.integers(height // 10, height // 2)
        pixels[top : top + high, left : left + wide] = rng.integers(0, 230, 3)
    return Image.fromarray(pixels)


def content(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def distance(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


class TestPdq:
    @pytest.mark.parametrize(("number", "size"), REFERENCE)
    def test_is_that_of_the_reference(self, number, size):
        pdq, quality = hash_pdq(made(number, size))
        expected, expected_quality = REFERENCE[number, size]

        assert distance(pdq, expected) <= 2  # sums of floating-point numbers may differ in the last digit
        assert abs(quality - expected_quality) <= 1

    @pytest.mark.parametrize("number", range(10))
    def test_copies_are_near(self, number):
        image = made(number)
        pdq = PictureHashes.of(content(image)).pdq
        copies = {
            "JPEG": content(image, "JPEG", quality=40),
            "WebP": content(image, "WEBP", quality=50),
            "larger": content(image.resize((640, 480))),
            "smaller": content(image.resize((160, 120))),
            "brighter": content(ImageEnhance.Brightness(image).enhance(1.1)),
            "darker": content(ImageEnhance.Brightness(image).enhance(0.7)),
        }

        distances = {name: distance(pdq, PictureHashes.of(copy).pdq) for name, copy in copies.items()}
        assert max(distances.values()) <= 31, distances

    def test_different_pictures_are_far(self):
        hashes = [hash_pdq(made(number))[0] for number in range(40)]

        assert min(distance(one, other) for one, other in combinations(hashes, 2)) > 62

    def test_there_is_nothing_to_see_in_one_colour(self):
        assert PictureHashes.of(content(Image.new("RGB", (300, 200), "red"))).pdq_quality == 0
        assert hash_pdq(Image.new("RGB", (4, 900))) == ("0" * 64, 0)


class TestPictureHashes:
    def test_the_file_is_hashed_as_it_is(self):
        file = content(made(1))
        hashes = PictureHashes.of(file)

        assert hashes.sha256 == hashlib.sha256(file).hexdigest()
        assert hashes.md5 == hashlib.md5(file).hexdigest()

    def test_a_picture_is_turned_first(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = content(made(2).transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())

        assert distance(PictureHashes.of(turned).pdq, PictureHashes.of(content(made(2))).pdq) <= 4

    @pytest.mark.parametrize(
        "file", [b"", b"text", content(made(3))[:500], b"\x89PNG\r\n\x1a\n" + bytes(80)],
        ids=["nothing", "text", "cut off", "damaged"],
    )  # fmt: skip
    def test_other_files_are_refused(self, file):
        with pytest.raises(NotAPicture):
            PictureHashes.of(file)

    def test_a_picture_of_too_many_pixels_is_refused(self):
        with pytest.raises(NotAPicture, match="25,000,000"):
            PictureHashes.of(content(Image.new("1", (6_000, 6_000))))


class TestHashList:
    FILE = content(made(5))
    HASHES = PictureHashes.of(FILE)

    def test_the_same_file_and_near_pictures_are_found_nearest_first(self):
        near, far = (f"pdq:{int(self.HASHES.pdq, 16) ^ (1 << bits) - 1:064x}" for bits in (31, 32))
        same = [f"sha256:{self.HASHES.sha256}", self.HASHES.md5.upper(), f"PDQ:{self.HASHES.pdq}"]
        entries = [near, far, *same, f"md5:{'0' * 32}"]

        assert HashList(entries).find(self.HASHES) == [*((entry, 0) for entry in same), (near, 31)]
        assert (far, 32) in HashList(entries, distance=32).find(self.HASHES)
        assert HashList([near], distance=30).find(self.HASHES) == []

    def test_pictures_without_detail_are_near_nothing(self):
        plain = self.HASHES._replace(pdq_quality=49)

        assert HashList([f"pdq:{self.HASHES.pdq}"]).find(plain) == []
        assert HashList([f"md5:{self.HASHES.md5}"]).find(plain) == [(f"md5:{self.HASHES.md5}", 0)]

    def test_all_entries_of_a_long_list_are_compared(self):
        rng = np.random.default_rng(1)
        entries = [f"pdq:{row.tobytes().hex()}" for row in rng.integers(0, 256, (150_000, 32), np.uint8)]
        known = HashList(entries)

        for place in (0, 65_535, 65_536, 149_999):
            assert known.find(self.HASHES._replace(pdq=entries[place][4:])) == [(entries[place], 0)]

    def test_an_empty_list_finds_nothing(self):
        assert HashList([]).find(self.HASHES) == []

    @pytest.mark.parametrize(
        ("entry", "sentence"),
        [
            ("0" * 64, "Write sha256: or pdq: before them"),
            ("0" * 33, "has 32 digits, this one 33"),
            ("pdq:0", "has 64 digits, this one 1"),
            ("sha1:00", "is no hash"),
            ("", "is no hash"),
        ],
    )
    def test_bad_entries_are_named(self, entry, sentence):
        with pytest.raises(BadList, match=sentence) as caught:
            HashList([f"md5:{'0' * 32}", entry])

        assert caught.value.place == 1
