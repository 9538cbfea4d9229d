"""`manage.py import_model`, with real files and the real probe."""

import pytest
from django.core.management import CommandError, call_command

from registry.catalogue.models import Model, Version
from tests.processes import ROOT

pytestmark = pytest.mark.django_db
FILE = str(ROOT / "examples" / "ripeness" / "model.onnx")


def test_classification_keeps_its_labels(capsys):
    call_command(
        "import_model", "fruit", FILE, "--labels", "unripe, ripe,overripe", "--scores", "probabilities"
    )

    assert Model.objects.get().task == "classification"
    assert Version.objects.get().task_config == {
        "labels": ["unripe", "ripe", "overripe"],
        "scores": "probabilities",
    }
    assert capsys.readouterr().out == "fruit version 1 is registered and live.\n"


def test_plain_tensors_unless_said():
    call_command("import_model", "fruit", FILE)

    assert (Model.objects.get().task, Version.objects.get().task_config) == ("tensor", {})


def test_task_of_a_model_never_changes():
    call_command("import_model", "fruit", FILE)

    with pytest.raises(CommandError, match="tensor, which never changes"):
        call_command("import_model", "fruit", FILE, "--labels", "a,b,c", "--scores", "logits")
    assert Version.objects.count() == 1


@pytest.mark.parametrize("options", [["--labels", "a,b"], ["--scores", "logits"]], ids=["labels", "scores"])
def test_labels_and_scores_come_together(options):
    with pytest.raises(CommandError, match="both"):
        call_command("import_model", "fruit", FILE, *options)
    assert not Model.objects.exists()
