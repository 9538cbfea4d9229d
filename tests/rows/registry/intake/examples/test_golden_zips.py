"""Golden sets of pictures that come as a zip: three ways to label them, and what is refused by name."""

import base64
import json
import stat
import struct
import tracemalloc
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from registry.catalogue import artifacts
from registry.console import golden_set as page_module
from registry.errors import BodyTooLarge, Invalid
from registry.intake.examples import golden_files
from registry.intake.examples.models import GoldenSet
from registry.intake.examples.rows import MAX_PICTURE_BYTES
from registry.intake.file_scan.sent_files import ListLimits
from registry.record.models import AuditRecord
from tests.support.factories import a_model
from tests.support.picture_files import png_with_nonsense
from tests.support.picture_models import a_picture
from tests.support.zips import a_zip, label_lines

pytestmark = pytest.mark.django_db
RED, GREEN = a_picture(), a_picture((0, 255, 0), kind="JPEG")
LINES = label_lines(("a.png", "red"), ("b.jpg", "green"))
PICTURES = (("a.png", RED), ("b.jpg", GREEN))
BOXES = [{"label": "car", "box": [1, 2, 30, 40]}]


def rows_of(content, pieces=64 * 1024):
    """The rows that a file gives, as objects."""
    parts = (content[at : at + pieces] for at in range(0, len(content), pieces))
    return [json.loads(line.content) for line in golden_files.rows_in(parts, has_pictures=True)]


def put(api, model, content, metric="accuracy"):
    address = f"/api/v1/models/{model.slug}/golden-set?metric={metric}"
    return api.put(address, content, content_type="application/zip")


@pytest.mark.parametrize(
    "entries",
    [
        (("labels.jsonl", LINES), *PICTURES),
        (("labels.csv", "image,label\r\na.png,red\r\nb.jpg,green\r\n"), *PICTURES),
        (("red/a.png", RED), ("green/b.jpg", GREEN)),
        (("set/labels.jsonl", LINES), *((f"set/{name}", content) for name, content in PICTURES)),
        (("set/", b""), ("set/red/a.png", RED), ("set/green/b.jpg", GREEN), ("set/red/.DS_Store", b"x"), ("__MACOSX/a", b""),
         ("set/red/._a.png", b"x"), ("set/Thumbs.db", b"x")),
    ],
    ids=["lines", "csv", "folders", "lines in a folder", "folders in a folder"],
)  # fmt: skip
@pytest.mark.parametrize("pieces", [1, 10_000_000], ids=["bytewise", "whole"])
def test_a_zip_becomes_rows_with_the_original_bytes(entries, pieces):
    assert rows_of(a_zip(*entries), pieces) == [
        {"inputs": {"image": base64.b64encode(content).decode()}, "label": label}
        for content, label in ((RED, "red"), (GREEN, "green"))
    ]


def test_lines_pass_through():
    assert list(golden_files.rows_in([b'{"a"', b": 1}\nx"], has_pictures=True)) == [b'{"a": 1}', b"x"]


def test_a_compressed_picture_of_the_largest_size_is_read_in_pieces():
    content = a_zip(("x/large.png", RED.ljust(MAX_PICTURE_BYTES, b"\0")), method=zipfile.ZIP_STORED)

    (row,) = rows_of(content)

    assert len(base64.b64decode(row["inputs"]["image"])) == MAX_PICTURE_BYTES


