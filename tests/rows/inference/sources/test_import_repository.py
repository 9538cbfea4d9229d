"""`manage.py import_repository`, with repositories as Triton takes them."""

import onnx
import pytest
from django.core.management import CommandError, call_command

from inference.sources.triton import read_repository, slug_of
from registry.catalogue.models import Model, ServingSettings, Version
from registry.traffic.models import Arm, SplitRequest
from tests.support.factories import a_model
from tests.support.model_files import looks_like_a_model, put_outside
from tests.support.processes import ROOT
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db
FRUIT = (ROOT / "examples" / "ripeness" / "model.onnx").read_bytes()
CONFIG = """
name: "Fruit_Ripeness"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "pixels" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1500 }
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 1, 2 ] } ]
optimization { graph { level: 1 } cuda { graphs: true } }
parameters { key: "intra_op_thread_count" value: { string_value: "2" } }
parameters { key: "execution_mode" value: { string_value: "1" } }
model_warmup [ { name: "zeros" } ]
"""


def another(number):
    """The same model, with another SHA-256."""
    model = onnx.load_from_string(FRUIT)
    model.doc_string = f"number {number}"
    return model.SerializeToString()


def put(repository, name, config, *versions, **files):
    folder = repository / name
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for number, content in enumerate(versions, 1):
        (folder / str(number)).mkdir()
        (folder / str(number) / "model.onnx").write_bytes(content)
    for file, text in files.items():
        (folder / f"{file}.txt").write_text(text)
    return repository


@pytest.fixture
def repository(tmp_path):
    return put(
        tmp_path / "models", "Fruit_Ripeness", CONFIG, FRUIT, another(2), labels="unripe\nripe\noverripe\n"
    )


def run(capsys, *words):
    call_command("import_repository", *map(str, words))
    return capsys.readouterr().out


def serving(version):
    return ServingSettings.objects.get(version=version, is_current=True).values


def test_a_model_with_its_versions_settings_and_labels(repository, capsys):
    out = run(capsys, repository, "--scores", "probabilities")

    first, second = Version.objects.order_by("number")
    assert (first.model.slug, first.model.title, first.model.task) == (
        "fruit-ripeness", "Fruit_Ripeness", "classification",
    )  # fmt: skip
    assert {version.status for version in (first, second)} == {"ready"}
    assert second.task_config == {"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"}
    assert second.origin["training"]["tags"] == {"triton.model": "Fruit_Ripeness", "triton.version": "2"}
    values = serving(second)
    assert {name: values[name] for name in ("max_batch_rows", "max_wait_ms", "intra_op_threads")} == {
        "max_batch_rows": 8, "max_wait_ms": 1.5, "intra_op_threads": 2,
    }  # fmt: skip
    assert (values["graph_level"], values["device_id"]) == ("extended", 1)
    assert values["providers"] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert "Fruit_Ripeness: the new Model fruit-ripeness, task classification" in out
    lost = [line for line in out.splitlines() if "not carried over" in line]
    assert [line.split(": ")[1] for line in lost] == [
        "dynamic_batching preferred_batch_size", "instance_group gpus", "instance_group count",
        "optimization cuda", "parameters execution_mode", "model_warmup",
    ]  # fmt: skip
    assert out.splitlines()[-3:] == [
        "Model           Version  Result",
        "Fruit_Ripeness  1        imported as version 1",
        "Fruit_Ripeness  2        imported as version 2",
    ]


def test_the_newest_version_is_requested_and_no_other(repository, capsys):
    run(capsys, repository)

    assert [request.arms for request in SplitRequest.objects.all()] == [{"2": 10_000}]


def test_the_newest_version_goes_live_where_one_person_is_enough(repository, capsys):
    a_model("fruit-ripeness")

    run(capsys, repository)

    assert Arm.objects.get(split__status="current").version.number == 2


def test_a_second_run_skips_what_is_there_and_takes_what_is_new(repository, capsys):
    run(capsys, repository)
    (repository / "Fruit_Ripeness" / "10").mkdir()
    (repository / "Fruit_Ripeness" / "10" / "model.onnx").write_bytes(another(10))

    out = run(capsys, repository)

    assert Version.objects.count() == 3
    assert "Fruit_Ripeness  2        skipped: version 2 has this file" in out
    assert "Fruit_Ripeness  10       imported as version 3" in out


