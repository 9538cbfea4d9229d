"""The upload page in Chromium: a file goes up, also when the page is loaded again half-way."""

import json
import re
import shutil

import numpy as np
import pytest
from django.urls import reverse
from onnx import TensorProto, helper

from inference.pipelines.boxes import BOX_LAYOUTS, BoxLayout
from inference.pipelines.pictures import RESIZES, Resize
from registry.catalogue.models import Version
from registry.intake.models import Upload
from tests.support.factories import a_model
from tests.support.model_files import head_of, put_outside
from tests.support.processes import ROOT
from tests.support.scored_models import ID_FILES, write_ranker, write_recommender, write_rent, write_table
from tests.support.tokenizers_of_tests import a_tokenizer
from tests.support.yolo_models import LABELS, METADATA, SIDE, yolo_export
from tests.support.zipmap_models import a_classifier

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FILE = ROOT / "examples" / "ripeness" / "model.onnx"
VERSION_PAGE = re.compile(r"/admin/registry/version/\d+/change/")


@pytest.fixture
def page(visit):
    a_model("fruit")
    address = f"{reverse('admin:registry_upload_add')}?model=fruit"
    return visit(address, expected=["status of 404", "status of 422"])  # what the tests below do to it


def _send(page, file):
    page.set_input_files("#rh-file", file)
    page.get_by_role("button", name="Upload", exact=True).click()


def test_a_chosen_file_becomes_a_version(page):
    _send(page, FILE)

    page.wait_for_url(VERSION_PAGE)
    version = Version.objects.select_related("artifact").get()
    assert (version.model.slug, version.artifact.size_bytes) == ("fruit", FILE.stat().st_size)


def test_what_stopped_half_way_goes_on_after_the_page_is_loaded_again(page, tmp_path):
    file = tmp_path / "large.onnx"
    file.write_bytes(head_of(20 << 20).ljust(20 << 20, b"x"))
    page.route("**/uploads/*?offset=8388608", lambda route: route.abort())
    _send(page, file)
    page.wait_for_function("document.querySelector('.rh-progress progress').value >= 400")

    page.reload()
    page.unroute_all(behavior="ignoreErrors")
    page.wait_for_selector("#rh-waiting", state="visible")
    assert Upload.objects.get().received_bytes == 8 << 20
    page.set_input_files("#rh-file", file)

    page.wait_for_url(VERSION_PAGE)
    assert (Upload.objects.count(), Version.objects.get().artifact.size_bytes) == (1, 20 << 20)


def test_a_file_for_no_model_is_refused_in_words(page):
    page.fill("#rh-slug", "nobody")
    _send(page, FILE)

    page.wait_for_selector("[role=alert]:visible")
    assert "nobody" in page.locator("[role=alert]:visible").inner_text()
    assert not Version.objects.exists()


@pytest.fixture
def pair(tmp_path):
    """A model and its weights in two files."""
    contents = put_outside(a_classifier(["no", "yes"]))
    files = [tmp_path / "model.onnx", tmp_path / "model.onnx.data"]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def test_a_model_and_its_weights_become_one_version(page, pair):
    page.get_by_text("More options", exact=True).click()
    page.fill("#rh-shapes", "x=1,2")
    page.check("[name=zipmap]")
    _send(page, pair[::-1])

    page.wait_for_url(VERSION_PAGE)
    version = Version.objects.get()
    assert [file["name"] for file in version.origin["files"]] == ["model.onnx", "model.onnx.data"]
    assert (len(version.origin["changes"]), version.input_shapes) == (2, {"x": [1, 2]})
    assert sorted(Upload.objects.values_list("status", flat=True)) == ["complete", "taken"]


def test_weights_that_were_forgotten_are_asked_for_and_added(page, pair):
    _send(page, pair[0])
    page.wait_for_selector("[role=alert]:visible")
    assert "model.onnx.data" in page.locator("[role=alert]:visible").inner_text()

    page.set_input_files("#rh-file", pair[1])

    page.wait_for_url(VERSION_PAGE)
    assert len(Version.objects.get().origin["files"]) == 2


