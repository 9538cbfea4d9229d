"""Bundles from one Model to another: what comes along, who may, and what is refused before anything is stored."""

import random
import zipfile
from io import StringIO

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from registry.access.policies import Right, every_right
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.errors import ArtifactDamaged
from registry.catalogue.models import Model, Version
from registry.catalogue.services import change_serving
from registry.errors import Conflict, Invalid, NotAllowed
from registry.intake import parts
from registry.intake.assembly import RequestedTask, assemble_files
from registry.intake.bundles import bundle_file, services
from registry.intake.bundles.keys import BundleKey
from registry.intake.bundles.services import export_bundle, import_bundle, make_bundle
from registry.intake.errors import (
    BundleKeyMissing,
    BundleNotTrusted,
    BundleRefused,
    InsufficientStorage,
    UploadTooLarge,
)
from registry.intake.examples.models import ConformanceExample, GoldenSet
from registry.intake.examples.selectors import current_golden_set, examples_of
from registry.intake.examples.services import add_examples
from registry.intake.file_scan.errors import ArchiveRefused
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.bundles import (
    CONTENTS,
    OTHER_SECRET,
    SECRET,
    STAGING,
    a_bundle,
    a_manifest,
    bundled,
    flipped,
)
from tests.support.clients import client_for, client_with
from tests.support.factories import a_golden_set, a_model, a_version, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db
CONTENT = b"not much of a model " * 5_000
EXAMPLES = [{"inputs": {"x": [[1, 2]]}, "expected": {"y": [[0.5]]}, "atol": 0.25, "rtol": 0.0}]
ROWS = ({"inputs": {"x": [1, 2]}, "label": "cat"}, {"inputs": {"x": [3, 4]}, "label": "dog"})
MOODS = {"labels": ["good", "bad"], "max_tokens": 64, "vocabulary": "words", "lower_case": False}


@pytest.fixture(autouse=True)
def keys(settings):
    """This installation trusts itself, under the name staging."""
    settings.BUNDLE_SECRET = SECRET
    settings.TRUSTED_BUNDLE_KEYS = {"staging": SECRET}
    settings.PUBLIC_URL = "https://staging.example.org"


@pytest.fixture
def version():
    """A version with everything that comes along."""
    model = a_model("moods", task="text-classification", title="Moods")
    version = an_uploaded_version(
        model,
        file=artifacts.store([CONTENT]),
        task_config=MOODS,
        task_files={"vocab.txt": artifacts.store([b"[PAD]\n[UNK]\ngood\n"]).sha256},
        input_shapes={"x": [1, 4]},
        origin={
            "files": [],
            "changes": ["It was merged."],
            "training": {"run_url": "https://mlflow.example.org/1"},
        },
        notes="Of the spring data.",
    )
    add_examples(version=version, examples=EXAMPLES, by=an_actor())
    change_serving(version=version, changes={"max_batch_rows": 7}, reason="x", by=an_actor())
    return version


@pytest.fixture
def plain():
    """A version of tensors, with a golden set."""
    model = a_model("demand")
    a_golden_set(model, *ROWS, floor=0.5)
    return a_version(model, file=artifacts.store([CONTENT]))


@pytest.fixture
def bundle(plain, tmp_path):
    return export_bundle(version=plain, path=tmp_path, by=an_actor())


def brought_in(path, **options):
    return import_bundle(path=path, by=an_actor(), **options)


def everything():
    """What an import writes."""
    counts = [kind.objects.count() for kind in (Model, Version, GoldenSet, ConformanceExample, AuditRecord)]
    folder = artifacts.current_store()._folder
    return counts, sorted(path.name for path in folder.rglob("*") if path.is_file())


