"""Files come in by parts: cut, resumed, told twice, lied about."""

import hashlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue.models import Artifact, Model, Version
from registry.catalogue.transitions import Status as VersionStatus
from registry.errors import Conflict, Invalid, NameTaken, NotAllowed, NotFound, StaleState
from registry.intake import errors, parts
from registry.intake.models import MAX_NAME, Status, Upload
from registry.intake.services import (
    MAX_PART_BYTES,
    NewModel,
    abandon_upload,
    begin_upload,
    complete_upload,
    sweep_uploads,
    write_part,
)
from registry.intake.services.uploads import MAX_OPEN
from registry.record.models import AuditRecord
from tests.support.factories import a_model, a_person, an_actor
from tests.support.model_files import head_of, looks_like_a_model

pytestmark = pytest.mark.django_db
CONTENT = (head_of(3 * 2**20) + bytes(range(256)) * 4096 * 3)[: 3 * 2**20]


def begin(content=CONTENT, by=None, **more):
    return begin_upload(size_bytes=len(content), by=by or an_actor(), **more)


def write(upload, content, offset=0, by=None, length=None):
    length = len(content) if length is None else length
    return write_part(
        upload=upload, offset=offset, length=length, read=io.BytesIO(content).read, by=by or an_actor()
    )


def write_from(upload, read, length=3 * 2**20):
    return write_part(upload=upload, offset=0, length=length, read=read, by=an_actor())


def begun(content=CONTENT[:1000]):
    """An upload of CONTENT of which so much is here."""
    return write(begin(), content)


def whole(content=CONTENT, by=None, **more):
    upload = begin(content, by, **more)
    for offset in range(0, len(content), MAX_PART_BYTES):
        upload = write(upload, content[offset : offset + MAX_PART_BYTES], offset, by)
    return upload


def complete(upload, slug="m", new_model=NewModel(), by=None, **more):  # noqa: B008  it is frozen
    return complete_upload(upload=upload, slug=slug, new_model=new_model, by=by or an_actor(), **more)


def left_on_disk():
    return sorted(path.name for path in parts.folder().glob("*"))


@pytest.mark.both
class TestWriting:
    @pytest.mark.parametrize("cut_at", [1, 2**20 - 1, 2**20, 2**20 + 1, len(CONTENT) - 1])
    def test_cut_and_resumed_it_is_the_same_file(self, cut_at):
        upload = begin()

        with pytest.raises(errors.WrongOffset) as told:
            write(upload, CONTENT[:cut_at], length=len(CONTENT))
        stands_at = told.value.members["offset"]
        upload = Upload.objects.get()
        assert (stands_at, upload.received_bytes) == (cut_at, cut_at)
        upload = write(upload, CONTENT[cut_at:], cut_at)

        version = complete(upload)
        assert version.artifact.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert artifacts.path_of(version.artifact.sha256).read_bytes() == CONTENT
        assert left_on_disk() == []

    def test_a_sender_that_breaks_off_with_an_error_is_cut_too(self):
        coming = iter([CONTENT[:1000]])

        def read(size):
            if piece := next(coming, b""):
                return piece
            raise OSError("the line is dead")

        with pytest.raises(errors.WrongOffset):
            write_from(begin(), read)

        assert Upload.objects.get().received_bytes == 1000

    @pytest.mark.parametrize("offset", [1, 999, 1001, 2**40], ids=["early", "before", "after", "far"])
    def test_another_offset_is_answered_with_the_right_one(self, offset):
        upload = begun()

        with pytest.raises(errors.WrongOffset) as told:
            write(upload, CONTENT[:2000], offset)

        assert told.value.members == {"offset": 1000}
        assert parts.path_of(upload.pk).read_bytes() == CONTENT[:1000]

    def test_a_part_that_is_there_is_answered_like_the_first_time(self):
        upload = begun()
        changed = upload.touched_at

        again = write(upload, CONTENT[500:1000], 500)

        assert (again.received_bytes, again.touched_at) == (1000, changed)

    def test_more_than_was_announced_or_fits_a_part_is_refused(self):
        upload = write(begin(b"abc"), b"abc")

        with pytest.raises(errors.PartBeyondEnd):
            write(begin(b"abc"), b"abcd")
        with pytest.raises(errors.PartBeyondEnd):
            write(upload, b"d", 3)
        with pytest.raises(errors.PartTooLarge):
            write(begin(), b"", length=MAX_PART_BYTES + 1)

    def test_a_writer_is_alone(self):
        upload = begin()
        coming = iter([CONTENT[: 2**20], b""])

        def read(size):
            with pytest.raises(errors.UploadInUse):
                write(upload, CONTENT[:10])
            return next(coming)

        with pytest.raises(errors.WrongOffset):
            write_from(upload, read)

        assert Upload.objects.get().received_bytes == 2**20

    def test_a_writer_that_fell_silent_is_overtaken_and_writes_no_more(self):
        upload = begin(b"right bytes")

        def read(size):
            Upload.objects.update(writer_until=timezone.now() - timedelta(seconds=1))
            write(upload, b"right bytes")
            return b"other bytes"

        with pytest.raises(errors.UploadInUse, match="took over this upload"):
            write_from(upload, read, 11)

        assert parts.path_of(upload.pk).read_bytes() == b"right bytes"
        assert Upload.objects.get().sha256 == hashlib.sha256(b"right bytes").hexdigest()

    def test_what_an_unfinished_part_left_behind_is_cut_off(self):
        upload = write(begin(b"0123456789"), b"01234")
        with parts.path_of(upload.pk).open("ab") as file:
            file.write(b"garbage of a process that died")

        write(upload, b"56789", 5)

        assert parts.path_of(upload.pk).read_bytes() == b"0123456789"

    def test_bytes_that_are_gone_end_it(self):
        upload = begun()
        parts.remove(upload.pk)

        with pytest.raises(errors.UploadEnded, match="no longer on this machine"):
            write(upload, CONTENT[1000:2000], 1000)

        assert Upload.objects.get().status == Status.FAILED

    def test_another_process_hashes_from_the_disk(self):
        upload = begun()
        parts.drop_digest(upload.pk)
        upload = write(upload, CONTENT[1000:], 1000)
        assert upload.sha256 == ""

        version = complete(upload)

        assert version.artifact.sha256 == hashlib.sha256(CONTENT).hexdigest()

    def test_one_process_hashes_while_it_writes(self, monkeypatch):
        monkeypatch.setattr(parts, "hash_of", None)

        assert complete(whole())


