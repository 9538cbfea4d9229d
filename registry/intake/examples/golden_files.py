"""Files of golden sets: JSON lines, or a zip of pictures with their labels.

A zip has `labels.jsonl` ({"image": "a.png", "label": …} on each line) or `labels.csv` (image,label), with names relative to it;
without such a file, the folder that a picture is in is its label. Names are only compared, and shown in errors.
"""

import base64
import codecs
import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple
from zipfile import ZipFile, ZipInfo

import orjson

from registry.catalogue.artifacts import read_chunks
from registry.errors import BodyTooLarge, Invalid
from registry.intake.examples.rows import (
    MAX_LINE_BYTES,
    MAX_PICTURE_BYTES,
    MAX_SET_BYTES,
    NamedLine,
    lines_of,
)
from registry.intake.file_scan.errors import quote_name
from registry.intake.file_scan.sent_files import (
    ListLimits,
    SentFile,
    check_unpacked_size,
    entry_name,
    open_archive,
)
from registry.intake.parts import existing_folder, room
from registry.kit.zip_names import is_left_out

ZIP_STARTS = b"PK"  # no line of JSON does
MAX_ZIP_BYTES = MAX_SET_BYTES * 3 // 4  # in base64 they are a third more
LIST_LIMITS = ListLimits(entries=50_000, bytes=12 * 2**20)
_LABEL_FILES = ("labels.jsonl", "labels.csv")
_CSV_COLUMNS = ["image", "label"]


class _Label(NamedTuple):
    """What is said about one picture, and where."""

    picture: str
    label: Any
    where: str


def rows_in(pieces: Iterable[bytes], *, has_pictures: bool) -> Iterator[bytes | NamedLine]:
    """The rows of a golden set's file, one at a time. `has_pictures`: whether the Model's task reads pictures."""
    source = iter(pieces)
    start = b""
    while len(start) < len(ZIP_STARTS) and (piece := next(source, b"")):
        start += piece
    if not start.startswith(ZIP_STARTS):
        yield from lines_of(_chained(start, source), has_pictures=has_pictures)
        return
    if not has_pictures:
        raise Invalid("Only golden sets of pictures may be a zip; send one JSON object per line.")
    with tempfile.TemporaryFile(dir=existing_folder()) as file:
        size = _save(_chained(start, source), file)
        yield from _picture_rows(SentFile("the golden set", file.fileno(), size))


def _chained(start: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest


def _save(pieces: Iterable[bytes], file: IO[bytes]) -> int:
    size = 0
    with room("Free some space, then send the golden set again."):
        for piece in pieces:
            size += len(piece)
            if size > MAX_ZIP_BYTES:
                raise BodyTooLarge(f"The zip of a golden set may have at most {MAX_ZIP_BYTES:,} bytes.")
            file.write(piece)
        file.flush()
    return size


def _picture_rows(archive: SentFile) -> Iterator[NamedLine]:
    with open_archive(archive, LIST_LIMITS) as source:
        entries = _entries(source)
        check_unpacked_size(entries.values(), archive, MAX_SET_BYTES, "Send fewer or smaller pictures")
        label_file = _label_file(entries)
        labels = (
            _folder_labels(entries) if label_file is None else _read_labels(source, entries.pop(label_file))
        )
        folder = "" if label_file is None else label_file[: -len(_base_name(label_file))]
        yield from _labelled(source, entries, folder, labels)


def _entries(source: ZipFile) -> dict[str, ZipInfo]:
    """The files in a zip by their names with folders."""
    entries: dict[str, ZipInfo] = {}
    for entry in source.infolist():
        if is_left_out(entry.filename):
            continue
        name = entry_name(entry)
        if name in entries:
            raise Invalid(f"The zip has two files named {quote_name(name)}; include each once.")
        entries[name] = entry
    return entries


def _label_file(entries: Mapping[str, ZipInfo]) -> str | None:
    found = [name for name in entries if _base_name(name) in _LABEL_FILES]
    if len(found) > 1:
        raise Invalid(
            f"The zip has {quote_name(found[0])} and {quote_name(found[1])}; include one file of labels."
        )
    return found[0] if found else None


def _folder_labels(entries: Mapping[str, ZipInfo]) -> Iterator[_Label]:
    for name in list(entries):  # each is taken out
        *_, folder, _picture = ("", *name.split("/"))
        if not folder:
            raise Invalid(
                f"{quote_name(name)} has no label: put it into a folder named like its label, or add labels.jsonl or labels.csv."
            )
        yield _Label(name, folder, quote_name(name))


def _read_labels(source: ZipFile, entry: ZipInfo) -> Iterator[_Label]:
    name = _base_name(entry.filename)
    with source.open(entry) as file:
        yield from _from_csv(file, name) if name.endswith(".csv") else _from_lines(file, name)


def _from_lines(file: IO[bytes], name: str) -> Iterator[_Label]:
    for number, line in enumerate(_lines(file, name), start=1):
        where = f"Line {number} of {name}"
        if not line.strip():
            continue
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"{where} is not valid JSON: {error}.") from None
        if (
            not isinstance(said, dict)
            or set(said) != {"image", "label"}
            or not isinstance(said["image"], str)
        ):
            raise Invalid(f'{where} must be an object like {{"image": "a.png", "label": …}}.')
        yield _Label(said["image"], said["label"], where)


