"""Jobs over pictures: a zip of them, columns of URLs, of base64 and of bytes, and pixels."""

import csv
import io
import json
import threading
import zipfile
import zlib

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from rest_framework.test import APIClient

from inference.jobs import files, predictions, selectors
from inference.jobs.models import RESULT_FORMATS, Format, InputSource, Job
from inference.jobs.running import fetched_items
from inference.jobs.running import predictor as running
from inference.jobs.running.work import HeldChunk
from inference.pipelines import pictures
from inference.serving import item_urls, runtime
from registry.access.keys import ring
from registry.errors import FetcherBusy
from registry.record.fetcher import Fetcher
from tests.support.factories import a_key
from tests.support.house import a_runner, ended, errors, order, results, work_off
from tests.support.internet import Internet
from tests.support.picture_models import COLOURS, a_picture, in_base64, put_colours, put_patches

pytestmark = pytest.mark.django_db(transaction=True)
SKIP = {"on_row_error": "skip", "error_limit": 50}
RED, GREEN = a_picture((255, 0, 0)), a_picture((0, 255, 0), size=(90, 40), kind="JPEG")
BLUE = a_picture((0, 0, 255), size=(20, 33), kind="GIF")
ALL = {"red.png": RED, "more/green.jpg": GREEN, "more/blue.gif": BLUE}


def damaged():
    """A PNG whose parts are as they should be, except that its pixels cannot be unpacked."""
    begin = RED.index(b"IDAT")
    size = int.from_bytes(RED[begin - 4 : begin], "big")
    part = b"IDAT" + bytes(size)
    return RED[:begin] + part + zlib.crc32(part).to_bytes(4, "big") + RED[begin + size + 8 :]


DAMAGED = damaged()


@pytest.fixture(autouse=True)
def stopped():
    yield
    runtime.stop()


@pytest.fixture
def colours(transactional_db, tmp_path):
    version = put_colours(tmp_path)
    runtime.start()
    return version


@pytest.fixture
def patches(transactional_db, tmp_path):
    version = put_patches(tmp_path)
    runtime.start()
    return version