def test_weights_that_do_not_fit_are_replaced_and_the_model_stays(page, pair, tmp_path):
    wrong = tmp_path / "wrong.data"
    wrong.write_bytes(b"x")
    _send(page, [pair[0], wrong])
    page.wait_for_selector("[role=alert]:visible")
    assert "Choose other files" in page.inner_text("[data-chosen]")

    page.set_input_files("#rh-file", pair[1])

    page.wait_for_url(VERSION_PAGE)
    assert sorted(Upload.objects.values_list("status", flat=True)) == ["abandoned", "complete", "taken"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["weights.bin"], "not an ONNX file"),
        (["a.bin", "b.bin"], "Choose the model too"),
        (["a.onnx", "b.onnx"], "one model"),
        (["a.zip", "b.bin"], "A zip contains the model"),
        (["a.npz", "users.txt"], "An .npz of embeddings holds the ids"),
        ([*(f"{number}.bin" for number in range(8)), "a.onnx"], "one zip"),
    ],
)
def test_files_that_make_no_version_are_refused_before_they_are_sent(page, tmp_path, names, says):
    for name in names:
        (tmp_path / name).write_bytes(b"x")

    page.set_input_files("#rh-file", [tmp_path / name for name in names])

    assert says in page.locator("[role=alert]:visible").inner_text()
    assert not Upload.objects.exists()


def test_a_name_is_looked_up_before_a_byte_is_sent(page):
    page.get_by_text("the first version of a new Model").click()
    _send(page, FILE)

    page.wait_for_selector("[role=alert]:visible")
    assert "already exists" in page.locator("[role=alert]:visible").inner_text()
    assert not Upload.objects.exists()


def test_a_file_that_is_no_model_ends_and_another_may_be_chosen(page, tmp_path):
    file = tmp_path / "bad.onnx"
    file.write_bytes(b"no model at all")
    _send(page, file)
    page.wait_for_selector("[role=alert]:visible")
    assert Upload.objects.get().status == "failed"

    _send(page, FILE)

    page.wait_for_url(VERSION_PAGE)