def _from_csv(file: IO[bytes], name: str) -> Iterator[_Label]:
    try:
        text = (line.decode() + "\n" for line in _lines(file, name))
        lines = csv.reader(text, strict=True)
        if next(lines, None) != _CSV_COLUMNS:
            raise Invalid(f"The first line of {name} must be image,label.")
        for row in lines:
            where = f"Line {lines.line_num} of {name}"
            if len(row) != len(_CSV_COLUMNS):
                raise Invalid(f"{where} must have two columns: image,label.")
            yield _Label(row[0], row[1], where)
    except csv.Error as error:
        raise Invalid(f"Line {lines.line_num} of {name} is not valid CSV: {error}.") from None
    except UnicodeDecodeError:
        raise Invalid(f"{name} is not UTF-8 text.") from None


def _lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Lines without their line endings, and without the mark that some programs put first."""
    for number, line in enumerate(lines_of(read_chunks(file)), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise Invalid(f"Line {number} of {name} is longer than {MAX_LINE_BYTES:,} bytes.")
        yield line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _labelled(
    source: ZipFile, entries: dict[str, ZipInfo], folder: str, labels: Iterable[_Label]
) -> Iterator[NamedLine]:
    """A row for each label. A picture is taken out of `entries`, so that each has exactly one."""
    used: set[str] = set()
    for label in labels:
        name = folder + label.picture
        quoted = quote_name(label.picture)
        entry = entries.pop(name, None)
        if entry is None:
            fact = "which has a label already" if name in used else "which is not in the zip"
            raise Invalid(f"{label.where} names {quoted}, {fact}.")
        used.add(name)
        row = {"inputs": {"image": _picture(source, entry, quoted)}, "label": label.label}
        yield NamedLine(quoted, orjson.dumps(row))
    if entries:
        raise Invalid(f"{quote_name(next(iter(entries)))} has no label; add one, or leave the file out.")


def _picture(source: ZipFile, entry: ZipInfo, quoted: str) -> str:
    """A file in base64, as it is."""
    if entry.file_size > MAX_PICTURE_BYTES:
        raise Invalid(
            f"{quoted} has {entry.file_size:,} bytes; a picture may have at most {MAX_PICTURE_BYTES:,}."
        )
    with source.open(entry) as file:
        content = b"".join(read_chunks(file))
    if len(content) != entry.file_size:
        raise Invalid(f"{quoted} does not have the size that the zip lists; create the zip again.")
    return base64.b64encode(content).decode()


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
