"""The file of a bundle: a zip without compression, of which every byte follows from the manifest and the files.

So a bundle is read without a zip library: what differs anywhere from the only spelling is refused. Any program that reads
zips can open one.
"""

import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO

from registry.catalogue.artifacts import StoredFile
from registry.intake.bundles.keys import BundleKey
from registry.intake.bundles.manifest import (
    MAX_MANIFEST_BYTES,
    BundledFile,
    BundleManifest,
    decode,
    encode,
    read_manifest,
    write_manifest,
)
from registry.intake.errors import BundleNotTrusted, BundleRefused
from registry.intake.file_scan.sent_files import SentFile

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
MAX_BUNDLE_BYTES = 2**32 - 1  # of a zip without the extension for larger ones, which no version needs
_MAX_SIGNATURE_BYTES = 1_000
_MAX_SHOWN = 64
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")
_SIZE_FIELD = 8  # of a local header
_NEEDS_ZIP = 20  # version 2.0 of the format
_DATE = 1 << 5 | 1  # 1980-01-01: a bundle of the same version is the same file


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is as its key's owner made it, and where its files are."""

    manifest: BundleManifest
    key: BundleKey
    files: Mapping[str, SentFile]


def write_bundle(
    file: IO[bytes], manifest: BundleManifest, contents: Mapping[str, Iterable[bytes]], key: BundleKey
) -> None:
    """Write a bundle; raise BundleRefused if a content is not what the manifest says."""
    zip_file = _ZipWriter(file)
    content = write_manifest(manifest)
    if len(content) > MAX_MANIFEST_BYTES:
        raise _too_large("configuration and notes", MAX_MANIFEST_BYTES)
    zip_file.add(MANIFEST, [content])
    zip_file.add(SIGNATURE, [_signature(content, key)])
    for each in manifest.files:
        refuse_if_altered(each, zip_file.add(each.name, contents[each.name]))
    zip_file.end()


def open_bundle(file: SentFile, trusted: Mapping[str, BundleKey]) -> Bundle:
    """Read a bundle; raise BundleRefused, or BundleNotTrusted, unless every byte is as the owner of a trusted key wrote it.

    1. The manifest is not parsed before its signature was found right.
    2. Every file is read, and compared with its hash in the manifest; nothing is kept.
    """
    reader = _ZipReader(file)
    content = reader.small_file(MANIFEST, MAX_MANIFEST_BYTES)
    if not reader.is_next(SIGNATURE):
        raise _unsigned()
    key = _check_signature(content, reader.small_file(SIGNATURE, _MAX_SIGNATURE_BYTES), trusted)
    manifest = read_manifest(content)
    files = {each.name: reader.file(each) for each in manifest.files}
    reader.end()
    return Bundle(manifest, key, files)


def refuse_if_altered(expected: BundledFile, found: StoredFile) -> None:
    if found != StoredFile(expected.sha256, expected.size_bytes):
        raise BundleRefused(
            f"The file {expected.name} of this bundle was altered: its SHA-256 is not the one that was signed. Get the bundle"
            " again, or export the version again."
        )


def _signature(manifest: bytes, key: BundleKey) -> bytes:
    return encode({"hmac_sha256": key.sign(manifest), "key": key.id})


def _check_signature(manifest: bytes, signature: bytes, trusted: Mapping[str, BundleKey]) -> BundleKey:
    said = decode(signature, "signature")
    key_id = said.get("key") if isinstance(said, dict) else None
    if not isinstance(key_id, str):
        raise _unsigned()
    key = trusted.get(key_id)
    if key is None:
        raise BundleNotTrusted(
            f"This bundle is signed with the key {key_id[:_MAX_SHOWN]!r}, which this installation does not trust. If it comes"
            " from one of yours, add what `manage.py bundle_key` prints there to ROUNDHOUSE_TRUSTED_BUNDLE_KEYS here."
        )
    if not hmac.compare_digest(_signature(manifest, key), signature):
        raise BundleRefused(
            f"This bundle was altered after it was signed with the key of {key.name}: the signature does not fit the manifest."
            " Get the bundle again, or export the version again."
        )
    return key


