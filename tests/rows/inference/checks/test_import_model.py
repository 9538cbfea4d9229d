"""`manage.py import_model`, with real files and the real probe."""

import re
import zipfile

import pytest
from django.core.management import CommandError, call_command

from registry.catalogue.models import Model, Version
from registry.intake.checklist.models import STEPS, CheckRun
from registry.traffic.models import Arm, Split, SplitRequest
from registry.traffic.readiness import READINESS, Readiness, ReadinessCheck, ReadinessState
from registry.traffic.services import approve_request, expire_split, set_split
from tests.support.factories import a_model, a_person, a_version, an_actor
from tests.support.model_files import looks_like_a_model, put_outside
from tests.support.onnx_models import text_scores
from tests.support.processes import ROOT
from tests.support.tokenizers_of_tests import a_tokenizer
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
FILE = str(ROOT / "examples" / "ripeness" / "model.onnx")


def test_classification_keeps_its_labels_and_notes():
    call_command(
        "import_model", "fruit", FILE, "--labels", "unripe, ripe,overripe", "--scores", "probabilities",
        "--notes", "From fruit-models 1.0, MIT",
    )  # fmt: skip

    assert Version.objects.get().notes == "From fruit-models 1.0, MIT"
    assert Model.objects.get().task == "classification"
    assert Version.objects.get().task_config == {
        "labels": ["unripe", "ripe", "overripe"],
        "scores": "probabilities",
    }


@pytest.fixture
def folder(tmp_path):
    """A text model as Hugging Face exports it."""
    text_scores(tmp_path / "model.onnx")
    for name, content in {
        "config.json": '{"id2label": {"0": "bad", "1": "good"}, "max_position_embeddings": 64}',
        "tokenizer.json": a_tokenizer("word_piece_uncased"),
        "special_tokens_map.json": "{}",
    }.items():
        (tmp_path / name).write_text(content)
    return [str(tmp_path / "model.onnx"), *(str(path) for path in tmp_path.glob("*.json"))]


def test_a_folder_of_a_text_model(folder, tmp_path):
    settings = tmp_path / "settings"
    settings.write_text('{"long_texts": "refuse"}')

    call_command(
        "import_model", "tone", *folder, "--task", "text-classification", "--task-config", str(settings),
        "--labels", "sad, glad",
    )  # fmt: skip

    version = Version.objects.get()
    assert version.model.task == "text-classification"
    assert version.task_config == {"labels": ["sad", "glad"], "max_tokens": 64, "long_texts": "refuse"}
    assert list(version.task_files) == ["tokenizer.json"]
    call_command("import_model", "tone", *folder)  # the Model knows its task
    assert Version.objects.count() == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "JSON object"),
        ('{"long_texts": "windows"}', "`long_texts`"),
    ],
    ids=["text", "deep", "list", "wrong field"],
)
def test_a_task_configuration_that_cannot_be_used(folder, tmp_path, content, said):
    settings = tmp_path / "settings"
    settings.write_text(content)

    with pytest.raises(CommandError, match=said):
        call_command(
            "import_model", "tone", *folder, "--task", "text-classification", "--task-config", str(settings)
        )
    assert not Model.objects.exists()


def test_task_of_a_model_never_changes():
    call_command("import_model", "fruit", FILE)

    with pytest.raises(CommandError, match="tensor, which cannot be changed"):
        call_command("import_model", "fruit", FILE, "--labels", "a,b,c", "--scores", "logits")
    assert Version.objects.count() == 1


@pytest.fixture
def not_warm():
    """No process is ready for a new split yet."""
    with READINESS.changed(
        engines=ReadinessCheck(lambda _split: Readiness(ReadinessState.WAIT, "Still cold."))
    ):
        yield


@pytest.fixture
def alone():
    """The Model is there, and one person is enough."""
    return a_model("fruit")


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--labels", "a,b"], "what the labels are for"), (["--scores", "logits"], "`labels`")],
    ids=["labels", "scores"],
)
def test_labels_and_scores_come_together(options, said):
    with pytest.raises(CommandError, match=said):
        call_command("import_model", "fruit", FILE, *options)
    assert not Model.objects.exists()