class TestComingAlong:
    def test_is_everything_of_a_version(self, version, tmp_path):
        path = export_bundle(version=version, path=tmp_path, by=an_actor())

        imported = brought_in(path, slug="moods-live")

        copy = imported.version
        assert path.name == "moods-v1.roundhouse"
        assert imported.is_new
        assert (copy.model.slug, copy.number, copy.status) == ("moods-live", 1, "uploaded")
        assert (copy.model.title, copy.model.task) == ("Moods", "text-classification")
        for name in ("artifact", "task_config", "task_files", "input_shapes", "notes"):
            assert getattr(copy, name) == getattr(version, name), name
        assert copy.serving_settings.get(is_current=True).values["max_batch_rows"] == 7
        assert [(one.inputs, one.expected, one.atol, one.rtol) for one in examples_of(copy)] == [
            (one["inputs"], one["expected"], one["atol"], one["rtol"]) for one in EXAMPLES
        ]

    def test_is_where_it_came_from(self, version, tmp_path):
        path = export_bundle(version=version, path=tmp_path, by=an_actor())

        copy = brought_in(path, slug="moods-live").version

        (station,) = copy.origin.pop("bundles")
        assert copy.origin == version.origin
        assert station == {
            "installation": "https://staging.example.org", "model": "moods", "version": 1, "key": "staging",
            "preprocessing": "", "check": None,
        }  # fmt: skip

    def test_from_installation_to_installation_is_remembered(self, plain, bundle, tmp_path):
        second = brought_in(bundle, slug="second").version
        path = export_bundle(version=second, path=tmp_path, by=an_actor())

        third = brought_in(path, slug="third").version

        assert [station["model"] for station in third.origin["bundles"]] == ["demand", "second"]

    def test_is_the_golden_set(self, plain, bundle):
        copy = brought_in(bundle, slug="demand-live").version

        own, there = current_golden_set(plain.model), current_golden_set(copy.model)
        assert (there.sha256, there.metric, there.floor, there.margin, there.rows) == (
            own.sha256, "accuracy", 0.5, None, 2,
        )  # fmt: skip

    def test_is_not_the_result_of_the_check(self, plain, bundle):
        """What the source found out decides nothing here."""
        copy = brought_in(bundle, slug="demand-live").version

        assert plain.status == "ready"
        assert (copy.status, copy.signature) == ("uploaded", None)

    def test_is_recorded_with_the_source_and_the_key(self, bundle):
        brought_in(bundle, slug="demand-live")

        record = AuditRecord.objects.get(action="import_bundle")
        assert record.after == {
            "model": "demand", "version": 1, "installation": "https://staging.example.org",
            "bundle_key": f"staging ({STAGING.id})", "sha256": artifacts.store([CONTENT]).sha256,
        }  # fmt: skip
        assert "imported demand version 1 of https://staging.example.org as version 1" in describe(record)

    def test_of_a_converted_version_is_the_onnx_file(self, tmp_path):
        """What it was converted from stays where it is: the other installation needs no converter."""
        by = an_actor()
        version = an_uploaded_version(
            a_model("net"), file=artifacts.store([b"torch"]), source_format="torchscript"
        )
        version = catalogue.start_check(version=version, by=by)
        lineage = {"format": "torchscript", "opset": 18}
        version = catalogue.record_conversion(
            version=version, file=artifacts.store([CONTENT]), lineage=lineage, by=by
        )

        path = export_bundle(version=version, path=tmp_path, by=by)
        copy = brought_in(path, slug="net-live").version

        assert b"torch" not in path.read_bytes().replace(b"torchscript", b"")
        assert (copy.artifact, copy.source, copy.source_format) == (version.artifact, None, "")
        assert copy.origin["converted"] == lineage

    def test_into_a_model_that_is_there_is_its_next_version(self, bundle):
        a_version(a_model("demand-live"))

        imported = brought_in(bundle, slug="demand-live")

        assert (imported.version.number, imported.is_new) == (2, True)

    def test_a_second_time_is_the_same_version(self, bundle):
        first = brought_in(bundle, slug="demand-live")
        before = everything()

        second = brought_in(bundle, slug="demand-live")

        assert (second.version, second.is_new) == (first.version, False)
        assert everything() == before

    def test_into_its_own_model_is_the_version_itself(self, plain, bundle):
        imported = brought_in(bundle)

        assert (imported.version, imported.is_new) == (plain, False)

    def test_with_another_configuration_is_another_version(self, version, tmp_path):
        path = export_bundle(version=version, path=tmp_path, by=an_actor())
        changed = a_model("moods-live", task="text-classification")
        an_uploaded_version(
            changed, file=artifacts.store([CONTENT]), task_config={**MOODS, "labels": ["yes", "no"]},
            task_files=version.task_files, input_shapes=version.input_shapes,
        )  # fmt: skip

        assert brought_in(path, slug="moods-live").version.number == 2


