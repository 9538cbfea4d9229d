"""What carries a download: links, ranges, places, and the copy to a path."""

import io
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from registry.access.policies import Right, decode_actor, encode_actor
from registry.catalogue import artifacts, downloads, errors
from registry.catalogue.downloads import DownloadLink, OpenArtifact, parse_range, read_link, sign_link
from registry.catalogue.services import export_artifact, make_download_link
from registry.errors import ArtifactMissing, Conflict, Invalid, NotAllowed
from registry.record.models import AuditRecord
from registry.record.sentences import describe, size
from tests.support.factories import a_key, a_model, a_person, a_version, an_actor

CONTENT = b"not much of a model " * 1000


@pytest.fixture
def version(db, settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    return a_version(a_model("demand"), file=artifacts.store([CONTENT]))


def in_a_minute(asker="user:1"):
    return DownloadLink(7, asker, int(timezone.now().timestamp()) + 60)


class TestLinks:
    def test_what_was_signed_is_read(self):
        link = in_a_minute()

        assert read_link(sign_link(link)) == link

    def test_no_character_can_be_another_or_be_missing(self):
        text = sign_link(in_a_minute())
        changed = {
            text[:place] + other + text[place + 1 :]
            for place in range(len(text))
            for other in "Aaz09-_.="
            if text[place] != other
        }

        assert len(changed) > 8 * len(text)
        for wrong in {*changed, *(text[:-cut] for cut in (1, 5, 40))}:
            with pytest.raises(errors.BadLink):
                read_link(wrong)

    @pytest.mark.parametrize("wrong", ["", ".", "x", "a.b", "é.é", "\udcff.x", "." * 9999])
    def test_what_nobody_signed_is_refused(self, wrong):
        with pytest.raises(errors.BadLink):
            read_link(wrong)

    def test_a_link_ends(self):
        with pytest.raises(errors.LinkExpired):
            read_link(sign_link(DownloadLink(7, "user:1", int(timezone.now().timestamp()))))

    def test_a_signature_fits_its_version_and_our_secret(self, settings):
        mine, other = (
            sign_link(DownloadLink(number, "user:1", in_a_minute().expires_at)) for number in (1, 2)
        )

        with pytest.raises(errors.BadLink):
            read_link(other.rpartition(".")[0] + "." + mine.rpartition(".")[2])
        settings.SECRET_KEY = "another"
        with pytest.raises(errors.BadLink):
            read_link(mine)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=90-999", 90, 100),
        ("bytes=-5", 95, 100),
        ("bytes=-500", 0, 100),
        ("Bytes=99-", 99, 100),
    ],
)
def test_one_range_is_understood(header, start, stop):
    assert parse_range(header, 100) == range(start, stop)


NO_RANGES = ["bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "rows=0-1", "bytes=a-b", "bytes=١-٢"]


@pytest.mark.parametrize("header", ["", *NO_RANGES, f"bytes={'9' * 5000}-"])
def test_what_is_no_single_range_is_ignored(header):
    assert parse_range(header, 100) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-1", 0)]
)
def test_a_range_behind_the_end_is_refused(header, size):
    with pytest.raises(errors.RangeNotSatisfiable):
        parse_range(header, size)


class TestAskers:
    pytestmark = pytest.mark.django_db

    def test_who_asked_is_asked_for_again(self):
        person, (key, _) = a_person("operator"), a_key("registry.download")

        again = decode_actor(encode_actor(an_actor("read_registry", user=person)))
        by_key = decode_actor(f"key:{key.pk}")

        assert (again.user_id, Right.DOWNLOAD in again.rights) == (person.pk, True)
        assert (by_key.key_id, by_key.rights) == (key.pk, {Right.READ, Right.DOWNLOAD})

    def test_whoever_is_gone_or_has_expired_may_nothing(self):
        key, _ = a_key("registry.download")
        type(key).objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

        for mark in ("user:99999", "key:99999", f"key:{key.pk}"):
            assert decode_actor(mark).rights == frozenset()

    def test_who_is_nobody_has_no_mark(self):
        with pytest.raises(NotAllowed, match="neither a person nor a key"):
            encode_actor(an_actor())


class TestLinkRecords:
    def test_the_record_says_what_for_and_until_when_but_not_the_link(self, version):
        link = make_download_link(version=version, by=an_actor(user=a_person("operator")))

        record = AuditRecord.objects.get(action="make_download_link")
        assert (record.object_kind, record.model_slug) == ("version", "demand")
        assert record.after == {
            "file_name": "demand-v1.onnx",
            "sha256": version.artifact.sha256,
            "size_bytes": len(CONTENT),
            "expires_at": link.expires.isoformat().replace("+00:00", "Z"),
        }
        assert sign_link(link).rpartition(".")[2] not in record.after_json
        assert describe(record) == f"created a link to download version 1 ({size(len(CONTENT))})"

    def test_no_link_to_a_file_that_is_not_there(self, version):
        artifacts.path_of(version.artifact.sha256).unlink()

        with pytest.raises(ArtifactMissing):
            make_download_link(version=version, by=an_actor(user=a_person("operator")))