def a_link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def lying(content=RED):
    """A zip whose picture claims to be longer than it is, in both places."""
    sent = a_zip(("red/a.png", content))
    size = struct.pack("<I", len(content))
    return sent.replace(size, struct.pack("<I", len(content) + 7))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (a_zip(("labels.jsonl", LINES), PICTURES[0]), "Line 2 of labels.jsonl names 'b.jpg', which is not in the zip"),
        (a_zip(("labels.jsonl", f"{LINES}\n{LINES}"), *PICTURES), "Line 3 of labels.jsonl names 'a.png', which has a label"),
        (a_zip(("labels.jsonl", LINES), *PICTURES, ("c.png", RED)), "'c.png' has no label"),
        (a_zip(("labels.jsonl", '{"image": "a.png"}'), *PICTURES), "Line 1 of labels.jsonl must be an object"),
        (a_zip(("labels.jsonl", '{"image": 5, "label": 1}'), *PICTURES), "Line 1 of labels.jsonl must be an object"),
        (a_zip(("labels.jsonl", "nonsense"), *PICTURES), "Line 1 of labels.jsonl is not valid JSON"),
        (a_zip(("labels.csv", "picture,label\na.png,red"), *PICTURES), "must be image,label"),
        (a_zip(("labels.csv", "image,label\na.png"), *PICTURES), "Line 2 of labels.csv must have two columns"),
        (a_zip(("labels.csv", 'image,label\n"a.png,red'), *PICTURES), "of labels.csv is not valid CSV"),
        (a_zip(("labels.csv", b"image,label\na.png,\xff"), *PICTURES), "labels.csv is not UTF-8 text"),
        (a_zip(("labels.csv", "image,label"), ("labels.jsonl", LINES), *PICTURES), "include one file of labels"),
        (a_zip(*PICTURES), "'a.png' has no label"),
        (a_zip(("red/a.png", RED), ("red\\a.png", RED)), "two files named 'red/a.png'"),
        (a_zip(("red/large.png", bytes(MAX_PICTURE_BYTES + 1))), "'large.png'"),
        (a_zip((a_link("red/a.png"), "/etc/passwd")), "is a link or a device"),
        (a_zip(("../a.png", RED)), "not a plain file name"),
        (a_zip(("/red/a.png", RED)), "not a plain file name"),
        (a_zip(("red/a.png", RED))[:-9], "damaged"),
        (lying(), "damaged"),
        (a_zip(("red/a.png", RED), method=zipfile.ZIP_BZIP2), "unusual compression"),
    ],
    ids=[
        "missing", "named twice", "without label", "no label said", "no name", "no JSON", "columns", "one column", "quotes",
        "not text", "two files", "no folder", "twice in the zip", "too large", "link", "parent", "root", "cut off", "lies",
        "bzip2",
    ],
)  # fmt: skip
def test_what_is_refused_and_what_it_says(content, said):
    with pytest.raises(Invalid) as refused:
        rows_of(content)

    assert said.replace("'large.png'", "large.png") in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("LIST_LIMITS", ListLimits(entries=1, bytes=1_000), Invalid),
        ("MAX_ZIP_BYTES", 100, BodyTooLarge),
        ("MAX_SET_BYTES", 100, Invalid),
    ],
)
def test_limits(monkeypatch, name, value, error):
    monkeypatch.setattr(golden_files, name, value)

    with pytest.raises(error):
        rows_of(a_zip(("red/a.png", RED), ("red/b.png", RED)))


def test_the_list_of_entries_has_room_for_long_names():
    names = [f"red/{number:06}".ljust(150, "x") + ".png" for number in range(30_000)]
    sent = a_zip(*((name, b"x") for name in names))
    assert len(sent) > 2 * 30_000 * 150

    assert len(list(golden_files.rows_in([sent], has_pictures=True))) == 30_000


def test_more_entries_than_may_be_held_are_refused_before_they_are_parsed(monkeypatch):
    sent = a_zip(*((f"red/{number}.png", b"x") for number in range(30_000)))
    monkeypatch.setattr(golden_files, "LIST_LIMITS", ListLimits(entries=20_000, bytes=12 << 20))
    monkeypatch.setattr(zipfile, "ZipInfo", None)

    with pytest.raises(Invalid, match="more than 20,000 entries"):
        rows_of(sent)


@pytest.mark.parametrize(
    ("name", "first"), [("labels.csv", "image,label"), ("labels.jsonl", LINES.split("\n")[0])]
)
def test_a_line_of_labels_without_an_end_is_not_held(name, first):
    sent = a_zip((name, f"{first}\n{'x' * (40 << 20)}"), *PICTURES)
    tracemalloc.start()

    with pytest.raises(Invalid, match=f"Line 2 of {name} is longer"):
        rows_of(sent, 1 << 20)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_labels_may_start_with_a_mark_of_their_encoding():
    for name, labels in (
        ("labels.csv", "image,label\na.png,red"),
        ("labels.jsonl", label_lines(("a.png", "red"))),
    ):
        (row,) = rows_of(a_zip((name, "\ufeff" + labels), PICTURES[0]))
        assert row["label"] == "red"


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = a_zip(*((f"x/{number}.png", bytes(9 << 20)) for number in range(9)), method=zipfile.ZIP_DEFLATED)

    with pytest.raises(Invalid, match="more than 200 times its own size"):
        rows_of(bomb)


