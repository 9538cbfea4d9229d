"""What an upload states of its task's configuration: shown before it is completed, and used when it is."""

import io
import json
import zipfile

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from inference.pipelines.boxes import BOX_LAYOUTS
from registry.catalogue.errors import InvalidTaskConfig
from registry.catalogue.models import Version
from registry.intake.models import Upload
from registry.intake.services import NewModel, complete_upload, suggest_task_config
from tests.rows.registry.intake.test_uploads_task_files import send
from tests.support.clients import V1, client_with
from tests.support.factories import an_actor
from tests.support.yolo_models import BOXES, LABELS, METADATA, SIDE, yolo_export
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
STATED = {
    "box_layout": "yolov8",
    "labels": LABELS,
    "width": SIDE,
    "height": SIDE,
    "resize": "letterbox",
    "output": "output0",
}
DETECTOR = yolo_export().SerializeToString()
PLAIN = yolo_export({}).SerializeToString()
OBJECTS = NewModel(task="object-detection")


def mine(api, content, name="model.onnx"):
    """An upload of this caller's, and its address."""
    path = api.post(f"{V1}/uploads", {"size_bytes": len(content), "file_name": name})["Location"]
    assert api.put(f"{path}?offset=0", content, content_type="application/octet-stream").status_code == 200
    return path


def asked(api, path, **query):
    return api.get(f"{path}/task-config", query)


def test_a_detector_states_its_task_and_everything_else(api):
    path = mine(api, DETECTOR)

    answers = [asked(api, path).json(), asked(api, path, task="object-detection").json()]

    assert answers == [{"task": "object-detection", "config": STATED, "missing": []}] * 2
    assert Upload.objects.get().status == "open"


def test_without_metadata_a_person_is_asked(api):
    path = mine(api, PLAIN)

    assert asked(api, path).json() == {"task": "", "config": {}, "missing": []}
    named = asked(api, path, task="object-detection").json()
    assert named["config"] == {"width": SIDE, "height": SIDE}
    assert named["missing"] == ["labels", "box_layout", "resize"]


def test_files_beside_the_model_are_read_too(api):
    config = mine(api, json.dumps({"id2label": {"0": "cat", "1": "dog"}}).encode(), "config.json")

    found = asked(
        api, mine(api, PLAIN), task="image-classification", data_uploads=[config.rpartition("/")[2]]
    )

    assert found.json() == {
        "task": "image-classification",
        "config": {"labels": ["cat", "dog"]},
        "missing": [],
    }


def test_a_zip(api):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("export/best.onnx", DETECTOR)

    assert asked(api, mine(api, target.getvalue(), "export.zip")).json()["config"] == STATED


def test_what_no_database_stores_is_left_out(api):
    metadata = METADATA | {"names": repr({0: "a\ud800", 1: "b\0"})}

    found = asked(api, mine(api, yolo_export(metadata).SerializeToString()))

    assert "labels" not in found.json()["config"]
    assert found.json()["missing"] == ["labels"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"task": "telepathy"}, 422, "invalid"),
        ({"data_uploads": "no id"}, 422, "invalid"),
        ({"data_uploads": "5e1b6c1e-0000-4000-8000-000000000000"}, 404, "not_found"),
    ],
)
def test_a_wrong_question(api, query, status, code):
    answer = asked(api, mine(api, DETECTOR), **query)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_upload_that_is_not_whole_or_has_ended(api):
    path = api.post(f"{V1}/uploads", {"size_bytes": 10})["Location"]
    assert asked(api, path).json()["code"] == "upload_incomplete"

    api.delete(path)

    assert asked(api, path).json()["code"] == "upload_ended"


def test_bytes_that_are_gone(api, fresh):
    path = mine(api, DETECTOR)
    (fresh / "uploads" / f"{path.rpartition('/')[2]}.part").unlink()

    assert asked(api, path).status_code == 409
    assert Upload.objects.get().status == "open"


def test_no_model_at_all(api):
    answer = asked(api, mine(api, b"no model at all"))

    assert (answer.status_code, answer.json()["code"]) == (422, "not_onnx")
    assert Upload.objects.get().status == "open"


def test_nobody_sees_what_the_uploads_of_others_state(api):
    assert asked(client_with(), mine(api, DETECTOR)).status_code == 404


def test_a_version_says_what_came_from_the_model_file():
    version = complete_upload(
        upload=send(DETECTOR, "best.onnx"),
        slug="shapes",
        new_model=OBJECTS,
        task_config={"labels": ["round", "angular"], "threshold": 0.5},
        by=an_actor(),
    )

    assert version.task_config == {**STATED, "labels": ["round", "angular"], "threshold": 0.5}
    assert version.origin["changes"] == [
        "box_layout, width, height, resize and output of the task configuration came from the model file itself."
    ]
    assert version.artifact.size_bytes == len(DETECTOR)


def test_a_task_without_such_fields_says_nothing():
    version = complete_upload(upload=send(DETECTOR), slug="numbers", new_model=NewModel(), by=an_actor())

    assert (version.task_config, version.origin) == ({}, {})


def test_without_metadata_the_layout_is_asked_for():
    with pytest.raises(InvalidTaskConfig) as error:
        complete_upload(
            upload=send(PLAIN),
            slug="shapes",
            new_model=OBJECTS,
            task_config={"labels": LABELS},
            by=an_actor(),
        )

    assert error.value.members["errors"][0]["pointer"] == "#/task_config/box_layout"
    assert all(words.in_words in str(error.value) for words in BOX_LAYOUTS.values())


def test_maps_of_a_classifier_declare_nothing(db):
    upload = send(a_classifier(["no", "yes"]).SerializeToString())

    assert suggest_task_config(upload=upload, task="object-detection", by=an_actor()).config == {}


class TestCommand:
    def test_a_detector_needs_no_configuration(self, tmp_path):
        (tmp_path / "best.onnx").write_bytes(DETECTOR)

        call_command("import_model", "shapes", tmp_path / "best.onnx", "--task", "object-detection")

        version = Version.objects.get()
        assert version.task_config == STATED
        assert version.status == "ready"
        assert version.signature["outputs"][0]["shape"] == [1, 4 + len(LABELS), BOXES]

    def test_without_metadata_it_is_refused(self, tmp_path):
        (tmp_path / "plain.onnx").write_bytes(PLAIN)
        labels = ",".join(LABELS)

        with pytest.raises(CommandError, match="box_layout"):
            call_command(
                "import_model",
                "shapes",
                tmp_path / "plain.onnx",
                "--task",
                "object-detection",
                "--labels",
                labels,
            )
        assert not Version.objects.exists()
