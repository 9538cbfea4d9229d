"""Bundles as files: what is written is read, and nothing else is."""

import io
import json
import struct
import zipfile

import pytest

from registry.intake.bundles import bundle_file
from registry.intake.bundles.bundle_file import MAX_BUNDLE_BYTES, open_bundle, write_bundle
from registry.intake.bundles.keys import BundleKey
from registry.intake.bundles.manifest import MAX_STATIONS, MODEL_FILE, encode, read_manifest, write_manifest
from registry.intake.errors import BundleNotTrusted, BundleRefused
from registry.intake.file_scan.sent_files import SentFile
from tests.support.bundles import (
    CONTENTS,
    OTHER_SECRET,
    SECRET,
    STAGING,
    a_bundle,
    a_manifest,
    as_sent,
    bundled,
    flipped,
)
from tests.support.zips import a_zip

TRUSTED = {STAGING.id: STAGING}


def refusal(tmp_path, content, trusted=None) -> BundleRefused | None:
    """Why the bundle is refused; None if it is not."""
    with as_sent(tmp_path / "sent", content) as file:
        try:
            open_bundle(file, TRUSTED if trusted is None else trusted)
        except BundleRefused as error:
            return error
    return None


def signed(manifest: bytes, *entries, method=zipfile.ZIP_STORED) -> bytes:
    """A zip by another program, whose manifest somebody with the secret signed."""
    signature = encode({"hmac_sha256": STAGING.sign(manifest), "key": STAGING.id})
    return a_zip(("manifest.json", manifest), ("signature.json", signature), *entries, method=method)


def spelled(value, **changes) -> bytes:
    """A bundle with this manifest, as somebody with the secret could make it."""
    file = io.BytesIO()
    zip_file = bundle_file._ZipWriter(file)
    manifest = value if isinstance(value, bytes) else encode({**value, **changes})
    zip_file.add("manifest.json", [manifest])
    zip_file.add("signature.json", [bundle_file._signature(manifest, STAGING)])
    for name, content in CONTENTS.items():
        zip_file.add(name, [content])
    zip_file.end()
    return file.getvalue()


class TestWhatIsWritten:
    def test_is_read(self, tmp_path):
        with as_sent(tmp_path / "sent", a_bundle()) as file:
            bundle = open_bundle(file, TRUSTED)
            contents = {name: b"".join(span.read(0, span.size)) for name, span in bundle.files.items()}

        assert bundle.manifest == a_manifest()
        assert bundle.key == STAGING
        assert contents == CONTENTS

    def test_opens_with_any_program_that_reads_zips(self):
        with zipfile.ZipFile(io.BytesIO(a_bundle())) as archive:
            names = archive.namelist()
            damaged = archive.testzip()
            methods = {entry.compress_type for entry in archive.infolist()}
            model = archive.read(MODEL_FILE)

        assert names == ["manifest.json", "signature.json", *CONTENTS]
        assert damaged is None
        assert methods == {zipfile.ZIP_STORED}
        assert model == CONTENTS[MODEL_FILE]

    def test_is_the_same_file_each_time(self):
        assert a_bundle() == a_bundle()

    def test_says_nothing_of_the_secret(self):
        assert SECRET.encode() not in a_bundle()
        assert SECRET not in repr(STAGING)

    def test_is_not_written_from_a_file_that_changed(self):
        with pytest.raises(BundleRefused, match=r"model\.onnx"):
            a_bundle(contents={**CONTENTS, MODEL_FILE: b"another"})

    def test_is_not_larger_than_a_plain_zip_can_be(self, monkeypatch):
        monkeypatch.setattr(bundle_file, "MAX_BUNDLE_BYTES", 500)

        with pytest.raises(BundleRefused, match="too large"):
            a_bundle()


