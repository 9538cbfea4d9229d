"""Versions in other formats: recognised, confirmed, converted by their check, and compared with what they were."""

import sys
from functools import partial
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from inference.checks.runner import run_checks
from inference.confinement import parent
from inference.convert import converting, formats
from inference.engine.backends import SessionOptions
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.errors import Invalid
from registry.intake.assembly import RequestedTask, assemble_files
from registry.intake.checklist.models import STEPS_OF_CONVERTED
from registry.intake.checklist.services import ask_check
from registry.intake.errors import FormatNotConverted
from registry.intake.source_formats import SOURCE_FORMATS, RequestedFormat, SourceFormat
from tests.support import converter_programs, onnx_models
from tests.support.factories import a_model, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db(transaction=True)
TENSORS = RequestedTask("tensor", {})
# Its "runtime" doubles what it is sent, and its converter takes the file as the ONNX file.
DOUBLING = SourceFormat(
    "doubling",
    "Doubling",
    "doubling",
    (".dbl",),
    recognises=lambda file: file.name.endswith(".dbl"),
    missing=lambda: "",
    is_program=True,
    options={"act": "What it does."},
)


@pytest.fixture(autouse=True)
def installed(settings, tmp_path, monkeypatch):
    """A format whose converter is the tests' own program, in a real confined child."""
    settings.DATA_DIR = tmp_path / "data"
    monkeypatch.setattr(converting, "python_of", lambda _: Path(sys.executable))
    start = parent._START

    def follow(*arguments, **more):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parent, "_START", converter_programs.START)
            return parent.follow_child(*arguments, **more)

    monkeypatch.setattr(converting, "follow_child", follow)
    with SOURCE_FORMATS.changed(doubling=DOUBLING):
        yield
    assert start == parent._START


@pytest.fixture
def sent(tmp_path):
    """A file of the format, that multiplies by the factor once it is ONNX."""

    def write(factor=2.0):
        return onnx_models.scaled(tmp_path / "numbers.onnx", factor).rename(tmp_path / "numbers.dbl")

    return write


def a_sent_version(path, **options):
    assembled = assemble_files(
        model=path, task=TENSORS, source=RequestedFormat("", {"act": "describe", **options}, path.name)
    )
    return an_uploaded_version(
        a_model("numbers"),
        file=assembled.file,
        origin=assembled.origin,
        source_format=assembled.source_format,
        source_options=assembled.source_options,
    )


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: SessionOptions(), by=an_actor())
    return run, {line.step: line for line in run.lines.all()}


def test_a_file_is_converted_and_answers_as_before(sent):
    path = sent()
    version = a_sent_version(path)
    before = version.artifact.sha256

    run, lines = check(version)

    version.refresh_from_db()
    assert (run.state, list(lines)) == ("passed", list(STEPS_OF_CONVERTED))
    assert lines["parity"].facts["outputs"]["y"]["of_range"] == 0
    assert lines["parity"].facts["rows"] >= 3 * (1 + 2 + 7)
    assert (version.status, version.source.sha256, version.awaits_conversion) == ("ready", before, False)
    assert version.origin["converted"]["source_sha256"] == before
    assert version.origin["converted"]["opset"] == 17


def test_a_converter_that_changes_answers_is_found(sent):
    """The negative control of the comparison: the ONNX file multiplies by a little more than 2."""
    run, lines = check(a_sent_version(sent(2.001)))

    assert (run.state, lines["parity"].code) == ("failed", "answers_differ")
    assert "0.0001 is allowed" in run.reason
    assert lines["golden"].state == "skipped"


def test_what_only_rounds_differently_passes(sent):
    run, lines = check(a_sent_version(sent(2.00001)))

    assert run.state == "passed"
    assert 0 < lines["parity"].facts["outputs"]["y"]["of_range"] < 1e-4


def test_a_file_that_its_converter_refuses_fails_with_the_reason_and_the_next_step(sent):
    run, lines = check(a_sent_version(sent(), act="refuse"))

    assert (run.state, lines["converted"].code) == ("failed", "refused")
    assert "of the wrong colour; paint it." in run.reason
    assert "docs/exporting.md" in lines["converted"].advice
    assert lines["gate"].state == "skipped"


