"""`manage.py import_model NAME FOLDER`: which of a folder's files are taken, and for which task."""

import json
import shutil

import pytest
from django.core.management import CommandError, call_command

from registry.catalogue.models import Model, Version
from tests.support.factories import a_model
from tests.support.model_files import put_outside
from tests.support.onnx_models import text_scores
from tests.support.processes import ROOT
from tests.support.tokenizers_of_tests import a_tokenizer
from tests.support.yolo_models import yolo_export
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
FRUIT = ROOT / "examples" / "ripeness" / "model.onnx"
CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "id2label": {"0": "bad", "1": "good"},
    "max_position_embeddings": 64,
}


@pytest.fixture
def folder(tmp_path):
    """A text model as Hugging Face exports it."""
    text_scores(tmp_path / "model.onnx")
    for name, content in {
        "config.json": json.dumps(CONFIG),
        "tokenizer.json": a_tokenizer("word_piece_uncased"),
        "special_tokens_map.json": "{}",
        "README.md": "A model card.",
        "pytorch_model.bin": "weights of another library",
    }.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_folder_becomes_a_version_with_its_task(folder, capsys):
    call_command("import_model", "tone", str(folder))

    version = Version.objects.select_related("model").get()
    assert (version.model.task, version.status) == ("text-classification", "ready")
    assert version.task_config == {"labels": ["bad", "good"], "max_tokens": 64}
    assert list(version.task_files) == ["tokenizer.json"]
    assert [file["name"] for file in version.origin["files"]] == [
        "model.onnx",
        "config.json",
        "tokenizer.json",
    ]
    out = capsys.readouterr().out
    assert "model.onnx with config.json, tokenizer.json" in out
    assert "Task text-classification, as config.json says." in out


def test_the_model_may_lie_in_a_folder_of_its_own(folder):
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")

    call_command("import_model", "tone", str(folder))

    assert list(Version.objects.get().task_files) == ["tokenizer.json"]


def test_of_two_files_of_one_name_that_beside_the_model_counts(folder):
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    nearer = {**CONFIG, "id2label": {"0": "no", "1": "yes"}}
    (folder / "onnx" / "config.json").write_text(json.dumps(nearer))

    call_command("import_model", "tone", str(folder))

    assert Version.objects.get().task_config["labels"] == ["no", "yes"]


def test_of_several_models_one_has_to_be_named(folder):
    (folder / "onnx").mkdir()
    shutil.copy(folder / "model.onnx", folder / "onnx" / "model_quantized.onnx")

    with pytest.raises(
        CommandError,
        match=r"several ONNX files: model\.onnx, onnx/model_quantized\.onnx\. Name one with --onnx",
    ):
        call_command("import_model", "tone", str(folder))
    with pytest.raises(
        CommandError, match=r"no ONNX file \.\./x\.onnx; it has model\.onnx, onnx/model_quantized\.onnx"
    ):
        call_command("import_model", "tone", str(folder), "--onnx", "../x.onnx")
    assert not Model.objects.exists()

    call_command("import_model", "tone", str(folder), "--onnx", "onnx/model_quantized.onnx")

    assert Version.objects.get().origin["files"][0]["name"] == "model_quantized.onnx"


def test_an_existing_model_keeps_its_task(folder):
    a_model("tone")

    call_command("import_model", "tone", str(folder))

    version = Version.objects.select_related("model").get()
    assert (version.model.task, version.task_config, version.task_files) == ("tensor", {}, {})


def test_a_task_that_is_stated_counts_before_the_folders(folder):
    call_command("import_model", "tone", str(folder), "--task", "tensor")

    assert Model.objects.get().task == "tensor"


@pytest.mark.parametrize(
    "config", [None, "no JSON", "[]", '{"architectures": []}', '{"architectures": ["GPT2LMHeadModel"]}']
)
def test_without_a_task_it_is_numbers(tmp_path, capsys, config):
    shutil.copy(FRUIT, tmp_path / "model.onnx")
    if config is not None:
        (tmp_path / "config.json").write_text(config)

    call_command("import_model", "fruit", str(tmp_path))

    assert Model.objects.get().task == "tensor"
    assert "as config.json says" not in capsys.readouterr().out


def test_a_model_file_may_name_its_task(tmp_path, capsys):
    (tmp_path / "best.onnx").write_bytes(yolo_export().SerializeToString())

    call_command("import_model", "boxes", str(tmp_path))

    assert Model.objects.get().task == "object-detection"
    assert "Task object-detection, as the file itself says." in capsys.readouterr().out


def test_weights_beside_the_model_are_taken_along(tmp_path):
    model, data = put_outside(a_classifier(["no", "yes"]))
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "model.onnx.data").write_bytes(data)

    call_command("import_model", "fruit", str(tmp_path))

    assert Version.objects.get().status == "ready"


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(CommandError, match=r"no ONNX file.*optimum-cli export onnx"):
        call_command("import_model", "fruit", str(tmp_path))


def test_naming_a_file_of_a_file():
    with pytest.raises(CommandError, match="--onnx names a file of a folder"):
        call_command("import_model", "fruit", str(FRUIT), "--onnx", "model.onnx")