class TestAlterations:
    def test_of_any_byte_are_refused(self, tmp_path):
        content = a_bundle()
        accepted = [
            place for place in range(len(content)) if refusal(tmp_path, flipped(content, place)) is None
        ]

        assert len(content) > 1_000
        assert refusal(tmp_path, content) is None
        assert accepted == []

    def test_of_the_length_are_refused(self, tmp_path):
        content = a_bundle()
        accepted = [size for size in range(len(content)) if refusal(tmp_path, content[:size]) is None]

        assert accepted == []
        assert refusal(tmp_path, content + b"\0") is not None
        assert refusal(tmp_path, b"\0" + content) is not None

    def test_of_the_model_are_accepted_without_the_check(self, tmp_path, monkeypatch):
        """The negative control: nothing else notices an altered file that has the CRC of a new one."""
        altered = {**CONTENTS, MODEL_FILE: b"not much of a Model"}
        with monkeypatch.context() as patch:
            patch.setattr(bundle_file, "refuse_if_altered", lambda *_: None)
            forged = a_bundle(contents=altered)
            assert refusal(tmp_path, forged) is None

        assert "model.onnx" in str(refusal(tmp_path, forged))

    def test_of_the_manifest_are_accepted_without_the_signature(self, tmp_path, monkeypatch):
        """The negative control: whoever alters it can make hashes that fit."""
        altered = {**CONTENTS, MODEL_FILE: b"another model"}
        mallory = BundleKey("mallory", OTHER_SECRET)
        forged = a_bundle(a_manifest(files=bundled(altered)), altered, mallory)
        assert isinstance(refusal(tmp_path, forged), BundleNotTrusted)

        monkeypatch.setattr(bundle_file, "_check_signature", lambda *_: STAGING)

        assert refusal(tmp_path, forged) is None


class TestKeys:
    def test_of_nobody_known_are_named(self, tmp_path):
        error = refusal(tmp_path, a_bundle(key=BundleKey("staging", OTHER_SECRET)))

        assert isinstance(error, BundleNotTrusted)
        assert BundleKey("x", OTHER_SECRET).id in str(error)

    def test_are_not_trusted_without_the_setting(self, tmp_path):
        assert isinstance(refusal(tmp_path, a_bundle(), trusted={}), BundleNotTrusted)

    def test_are_not_claimed_by_their_id(self, tmp_path, monkeypatch):
        """Somebody without the secret writes the id of a trusted key."""
        monkeypatch.setattr(BundleKey, "id", property(lambda self: "the same id"))
        forged = a_bundle(key=BundleKey("mallory", OTHER_SECRET))

        error = refusal(tmp_path, forged, trusted={"the same id": STAGING})

        assert "altered after it was signed with the key of staging" in str(error)

    @pytest.mark.parametrize("signature", [b"", b"{}", b"[]", b'{"key":1}', b"null"])
    def test_are_missing(self, tmp_path, signature):
        file = io.BytesIO()
        zip_file = bundle_file._ZipWriter(file)
        zip_file.add("manifest.json", [write_manifest(a_manifest())])
        zip_file.add("signature.json", [signature])
        zip_file.end()

        assert refusal(tmp_path, file.getvalue()) is not None

    def test_and_no_signature_at_all(self, tmp_path):
        manifest = write_manifest(a_manifest())

        error = refusal(tmp_path, a_zip(("manifest.json", manifest), *CONTENTS.items()))

        assert isinstance(error, BundleRefused)

    def test_and_a_bundle_whose_signature_was_taken_out(self, tmp_path):
        file = io.BytesIO()
        zip_file = bundle_file._ZipWriter(file)
        zip_file.add("manifest.json", [write_manifest(a_manifest())])
        for name, content in CONTENTS.items():
            zip_file.add(name, [content])
        zip_file.end()

        assert "not signed" in str(refusal(tmp_path, file.getvalue()))


MANIFEST = json.loads(write_manifest(a_manifest()))
VERSION, SOURCE = MANIFEST["version"], MANIFEST["source"]
FILES = MANIFEST["files"]
CHECK = {"state": "passed", "reason": "", "runtime": "1", "steps": {"gate": "passed"}}