@pytest.fixture
def stopped(page, tmp_path):
    """A pair of which the weights stopped half-way, and its files."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [5 << 20], bytes(20 << 20), raw=True)
    model = a_classifier(["no", "yes"])
    model.graph.initializer.append(weight)
    files = [tmp_path / "model.onnx", tmp_path / "model.onnx.data"]
    for file, content in zip(files, put_outside(model), strict=True):
        file.write_bytes(content)
    page.route("**/uploads/*?offset=8388608", lambda route: route.abort())
    _send(page, files)
    page.wait_for_function("document.querySelector('.rh-progress progress').value >= 400")
    return files


def test_a_pair_that_stopped_half_way_goes_on_after_the_page_is_loaded_again(page, stopped):
    page.reload()
    page.unroute_all(behavior="ignoreErrors")
    page.wait_for_selector("#rh-waiting", state="visible")
    assert page.locator("#rh-waiting li").count() == 2

    page.set_input_files("#rh-file", stopped)

    page.wait_for_url(VERSION_PAGE)
    assert (Upload.objects.count(), len(Version.objects.get().origin["files"])) == (2, 2)


def test_cancelling_a_pair_gives_both_up(page, stopped):
    assert "2 of 2 files" in page.inner_text(".rh-figures")

    page.get_by_role("button", name="Cancel", exact=True).click()

    page.get_by_text("The uploaded data was deleted from the server").wait_for()
    assert set(Upload.objects.values_list("status", flat=True)) == {"abandoned"}


class TestTexts:
    """A text model as Hugging Face exports it."""

    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "export"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(a_classifier(["no", "yes"]).SerializeToString())
        self.write_config(folder, {"0": "bad", "1": "good"})
        (folder / "tokenizer.json").write_text(a_tokenizer("word_piece_uncased"))
        (folder / "special_tokens_map.json").write_text("{}")
        return folder

    def write_config(self, folder, labels, kind="BertForSequenceClassification"):
        config = {"architectures": [kind], "id2label": labels, "max_position_embeddings": 64}
        (folder / "config.json").write_text(json.dumps(config))

    def begin(self, page, folder, name="tone"):
        page.get_by_text("the first version of a new Model").click()
        page.fill("#rh-slug", name)
        page.set_input_files("#rh-file", sorted(folder.iterdir()))
        page.wait_for_function("document.getElementById('rh-task').value !== 'tensor'")

    def create(self, page):
        page.locator("#rh-upload-form [type=submit]").click()

    def refusal(self, page):
        page.wait_for_selector("[role=alert]:visible")
        return page.locator("[role=alert]:visible").inner_text()

    def test_a_folder_fills_in_the_form_and_becomes_a_version(self, page, folder):
        self.begin(page, folder)

        assert page.input_value("#rh-task") == "text-classification"
        assert page.input_value("#rh-labels") == "bad\ngood"
        assert page.inner_text("[data-from=labels]") == "from config.json"
        assert page.inner_text("[data-beside]").endswith("Not needed: special_tokens_map.json.")
        page.select_option("#rh-long", "refuse")
        self.create(page)

        page.wait_for_url(VERSION_PAGE)
        version = Version.objects.get()
        assert version.task_config == {"labels": ["bad", "good"], "max_tokens": 64, "long_texts": "refuse"}
        assert list(version.task_files) == ["tokenizer.json"]
        assert (
            "labels and max_tokens of the task configuration came from config.json."
            in version.origin["changes"]
        )

    def test_what_the_server_refuses_appears_at_its_field_and_nothing_is_sent_again(self, page, folder):
        self.begin(page, folder)
        page.fill("#rh-labels", "bad\nbad")
        self.create(page)
        assert "'bad' is there twice" in self.refusal(page)
        assert page.get_attribute("#rh-labels", "aria-invalid") == "true"
        assert page.inner_text("[data-from=labels]") == ""

        page.fill("#rh-labels", "sad\nglad")
        page.get_by_text("More options", exact=True).click()
        page.fill("#rh-settings", '{"max_tokens": 1}')
        self.create(page)
        assert self.refusal(page).startswith("max_tokens: ")
        page.fill("#rh-settings", '{"max_tokens": 32}')
        self.create(page)

        page.wait_for_url(VERSION_PAGE)
        assert Version.objects.get().task_config == {"labels": ["sad", "glad"], "max_tokens": 32}
        assert Upload.objects.count() == 3

    def test_entities_have_patterns(self, page, folder):
        self.write_config(folder, {"0": "O", "1": "B-PER"}, "BertForTokenClassification")
        self.begin(page, folder)
        assert page.input_value("#rh-task") == "entities"

        page.fill("#rh-patterns", "EMAIL")
        self.create(page)
        assert "LABEL = expression" in self.refusal(page)
        page.fill("#rh-patterns", "EMAIL = \\S+@\\S+\nODD = a=b")
        self.create(page)

        page.wait_for_url(VERSION_PAGE)
        config = Version.objects.get().task_config
        assert config["patterns"] == [{"EMAIL": "\\S+@\\S+"}, {"ODD": "a=b"}]

    def test_labels_that_no_file_names_are_asked_for_before_anything_is_sent(self, page, folder):
        self.write_config(folder, {"0": "LABEL_0", "1": "LABEL_1"})
        self.begin(page, folder)

        self.create(page)

        assert "config.json does not name them" in self.refusal(page)
        assert not Upload.objects.exists()

    def test_a_config_that_cannot_be_read_is_replaced(self, page, folder, tmp_path):
        (folder / "config.json").write_text("no JSON")
        page.get_by_text("the first version of a new Model").click()
        page.fill("#rh-slug", "tone")
        page.select_option("#rh-task", "text-classification")
        page.set_input_files("#rh-file", sorted(folder.iterdir()))
        page.fill("#rh-labels", "bad\ngood")
        self.create(page)
        assert "config.json is not valid JSON" in self.refusal(page)

        self.write_config(tmp_path, {"0": "bad", "1": "good"})
        page.set_input_files("#rh-file", tmp_path / "config.json")

        page.wait_for_url(VERSION_PAGE)
        assert Version.objects.get().task_config["max_tokens"] == 64

    def test_a_zip_for_the_wrong_task_is_not_lost(self, page, folder, tmp_path):
        page.get_by_text("the first version of a new Model").click()
        page.fill("#rh-slug", "tone")
        page.set_input_files("#rh-file", shutil.make_archive(tmp_path / "tone", "zip", folder))
        self.create(page)
        assert "whose task is tensor" in self.refusal(page)

        page.select_option("#rh-task", "text-classification")
        self.create(page)

        page.wait_for_url(VERSION_PAGE)
        assert Version.objects.get().task_config["labels"] == ["bad", "good"]
        assert Upload.objects.count() == 1

    def test_the_next_version_begins_with_the_configuration_of_the_one_before(self, page, folder):
        self.begin(page, folder)
        page.get_by_text("More options", exact=True).click()
        page.fill("#rh-settings", '{"top_k": 1}')
        self.create(page)
        page.wait_for_url(VERSION_PAGE)

        page.goto(f"{page.url.split('/admin/')[0]}{reverse('admin:registry_upload_add')}?model=tone")
        page.wait_for_function("document.getElementById('rh-labels').value")

        assert page.input_value("#rh-labels") == "bad\ngood"
        assert page.inner_text("[data-from=labels]") == "from the version before"
        assert json.loads(page.input_value("#rh-settings")) == {"top_k": 1, "max_tokens": 64}


class TestScores:
    """Models that recommend, and those that read named columns."""

    @pytest.fixture
    def begin(self, page):
        def begin(*files, task=""):
            page.get_by_text("the first version of a new Model").click()
            page.fill("#rh-slug", "shop")
            page.set_input_files("#rh-file", files)
            if task:
                page.select_option("#rh-task", task)

        return begin

    @pytest.fixture
    def create(self, page):
        def create():
            page.locator("#rh-upload-form [type=submit]").click()
            page.wait_for_url(VERSION_PAGE)
            return Version.objects.select_related("model").get()

        return create

    @pytest.fixture
    def beside(self, tmp_path):
        """A model that recommends, with its ids."""
        for name, content in ID_FILES.items():
            (tmp_path / name).write_bytes(content)
        return [write_recommender(tmp_path / "model.onnx"), *(tmp_path / name for name in ID_FILES)]

    def test_embeddings_become_a_model(self, page, begin, create, tmp_path):
        file = tmp_path / "factors.npz"
        np.savez(file, users=np.eye(3, dtype=np.float32), items=np.ones((4, 3), np.float32), user_ids=["a", "b", "c"],
                 item_ids=[10, 20, 30, 40])  # fmt: skip
        begin(file)

        page.wait_for_selector("text=Chosen by the file.")
        assert page.input_value("#rh-task") == "recommendation"
        assert page.locator("#rh-labels, #rh-columns").locator("visible=true").count() == 0
        page.fill("#rh-fallback", "b")
        version = create()

        assert version.model.task == "recommendation"
        assert version.task_config == {"item_ids": "numbers", "fallback_user": "b"}
        assert sorted(version.task_files) == ["items.txt", "users.txt"]

    def test_ids_beside_a_model_name_its_task(self, page, begin, create, beside):
        begin(*beside)

        page.wait_for_selector("text=Chosen by users.txt and items.txt.")
        assert page.inner_text("[data-beside]") == "With users.txt, items.txt."
        page.select_option("#rh-item-ids", "texts")
        version = create()

        assert (version.model.task, version.task_config) == ("recommendation", {"item_ids": "texts"})
        assert sorted(version.task_files) == ["items.txt", "users.txt"]

    def test_ids_that_are_missing_are_asked_for_and_added(self, page, begin, beside):
        begin(*beside[:2], task="recommendation")
        assert page.inner_text("[data-beside]").endswith(
            "Add items.txt: an id in each line, in the order of the model’s rows."
        )
        page.locator("#rh-upload-form [type=submit]").click()
        page.wait_for_selector("[role=alert]:visible")
        assert "Send items.txt with the model" in page.locator("[role=alert]:visible").inner_text()

        page.set_input_files("#rh-file", beside[2:])  # which goes on by itself

        page.wait_for_url(VERSION_PAGE)
        assert sorted(Version.objects.get().task_files) == ["items.txt", "users.txt"]

    def test_a_table_has_columns_defaults_and_labels(self, page, begin, create, tmp_path):
        begin(write_table(tmp_path / "table.onnx"), task="tabular-classification")
        page.fill("#rh-columns", "age\nchildren\n")
        page.fill("#rh-defaults", "children 0")
        page.fill("#rh-labels", "no\nyes")
        page.locator("#rh-upload-form [type=submit]").click()
        assert "column = value" in page.locator("[role=alert]:visible").inner_text()
        page.fill("#rh-defaults", "children = 0\nage = null")
        version = create()

        assert version.task_config == {
            "columns": ["age", "children"], "defaults": {"children": 0, "age": None}, "labels": ["no", "yes"],
        }  # fmt: skip

        page.goto(f"{page.url.split('/admin/')[0]}{reverse('admin:registry_upload_add')}?model=shop")
        page.wait_for_function("document.getElementById('rh-columns').value")
        assert (
            page.input_value("#rh-defaults") == "age = null\nchildren = 0"
            or page.input_value("#rh-defaults") == "children = 0\nage = null"
        )
        assert page.inner_text("[data-from=columns]") == "from the version before"

    @pytest.mark.parametrize(
        ("task", "write", "function"),
        [("ranking", write_ranker, "softmax"), ("tabular-regression", write_rent, "")],
    )
    def test_without_labels(self, page, begin, create, tmp_path, task, write, function):
        begin(write(tmp_path / "model.onnx"), task=task)
        page.fill("#rh-columns", "one\nother")
        if function:
            assert page.inner_text("#rh-function option:checked") == "sigmoid"
            page.select_option("#rh-function", function)
        assert not page.is_visible("#rh-labels")
        stated = {"function": function} if function else {}

        assert create().task_config == {"columns": ["one", "other"], **stated}


class TestPictures:
    """Detectors, with and without metadata."""

    @pytest.fixture
    def detector(self, tmp_path):
        def write(metadata, name="best.onnx"):
            file = tmp_path / name
            file.write_bytes(yolo_export(metadata).SerializeToString())
            return file

        return write

    def begin(self, page, file, task=""):
        page.get_by_text("the first version of a new Model").click()
        page.fill("#rh-slug", "shapes")
        if task:
            page.select_option("#rh-task", task)
        page.set_input_files("#rh-file", file)
        page.get_by_role("button", name="Upload", exact=True).click()

    def wait_for_confirmation(self, page):
        page.get_by_text("Check what the file states, then create the version.").wait_for()

    def create(self, page):
        page.get_by_role("button", name="Create version", exact=True).click()
        page.wait_for_url(VERSION_PAGE)
        return Version.objects.select_related("model").get()

    def values(self, page):
        return [page.input_value(f"#rh-{name}") for name in ("labels", "layout", "width", "height", "resize")]

    @pytest.mark.parametrize("task", ["", "object-detection"])
    def test_what_the_file_states_is_confirmed(self, page, detector, task):
        self.begin(page, detector(METADATA), task)
        self.wait_for_confirmation(page)

        assert page.input_value("#rh-task") == "object-detection"
        assert self.values(page) == ["\n".join(LABELS), "yolov8", str(SIDE), str(SIDE), "letterbox"]
        assert page.inner_text("[data-from=box_layout]") == "from the file"
        assert "It also states output." in page.inner_text(".rh-said")
        assert not Version.objects.exists()
        version = self.create(page)

        assert (version.model.task, version.task_config["labels"]) == ("object-detection", LABELS)
        assert version.task_config["box_layout"] == "yolov8"
        assert "labels" in version.origin["changes"][0]
        assert Upload.objects.count() == 1

    def test_what_a_person_changes_counts(self, page, detector):
        self.begin(page, detector(METADATA))
        self.wait_for_confirmation(page)
        page.fill("#rh-labels", "round\nangular")
        page.select_option("#rh-resize", "stretch")
        assert page.inner_text("[data-from=labels]") == ""

        version = self.create(page)

        stated = ("labels", "resize", "box_layout")
        assert [version.task_config[name] for name in stated] == [["round", "angular"], "stretch", "yolov8"]

    def test_what_the_file_does_not_state_is_asked(self, page, detector):
        self.begin(page, detector({}), "object-detection")
        self.wait_for_confirmation(page)
        asked = page.locator("[role=alert]:visible")
        assert asked.inner_text() == "Enter the labels: the file does not name them."
        assert page.evaluate("document.activeElement.id") == "rh-labels"
        page.fill("#rh-labels", "\n".join(LABELS))
        page.get_by_role("button", name="Create version", exact=True).click()
        assert "how the model’s outputs hold its boxes" in asked.inner_text()
        page.select_option("#rh-layout", "yolov8")
        page.select_option("#rh-resize", "letterbox")

        version = self.create(page)

        assert version.task_config == {
            "labels": LABELS, "box_layout": "yolov8", "resize": "letterbox", "width": SIDE, "height": SIDE,
        }  # fmt: skip

    def test_a_task_that_a_person_chose_stays(self, page, detector):
        page.get_by_text("the first version of a new Model").click()
        page.select_option("#rh-task", "object-detection")
        page.select_option("#rh-task", "tensor")
        self.begin(page, detector(METADATA))

        page.wait_for_url(VERSION_PAGE)
        assert Version.objects.get().model.task == "tensor"

    def test_a_proposed_task_may_be_refused(self, page, detector):
        self.begin(page, detector(METADATA))
        self.wait_for_confirmation(page)
        page.select_option("#rh-task", "tensor")

        assert self.create(page).model.task == "tensor"

    def test_a_form_that_is_filled_in_is_not_asked_about(self, page, detector):
        page.get_by_text("the first version of a new Model").click()
        page.select_option("#rh-task", "object-detection")
        page.fill("#rh-labels", "\n".join(LABELS))
        page.select_option("#rh-layout", "yolov8")
        page.select_option("#rh-resize", "letterbox")
        page.fill("#rh-width", str(SIDE))
        page.fill("#rh-height", str(SIDE))
        self.begin(page, detector(METADATA))

        page.wait_for_url(VERSION_PAGE)
        assert Version.objects.get().task_config["box_layout"] == "yolov8"

    def test_the_next_version_begins_with_what_its_file_states(self, page, detector):
        self.begin(page, detector(METADATA))
        self.wait_for_confirmation(page)
        page.fill("#rh-labels", "round\nangular")
        self.create(page)

        page.goto(page.url.partition("/admin/")[0] + reverse("admin:registry_upload_add") + "?model=shapes")
        page.wait_for_function("document.getElementById('rh-labels').value.startsWith('round')")
        page.set_input_files("#rh-file", detector(METADATA | {"date": "2027"}, "next.onnx"))
        page.get_by_role("button", name="Upload", exact=True).click()
        self.wait_for_confirmation(page)

        assert self.values(page)[0] == "\n".join(LABELS)
        assert page.inner_text("[data-from=labels]") == "from the file"

    def test_the_choices_are_those_of_the_library(self, page):
        def choices(field):
            script = "all => all.map((one) => [one.value, [one.textContent, one.dataset.holds]])"
            return dict(page.locator(f"#rh-{field} option:not([value=''])").evaluate_all(script))

        assert choices("layout") == {layout: [*BOX_LAYOUTS[layout]] for layout in BoxLayout}
        assert {value: words[0] for value, words in choices("resize").items()} == {
            resize: RESIZES[resize].title for resize in Resize
        }

    def test_what_a_layout_holds_is_shown(self, page):
        page.get_by_text("the first version of a new Model").click()
        page.select_option("#rh-task", "object-detection")
        page.select_option("#rh-layout", "detr")

        assert page.inner_text("#rh-layout-help") == "The outputs hold: logits and pred_boxes."

    def test_a_classifier_whose_file_states_nothing(self, page, detector):
        self.begin(page, detector({}), "image-classification")

        page.get_by_text("Fill in what the file does not state, then create the version.").wait_for()
        assert page.evaluate("document.activeElement.id") == "rh-labels"


def test_where_it_comes_from_is_sent_with_it(page):
    page.get_by_text("Where it comes from", exact=True).click()
    page.fill("#rh-run-url", "mlflow/runs/1")
    page.fill("#rh-git-commit", "4f2c1e9")
    _send(page, FILE)
    page.wait_for_selector("[role=alert]:visible")
    assert "http" in page.locator("[role=alert]:visible").inner_text()

    page.fill("#rh-run-url", "https://mlflow.example.org/runs/1")
    page.get_by_role("button", name="Upload", exact=True).click()

    page.wait_for_url(VERSION_PAGE)
    assert Version.objects.get().origin == {
        "training": {"run_url": "https://mlflow.example.org/runs/1", "git_commit": "4f2c1e9"}
    }