class _ZipWriter:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._size = file, 0
        self._directory: list[bytes] = []

    def add(self, name: str, pieces: Iterable[bytes]) -> StoredFile:
        start = self._size
        self._write(_local_header(name, 0, 0))  # a place for the header, which is known after the content
        digest, size, crc = hashlib.sha256(), 0, 0
        for piece in pieces:
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
            size += len(piece)
            self._write(piece)
        self._file.seek(start)
        self._file.write(_local_header(name, size, crc))
        self._file.seek(self._size)
        self._directory.append(_central_header(name, size, crc, start))
        return StoredFile(digest.hexdigest(), size)

    def end(self) -> None:
        self._write(_directory(self._directory, self._size))

    def _write(self, content: bytes) -> None:
        self._size += len(content)
        if self._size > MAX_BUNDLE_BYTES:
            raise _too_large("files", MAX_BUNDLE_BYTES)
        self._file.write(content)


class _ZipReader:
    """Reads what a _ZipWriter wrote. Sizes are compared with the file before anything is read."""

    def __init__(self, file: SentFile) -> None:
        if file.size > MAX_BUNDLE_BYTES:
            raise BundleRefused(
                f"A bundle has at most {MAX_BUNDLE_BYTES:,} bytes; this file has {file.size:,}."
            )
        self._file, self._at = file, 0
        self._directory: list[bytes] = []

    def is_next(self, name: str) -> bool:
        """Whether the next file has this name."""
        encoded = name.encode("ascii")
        return self._bytes(self._at + _LOCAL.size, len(encoded)) == encoded

    def small_file(self, name: str, most: int) -> bytes:
        """The next file, whose size only its header says."""
        size = _LOCAL.unpack(self._bytes(self._at, _LOCAL.size))[_SIZE_FIELD]
        if size > most:
            raise _damaged(name)
        content = self._bytes(self._at + len(_local_header(name, 0, 0)), size)
        self._skip(name, size, zlib.crc32(content))
        return content

    def file(self, expected: BundledFile) -> SentFile:
        """Where the file is, once it was compared with its hash."""
        span = self._span(self._at + len(_local_header(expected.name, 0, 0)), expected.size_bytes)
        digest, crc = hashlib.sha256(), 0
        for piece in span.read(0, span.size):
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
        refuse_if_altered(expected, StoredFile(digest.hexdigest(), span.size))
        self._skip(expected.name, span.size, crc)
        return span

    def end(self) -> None:
        expected = _directory(self._directory, self._at)
        if self._at + len(expected) != self._file.size or self._bytes(self._at, len(expected)) != expected:
            raise _damaged("the list of files")

    def _skip(self, name: str, size: int, crc: int) -> None:
        """Go behind a file, whose header must be as we write it."""
        start, expected = self._at, _local_header(name, size, crc)
        if self._bytes(start, len(expected)) != expected:
            raise _damaged(name)
        self._at += len(expected) + size
        self._directory.append(_central_header(name, size, crc, start))

    def _bytes(self, start: int, size: int) -> bytes:
        span = self._span(start, size)
        return b"".join(span.read(0, size))

    def _span(self, start: int, size: int) -> SentFile:
        if start + size > self._file.size:
            raise BundleRefused("This is not a bundle, or its end is missing; get it again.")
        return SentFile(self._file.name, self._file.descriptor, size, self._file.start + start)


def _too_large(what: str, most: int) -> BundleRefused:
    return BundleRefused(
        f"The version is too large for a bundle: its {what} may have at most {most:,} bytes. Upload it to the other"
        " installation instead."
    )


def _unsigned() -> BundleNotTrusted:
    return BundleNotTrusted("This bundle is not signed; export the version with manage.py export_version.")


def _damaged(where: str) -> BundleRefused:
    return BundleRefused(
        f"This is not a bundle, or it was altered or damaged at {where}; get it again, or export the version again."
    )


def _local_header(name: str, size: int, crc: int) -> bytes:
    encoded = name.encode("ascii")
    header = _LOCAL.pack(b"PK\3\4", _NEEDS_ZIP, 0, 0, 0, _DATE, crc, size, size, len(encoded), 0)
    return header + encoded


def _central_header(name: str, size: int, crc: int, start: int) -> bytes:
    encoded = name.encode("ascii")
    fields = (_NEEDS_ZIP, _NEEDS_ZIP, 0, 0, 0, _DATE, crc, size, size, len(encoded), 0, 0, 0, 0, 0, start)
    return _CENTRAL.pack(b"PK\1\2", *fields) + encoded


def _directory(headers: list[bytes], start: int) -> bytes:
    content = b"".join(headers)
    return content + _END.pack(b"PK\5\6", 0, 0, len(headers), len(headers), len(content), start, 0)