class TestDoors:
    def test_the_api_takes_a_zip(self, api):
        model = a_model(task="image-classification")

        made = put(api, model, a_zip(("labels.jsonl", LINES), *PICTURES))

        assert (made.status_code, made.json()["rows"]) == (200, 2)
        stored = artifacts.path_of(GoldenSet.objects.get().sha256).read_bytes().splitlines()
        assert [json.loads(line)["label"] for line in stored] == ["red", "green"]

    def test_boxes_come_with_labels_jsonl(self, api):
        model = a_model(task="object-detection")

        made = put(api, model, a_zip(("labels.jsonl", label_lines(("a.png", BOXES))), PICTURES[0]), "map50")

        assert made.status_code == 200
        assert put(api, model, a_zip(("car/a.png", RED)), "map").status_code == 422  # a folder is no box

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"<html>", "'a.png': Send a JPEG, PNG, WebP or GIF."),
            (RED[:60], "'a.png': The picture is cut off."),
            (b"", "'a.png': Send a JPEG, PNG, WebP or GIF."),
            (png_with_nonsense(), "'a.png': The picture is damaged or incomplete."),
        ],
        ids=["page", "cut off", "empty", "damaged"],
    )
    def test_what_is_no_picture_is_named(self, api, content, said):
        answer = put(api, a_model(task="image-classification"), a_zip(("red/a.png", content)))

        assert answer.status_code == 422
        assert said in answer.json()["detail"].replace("'red/a.png'", "'a.png'")
        assert not GoldenSet.objects.exists()

    def test_other_tasks_take_no_zip(self, api):
        answer = put(api, a_model(), a_zip(("red/a.png", RED)))

        assert answer.status_code == 422 and "Only golden sets of pictures" in answer.json()["detail"]

    def test_a_row_may_be_as_long_as_the_largest_picture_but_no_other(self, api):
        padded = RED[:-12] + struct.pack(">I4s", 8 << 20, b"teXt") + bytes(8 << 20) + bytes(4) + RED[-12:]
        line = json.dumps({"inputs": {"image": base64.b64encode(padded).decode()}, "label": "red"})

        assert put(api, a_model("pictures", task="image-classification"), line).status_code == 200
        refused = put(api, a_model("texts", task="text-classification"), line)
        assert "longer than 4,194,304 bytes" in refused.json()["detail"]

    def test_the_page_takes_a_zip(self, client, operator, monkeypatch):
        model = a_model(task="image-classification")
        address = reverse("admin:registry_model_golden_set", args=[model.pk])
        assert ".zip" in client.get(address).text
        monkeypatch.setattr(page_module, "MAX_PAGE_BYTES", 10)  # of JSON lines only

        def send():
            file = SimpleUploadedFile("set.zip", a_zip(("red/a.png", RED), ("green/b.jpg", GREEN)))
            return client.post(address, {"file": file, "metric": "f1", "reason": "first"})

        assert send().status_code == 302
        assert GoldenSet.objects.get().rows == 2
        monkeypatch.setattr(page_module, "MAX_PAGE_ZIP_BYTES", 10)
        assert "Use the API instead" in send().text

    def test_the_command_takes_a_zip(self, tmp_path, capsys):
        a_model("colours", task="image-classification")
        path = tmp_path / "set.zip"
        path.write_bytes(a_zip(("red/a.png", RED)))

        call_command("put_golden_set", "colours", str(path), "--metric", "accuracy", "--reason", "first")

        assert GoldenSet.objects.get().rows == 1

    def test_the_command_names_what_is_wrong(self, tmp_path):
        a_model("colours", task="image-classification")
        path = tmp_path / "set.zip"
        path.write_bytes(a_zip(("a.png", RED)))

        with pytest.raises(CommandError, match="has no label"):
            call_command("put_golden_set", "colours", str(path), "--metric", "accuracy", "--reason", "first")

    def test_the_audit_record_has_no_pictures(self, api):
        put(api, a_model(task="image-classification"), a_zip(("red/a.png", RED)))

        record = AuditRecord.objects.get(action="put_golden_set")
        assert len(json.dumps([record.before, record.after])) < 500