def test_a_host_without_the_converter_blames_itself_and_the_check_can_be_repeated(sent, monkeypatch):
    version = a_sent_version(sent())
    monkeypatch.setattr(converting, "python_of", lambda _: None)
    failed, lines = check(version)
    monkeypatch.setattr(converting, "python_of", lambda _: Path(sys.executable))
    ask_check(version=Version.objects.get(pk=version.pk), by=an_actor())

    passed, _ = check(version)

    assert (failed.state, lines["converted"].code, passed.state) == ("failed", "not_installed", "passed")
    assert lines["converted"].advice.startswith("Nothing is wrong with the file.")


def test_another_check_converts_nothing_but_compares_again(sent):
    version = a_sent_version(sent())
    check(version)
    first = Version.objects.get(pk=version.pk)

    run, lines = check(first)

    again = Version.objects.get(pk=version.pk)
    assert (run.state, again.artifact_id, again.origin) == ("passed", first.artifact_id, first.origin)
    assert lines["parity"].state == "passed"


def test_without_the_converter_another_check_skips_the_comparison(sent, monkeypatch):
    version = a_sent_version(sent())
    check(version)
    monkeypatch.setattr(converting, "python_of", lambda _: None)

    run, lines = check(version)

    assert (run.state, lines["parity"].state, lines["parity"].code) == ("passed", "skipped", "not_installed")


class TestAtTheDoor:
    def test_a_program_is_taken_only_with_its_name_typed(self, sent):
        path = sent()
        for typed in ("", "numbers", "NUMBERS.DBL"):
            with pytest.raises(Invalid, match="typing its name"):
                assemble_files(model=path, task=TENSORS, source=RequestedFormat("", None, typed))

    def test_a_format_that_is_switched_off_is_named_with_what_to_do(self, sent):
        off = partial(formats._missing, "torchscript", "torch")
        with (
            SOURCE_FORMATS.changed(doubling=SourceFormat(**{**_fields(DOUBLING), "missing": off})),
            pytest.raises(FormatNotConverted, match="ROUNDHOUSE_FORMATS=torchscript"),
        ):
            assemble_files(model=sent(), task=TENSORS)

    @pytest.mark.parametrize(
        ("requested", "said"),
        [
            (RequestedFormat("cube"), "There is no format 'cube'"),
            (
                RequestedFormat("doubling", {"colour": "red"}, "numbers.dbl"),
                "no option 'colour'; its options: act",
            ),
        ],
        ids=["format", "option"],
    )
    def test_what_does_not_exist_is_refused(self, sent, requested, said):
        with pytest.raises(Invalid, match=said):
            assemble_files(model=sent(), task=TENSORS, source=requested)

    def test_a_format_that_does_not_state_its_inputs_needs_their_sizes(self, sent):
        a_model("numbers")
        words = ["numbers", str(sent()), "--option", "act=describe", "--confirm-program", "numbers.dbl"]
        with SOURCE_FORMATS.changed(doubling=SourceFormat(**{**_fields(DOUBLING), "needs_shapes": True})):
            with pytest.raises(CommandError, match="state the size of each"):
                call_command("import_model", *words)
            assert not Version.objects.exists()

            call_command("import_model", *words, "--shape", "x=1,4")

        assert Version.objects.get().status == "ready"

    def test_onnx_has_no_options(self, tmp_path):
        path = onnx_models.identity(tmp_path / "plain.onnx")

        with pytest.raises(Invalid, match="is taken as it is"):
            assemble_files(model=path, task=TENSORS, source=RequestedFormat("", {"act": "convert"}))

    def test_the_command_imports_it(self, sent, capsys):
        a_model("numbers")

        call_command(
            "import_model",
            "numbers",
            str(sent()),
            "--option",
            "act=describe",
            "--confirm-program",
            "numbers.dbl",
        )

        said = capsys.readouterr().out
        assert "Conversion passed" in said and "Same answers as before conversion passed" in said

    def test_the_command_says_how_options_are_written(self, sent):
        with pytest.raises(CommandError, match="--option NAME=VALUE"):
            call_command("import_model", "numbers", str(sent()), "--option", "act")


def test_an_unconverted_file_never_becomes_ready(sent):
    """The constraint, not only the steps."""
    version = a_sent_version(sent())

    with pytest.raises(IntegrityError, match="version_ready_is_converted"):
        Version.objects.filter(pk=version.pk).update(status="ready", signature={})


def _fields(one):
    return {name: getattr(one, name) for name in one.__slots__}


def test_the_store_keeps_the_file_that_was_sent(sent):
    path = sent()
    content = path.read_bytes()
    version = a_sent_version(path)

    check(version)

    assert artifacts.path_of(version.source.sha256).read_bytes() == content