def test_a_dry_run_changes_nothing_and_tells_the_same(repository, capsys):
    plan = run(capsys, repository, "--dry-run")
    assert not Model.objects.exists()
    assert "Fruit_Ripeness  2        would be imported" in plan

    done = run(capsys, repository)

    assert done.splitlines()[:-3] == plan.splitlines()[:-3]
    assert "skipped: version 1" in run(capsys, repository, "--dry-run")


def test_without_scores_labels_are_not_carried_over(repository, capsys):
    out = run(capsys, repository)

    assert Model.objects.get().task == "tensor"
    assert "not carried over: label_filename: Triton does not state what the scores are" in out


def test_new_versions_of_a_classification_get_its_configuration_with_these_labels(repository, capsys):
    run(capsys, repository, "--scores", "logits")
    (repository / "Fruit_Ripeness" / "labels.txt").write_text("green\nyellow\nbrown")
    (repository / "Fruit_Ripeness" / "2" / "model.onnx").write_bytes(another(3))

    run(capsys, repository)

    newest = Version.objects.latest("number")
    assert newest.task_config == {"labels": ["green", "yellow", "brown"], "scores": "logits"}


def test_without_a_configuration_the_file_is_enough(tmp_path, capsys):
    put(tmp_path, "fruit", None, FRUIT)

    out = run(capsys, tmp_path)

    assert Version.objects.get().status == "ready"
    assert "not carried over" not in out
    assert serving(Version.objects.get())["max_batch_rows"] == 64


def test_a_file_without_an_axis_for_rows_shares_no_run(tmp_path, capsys):
    put(tmp_path, "fruit", "max_batch_size: 0", FRUIT)

    run(capsys, tmp_path)

    assert serving(Version.objects.get())["merging"] == "never"


def test_a_setting_out_of_our_range_is_told_and_the_rest_is_carried_over(tmp_path, capsys):
    config = "max_batch_size: 100000\ndynamic_batching { max_queue_delay_microseconds: 1000 }"
    put(tmp_path, "fruit", config, FRUIT)

    out = run(capsys, tmp_path)

    assert "not carried over: max_batch_size: `max_batch_rows` must be a whole number" in out
    assert (values := serving(Version.objects.get()))["max_batch_rows"] == 64 and values["max_wait_ms"] == 1


def test_a_larger_batch_than_the_queue_gets_a_larger_queue(tmp_path, capsys):
    put(tmp_path, "fruit", "max_batch_size: 4096", FRUIT)

    run(capsys, tmp_path)

    values = serving(Version.objects.get())
    assert (values["max_batch_rows"], values["max_queue_rows"]) == (4096, 4096)


@pytest.mark.parametrize("is_folder", [False, True], ids=["beside the model", "in a folder of the model"])
def test_weights_in_other_files_are_taken_along(tmp_path, capsys, is_folder):
    model, data = put_outside(a_classifier(["no", "yes"]))
    put(tmp_path, "fruit", None, b"")
    folder = tmp_path / "fruit" / "1"
    if is_folder:
        (folder / "model.onnx").unlink()
        folder = folder / "model.onnx"
        folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    (folder / "model.onnx.data").write_bytes(data)
    (folder / "notes.bin").write_bytes(b"not named by the model")

    run(capsys, tmp_path)
    again = run(capsys, tmp_path)

    version = Version.objects.get()
    assert [file["name"] for file in version.origin["files"]] == ["model.onnx", "model.onnx.data"]
    assert "skipped: version 1 has this file" in again


def test_weights_that_changed_beside_the_same_model_are_another_version(tmp_path, capsys):
    model, data = put_outside(a_classifier(["no", "yes"]))
    put(tmp_path, "fruit", None, model, model)
    for number, content in ((1, data), (2, data[:-4] + bytes(4))):
        (tmp_path / "fruit" / str(number) / "model.onnx.data").write_bytes(content)

    run(capsys, tmp_path)

    assert Version.objects.count() == 2