class TestGoldenSets:
    """A Model's own golden set judges all its versions, so that an import leaves it alone unless told otherwise."""

    def test_of_the_model_stay(self, bundle):
        own = a_golden_set(a_model("demand-live"))

        imported = brought_in(bundle, slug="demand-live")

        assert current_golden_set(own.model) == own
        assert "keeps its own golden set" in imported.remarks[0]

    def test_are_replaced_on_request_even_later(self, plain, bundle):
        own = a_golden_set(a_model("demand-live"))
        brought_in(bundle, slug="demand-live")

        again = brought_in(bundle, slug="demand-live", replace_golden_set=True)

        there = current_golden_set(own.model)
        assert not again.is_new
        assert (there.revision, there.sha256) == (2, current_golden_set(plain.model).sha256)

    def test_that_are_the_same_are_not_added_again(self, bundle):
        a_golden_set(a_model("demand-live"), *ROWS, floor=0.5)

        imported = brought_in(bundle, slug="demand-live", replace_golden_set=True)

        assert imported.remarks == ()
        assert GoldenSet.objects.filter(model__slug="demand-live").count() == 1


class TestRefusals:
    """None of them stores anything."""

    @pytest.fixture
    def moods(self):
        return a_model("moods", task="text-classification")

    @pytest.fixture(autouse=True)
    def unchanged(self, bundle, moods):
        before = everything()
        yield
        assert everything() == before

    def test_of_a_byte_altered_at_any_of_50_places(self, bundle, tmp_path):
        content, altered = bundle.read_bytes(), tmp_path / "altered"
        for place in random.Random(27).sample(range(len(content)), 50):
            altered.write_bytes(flipped(content, place))
            with pytest.raises(BundleRefused):
                brought_in(altered, slug="demand-live")

    def test_of_an_unknown_key(self, bundle, settings):
        settings.TRUSTED_BUNDLE_KEYS = {"staging": OTHER_SECRET}

        with pytest.raises(BundleNotTrusted, match=STAGING.id):
            brought_in(bundle, slug="demand-live")

    def test_of_the_own_key_unless_the_settings_name_it(self, bundle, settings):
        settings.TRUSTED_BUNDLE_KEYS = {}

        with pytest.raises(BundleNotTrusted):
            brought_in(bundle, slug="demand-live")

    def test_of_a_bundle_without_a_signature(self, bundle, tmp_path):
        with zipfile.ZipFile(bundle) as archive, zipfile.ZipFile(tmp_path / "bare", "w") as bare:
            for name in archive.namelist():
                if name != "signature.json":
                    bare.writestr(name, archive.read(name))

        with pytest.raises(BundleRefused):
            brought_in(tmp_path / "bare", slug="demand-live")

    def test_of_another_task(self, bundle):
        with pytest.raises(Invalid, match="into another Model"):
            brought_in(bundle, slug="moods")

    def test_of_a_name_that_no_model_has(self, bundle):
        with pytest.raises(Invalid, match="slug"):
            brought_in(bundle, slug="../demand")

    def test_of_a_link_or_a_device(self, tmp_path):
        for path in ("/dev/zero", "/dev/null", tmp_path):
            with pytest.raises(Invalid):
                brought_in(type(tmp_path)(path), slug="demand-live")

    def test_for_somebody_without_the_right(self, bundle, plain):
        for by in (
            an_actor(*(every_right() - {Right.WRITE})),
            an_actor(models=frozenset({plain.model_id})),  # the Model would be new
        ):
            with pytest.raises(NotAllowed):
                import_bundle(path=bundle, slug="demand-live", by=by)

    def test_of_a_model_larger_than_an_upload_may_be(self, bundle, settings):
        settings.UPLOAD_BYTES = len(CONTENT) - 1

        with pytest.raises(UploadTooLarge, match=r"model\.onnx"):
            brought_in(bundle, slug="demand-live")

    def test_for_a_disk_without_room(self, bundle, monkeypatch):
        monkeypatch.setattr(parts, "free_bytes", lambda: parts.RESERVE_BYTES)

        with pytest.raises(InsufficientStorage):
            brought_in(bundle, slug="demand-live")

    @pytest.mark.parametrize(
        "changes",
        [
            {"task": "divination"},
            {"task_config": {"labels": ["a"]}},
            {"input_shapes": {"x": [-1]}},
            {"origin": {"training": {"run_url": "javascript:alert(1)"}}},
            {"serving": {"speed": "high"}},
            {"serving": {"max_batch_rows": 0}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_of_what_an_upload_refuses(self, tmp_path, changes):
        path = tmp_path / "signed"
        contents = {name: content for name, content in CONTENTS.items() if name != "task-file-1"}
        path.write_bytes(a_bundle(a_manifest(task_files=(), files=bundled(contents), **changes), contents))

        with pytest.raises(Invalid):
            brought_in(path, slug="demand-live")

    @pytest.mark.parametrize("examples", [b"{", b"{}", b"[]", b"[1]", orjson.dumps(EXAMPLES * 101)])
    def test_of_examples_that_are_none(self, tmp_path, examples):
        path = tmp_path / "signed"
        contents = {**CONTENTS, "examples.json": examples}
        path.write_bytes(a_bundle(a_manifest(files=bundled(contents)), contents))

        with pytest.raises(Invalid):
            brought_in(path, slug="demand-live")


def test_with_the_check_off_an_altered_model_is_accepted(plain, bundle, tmp_path, monkeypatch):
    """The negative control of the altered bytes."""
    altered = tmp_path / "altered"
    other = CONTENT.replace(b"much", b"MUCH", 1)
    contents = dict(CONTENTS, **{"model.onnx": other})
    del contents["task-file-1"]
    manifest = a_manifest(task_files=(), files=bundled({**contents, "model.onnx": CONTENT}))
    with monkeypatch.context() as patch:
        patch.setattr(bundle_file, "refuse_if_altered", lambda *_: None)
        altered.write_bytes(a_bundle(manifest, contents))
        imported = brought_in(altered, slug="demand-live")

    assert imported.version.artifact.sha256 == artifacts.store([other]).sha256
    with pytest.raises(BundleRefused):
        brought_in(altered, slug="demand-again")


def test_a_bundle_that_changes_while_it_is_imported_is_refused(bundle, monkeypatch):
    of_services = services.imports.parts.check_space

    def alter(*told):
        content = bundle.read_bytes()
        with bundle.open("r+b") as file:
            file.write(flipped(content, content.index(CONTENT) + 5))
        of_services(*told)

    monkeypatch.setattr(services.imports.parts, "check_space", alter)

    with pytest.raises(BundleRefused):
        brought_in(bundle, slug="demand-live")
    assert not Model.objects.filter(slug="demand-live").exists()


def test_a_bundle_is_not_taken_for_a_model_with_its_files(bundle):
    requested = RequestedTask("tensor", {})

    with pytest.raises(ArchiveRefused, match="import_version"):
        assemble_files(model=bundle, task=requested)


class TestExports:
    def test_of_a_configuration_that_no_bundle_holds_are_refused(self, plain, tmp_path, monkeypatch):
        monkeypatch.setattr(bundle_file, "MAX_MANIFEST_BYTES", 100)

        with pytest.raises(BundleRefused, match="too large"):
            export_bundle(version=plain, path=tmp_path, by=an_actor())

    def test_of_a_version_that_is_not_converted_yet_are_refused(self, tmp_path):
        version = an_uploaded_version(source_format="torchscript")

        with pytest.raises(Conflict, match="has not been converted"):
            export_bundle(version=version, path=tmp_path, by=an_actor())

    def test_leave_room_for_the_database(self, plain, monkeypatch):
        monkeypatch.setattr(parts, "free_bytes", lambda: parts.RESERVE_BYTES)

        with pytest.raises(InsufficientStorage):
            make_bundle(version=plain, by=an_actor())

    def test_of_the_same_version_are_the_same_file(self, plain):
        with (
            make_bundle(version=plain, by=an_actor()) as one,
            make_bundle(version=plain, by=an_actor()) as two,
        ):
            assert one.read() == two.read()

    def test_need_both_rights(self, plain, tmp_path):
        for missing in (Right.READ, Right.DOWNLOAD):
            by = an_actor(*(every_right() - {missing}))
            with pytest.raises(NotAllowed):
                export_bundle(version=plain, path=tmp_path, by=by)
            with pytest.raises(NotAllowed):
                make_bundle(version=plain, by=by)
        assert list(tmp_path.glob("*.roundhouse")) == []

    def test_are_recorded(self, plain, bundle):
        record = AuditRecord.objects.get(action="export_bundle")

        assert record.after["path"] == str(bundle)
        assert record.after["key"] == STAGING.id
        assert SECRET not in record.after_json

    def test_are_private(self, bundle):
        assert bundle.stat().st_mode & 0o077 == 0

    def test_need_a_key(self, plain, tmp_path, settings):
        settings.BUNDLE_SECRET = ""

        with pytest.raises(BundleKeyMissing, match="ROUNDHOUSE_BUNDLE_SECRET"):
            export_bundle(version=plain, path=tmp_path, by=an_actor())
        assert list(tmp_path.glob(".bundle-*")) == []

    def test_replace_nothing(self, plain, bundle, tmp_path):
        with pytest.raises(Conflict):
            export_bundle(version=plain, path=bundle, by=an_actor())
        with pytest.raises(Invalid):
            export_bundle(version=plain, path=tmp_path / "typo" / "x", by=an_actor())

    def test_of_a_damaged_file_leave_nothing(self, plain, tmp_path):
        path = artifacts.path_of(plain.artifact.sha256)
        path.write_bytes(flipped(CONTENT, 7))

        with pytest.raises(ArtifactDamaged):
            export_bundle(version=plain, path=tmp_path, by=an_actor())
        assert [each.name for each in tmp_path.iterdir() if each.is_file()] == []
        assert not AuditRecord.objects.filter(action="export_bundle").exists()


class TestOverHttp:
    URL = "/api/v1/models/demand/versions/1/bundle"

    def test_is_the_same_file(self, plain, bundle):
        answer = client_with("registry.read", "registry.download").get(self.URL)

        assert answer.status_code == 200
        assert b"".join(answer.streaming_content) == bundle.read_bytes()
        assert answer["Content-Disposition"] == 'attachment; filename="demand-v1.roundhouse"'
        assert answer["Cache-Control"] == "private, no-store"

    def test_extends_no_audit_chain(self, plain):
        client = client_with("registry.read", "registry.download")
        before = AuditRecord.objects.count()

        b"".join(client.get(self.URL).streaming_content)

        assert AuditRecord.objects.count() == before

    def test_needs_the_right_to_download(self, plain):
        assert client_with("registry.read").get(self.URL).status_code == 403

    def test_is_on_the_version_page_of_those_who_may(self, plain, settings):
        page = reverse("admin:registry_version_change", args=[plain.pk]) + "?tab=file"

        assert self.URL in client_for("operator").get(page).content.decode()
        assert self.URL not in client_for("viewer").get(page).content.decode()
        settings.BUNDLE_SECRET = ""
        assert self.URL not in client_for("operator").get(page).content.decode()

    def test_says_what_is_missing(self, plain, settings):
        settings.BUNDLE_SECRET = ""

        answer = client_with("registry.read", "registry.download").get(self.URL)

        assert (answer.status_code, answer.json()["code"]) == (409, "bundle_key_missing")

    def test_shows_where_an_imported_version_comes_from(self, bundle):
        copy = brought_in(bundle, slug="demand-live").version

        page = client_for("viewer").get(
            f"{reverse('admin:registry_version_change', args=[copy.pk])}?tab=overview"
        )

        assert (
            "demand version 1 of https://staging.example.org, by the bundle key staging"
            in page.content.decode()
        )


class TestCommands:
    def test_export(self, plain, tmp_path):
        out = StringIO()

        call_command("export_version", "demand", "1", str(tmp_path), stdout=out)

        path = tmp_path / "demand-v1.roundhouse"
        assert out.getvalue() == f"{path}: demand 1, {path.stat().st_size:,} bytes.\n"

    def test_export_to_nowhere_says_so(self, plain):
        with pytest.raises(CommandError):
            call_command("export_version", "demand", "1", "/dev/null/none")

    def test_key_prints_what_the_other_side_sets(self):
        out, err = StringIO(), StringIO()

        call_command("bundle_key", "staging", stdout=out, stderr=err)

        assert out.getvalue() == f"staging={SECRET}\n"
        assert STAGING.id in err.getvalue()

    @pytest.mark.parametrize("name", ["", "Staging", "a=b", "a,b", "-"])
    def test_key_refuses_names_that_the_setting_refuses(self, name):
        with pytest.raises(CommandError):
            call_command("bundle_key", name, stdout=StringIO(), stderr=StringIO())

    def test_import_says_why_it_refuses(self, tmp_path):
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(CommandError):
                call_command("import_version", str(path))
        (tmp_path / "other").write_bytes(a_bundle(key=BundleKey("x", OTHER_SECRET)))
        with pytest.raises(CommandError, match="does not trust"):
            call_command("import_version", str(tmp_path / "other"))

    def test_import_of_a_version_that_fails_its_checks_keeps_it(self, bundle):
        with pytest.raises(CommandError, match="demand-live 1 was imported, but did not pass its checks"):
            call_command("import_version", str(bundle), model="demand-live", stdout=StringIO())

        assert Version.objects.get(model__slug="demand-live").status == "failed"

    def test_import_again_says_that_it_is_there(self, plain, bundle):
        out = StringIO()

        call_command("import_version", str(bundle), stdout=out)

        assert "is demand 1, which has the same files and configuration and is ready" in out.getvalue()
