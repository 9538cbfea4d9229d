"""Uploads that become one file together: a model and its weights, a zip, a classifier without its ZipMap."""

import hashlib
import io
import zipfile

import onnx
import pytest

from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue.models import Model, Version
from registry.errors import Invalid, NotFound
from registry.intake import assembly, errors, parts
from registry.intake.file_scan import scan_file
from registry.intake.file_scan.errors import FileRefused
from registry.intake.models import Status, Upload
from registry.intake.services import NewModel, begin_upload, complete_upload, write_part
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.clients import V1
from tests.support.factories import a_model, a_person, an_actor
from tests.support.model_files import put_outside, tensors_in
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
WHOLE = a_classifier(["no", "yes"])
MODEL, DATA = put_outside(WHOLE)
BOTH = NewModel(task="classification")


def send(content, name="", by=None):
    upload = begin_upload(size_bytes=len(content), file_name=name, by=by or an_actor())
    read = io.BytesIO(content).read
    return write_part(upload=upload, offset=0, length=len(content), read=read, by=by or an_actor())


def send_both():
    return send(MODEL, "model.onnx"), send(DATA, "model.onnx.data")


def complete(upload, *data, slug="m", new_model=NewModel(), by=None, **more):  # noqa: B008  it is frozen
    return complete_upload(
        upload=upload, slug=slug, new_model=new_model, data_uploads=data, by=by or an_actor(), **more
    )