class TestRefused:
    """One after the other; the others go on."""

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ('platform: "tensorrt_plan"', "Its platform is tensorrt_plan; only models for ONNX Runtime"),
            ('backend: "python"', "Its backend is python"),
            ('platform: "ensemble"', "Its platform is ensemble"),
            ("name: {", "not in protobuf's text format"),
            ('max_batch_size: "8"', "another kind"),
            ('default_model_filename: "../other/model.onnx"', "must be the name of a file"),
            ('default_model_filename: "net.onnx"', "Version 1 has no file net.onnx"),
            ('output { label_filename: "/etc/passwd" }', "must be the name of a file"),
            ('output { label_filename: "none.txt" }', "cannot be read"),
        ],
    )
    def test_a_model_with_a_sentence(self, tmp_path, capsys, config, said):
        put(tmp_path, "apples", None, FRUIT)
        put(tmp_path, "broken", config, FRUIT)

        with pytest.raises(CommandError, match="1 of 2 was refused") as error:
            call_command("import_repository", str(tmp_path))

        assert error.value.returncode == 1
        assert said in capsys.readouterr().out
        assert Model.objects.get().slug == "apples"

    def test_one_version_that_is_no_model_and_again_on_a_second_run(self, tmp_path, capsys):
        put(tmp_path, "fruit", None, b"no model", looks_like_a_model(b"nor this"), FRUIT)

        for _ in range(2):
            with pytest.raises(CommandError, match="2 of 3 were refused"):
                call_command("import_repository", str(tmp_path))

        assert sorted(Version.objects.values_list("status", flat=True)) == ["failed", "ready"]
        assert SplitRequest.objects.get().arms == {"2": 10_000}
        assert "version 1 has this file, and did not pass its checks" in capsys.readouterr().out

    def test_links_that_lead_out_of_the_repository(self, tmp_path, capsys):
        (tmp_path / "secret.txt").write_text("root")
        repository = put(tmp_path / "models", "fruit", 'output { label_filename: "labels.txt" }', FRUIT)
        (repository / "fruit" / "labels.txt").symlink_to(tmp_path / "secret.txt")

        with pytest.raises(CommandError):
            call_command("import_repository", str(repository), "--scores", "logits")

        assert "leads out of the repository" in capsys.readouterr().out
        assert not Model.objects.exists()

    def test_a_link_within_the_repository_is_followed(self, tmp_path):
        """Negative control."""
        repository = put(tmp_path / "models", "fruit", 'output { label_filename: "labels.txt" }', FRUIT)
        (repository / "names.txt").write_text("a\nb\nc")
        (repository / "fruit" / "labels.txt").symlink_to(repository / "names.txt")

        (found,) = read_repository(repository)

        assert (found.refused, found.labels) == ("", ["a", "b", "c"])

    def test_two_folders_whose_names_become_one(self, tmp_path):
        put(tmp_path, "a_b", None, FRUIT)
        put(tmp_path, "a-b", None, FRUIT)

        first, second = read_repository(tmp_path)

        assert (first.slug, second.refused) == (
            "a-b",
            "Its name here would be a-b, as that of a-b; rename one of the folders.",
        )

    def test_folders_that_are_no_repository(self, tmp_path):
        for words, said in (
            (["/no/such/folder"], "cannot be read"),
            ([str(tmp_path)], "has no models"),
            ([str(tmp_path), "--only", "x"], "has no folder x"),
        ):
            with pytest.raises(CommandError, match=said):
                call_command("import_repository", *words)


def test_only_one_of_them(tmp_path, capsys):
    put(tmp_path, "apples", None, FRUIT)
    put(tmp_path, "pears", None, FRUIT)

    run(capsys, tmp_path, "--only", "pears")

    assert Model.objects.get().slug == "pears"


def test_names_become_names_of_models():
    assert [slug_of(name) for name in ("ResNet_50", "a..b", "__", "é", "x" * 70)] == [
        "resnet-50", "a-b", "", "", "x" * 64,
    ]  # fmt: skip