def test_a_new_model_takes_two_people_so_its_first_version_is_asked_for(capsys):
    call_command("import_model", "fruit", FILE)

    (request,) = SplitRequest.objects.all()
    assert (request.arms, request.comment, request.asker_id) == ({"1": 10_000}, "imported", None)
    assert not Split.objects.exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "fruit version 1 is registered but not live."
    assert f"request {request.pk} awaits approval" in lines[-1]


def test_a_later_version_is_asked_for_only_where_that_is_said():
    model = a_model("fruit", needs_approval=True)
    call_command("import_model", "fruit", FILE)
    person = a_person("approver")
    approve_request(request=SplitRequest.objects.get(), reason="good", by=an_actor(user=person))

    call_command("import_model", "fruit", FILE)
    assert not model.split_requests.filter(status="open").exists()
    call_command("import_model", "fruit", FILE, "--live")

    assert model.split_requests.get(status="open").arms == {"3": 10_000}
    assert Arm.objects.get(split__status="current").version.number == 1


def test_the_first_version_goes_live_where_one_person_is_enough(alone, capsys):
    call_command("import_model", "fruit", FILE)

    assert capsys.readouterr().out.endswith("fruit version 1 is registered and live.\n")
    assert not SplitRequest.objects.exists()


@pytest.mark.parametrize(
    ("options", "end", "live"),
    [([], "registered but not live", 1), (["--live"], "registered and live", 2)],
    ids=["unless said", "where said"],
)
def test_a_second_version_waits_for_a_split(alone, capsys, options, end, live):
    call_command("import_model", "fruit", FILE)
    call_command("import_model", "fruit", FILE, *options)

    assert capsys.readouterr().out.endswith(f"fruit version 2 is {end}.\n")
    assert Arm.objects.get(split__status="current").version.number == live
    assert Split.objects.count() == live


def test_a_split_that_waits_is_not_overtaken(not_warm):
    model = a_model("fruit")
    version = a_version(model)
    set_split(model=model, arms={version: 10_000}, reason="by hand", by=an_actor())

    call_command("import_model", "fruit", FILE)

    assert list(Split.objects.values_list("status", "reason")) == [("waiting", "by hand")]


def test_a_split_that_never_came_to_be_is_none(not_warm):
    model = a_model("fruit")
    split = set_split(model=model, arms={a_version(model): 10_000}, reason="by hand", by=an_actor())
    expire_split(split=split, reason="too long", by=an_actor())

    with READINESS.changed(engines=ReadinessCheck()):
        call_command("import_model", "fruit", FILE)

    assert Arm.objects.get(split__status="current").version.number == 2


class TestRefused:
    @pytest.fixture
    def bad(self, tmp_path):
        """That it is no model, only its check finds out."""
        path = tmp_path / "bad.onnx"
        path.write_bytes(looks_like_a_model(b"no model"))
        return str(path)

    def test_nothing_is_live_and_the_reason_is_listed(self, bad):
        with pytest.raises(CommandError, match=r"bad.onnx was refused: fruit 1 was refused by the file scan"):
            call_command("import_model", "fruit", bad)

        version = Version.objects.get()
        assert version.status == "failed" and version.failure
        assert not Split.objects.exists()
        assert CheckRun.objects.get().state == "failed"

    def test_the_version_before_it_still_answers(self, alone, bad):
        call_command("import_model", "fruit", FILE)

        with pytest.raises(CommandError, match="fruit 2"):
            call_command("import_model", "fruit", bad, "--live")

        (arm,) = Arm.objects.filter(split__status="current")
        assert arm.version.number == 1

    def test_the_fixed_file_is_version_2_and_goes_live_by_itself(self, alone, bad, capsys):
        with pytest.raises(CommandError):
            call_command("import_model", "fruit", bad)

        call_command("import_model", "fruit", FILE)

        assert capsys.readouterr().out.endswith("fruit version 2 is registered and live.\n")
        (arm,) = Arm.objects.filter(split__status="current")
        assert arm.version.number == 2