def opened(version, part=None):
    return OpenArtifact(version.artifact, range(len(CONTENT)) if part is None else part, {"asker": "tester"})


class TestSending:
    def test_it_may_be_closed_twice(self, version):
        file = opened(version)

        file.close(), file.close()

        assert list(file) == []

    @pytest.mark.parametrize(
        ("damage", "error"),
        [
            (lambda path: path.unlink(), ArtifactMissing),
            (lambda path: path.write_bytes(CONTENT[:-1]), errors.ArtifactDamaged),
            (lambda path: path.write_bytes(CONTENT + b"x"), errors.ArtifactDamaged),
            (lambda path: path.write_bytes(b"x" + CONTENT[1:]), errors.ArtifactDamaged),
        ],
        ids=["missing", "short", "long", "other-bytes"],
    )
    def test_what_is_not_whole_is_not_begun_and_is_logged(self, version, damage, error, caplog):
        damage(artifacts.path_of(version.artifact.sha256))

        for _ in range(5):
            with pytest.raises(error):
                opened(version)

        assert [record.msg["event"] for record in caplog.records] == ["artifact cannot be sent"] * 5

    def test_damage_is_found_after_the_file_was_sent_once(self, version):
        path = artifacts.path_of(version.artifact.sha256)
        opened(version).close()
        path.write_bytes(b"x" + CONTENT[1:])
        os.utime(path, (1, 1))

        with pytest.raises(errors.ArtifactDamaged, match="does not match its registered hash"):
            opened(version)

        path.write_bytes(CONTENT)
        file = opened(version)
        assert b"".join(file) == CONTENT
        file.close()

    def test_ranges_do_not_hash_again(self, version, monkeypatch):
        hashed, real = [], downloads._sha256_of
        monkeypatch.setattr(downloads, "_sha256_of", lambda file: hashed.append(1) or real(file))

        for _ in range(3):
            opened(version).close()

        assert hashed == [1]

    def test_what_becomes_shorter_breaks_off(self, version):
        file = opened(version)
        with artifacts.path_of(version.artifact.sha256).open("r+b") as stored:
            stored.truncate(5)

        with pytest.raises(errors.ArtifactDamaged):
            b"".join(file)

        file.close()

    def test_a_file_that_goes_is_still_sent_whole(self, version):
        file = opened(version)
        artifacts.path_of(version.artifact.sha256).unlink()

        assert b"".join(file) == CONTENT
        file.close()


class TestExport:
    def test_a_file_a_folder_and_the_record(self, version, tmp_path):
        by = an_actor()
        named = export_artifact(version=version, path=tmp_path / "mine.onnx", by=by)
        own = export_artifact(version=version, path=tmp_path, by=by)

        assert named.read_bytes() == own.read_bytes() == CONTENT
        assert own.name == "demand-v1.onnx"
        told = [record.after["path"] for record in AuditRecord.objects.filter(action="export_artifact")]
        assert told == [str(own), str(named)]
        newest = AuditRecord.objects.filter(action="export_artifact").latest("seq")
        assert describe(newest).startswith("copied the file of version 1 to “/")

    def test_nothing_is_overwritten(self, version, tmp_path):
        (tmp_path / "demand-v1.onnx").write_bytes(b"mine")

        with pytest.raises(Conflict, match="exists"):
            export_artifact(version=version, path=tmp_path, by=an_actor())

        assert (tmp_path / "demand-v1.onnx").read_bytes() == b"mine"

    def test_a_folder_that_is_not_there_is_not_made(self, version, tmp_path):
        with pytest.raises(Invalid, match="no folder"):
            export_artifact(version=version, path=tmp_path / "typo" / "x.onnx", by=an_actor())

        assert not (tmp_path / "typo").exists()

    def test_other_bytes_leave_neither_file_nor_record(self, version, tmp_path):
        artifacts.path_of(version.artifact.sha256).write_bytes(b"X" + CONTENT[1:])
        out = tmp_path / "out"
        out.mkdir()

        with pytest.raises(errors.ArtifactDamaged):
            export_artifact(version=version, path=out, by=an_actor())

        assert list(out.iterdir()) == []
        assert not AuditRecord.objects.filter(action="export_artifact").exists()

    def test_the_command_says_what_it_wrote(self, version, tmp_path):
        out = io.StringIO()

        call_command("export_artifact", "demand", "1", str(tmp_path), stdout=out)

        assert version.artifact.sha256 in out.getvalue()
        assert (tmp_path / "demand-v1.onnx").read_bytes() == CONTENT
        assert AuditRecord.objects.get(action="export_artifact").source == "command"

    @pytest.mark.parametrize("path", ["/proc/x.onnx", "/nowhere/x.onnx"])
    def test_the_command_refuses_in_words(self, version, path):
        with pytest.raises(CommandError, match=Path(path).name if path.startswith("/proc") else "no folder"):
            call_command("export_artifact", "demand", "1", path)