class TestManifest:
    """By somebody who has the secret: a newer release, or one with a fault."""

    def test_as_we_write_it_is_read(self, tmp_path):
        assert refusal(tmp_path, spelled(MANIFEST)) is None
        assert refusal(tmp_path, spelled(MANIFEST, source={**SOURCE, "check": CHECK})) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"format": "roundhouse bundle 2"},
            {"format": None},
            {"more": 1},
            {"files": []},
            {"files": FILES[::-1]},
            {"files": [*FILES, FILES[0]]},
            {"files": [{**FILES[0], "name": "../model.onnx"}, *FILES[1:]]},
            {"files": [{**FILES[0], "name": "/etc/passwd"}, *FILES[1:]]},
            {"files": [{**FILES[0], "size_bytes": -1}, *FILES[1:]]},
            {"files": [{**FILES[0], "size_bytes": 1.0}, *FILES[1:]]},
            {"files": [{**FILES[0], "size_bytes": True}, *FILES[1:]]},
            {"files": [{**FILES[0], "size_bytes": 2**70}, *FILES[1:]]},
            {"files": [{**FILES[0], "sha256": "../" + FILES[0]["sha256"][3:]}, *FILES[1:]]},
            {"files": [{**FILES[0], "more": 1}, *FILES[1:]]},
            {"files": ["model.onnx", *FILES[1:]]},
            {"version": None},
            {"version": {**VERSION, "task_files": ["../vocab.txt"]}},
            {"version": {**VERSION, "task_files": ["a\\b"]}},
            {"version": {**VERSION, "task_files": ["a\nb"]}},
            {"version": {**VERSION, "task_files": [""]}},
            {"version": {**VERSION, "task_files": [1]}},
            {"version": {**VERSION, "task_files": ["vocab.txt", "vocab.txt"]}},
            {"version": {**VERSION, "task_files": [f"{n}.txt" for n in range(101)]}},
            {"version": {**VERSION, "number": True}},
            {"version": {**VERSION, "number": 0}},
            {"version": {**VERSION, "number": 10**30}},
            {"version": {**VERSION, "notes": "a\0b"}},
            {"version": {**VERSION, "origin": {"bundles": "none"}}},
            {"version": {**VERSION, "origin": {"bundles": ["x"]}}},
            {"version": {key: value for key, value in VERSION.items() if key != "serving"}},
            {"golden_set": None},
            {"golden_set": {"metric": "accuracy", "floor": "high", "margin": None}},
            {"source": {**SOURCE, "installation": "a\nb"}},
            {"source": {**SOURCE, "installation": "x" * 301}},
            {"source": {**SOURCE, "check": {**CHECK, "state": 1}}},
            {"source": {**SOURCE, "check": {**CHECK, "steps": {"gate": 1}}}},
            {"source": {**SOURCE, "check": {}}},
        ],
    )
    def test_with_anything_else_is_refused(self, tmp_path, changes):
        assert isinstance(refusal(tmp_path, spelled(MANIFEST, **changes)), BundleRefused)

    @pytest.mark.parametrize(
        "manifest",
        [
            b"",
            b"null",
            b"\xff",
            b"[" * 100_000,
            b'{"a":' * 65 + b"1" + b"}" * 65,
            write_manifest(a_manifest()).replace(b'"format":', b'"format":1,"format":'),
            write_manifest(a_manifest()).replace(b'"floor":0.5', b'"floor":NaN'),
        ],
        ids=["empty", "null", "binary", "endless", "deep", "twice", "nan"],
    )
    def test_that_is_hardly_json_is_refused(self, tmp_path, manifest):
        assert isinstance(refusal(tmp_path, spelled(manifest)), BundleRefused)

    def test_is_not_read_before_its_signature(self, tmp_path, monkeypatch):
        read = []
        monkeypatch.setattr(bundle_file, "read_manifest", lambda content: read.append(content))

        refusal(tmp_path, a_bundle(key=BundleKey("mallory", OTHER_SECRET)))

        assert read == []

    def test_remembers_only_the_last_installations(self):
        stations = [{"installation": str(number)} for number in range(MAX_STATIONS)]
        manifest = read_manifest(
            write_manifest(a_manifest(origin={"bundles": stations, "training": {"git_commit": "4f2c"}}))
        )

        lineage = manifest.lineage("staging")

        assert lineage["training"] == {"git_commit": "4f2c"}
        assert len(lineage["bundles"]) == MAX_STATIONS
        assert lineage["bundles"][0] == {"installation": "1"}
        assert lineage["bundles"][-1]["key"] == "staging"


