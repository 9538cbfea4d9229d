"""Files beside a model that belong to its task: a folder as Hugging Face exports it, and what is refused."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from registry.catalogue import artifacts
from registry.catalogue.errors import InvalidTaskConfig
from registry.catalogue.models import Model, Version
from registry.intake import task_input
from registry.intake.file_scan.errors import DataNotNamed, FileRefused
from registry.intake.models import Status, Upload
from registry.intake.services import (
    MAX_PART_BYTES,
    NewModel,
    begin_upload,
    complete_upload,
    suggest_task_config,
    write_part,
)
from registry.record.models import AuditRecord
from tests.support.clients import V1
from tests.support.factories import an_actor
from tests.support.model_files import put_outside
from tests.support.tokenizers_of_tests import a_tokenizer
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
WHOLE = a_classifier(["no", "yes"])
MODEL = WHOLE.SerializeToString()
TOKENIZER = a_tokenizer("word_piece_uncased").encode()
CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "id2label": {"1": "positive", "0": "negative"},
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "problem_type": "multi_label_classification",
}
FOLDER = {
    "config.json": json.dumps(CONFIG).encode(),
    "special_tokens_map.json": b"{}",
    "tokenizer.json": TOKENIZER,
    "tokenizer_config.json": b'{"model_max_length": 128, "do_lower_case": true}',
    "vocab.txt": b"[UNK]\n[CLS]\n[SEP]\n[PAD]",
}
FILLED = {
    "labels": ["negative", "positive"],
    "max_tokens": 128,
    "padding_id": 0,
    "function": "sigmoid",
}
TEXTS, TENSORS = NewModel(task="text-classification"), NewModel(task="tensor")


def send(content, name=""):
    upload, read = (
        begin_upload(size_bytes=len(content), file_name=name, by=an_actor()),
        io.BytesIO(content).read,
    )
    for start in range(0, len(content), MAX_PART_BYTES):
        length = min(MAX_PART_BYTES, len(content) - start)
        upload = write_part(upload=upload, offset=start, length=length, read=read, by=an_actor())
    return upload


def complete(upload, files=None, *, new_model=TEXTS, **more):
    data = [send(content, name) for name, content in (files or {}).items()]
    return complete_upload(
        upload=upload, slug="tone", new_model=new_model, data_uploads=data, by=an_actor(), **more
    )


def a_zip(files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def field_of(error):
    return error.value.members["errors"][0]["pointer"].removeprefix("#/task_config/")


class TestFolder:
    @pytest.mark.parametrize("place", ["model.onnx", "export/model.onnx", "export/onnx/model.onnx"])
    def test_as_a_zip(self, place):
        folder = "export/" if "/" in place else ""
        files = {place: MODEL, **{f"{folder}{name}": content for name, content in FOLDER.items()}}

        version = complete(send(a_zip({**files, "README.md": b"# Tone"}), "tone.zip"))

        assert version.task_config == FILLED
        assert version.task_files == {name: sha256(FOLDER[name]) for name in ("tokenizer.json", "vocab.txt")}
        assert artifacts.path_of(version.task_files["tokenizer.json"]).read_bytes() == TOKENIZER
        assert artifacts.path_of(version.artifact.sha256).read_bytes() == MODEL
        assert version.origin["changes"] == [
            "model.onnx was unpacked from tone.zip.",
            "tokenizer.json and vocab.txt were stored beside the file.",
            "labels, max_tokens, padding_id and function of the task configuration came from config.json and"
            " tokenizer_config.json.",
            "special_tokens_map.json and README.md were not used.",
        ]

    def test_as_uploads(self):
        version = complete(send(MODEL, "model.onnx"), FOLDER)

        assert version.task_config == FILLED
        assert list(version.task_files) == ["tokenizer.json", "vocab.txt"]
        assert [file["name"] for file in version.origin["files"]] == ["model.onnx", *FOLDER]
        assert version.artifact.sha256 == sha256(MODEL)  # the file stays as it was
        assert Upload.objects.filter(status=Status.TAKEN).count() == len(FOLDER)
        record = AuditRecord.objects.get(action="register_version")
        assert record.after["task_files"] == version.task_files

    def test_with_weights_in_another_file(self):
        model, data = put_outside(WHOLE)

        version = complete(send(model), {**FOLDER, "model.onnx.data": data})

        assert list(version.task_files) == ["tokenizer.json", "vocab.txt"]
        assert version.origin["changes"][0] == "The weights of model.onnx.data were merged into the file."

    def test_the_caller_knows_better_than_the_files(self):
        given = {"labels": ["bad", "good"], "long_texts": "refuse", "function": "softmax"}

        version = complete(send(MODEL), FOLDER, task_config=given)

        assert version.task_config == {**FILLED, **given}
        assert "max_tokens and padding_id of" in version.origin["changes"][1]

    def test_a_file_that_the_configuration_names_is_kept(self):
        given = {"labels": ["a", "b"], "tokenizer": "words.txt", "vocabulary": "words"}

        version = complete(send(MODEL), {"words.txt": b"[UNK]\ngood"}, task_config=given)

        assert list(version.task_files) == ["words.txt"]

    def test_the_next_version_may_have_the_same_files(self):
        first = complete(send(MODEL), FOLDER)

        second = complete(send(MODEL), FOLDER, new_model=None)

        assert (second.number, second.task_files) == (2, first.task_files)


class TestWeights:
    def test_weights_may_have_such_a_name_if_the_model_says_so(self):
        model, data = put_outside(WHOLE, "weights.txt")

        version = complete(send(model), {"weights.txt": data}, new_model=TENSORS)

        assert version.origin["changes"] == ["The weights of weights.txt were merged into the file."]
        assert version.task_files == {}

    def test_missing_weights_are_told_before_anything_about_the_task(self):
        model, _ = put_outside(WHOLE)

        with pytest.raises(FileRefused, match=r"send that file as well"):
            complete(send(model), FOLDER)

    def test_a_file_that_is_neither_is_refused(self):
        with pytest.raises(DataNotNamed, match=r"'pytorch_model.bin' is not used"):
            complete(send(MODEL), {**FOLDER, "pytorch_model.bin": b"x"})


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changed", "given", "field"),
        [
            ({"config.json": b"{}"}, {}, "labels"),
            ({"config.json": b'{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}'}, {}, "labels"),
            ({"config.json": b'{"id2label": {"0": "a\\u0000", "1": "b"}}'}, {}, "labels"),
            ({"config.json": b'{"id2label": {"0": "a", "1": "a"}}'}, {}, "labels"),
            ({"config.json": b'{"id2label": {"0": "%s"}}' % (b"x" * 201)}, {}, "labels[0]"),
            ({"config.json": b"not JSON"}, {}, "files"),
            ({"config.json": b"[" * 100_000 + b"]" * 100_000}, {}, "files"),
            ({"tokenizer_config.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}, {}, "files"),
            ({}, {"long_texts": "windows"}, "long_texts"),
            ({}, {"tokenizer": "other.json"}, "tokenizer"),
            ({}, {"patterns": []}, "patterns"),
            ({}, {"max_tokens": 0}, "max_tokens"),
        ],
        ids=[
            "no labels", "labels without names", "a label with NUL", "a label twice", "a long label", "no JSON", "deep lists",
            "deep objects", "a wrong choice", "a file that was not sent", "a field of another task", "a number too small",
        ],
    )  # fmt: skip
    def test_a_bad_one_names_its_field_and_nothing_is_stored(self, fresh, changed, given, field):
        upload = send(MODEL, "model.onnx")

        with pytest.raises(InvalidTaskConfig) as caught:
            complete(upload, {**FOLDER, **changed}, task_config=given)

        assert field_of(caught) == field
        assert not (fresh / "artifacts").exists()
        assert not Model.objects.exists()
        assert set(Upload.objects.values_list("status", flat=True)) == {Status.OPEN}

    def test_it_can_be_mended_without_sending_the_files_again(self):
        upload = send(a_zip({"model.onnx": MODEL, "tokenizer.json": TOKENIZER}))
        with pytest.raises(InvalidTaskConfig, match="labels"):
            complete(upload)

        assert complete(upload, task_config={"labels": ["a", "b"]}).task_files

    def test_more_labels_than_a_task_may_have(self):
        labels = json.dumps({"id2label": {number: f"label {number}" for number in range(10_001)}})

        with pytest.raises(InvalidTaskConfig) as caught:
            complete(send(MODEL), {**FOLDER, "config.json": labels.encode()})

        assert field_of(caught) == "labels"


def test_files_of_ids_may_be_larger_than_others_together():
    ids = {"users.txt": bytes(70 << 20), "items.txt": b"film-1\n"}

    version = complete(send(MODEL), ids, new_model=NewModel(task="recommendation"))

    assert version.task_files == {name: sha256(content) for name, content in ids.items()}
    assert artifacts.path_of(version.task_files["users.txt"]).stat().st_size == 70 << 20


def an_npz(**arrays):
    file = io.BytesIO()
    np.savez(file, users=np.ones((3, 2), "f4"), **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (an_npz(items=np.ones((2, 2), "f4")), "picks.npz", "'picks.npz' contains all embeddings and ids; send no other"),
        (a_zip({"model.onnx": MODEL}), "tone.zip", "A zip must contain the model"),
    ],
)  # fmt: skip
def test_an_archive_is_sent_alone(content, name, said):
    with pytest.raises(DataNotNamed, match=said):
        complete(send(content, name), {"users.txt": b"ada\n"}, new_model=NewModel(task="recommendation"))


def test_numbers_of_embeddings_are_read_only_when_the_version_is_made():
    upload = send(an_npz(items=np.full((2, 2), np.nan, "f4"), item_ids=[7, 8]), "picks.npz")

    found = suggest_task_config(upload=upload, by=an_actor())

    assert (found.task, found.config) == ("recommendation", {"item_ids": "numbers"})
    with pytest.raises(FileRefused, match="Row 0 of 'items' has NaN"):
        complete(upload, new_model=NewModel(task="recommendation"))


class TestRefusedFiles:
    @pytest.mark.parametrize("new_model", [TENSORS, NewModel(task="classification")])
    def test_a_task_of_numbers_takes_none_and_says_so(self, new_model):
        upload = send(a_zip({"model.onnx": MODEL, **FOLDER}), "tone.zip")

        with pytest.raises(FileRefused, match=f"whose task is {new_model.task}") as caught:
            complete(upload, new_model=new_model)

        assert caught.value.code == "task_takes_no_files"
        assert complete(upload).task_files  # the same upload, for the right task

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"config.json": bytes(40 << 20)}, "at most 32 MiB"),
            ({f"{n}.json": bytes(22 << 20) for n in range(3)}, "together"),
            (
                {"users.txt": bytes((1 << 20) + 1)},
                "'users.txt' has 1,048,577 bytes; it may have at most 1 MiB",
            ),
            ({"tokenizer.json": TOKENIZER, "a/tokenizer.json": TOKENIZER}, "send each once"),
        ],
        ids=["large", "large together", "many ids", "twice"],
    )
    def test_what_is_not_read(self, files, said, monkeypatch):
        monkeypatch.setattr(task_input, "MAX_ID_FILE_BYTES", 1 << 20)
        upload = send(MODEL)

        with pytest.raises(FileRefused, match=said) as caught:
            complete(upload, files)

        assert caught.value.code == "task_file_refused"
        assert set(Upload.objects.values_list("status", flat=True)) == {Status.OPEN}

    @pytest.mark.parametrize(
        ("files", "code"),
        [
            ({"config.json": bytes(40 << 20)}, "task_file_refused"),
            ({"config.json": bytes(900 << 20)}, "archive_refused"),
            ({"a/config.json": b"{}", "b/config.json": b"{}"}, "archive_refused"),
            ({"../config.json": b"{}"}, "archive_refused"),
            ({f"{'n' * 251}.json": b"{}"}, "task_file_refused"),
        ],
        ids=["a large file", "a bomb", "twice", "traversal", "a long name"],
    )
    def test_in_a_zip(self, fresh, files, code):
        upload = send(a_zip({"model.onnx": MODEL, **files}))

        with pytest.raises(FileRefused) as caught:
            complete(upload)

        assert caught.value.code == code
        assert Upload.objects.get().status == Status.FAILED
        assert not (fresh / "artifacts").exists()
        assert list((fresh / "uploads").iterdir()) == []

    def test_names_are_never_paths(self, fresh):
        version = complete(
            send(MODEL), {"../../../tokenizer.json": TOKENIZER}, task_config={"labels": ["a", "b"]}
        )

        assert version.task_files == {"tokenizer.json": sha256(TOKENIZER)}
        assert {path.name for path in fresh.parent.rglob("*.json")} == set()


class TestApi:
    def put(self, api, content, name):
        begun = api.post(f"{V1}/uploads", {"size_bytes": len(content), "file_name": name}).json()
        api.put(f"{V1}/uploads/{begun['id']}?offset=0", content, content_type="application/octet-stream")
        return begun["id"]

    def test_a_bad_configuration_is_a_422_with_a_pointer_and_may_be_corrected(self, api):
        model, tokenizer = self.put(api, MODEL, "model.onnx"), self.put(api, TOKENIZER, "tokenizer.json")
        body = {"model": "tone", "new_model": {"task": "text-classification"}, "data_uploads": [tokenizer]}

        refused = api.post(f"{V1}/uploads/{model}/complete", body)
        done = api.post(f"{V1}/uploads/{model}/complete", {**body, "task_config": {"labels": ["a", "b"]}})

        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_task_config")
        assert refused.json()["errors"][0]["pointer"] == "#/task_config/labels"
        assert done.status_code == 201
        assert done.json()["task_files"] == {"tokenizer.json": sha256(TOKENIZER)}
        assert Version.objects.count() == 1