class TestAtOnce:
    """Refused before a Model is made or a number is taken."""

    def test_a_file_that_is_no_model(self, tmp_path):
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"no model")

        with pytest.raises(CommandError, match="not an ONNX model"):
            call_command("import_model", "fruit", str(path))
        assert not Model.objects.exists()

    def test_a_name_that_is_none_before_the_file_is_read(self):
        with pytest.raises(CommandError, match="lower-case letters"):
            call_command("import_model", "No_Name", "/no/such/file")

    def test_a_file_that_is_not_there(self):
        with pytest.raises(CommandError, match="/no/such/file cannot be read: No such file"):
            call_command("import_model", "fruit", "/no/such/file")

    @pytest.mark.parametrize("shape", ["x", "x=a,b", "x=0", "=1"])
    def test_sizes_that_are_none(self, shape):
        with pytest.raises(CommandError):
            call_command("import_model", "fruit", FILE, "--shape", shape)
        assert not Model.objects.exists()


class TestSeveralFiles:
    @pytest.fixture
    def files(self, tmp_path):
        model, data = put_outside(a_classifier(["no", "yes"]))
        (tmp_path / "model.onnx").write_bytes(model)
        (tmp_path / "model.onnx.data").write_bytes(data)
        return [str(tmp_path / name) for name in ("model.onnx", "model.onnx.data")]

    def test_the_weights_come_inside_and_the_zipmap_goes(self, files):
        call_command(
            "import_model", "fruit", *files, "--drop-zipmap", "--scores", "probabilities", "--shape", "x=1,2"
        )

        version = Version.objects.select_related("model").get()
        assert (version.status, version.model.task) == ("ready", "classification")
        assert version.task_config == {"labels": ["no", "yes"], "scores": "probabilities"}
        assert version.input_shapes == {"x": [1, 2]}
        assert [file["name"] for file in version.origin["files"]] == ["model.onnx", "model.onnx.data"]
        assert len(version.origin["changes"]) == 2

    def test_a_file_beside_the_model_is_named_and_not_taken(self, files):
        with pytest.raises(CommandError, match=rf"Add the file next to the model: .*{re.escape(files[1])}"):
            call_command("import_model", "fruit", files[0])
        assert not Model.objects.exists()

    def test_a_link_on_the_command_line_is_followed(self, files, tmp_path):
        (tmp_path / "links").mkdir()
        links = [tmp_path / "links" / name for name in ("model.onnx", "model.onnx.data")]
        for link, file in zip(links, files, strict=True):
            link.symlink_to(file)

        call_command("import_model", "fruit", *map(str, links), "--drop-zipmap")

        assert Version.objects.get().status == "ready"

    def test_a_zip_alone(self, files, tmp_path):
        archive = tmp_path / "demo.zip"
        with zipfile.ZipFile(archive, "w") as target:
            for file in files:
                target.write(file)

        call_command("import_model", "fruit", str(archive), "--drop-zipmap")

        assert Version.objects.get().origin["files"][0]["name"] == "demo.zip"

    def test_scores_alone_need_labels_in_the_file(self, files):
        with pytest.raises(CommandError, match="`labels`"):
            call_command("import_model", "fruit", *files, "--scores", "logits")


def test_an_import_goes_through_the_same_checklist_as_an_upload_and_tells_each_step(capsys):
    call_command("import_model", "fruit", FILE)

    run = CheckRun.objects.get()
    assert (run.state, [line.step for line in run.lines.order_by("id")]) == ("passed", list(STEPS))
    assert "import_model" in run.asked_by
    assert (Model.objects.get().task, Version.objects.get().task_config) == ("tensor", {})
    steps = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert steps[0] == "File passed"
    assert any(line.startswith("Golden set skipped: ") for line in steps)