def entry(name, **attributes) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


GOOD = write_manifest(a_manifest())
MEMBERS = tuple(CONTENTS.items())


class TestHostileZips:
    """With a manifest that is signed right, by a program that is not ours."""

    @pytest.mark.parametrize(
        "content",
        [
            signed(GOOD, *MEMBERS),
            signed(GOOD, *MEMBERS, method=zipfile.ZIP_DEFLATED),
            signed(GOOD, ("../../evil", b"x"), *MEMBERS),
            signed(GOOD, ("/etc/cron.d/evil", b"x"), *MEMBERS),
            signed(GOOD, (entry("link", external_attr=0o120777 << 16), b"/etc/passwd"), *MEMBERS),
            signed(GOOD, (entry("model.onnx", extra=b"\1\0\4\0abcd"), CONTENTS[MODEL_FILE]), *MEMBERS[1:]),
            signed(GOOD, ("model.onnx", bytes(10_000_000)), *MEMBERS[1:], method=zipfile.ZIP_DEFLATED),
            a_zip(("model.onnx", b"x")),
            b"PK\5\6" + bytes(18),
            b"PK\3\4" + bytes(26),
            b"",
            b"PK",
            bytes(1000),
        ],
        ids=[
            "dates", "compressed", "dots", "absolute", "link", "extra", "bomb", "plain", "empty zip", "no name", "empty",
            "start", "zeros",
        ],
    )  # fmt: skip
    def test_are_refused(self, tmp_path, content):
        assert isinstance(refusal(tmp_path, content), BundleRefused)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_with_a_name_twice_are_refused(self, tmp_path):
        twice = signed(GOOD, *MEMBERS, ("model.onnx", b"another"), ("manifest.json", GOOD))

        assert isinstance(refusal(tmp_path, twice), BundleRefused)

    def test_with_something_behind_the_end_are_refused(self, tmp_path):
        content = a_bundle()
        with_comment = content[:-2] + struct.pack("<H", 4) + b"evil"

        assert isinstance(refusal(tmp_path, with_comment), BundleRefused)
        assert isinstance(refusal(tmp_path, content + content), BundleRefused)

    @pytest.mark.parametrize("size", [2**23 + 1, 2**31, 2**32 - 1])
    def test_that_announce_a_large_manifest_are_refused_before_it_is_read(self, tmp_path, size, monkeypatch):
        content = bytearray(a_bundle())
        struct.pack_into("<2I", content, 18, size, size)
        read = []
        of_file = SentFile.read
        monkeypatch.setattr(
            SentFile, "read", lambda self, start, size: read.append(size) or of_file(self, start, size)
        )

        assert isinstance(refusal(tmp_path, bytes(content)), BundleRefused)
        assert sum(read) < 100

    def test_that_are_too_large_are_refused_before_they_are_read(self):
        with pytest.raises(BundleRefused, match="at most"):
            open_bundle(SentFile("large", -1, MAX_BUNDLE_BYTES + 1), TRUSTED)


def test_a_large_file_is_copied_in_pieces():
    """Whatever the content is, only pieces of it are in memory."""
    pieces = [bytes([number]) * 2**16 for number in range(64)]
    content = b"".join(pieces)
    contents = {**CONTENTS, MODEL_FILE: content}

    class Pieces(io.BytesIO):
        largest = 0

        def write(self, piece):
            self.largest = max(self.largest, len(piece))
            return super().write(piece)

    file = Pieces()
    write_bundle(
        file, a_manifest(files=bundled(contents)),
        {**{name: [each] for name, each in CONTENTS.items()}, MODEL_FILE: iter(pieces)}, STAGING,
    )  # fmt: skip

    assert content in file.getvalue()
    assert file.largest <= 2**16