def a_zip(**files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return target.getvalue()


def file_of(version):
    return artifacts.path_of(version.artifact.sha256)


def statuses():
    return sorted(Upload.objects.values_list("status", flat=True))


class TestDataUploads:
    def test_the_weights_come_inside(self):
        model, data = send_both()

        version = complete(model, data)

        assert onnx.load(file_of(version)) == WHOLE
        assert version.origin == {
            "files": [
                {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
                for name, content in (("model.onnx", MODEL), ("model.onnx.data", DATA))
            ],
            "changes": ["The weights of model.onnx.data were merged into the file."],
        }
        scan_file(file_of(version))
        assert statuses() == [Status.COMPLETE, Status.TAKEN]
        assert Upload.objects.get(status=Status.COMPLETE).sha256 == hashlib.sha256(MODEL).hexdigest()
        record = AuditRecord.objects.get(action="complete_upload")
        assert describe(record).startswith("completed the upload of model.onnx as version 1 (")
        told = record.after
        assert (told["data_uploads"], told["sha256"]) == ([str(data.pk)], version.artifact.sha256)

    def test_again_gives_the_same_version(self):
        model, data = send_both()
        first = complete(model, data)

        assert complete(model, data) == first == complete(model)

    @pytest.mark.django_db(transaction=True)
    def test_their_bytes_are_gone_when_it_is_done(self):
        complete(*send_both())

        assert list(parts.folder().iterdir()) == []

    @pytest.mark.django_db(transaction=True)
    def test_who_dies_before_the_end_can_complete_them_again(self, monkeypatch):
        from registry.intake.services import completion

        model, data = send_both()
        with monkeypatch.context() as broken:
            broken.setattr(completion, "ask_check", lambda **_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                complete(model, data)
        assert statuses() == [Status.OPEN, Status.OPEN]
        assert not Model.objects.exists()

        assert complete(model, data).number == 1

    def test_a_model_alone_is_told_what_it_lacks_and_waits_for_it(self):
        model = send(MODEL, "model.onnx")

        with pytest.raises(FileRefused, match=r"'model.onnx.data'; send that file as well"):
            complete(model)

        assert statuses() == [Status.OPEN]
        assert not Model.objects.exists()
        assert complete(model, send(DATA)).number == 1  # whatever it is called

    @pytest.mark.parametrize(
        ("content", "code"),
        [(DATA[:-1], "bad_data_place"), (DATA + b"more is no harm", None)],
        ids=["too short", "longer"],
    )
    def test_what_does_not_fit_stays_open(self, content, code):
        model, data = send(MODEL), send(content)

        if code is None:
            assert complete(model, data)
            return
        with pytest.raises(FileRefused) as caught:
            complete(model, data)

        assert caught.value.code == code
        assert statuses() == [Status.OPEN, Status.OPEN]

    def test_a_file_that_the_model_does_not_name(self):
        model, data, other = *send_both(), send(b"notes", "notes.txt")

        with pytest.raises(FileRefused, match=r"'notes.txt' is not used by the model"):
            complete(model, data, other)

        assert statuses() == [Status.OPEN] * 3

    def test_they_are_whole_the_callers_own_and_each_named_once(self):
        owner = an_actor(Right.READ, Right.WRITE, user=a_person("operator"))
        model, data = send_both()
        half = begin_upload(size_bytes=10, by=an_actor())

        for others, error in (
            ([half], errors.UploadIncomplete),
            ([data, data], Invalid),
            ([model], Invalid),
            ([send(DATA, by=owner)], NotFound),
            ([data] * 33, Invalid),
        ):
            with pytest.raises(error):
                complete(model, *others)
        assert complete(model, data)

    def test_one_that_another_version_took_is_told_so(self):
        model, data = send_both()
        complete(model, data)

        with pytest.raises(errors.UploadEnded, match="taken"):
            complete(send(MODEL), data, new_model=None)

    def test_one_that_is_in_use_is_told_so(self):
        model, data = send_both()

        with parts.opened(data.pk) as file, parts.locked(file), pytest.raises(errors.UploadInUse):
            complete(model, data)

    def test_no_transaction_is_open_while_they_are_joined(self, monkeypatch, django_db_blocker):
        from django.db import connection

        depth, real = [], assembly.plan_rewrite
        before = len(connection.savepoint_ids)
        monkeypatch.setattr(
            assembly,
            "plan_rewrite",
            lambda *given, **more: depth.append(len(connection.savepoint_ids)) or real(*given, **more),
        )

        complete(*send_both())

        assert depth == [before]

    def test_without_room_they_wait(self, monkeypatch):
        model, data = send_both()
        monkeypatch.setattr(parts, "free_bytes", lambda: parts.RESERVE_BYTES + 10)

        with pytest.raises(errors.InsufficientStorage):
            complete(model, data)
        assert statuses() == [Status.OPEN, Status.OPEN]


class TestZip:
    def test_a_model_and_its_weights_are_taken_out(self):
        version = complete(send(a_zip(model__onnx=MODEL, model__onnx__data=DATA), "demo.zip"))

        assert onnx.load(file_of(version)) == WHOLE
        assert [file["name"] for file in version.origin["files"]] == ["demo.zip"]
        assert version.origin["changes"] == [
            "model.onnx was unpacked from demo.zip.",
            "The weights of model.onnx.data were merged into the file.",
        ]
        assert list(parts.folder().iterdir()) == []

    def test_a_model_alone_is_taken_out_too(self):
        version = complete(send(a_zip(model__onnx=WHOLE.SerializeToString())))

        assert file_of(version).read_bytes() == WHOLE.SerializeToString()
        assert version.origin["changes"] == ["model.onnx was unpacked from the archive."]

    @pytest.mark.parametrize(
        ("files", "code"),
        [
            ({"model__onnx": MODEL}, "data_missing"),
            ({"model__onnx": b"no model", "w": b""}, "not_onnx"),
            ({"model__onnx": MODEL, "../w": DATA}, "archive_refused"),
            ({"data__pkl": b"x"}, "not_onnx"),
        ],
        ids=["weights missing", "no model", "traversal", "torch"],
    )
    def test_one_that_is_refused_is_of_no_use(self, files, code):
        with pytest.raises(FileRefused) as caught:
            complete(send(a_zip(**files)))

        assert caught.value.code == code
        upload = Upload.objects.get()
        assert (upload.status, upload.failure) == (Status.FAILED, str(caught.value))
        assert list(parts.folder().iterdir()) == []
        assert not Model.objects.exists()

    def test_it_holds_all(self):
        archive, data = send(a_zip(model__onnx=MODEL)), send(DATA)

        with pytest.raises(FileRefused, match="no other files"):
            complete(archive, data)


class TestZipMap:
    def test_its_labels_become_the_versions(self):
        version = complete(send(WHOLE.SerializeToString(), "c.onnx"), new_model=BOTH, drop_zipmap=True)

        assert version.task_config == {"labels": ["no", "yes"], "scores": "probabilities"}
        assert scan_file(file_of(version)).outputs == ("label", "probabilities")
        assert "ZipMap was removed" in version.origin["changes"][0]

    @pytest.mark.parametrize(
        ("task", "given", "kept"),
        [
            ("tensor", {}, {}),
            ("classification", {"labels": ["a", "b"], "scores": "logits"}, {"labels": ["a", "b"], "scores": "logits"}),
            ("classification", {"scores": "logits"}, {"labels": ["no", "yes"], "scores": "logits"}),
        ],
        ids=["another task", "labels given", "scores given"],
    )  # fmt: skip
    def test_what_was_given_stays(self, task, given, kept):
        upload = send(WHOLE.SerializeToString())

        version = complete(upload, new_model=NewModel(task=task), drop_zipmap=True, task_config=given)

        assert version.task_config == kept

    def test_without_labels_anywhere_it_may_be_said_again(self):
        model = a_classifier(["a", "b"])
        del next(node for node in model.graph.node if node.op_type == "ZipMap").attribute[:]
        upload = send(model.SerializeToString())

        with pytest.raises(Invalid, match="labels"):
            complete(upload, new_model=BOTH, drop_zipmap=True)

        given = {"labels": ["a", "b"], "scores": "logits"}
        assert complete(upload, new_model=BOTH, drop_zipmap=True, task_config=given)

    def test_a_file_without_one_waits_for_another_wish(self):
        upload = send(WHOLE.SerializeToString())
        other = complete(upload, drop_zipmap=True)
        again = send(file_of(other).read_bytes())

        with pytest.raises(FileRefused, match="no ZipMap"):
            complete(again, new_model=None, drop_zipmap=True)

        assert complete(again, new_model=None).artifact == other.artifact

    def test_unless_that_is_said_the_file_stays_as_it_is(self):
        version = complete(send(WHOLE.SerializeToString()))

        assert (file_of(version).read_bytes(), version.origin) == (WHOLE.SerializeToString(), {})


class TestEarly:
    @pytest.mark.parametrize(
        ("content", "code"),
        [(b"no model", "not_onnx"), (WHOLE.SerializeToString()[:-1], "truncated_file")],
        ids=["text", "broken off"],
    )
    def test_what_is_no_model_ends_before_it_takes_a_number(self, content, code):
        upload = send(content)

        with pytest.raises(FileRefused) as caught:
            complete(upload)

        upload.refresh_from_db()
        assert caught.value.code == code
        assert (upload.status, upload.failure) == (Status.FAILED, str(caught.value))
        assert not Model.objects.exists() and not Version.objects.exists()
        assert list(parts.folder().iterdir()) == []

    def test_what_takes_a_look_at_everything_is_left_to_the_check(self):
        model = onnx.ModelProto.FromString(MODEL)
        for tensor in tensors_in(model):
            tensor.external_data[0].value = "../model.onnx.data"

        version = complete(send(model.SerializeToString()))

        with pytest.raises(FileRefused, match=r"\.\./model"):
            scan_file(file_of(version))

    def test_a_model_that_is_not_there_is_told_before_a_byte_is_sent(self):
        mine, hidden = a_model("mine"), a_model("hidden")
        by = an_actor(Right.READ, Right.WRITE, models=frozenset({mine.pk}))

        for name in ("nobody", hidden.slug, "a\0b", "\ud83d"):
            with pytest.raises(NotFound):
                begin_upload(size_bytes=1, model=name, by=by)
        assert begin_upload(size_bytes=1, model="mine", by=by).is_open

    def test_shapes_that_are_none_are_told_before_the_file_is_read(self, monkeypatch):
        upload = send(WHOLE.SerializeToString())
        monkeypatch.setattr(parts, "store", None)

        with pytest.raises(Invalid, match="whole numbers"):
            complete(upload, input_shapes={"x": [0]})


def test_the_sizes_that_were_given_are_the_versions():
    version = complete(send(WHOLE.SerializeToString()), input_shapes={"x": [1, 2]})

    assert version.input_shapes == {"x": [1, 2]}


class TestApi:
    def put(self, api, content, name):
        begun = api.post(f"{V1}/uploads", {"size_bytes": len(content), "file_name": name}).json()
        api.put(f"{V1}/uploads/{begun['id']}?offset=0", content, content_type="application/octet-stream")
        return begun["id"]

    def test_the_whole_way(self, api):
        model, data = self.put(api, MODEL, "model.onnx"), self.put(api, DATA, "model.onnx.data")
        body = {
            "model": "fresh", "new_model": {"task": "classification"}, "data_uploads": [data], "drop_zipmap": True,
            "input_shapes": {"x": [1, 2]},
        }  # fmt: skip

        refused = api.post(f"{V1}/uploads/{model}/complete", {**body, "data_uploads": []})
        done, again = (api.post(f"{V1}/uploads/{model}/complete", body) for _ in range(2))

        assert (refused.status_code, refused.json()["code"]) == (422, "data_missing")
        assert (done.status_code, again.status_code) == (201, 201)
        version = done.json()
        assert (version["number"], version["input_shapes"]) == (1, {"x": [1, 2]})
        assert version["task_config"]["labels"] == ["no", "yes"]
        assert len(version["origin"]["files"]) == len(version["origin"]["changes"]) == 2
        assert api.get(f"{V1}/uploads/{data}").json()["status"] == "taken"

    @pytest.mark.parametrize(
        ("more", "status"),
        [
            ({"data_uploads": ["2714e76b-8aea-414a-8849-2e610dc66fbe"]}, 404),
            ({"data_uploads": ["../x"]}, 422),
            ({"data_uploads": ["2714e76b-8aea-414a-8849-2e610dc66fbe"] * 33}, 422),
            ({"input_shapes": {"x": ["a"]}}, 422),
            ({"input_shapes": {"x": [0]}}, 422),
            ({"input_shapes": [1]}, 422),
            ({"drop_zipmap": "perhaps"}, 422),
        ],
    )
    def test_what_is_refused(self, api, more, status):
        model = self.put(api, WHOLE.SerializeToString(), "model.onnx")

        answer = api.post(f"{V1}/uploads/{model}/complete", {"model": "m", "new_model": {}, **more})

        assert answer.status_code == status
        assert not Version.objects.exists()

    def test_beginning_for_a_model_that_is_not_there(self, api):
        answer = api.post(f"{V1}/uploads", {"size_bytes": 5, "model": "nobody"})

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert not Upload.objects.exists()

    def test_a_file_that_is_no_model_is_told_so_at_once(self, api):
        upload = self.put(api, b"no model", "model.onnx")

        answer = api.post(f"{V1}/uploads/{upload}/complete", {"model": "m", "new_model": {}})

        assert (answer.status_code, answer.json()["code"]) == (422, "not_onnx")
        assert api.get(f"{V1}/uploads/{upload}").json()["failure"] == answer.json()["detail"]