class TestBeginning:
    @pytest.mark.parametrize("size", [0, -1], ids=["empty", "less"])
    def test_a_file_has_bytes(self, size):
        with pytest.raises(Invalid, match="empty"):
            begin_upload(size_bytes=size, by=an_actor())

    def test_a_file_beyond_the_cap_is_refused_with_both_sizes(self, settings):
        settings.UPLOAD_BYTES = 2**20

        with pytest.raises(errors.UploadTooLarge, match=r"3 MiB.*accepts up to 1 MiB"):
            begin()
        assert not Upload.objects.exists()

    def test_one_person_has_so_many_open(self):
        by, other = an_actor(user=a_person("operator")), an_actor(user=a_person("operator"))
        uploads = [begin(by=by) for _ in range(MAX_OPEN)]

        with pytest.raises(errors.TooManyUploads, match="8 open uploads"):
            begin(by=by)

        begin(by=other)
        abandon_upload(upload=uploads[0], by=by)
        begin(by=by)

    def test_one_person_has_so_many_bytes_open(self, settings):
        settings.UPLOAD_BYTES = len(CONTENT)
        for _ in range(4):
            begin()

        with pytest.raises(errors.TooManyUploads, match="12 MiB"):
            begin(b"x")

    @pytest.mark.parametrize("sha256", ["abc", "A" * 64, "g" * 64, "0" * 63 + "\n"])
    def test_a_hash_is_one(self, sha256):
        with pytest.raises(Invalid, match="64 lower-case hexadecimal"):
            begin(sha256=sha256)


