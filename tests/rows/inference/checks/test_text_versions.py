"""The checklist of versions that answer texts."""

import pytest

from inference.checks.runner import run_checks
from inference.checks.steps import structure
from inference.checks.task_probe import TaskRefused
from inference.checks.version_tasks import pipeline_of
from registry.catalogue.models import Version
from tests.support import fruit, onnx_models, text_versions
from tests.support.factories import a_model, an_actor

pytestmark = pytest.mark.django_db


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: text_versions.OPTIONS, by=an_actor())
    return {line.step: line for line in run.lines.all()}


def again(version):
    return Version.objects.select_related("model").get(pk=version.pk)


@pytest.mark.parametrize("build", [text_versions.a_classifier, text_versions.a_tagger])
def test_a_good_version_is_ready_and_has_its_hash(tmp_path, build):
    version = build(tmp_path)

    lines = check(version)

    checked = again(version)
    assert checked.is_servable, checked.failure
    assert checked.preprocessing == lines["signature"].facts["preprocessing"] == pipeline_of(checked).digest
    assert len(checked.preprocessing) == 16


def test_labels_that_do_not_fit_are_refused_with_the_field(tmp_path):
    lines = check(text_versions.a_classifier(tmp_path, config={"labels": ["a", "b", "c"]}))

    line = lines["signature"]
    assert (line.state, line.code, line.facts["field"]) == ("failed", "task_config", "labels")
    assert "3 labels" in line.reason and line.advice.endswith(".")
    assert line.facts["inputs"]  # the page still shows the signature


def test_a_hostile_tokenizer_is_refused_before_this_process_reads_it(tmp_path, monkeypatch):
    def read_here(*_):
        raise AssertionError("the worker read it")

    monkeypatch.setattr("inference.checks.steps.base.pipeline_of", read_here)
    files = {"tokenizer.json": text_versions.hostile_tokenizer()}

    version = text_versions.a_classifier(tmp_path, files=files)
    line = check(version)["signature"]

    assert (line.state, line.code, line.facts["field"]) == ("failed", "task_config", "")
    assert "memory" in line.reason or "took longer" in line.reason
    assert again(version).status == "failed"


def test_a_child_that_cannot_start_says_nothing_about_the_version(tmp_path, monkeypatch):
    def refuse(*_args, **_more):
        raise TaskRefused("not_started", "The process could not be started.")

    monkeypatch.setattr("inference.checks.steps.task.probe_task", refuse)
    version = text_versions.a_classifier(tmp_path)

    with pytest.raises(structure.ProbeNotStarted):
        check(version)
    assert again(version).status == "checking"


class TestVocabulary:
    def test_ids_that_the_model_does_not_know(self, tmp_path):
        version = text_versions.a_classifier(tmp_path, more_words=["newer", "words"])

        line = check(version)["warmup"]

        assert (line.state, line.code, line.facts["field"]) == ("failed", "task_config", "tokenizer")
        largest = len(text_versions.vocabulary(text_versions.MOOD_WORDS)) + 1
        assert f"ids up to {largest}" in line.reason

    def test_the_same_words_without_more_pass(self, tmp_path):
        assert check(text_versions.a_classifier(tmp_path))["warmup"].state == "passed"


def test_a_model_of_plain_tensors_starts_no_child(tmp_path, monkeypatch):
    def refuse(*_args, **_more):
        raise AssertionError("a child was started")

    monkeypatch.setattr("inference.checks.steps.task.probe_task", refuse)
    version = fruit.bring_in(onnx_models.identity(tmp_path / "m.onnx"), a_model(), labels=None)

    assert check(version)["signature"].state == "passed"
    assert again(version).preprocessing == ""