def zipped(entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def in_parquet(**columns):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def in_arrays(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def from_file(version, data, input_format, **more):
    ref, size, _ = files.save_input([data.encode() if isinstance(data, str) else data])
    source = {"source": InputSource.FILE, "input_ref": ref, "input_bytes": size, "input_format": input_format}
    return work_off(order(version, rows=None, **source, **more))


def cells(job):
    return list(csv.DictReader(io.StringIO(b"".join(selectors.results_of(job)).decode())))


class TestZip:
    def test_each_file_gets_a_label_under_its_name(self, colours):
        job = from_file(colours, zipped({".DS_Store": b"", **ALL}), Format.ZIP)

        assert (job.status, job.failure, job.output_format) == ("done", "", "jsonl")
        assert [(row["name"], row["label"]) for row in results(job)] == [
            ("red.png", "red"), ("more/green.jpg", "green"), ("more/blue.gif", "blue"),
        ]  # fmt: skip
        assert list(results(job)[0]) == ["name", "label", "confidence", "scores"]
        assert results(job)[0]["confidence"] == results(job)[0]["scores"][0] > 0.9

    def test_objects_are_a_list_in_jsonl_and_a_text_in_other_formats(self, patches):
        picture = a_picture((0, 0, 0), size=(128, 128), blue=(32, 64, 64, 96))
        data = zipped({"a.png": picture, "none.png": a_picture((0, 0, 0))})

        kinds = [Format(value) for value, _ in RESULT_FORMATS]
        of = {kind: from_file(patches, data, Format.ZIP, output_format=kind) for kind in kinds}

        in_lines = results(of[Format.JSONL])
        assert list(in_lines[0]) == ["name", "objects", "width", "height"]
        assert in_lines[0]["objects"][0]["box"] == {"x1": 32, "y1": 64, "x2": 64, "y2": 96}
        assert in_lines[1]["objects"] == []
        expected = [row["objects"] for row in in_lines]
        assert [json.loads(row["objects"]) for row in cells(of[Format.CSV])] == expected
        with np.load(io.BytesIO(b"".join(selectors.results_of(of[Format.NPZ])))) as arrays:
            assert [json.loads(text) for text in arrays["objects"]] == expected
        table = pyarrow.parquet.read_table(io.BytesIO(b"".join(selectors.results_of(of[Format.PARQUET]))))
        assert [json.loads(text) for text in table["objects"].to_pylist()] == expected

    def test_labels_in_columns(self, colours):
        job = from_file(colours, zipped(ALL), Format.ZIP, output_format=Format.CSV)

        assert [row["label"] for row in cells(job)] == ["red", "green", "blue"]
        assert list(cells(job)[0]) == ["name", "label", "confidence", "scores.0", "scores.1", "scores.2"]

    def test_what_is_no_picture_is_left_out_with_its_reason(self, colours):
        entries = {"notes.txt": b"hello", **ALL, "cut.png": RED[:40], "bad.png": DAMAGED}

        job = from_file(colours, zipped(entries), Format.ZIP, contract=SKIP)

        assert (job.status, job.rows_done, job.rows_bad) == ("done", 3, 3)
        assert {error["id"]: error["reason"] for error in errors(job)} == {
            "notes.txt": "Send a JPEG, PNG, WebP or GIF.",
            "cut.png": "The picture is cut off.",
            "bad.png": "The picture is damaged or incomplete.",
        }
        assert [row["name"] for row in results(job)] == list(ALL)

    def test_a_picture_whose_answer_cannot_be_read_is_left_out(self, transactional_db, tmp_path):
        version = put_patches(
            tmp_path, largest=2.0, std=[0.5, 0.5, 0.5]
        )  # the brightest picture has a score of 2
        runtime.start()
        dark = a_picture((64, 0, 0))

        job = from_file(
            version, zipped({"a.png": dark, "red.png": RED, "b.png": dark}), Format.ZIP, contract=SKIP
        )

        assert (job.status, job.failure) == ("done", "")
        assert [row["name"] for row in results(job)] == ["a.png", "b.png"]
        (error,) = errors(job)
        assert error["id"] == "red.png"
        assert "scores reach 2;" in error["reason"]

    def test_a_damaged_zip_fails_the_job(self, colours):
        job = from_file(colours, zipped(ALL)[:-40], Format.ZIP)

        assert job.status == "failed"
        assert "its end is missing" in job.failure

    def test_chunks_are_read_one_by_one(self, colours, monkeypatch):
        monkeypatch.setattr("inference.jobs.predictions.chunk_rows_for", lambda version: 2)
        entries = {f"{number}.png": a_picture(colour(number)) for number in range(7)}

        job = from_file(colours, zipped(entries), Format.ZIP)

        assert job.chunks_done == 4
        assert [(row["name"], row["label"]) for row in results(job)] == [
            (f"{number}.png", COLOURS[number % 3]) for number in range(7)
        ]

    def test_over_http_from_the_upload_to_the_results(self, colours):
        ring.clear()
        key = a_key("predict")[1]
        client = APIClient(headers={"Authorization": f"Bearer {key}"})

        told = client.generic(
            "POST", "/api/v1/jobs?model=colours&output_format=csv", zipped(ALL), content_type="application/zip"
        )  # fmt: skip
        refused = client.generic(
            "POST", "/api/v1/jobs?model=colours&output_format=zip", zipped(ALL), content_type="application/zip"
        )  # fmt: skip
        assert (told.status_code, refused.status_code) == (202, 422)
        with a_runner():
            job = ended(Job.objects.get())

        assert (told.json()["format"], told.json()["contract"]["id"], job.status) == ("zip", "name", "done")
        sent = client.get(f"/api/v1/jobs/{job.pk}/results")
        lines = b"".join(sent.streaming_content).decode().splitlines()
        assert [line.split(",")[:2] for line in lines] == [
            ["name", "label"], ["red.png", "red"], ["more/green.jpg", "green"], ["more/blue.gif", "blue"],
        ]  # fmt: skip


def colour(number):
    return tuple(255 * (number % 3 == channel) for channel in range(3))


class TestColumns:
    def test_base64_in_lines(self, colours):
        lines = "".join(
            json.dumps({"key": name, "image": in_base64(one)}) + "\n" for name, one in ALL.items()
        )

        job = from_file(colours, lines, Format.JSONL, contract={"id": "key"})

        assert [(row["key"], row["label"]) for row in results(job)] == [
            (name, name.split("/")[-1].split(".")[0]) for name in ALL
        ]

    def test_base64_in_cells_under_another_name(self, colours):
        text = f"picture\n{in_base64(RED)}\n{in_base64(GREEN)}\n"

        job = from_file(colours, text, Format.CSV, contract={"columns": {"image": "picture"}})

        assert [row["label"] for row in cells(job)] == ["red", "green"]

    def test_rows_in_a_request(self, colours):
        rows = [{"image": in_base64(RED)}, {"image": 5}, {"image": in_base64(BLUE)}]

        job = work_off(order(colours, rows=rows, contract=SKIP))

        assert {row["row"]: row["label"] for row in results(job)} == {1: "red", 3: "blue"}
        assert [error["row"] for error in errors(job)] == [2]

    def test_bytes_in_parquet(self, colours):
        """A GIF may have zeros behind its end; they are bytes like others."""
        data = in_parquet(image=[RED, GREEN, BLUE + b"\0\0", None], key=["r", "g", "b", "n"])

        job = from_file(colours, data, Format.PARQUET, contract={"id": "key", **SKIP})

        table = pyarrow.parquet.read_table(io.BytesIO(b"".join(selectors.results_of(job))))
        assert table["label"].to_pylist() == ["red", "green", "blue"]
        assert table["key"].to_pylist() == ["r", "g", "b"]
        assert [error["id"] for error in errors(job)] == ["n"]

    def test_pixels_in_arrays(self, colours):
        pixels = np.zeros((3, 20, 30, 3), np.uint8)
        for place in range(3):
            pixels[place, ..., place] = 255

        job = from_file(colours, in_arrays(image=pixels), Format.NPZ, output_format=Format.JSONL)

        assert [row["label"] for row in results(job)] == COLOURS

    def test_the_models_own_inputs(self, colours):
        pixels = np.full((2, 3, 64, 64), 0.5, np.float32)

        job = from_file(colours, in_arrays(pixels=pixels), Format.NPZ, output_format=Format.JSONL)

        assert [list(row) for row in results(job)] == [["row", "logits"]] * 2

    def test_a_file_that_names_none_is_told_what_is_missing(self, colours):
        job = from_file(colours, "path\na.png\n", Format.CSV)

        assert job.status == "failed"
        assert "the model's inputs are 'image', but no column has that name" in job.failure


@pytest.fixture
def internet(settings, monkeypatch):
    by_path = {"/red.png": RED, "/green.jpg": GREEN, "/damaged.png": DAMAGED}

    def answer(request):
        path = request.split(b" ")[1].decode().partition("?")[0]
        if path not in by_path:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        body = by_path[path]
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    internet = Internet(answer)
    fetcher = Fetcher(resolve=internet.resolve, connect=internet.connect)
    monkeypatch.setattr(item_urls, "default_fetcher", lambda: fetcher)
    settings.ITEM_HOSTS = ["*"]
    yield internet
    internet.close()


def at(path):
    return f"http://public.example/{path}"


class TestUrls:
    def test_a_column_of_urls(self, colours, internet):
        job = from_file(
            colours, f"key,image_url\nr,{at('red.png')}\ng,{at('green.jpg')}\n", Format.CSV,
            contract={"id": "key"},
        )  # fmt: skip

        assert (job.status, job.failure) == ("done", "")
        assert [(row["key"], row["label"]) for row in cells(job)] == [("r", "red"), ("g", "green")]
        assert internet.strays == []

    def test_objects_of_urls_in_a_column_with_another_name(self, patches, internet):
        lines = json.dumps({"link": at("red.png")})

        job = from_file(patches, lines, Format.JSONL, contract={"columns": {"image_url": "link"}})

        assert {found["label"] for found in results(job)[0]["objects"]} == {"red"}

    def test_a_url_that_gives_nothing_is_left_out_and_no_other_is_fetched_again(self, colours, internet):
        urls = [at("red.png"), at("gone.png"), at("green.jpg"), at("damaged.png"), "http://10.0.0.5/red.png",
                "red.png", at("red.png"), at("gone.png"), at("green.jpg?other")]  # fmt: skip

        job = from_file(colours, "image_url\n" + "\n".join(urls), Format.CSV, contract=SKIP)

        assert (job.status, job.rows_done, job.rows_bad) == ("done", 4, 5)
        assert [(row["row"], row["label"]) for row in cells(job)] == [
            ("1", "red"), ("3", "green"), ("7", "red"), ("9", "green"),
        ]  # fmt: skip
        reasons = {error["row"]: error["reason"] for error in errors(job)}
        assert "answered 404" in reasons[2] and "answered 404" in reasons[8]
        assert reasons[4] == "The picture is damaged or incomplete."
        assert "public internet" in reasons[5]
        assert len(internet.requests) == 5
        assert internet.strays == []

    def test_urls_that_may_not_be_fetched(self, colours, internet, settings):
        settings.ITEM_HOSTS = []

        job = from_file(colours, f"image_url\n{at('red.png')}\n", Format.CSV)

        assert job.status == "failed"
        assert "ROUNDHOUSE_ITEM_HOSTS" in job.failure
        assert internet.requests == []

    def test_a_chunk_of_urls_is_small_and_each_fetch_is_progress(self, colours, internet, monkeypatch):
        events = []
        monkeypatch.setattr(predictions, "_URL_CHUNK_ROWS", 4)
        monkeypatch.setattr(fetched_items, "fetch_item", _noted(events, item_urls.fetch_item))
        monkeypatch.setattr(HeldChunk, "note_progress", _noted(events, HeldChunk.note_progress))
        urls = [at(f"red.png?{number}") for number in range(10)]

        job = from_file(colours, "image_url\n" + "\n".join(urls), Format.CSV)

        assert (job.rows_done, job.chunks_done) == (10, 3)
        assert events.count("fetch_item") == 10
        assert events.count("note_progress") >= 10 + 2 * 3

    def test_four_are_fetched_at_once(self, colours, internet, monkeypatch):
        """Each waits until there are four."""
        four = threading.Barrier(4, timeout=60)  # in vain only if fewer are fetched
        fetch = fetched_items.fetch_item

        def fetch_together(url, field, most_bytes):
            four.wait()
            return fetch(url, field, most_bytes)

        monkeypatch.setattr(fetched_items, "fetch_item", fetch_together)
        urls = [at(f"red.png?{number}") for number in range(8)]

        job = from_file(colours, "image_url\n" + "\n".join(urls), Format.CSV)

        assert (job.failure, job.rows_done) == ("", 8)

    def test_a_row_is_not_bad_because_the_fetcher_is_busy(self, colours, internet, monkeypatch):
        fetcher = item_urls.default_fetcher()
        fetch, busy = fetcher.fetch, [FetcherBusy, FetcherBusy]

        def fetch_when_free(url, **options):
            if busy:
                raise busy.pop()
            return fetch(url, **options)

        monkeypatch.setattr(fetcher, "fetch", fetch_when_free)

        job = from_file(colours, f"image_url\n{at('red.png')}\n", Format.CSV, contract=SKIP)

        assert (job.status, job.rows_done, job.rows_bad) == ("done", 1, 0)
        assert busy == []

    def test_what_was_fetched_is_kept_up_to_a_limit(self, colours, internet, monkeypatch):
        monkeypatch.setattr(fetched_items, "_KEPT_BYTES", len(RED))
        monkeypatch.setattr(running, "_BATCH_BYTES", len(RED))
        urls = [at(path) for path in ("red.png", "red.png", "green.jpg", "red.png")]

        job = from_file(colours, "image_url\n" + "\n".join(urls), Format.CSV)

        assert [row["label"] for row in cells(job)] == ["red", "red", "green", "red"]
        assert len(internet.requests) == 3


def _noted(events, work):
    def noted(*arguments, **options):
        events.append(work.__name__)
        return work(*arguments, **options)

    return noted


def test_a_damaged_picture_does_not_cost_its_neighbours(colours, monkeypatch):
    """Those before it are decoded once more, when they are answered; with halving each would be decoded up to six times."""
    decoded = []
    monkeypatch.setattr(pictures, "decode", _noted(decoded, pictures.decode))
    names = [f"{number}.png" for number in range(40)]
    bad = {names[5], names[20], names[39]}

    job = from_file(
        colours, zipped({name: DAMAGED if name in bad else RED for name in names}), Format.ZIP, contract=SKIP
    )

    assert {error["id"] for error in errors(job)} == bad
    assert [row["name"] for row in results(job)] == [name for name in names if name not in bad]
    assert len(names) < len(decoded) <= 2 * len(names)


def test_batches_of_pictures_are_cut_by_their_bytes(colours, monkeypatch):
    batches = []
    encode = pictures.PictureInputs.encode

    def noted(self, items, **options):
        batches.append(len(items))
        return encode(self, items, **options)

    monkeypatch.setattr(pictures.PictureInputs, "encode", noted)
    monkeypatch.setattr(running, "_BATCH_BYTES", 3 * len(RED))

    job = from_file(colours, zipped({f"{number}.png": RED for number in range(7)}), Format.ZIP)

    assert job.rows_done == 7
    assert batches == [3, 3, 1]