class TestCompleting:
    def test_it_makes_a_version_that_waits_for_its_check(self):
        model = a_model(task="classification")
        config = {"labels": ["a", "b"], "scores": "logits"}

        version = complete(whole(), model.slug, None, task_config=config, notes="second try")

        upload = Upload.objects.get()
        assert (version.status, version.number, version.notes) == (VersionStatus.UPLOADED, 1, "second try")
        assert version.task_config == config
        assert (upload.status, upload.version, upload.model_slug) == (Status.COMPLETE, version, model.slug)
        assert not model.splits.exists()  # nothing goes live by itself
        told = set(AuditRecord.objects.values_list("action", flat=True))
        assert told >= {"register_version", "complete_upload", "ask_check"}

    def test_again_gives_the_same_version(self):
        upload = whole()
        first = complete(upload)

        again = complete(upload)

        assert again == first
        assert Version.objects.count() == 1
        with pytest.raises(errors.UploadEnded):
            complete(upload, "other")

    def test_missing_bytes_are_asked_for(self):
        with pytest.raises(errors.UploadIncomplete) as told:
            complete(begun())

        assert told.value.members == {"offset": 1000}

    def test_other_bytes_than_announced_are_refused(self):
        with pytest.raises(errors.HashDiffers):
            complete(whole(sha256="0" * 64))

        assert Upload.objects.get().status == Status.FAILED
        assert left_on_disk() == []
        assert not Model.objects.exists()

    def test_a_known_file_is_stored_once(self, fresh):
        first = complete(whole())
        place = artifacts.path_of(first.artifact.sha256)
        was = place.stat().st_ino

        second = complete(whole(), "m", None)

        assert (second.number, second.artifact) == (2, first.artifact)
        assert place.stat().st_ino == was
        assert Artifact.objects.count() == 1
        assert [path.name for path in (fresh / "artifacts").rglob("*") if path.is_file()] == [place.name]
        assert left_on_disk() == []

    def test_the_file_is_moved_and_not_copied(self, fresh):
        (fresh / "artifacts").mkdir()
        upload = whole()
        inode = parts.path_of(upload.pk).stat().st_ino

        version = complete(upload)

        assert artifacts.path_of(version.artifact.sha256).stat().st_ino == inode

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"slug": "nobody"}, NotFound),
            ({"slug": "known", "new_model": NewModel()}, NameTaken),
            ({"slug": "../etc", "new_model": NewModel()}, Invalid),
            ({"slug": "known", "task_config": {"labels": []}}, Invalid),
            ({"slug": "fresh", "new_model": NewModel(task="poetry")}, Invalid),
            ({"slug": "fresh", "new_model": NewModel(task="classification")}, Invalid),
        ],
        ids=["no such Model", "taken", "no name", "config", "no task", "no labels"],
    )
    def test_what_is_refused_can_be_said_again_without_sending_again(self, given, error):
        a_model("known")
        upload = whole()

        with pytest.raises(error):
            complete_upload(upload=upload, **given, by=an_actor())

        assert Upload.objects.get().is_open
        assert complete(upload, "known", None)

    def test_after_a_crash_between_store_and_database_it_is_completed(self, monkeypatch):
        from registry.intake.services import completion

        upload = whole()
        with monkeypatch.context() as broken:
            broken.setattr(completion.catalogue, "register_version", lambda **_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                complete(upload)
        parts.remove(upload.pk)  # as the rename left it

        assert complete(upload).number == 1

    def test_a_file_that_nobody_has_any_more_ends_it(self):
        upload = whole()
        parts.remove(upload.pk)

        with pytest.raises(errors.UploadEnded, match="no longer on this machine"):
            complete(upload)

    def test_one_at_a_time(self):
        upload = whole()

        with parts.opened(upload.pk) as file, parts.locked(file), pytest.raises(errors.UploadInUse):
            complete(upload)

    def test_who_reaches_some_models_adds_to_no_other_and_makes_none(self):
        mine, hidden = a_model("mine"), a_model("hidden")
        by = an_actor(Right.READ, Right.WRITE, models=frozenset({mine.pk}))
        upload = whole(by=by)

        with pytest.raises(NotFound):
            complete(upload, hidden.slug, None, by)
        with pytest.raises(NotAllowed):
            complete(upload, "fresh", by=by)
        assert complete(upload, mine.slug, None, by).model == mine


class TestOwnership:
    def test_nobody_touches_anothers(self):
        owner, other = an_actor(user=a_person("operator")), an_actor(Right.READ, Right.WRITE)
        upload = begin(by=owner)

        with pytest.raises(NotFound):
            write(upload, CONTENT, by=other)
        with pytest.raises(NotFound):
            complete(upload, by=other)

    def test_only_who_may_write_everywhere_ends_anothers(self):
        model = a_model()
        upload = begin(by=an_actor(user=a_person("operator")))

        with pytest.raises(NotFound):
            abandon_upload(upload=upload, by=an_actor(Right.WRITE, models=frozenset({model.pk})))
        abandon_upload(upload=upload, by=an_actor(Right.WRITE))

        assert Upload.objects.get().status == Status.ABANDONED


@pytest.mark.both
class TestEnding:
    def test_nothing_of_an_abandoned_one_stays_on_the_disk(self):
        upload = begun()
        assert len(left_on_disk()) == 1

        abandon_upload(upload=upload, by=an_actor())
        abandon_upload(upload=upload, by=an_actor())

        assert left_on_disk() == []
        with pytest.raises(errors.UploadEnded, match="abandoned"):
            write(Upload.objects.get(), CONTENT[1000:2000], 1000)
        assert left_on_disk() == []

    def test_a_writer_at_work_finds_that_it_was_abandoned(self):
        upload = begin()

        def read(size):
            abandon_upload(upload=upload, by=an_actor())
            return CONTENT[:size]

        with pytest.raises(errors.UploadInUse):
            write_from(upload, read, 1000)
        assert left_on_disk() == []

    def test_a_complete_one_is_not_abandoned(self):
        upload = whole()
        complete(upload)

        with pytest.raises(errors.UploadEnded, match="complete"):
            abandon_upload(upload=upload, by=an_actor())

    def test_the_sweep_takes_what_is_silent_and_leaves_what_is_not(self):
        silent, lively = begun(CONTENT[:10]), begun(CONTENT[:10])
        Upload.objects.filter(pk=silent.pk).update(touched_at=timezone.now() - timedelta(hours=25))

        sweep_uploads()

        assert left_on_disk() == [f"{lively.pk}.part"]
        assert Upload.objects.get(pk=silent.pk).status == Status.ABANDONED
        assert Upload.objects.get(pk=lively.pk).is_open

    def test_the_sweep_takes_strays_that_are_an_hour_old(self):
        kept = begun(CONTENT[:10])
        old, new, not_ours = parts.path_of(uuid4()), parts.path_of(uuid4()), parts.folder() / "mine.part"
        for path in (old, new, not_ours):
            path.write_bytes(b"stray")
        for path in (old, parts.path_of(kept.pk), not_ours):
            os.utime(path, (0, 0))

        sweep_uploads()

        assert left_on_disk() == sorted(["mine.part", new.name, f"{kept.pk}.part"])


HOSTILE = [
    "../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "C:\\boot.ini", "....//....//x", "..", ".", "~",
    "~root/.ssh/authorized_keys", "a/b", "a\\b", "./a", "/", "//", "\\\\server\\share\\x", "file:///etc/passwd",
    "http://127.0.0.1/x", "s3://bucket/x", "%2e%2e%2fetc", "%252e%252e%252f", "..%c0%af..%c0%af", "a\x00b", "\x00",
    "a\nb", "a\r\nb", "a\tb", "\x1b[31mred", "\x7f", "a" * 300, "a" * 4000, "ü" * 300, "𝔸" * 300, "CON", "PRN", "NUL",
    "COM1", "LPT9", "aux.onnx", "con.", "a.", " a ", "a ", "-rf", "--help", "$(id)", "`id`", ";rm -rf /", "| cat", "&&",
    "<script>alert(1)</script>", "{{7*7}}", "%s%n", "\u202egnp.onnx", "\u200b", "\ufeff", "e\u0301", "\u212b", "ﬁ", "",
    "'; DROP TABLE registry_upload;--", "model.onnx/../../x", "*", "?", "a:b", ".htaccess", "\ud83d",
]  # fmt: skip


def test_names_are_shown_and_never_opened(fresh):
    a_model("known")
    assert len(HOSTILE) >= 60
    before = {path for path in fresh.parent.rglob("*") if fresh not in path.parents and path != fresh}
    content = looks_like_a_model(b"0123456789")

    for name in HOSTILE:
        upload = whole(content, file_name=name)
        with pytest.raises(Invalid):
            complete(upload, f"{name}/")
        with pytest.raises(NotFound):
            complete(upload, f"{name}/", None)
        complete(upload, "known", None)

    after = {path for path in fresh.parent.rglob("*") if fresh not in path.parents and path != fresh}
    inside = [str(path.relative_to(fresh)) for path in fresh.rglob("*") if path.is_file()]
    sha256 = hashlib.sha256(content).hexdigest()
    shown = Upload.objects.values_list("file_name", flat=True)
    assert all(len(name) <= MAX_NAME and name.isprintable() for name in shown)
    assert after == before
    assert inside == [f"artifacts/{sha256[:2]}/{sha256}"]
    assert Version.objects.count() == len(HOSTILE)


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_of_two_who_complete_at_once_one_makes_the_version():
    upload = whole()
    gate = threading.Barrier(2)

    def complete_it(_):
        gate.wait()
        try:
            return complete(upload).number
        except Conflict as error:
            return type(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(complete_it, range(2)))

    assert Version.objects.count() == 1
    assert 1 in answers
    assert set(answers) <= {1, errors.UploadInUse, StaleState, errors.UploadEnded, NameTaken}
