"""The checklist of versions that answer texts."""

import pytest

from inference.checks.models import ProbePass
from inference.checks.proofs import Proofs, runtime_version
from inference.checks.runner import run_checks
from inference.checks.steps import structure
from inference.checks.task_probe import TaskRefused
from inference.checks.trial import Trial, TrialFailed
from inference.checks.version_tasks import pipeline_of
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
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

    assert (line.state, line.code, line.facts["field"]) == ("failed", "task_config", "tokenizer")
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


class TestPadding:
    def test_a_model_with_a_mask_may_be_padded(self, tmp_path):
        version = text_versions.a_classifier(tmp_path)

        line = check(version)["batching"]

        assert again(version).may_pad is True
        assert "may_pad" not in line.facts and "Padding" not in line.reason
        assert line.code == "" and line.facts["rows"] == line.facts["asked_rows"] > 1

    def test_one_that_counts_the_padding_may_not(self, tmp_path):
        version = text_versions.a_classifier(tmp_path, masked=False)

        line = check(version)["batching"]

        checked = again(version)
        assert (checked.status, checked.may_pad) == ("ready", False)
        assert (line.state, line.facts["may_pad"]) == ("passed", False)
        assert "each text runs at its own length" in line.reason
        widths = {
            group.tensors["ids"].shape[1]
            for text in ("good", "good day", "a good day")
            for group in pipeline_of(checked).encode({"text": text}).groups
        }
        assert widths == {1, 2, 3}

    @pytest.mark.parametrize("code", ["timed_out", "crashed_signal", "run_failed"])
    def test_a_comparison_that_does_not_end_shows_nothing(self, tmp_path, monkeypatch, code):
        version, real = text_versions.a_classifier(tmp_path), Trial.run

        def run(self, inputs, *rest, **more):
            if inputs["input_ids"].shape[1] == 56:  # 8 less than it reads
                if code == "crashed_signal":
                    raise self._kill_and_fail(code, "It died.")
                raise TrialFailed(code, "It did not end.")
            return real(self, inputs, *rest, **more)

        monkeypatch.setattr(Trial, "run", run)
        line = check(version)["batching"]

        checked = again(version)
        assert (checked.status, checked.may_pad, line.facts["may_pad"]) == ("ready", False, False)
        assert line.facts["rows"] > 1  # rows of one length still share runs


class TestLength:
    def test_memory_is_that_of_texts_with_all_the_tokens_that_are_read(self, tmp_path):
        check(text_versions.a_classifier(tmp_path, config={"max_tokens": 64}))
        short = ProbePass.objects.get().found_memory
        check(text_versions.a_classifier(tmp_path, config={"max_tokens": 512}))

        passed = ProbePass.objects.get()
        assert (short.row_bytes, passed.found_memory.row_bytes) == (64 * 16, 512 * 16)

    def test_more_tokens_than_the_model_takes_are_refused_with_the_field(self, tmp_path):
        path = text_versions.write_classifier(tmp_path / "short.onnx", most_tokens=32)
        model = a_model(task="text-classification")

        line = check(text_versions.bring_in(path, model))["warmup"]

        assert (line.state, line.code, line.facts["field"]) == ("failed", "task_config", "max_tokens")
        assert "does not run on 64 tokens" in line.reason
        assert (
            check(text_versions.bring_in(path, model, config={"max_tokens": 32}))["warmup"].state == "passed"
        )


def test_texts_are_told_apart_in_the_batch_proof(tmp_path):
    """The generated rows of numbers that other models get would be words that this one counts as nothing."""
    line = check(text_versions.a_tagger(tmp_path))["batching"]

    assert (line.code, line.facts["rows"]) == ("", line.facts["asked_rows"])


def test_rows_that_depend_on_each_other_run_alone(tmp_path):
    """Negative control: a model whose answer is the mean over the rows of a run."""
    path = text_versions.write_classifier(tmp_path / "mixing.onnx", mixing=True)

    line = check(text_versions.bring_in(path, a_model(task="text-classification")))["batching"]

    assert line.facts["rows"] == 1 and line.code == "neighbours"


class TestExamples:
    @pytest.mark.parametrize(
        ("inputs", "expected"),
        [
            ({"text": ["a good day", "bad coffee"]}, {"label": ["positive", "negative"]}),
            ({"text": "a good day"}, {"label": "positive", "tokens_given": 3, "confidence": 0.880797}),
            ({"input_ids": [[3, 0]], "attention_mask": [[1, 0]]}, {"logits": [[0, 2]]}),
        ],
        ids=["texts", "one text", "the model's own tensors"],
    )
    def test_those_that_are_right_pass(self, tmp_path, inputs, expected):
        version = text_versions.a_classifier(tmp_path, examples=[{"inputs": inputs, "expected": expected}])

        line = check(version)["conformance"]

        assert (line.state, line.facts) == ("passed", {"examples": 1, "wrong": []})

    def test_those_that_are_wrong_are_shown(self, tmp_path):
        example = {
            "inputs": {"text": ["a good day", "bad coffee"]},
            "expected": {"label": ["positive", "positive"]},
        }

        line = check(text_versions.a_classifier(tmp_path, examples=[example]))["conformance"]

        (wrong,) = line.facts["wrong"]
        assert line.code == "outputs_differ"
        assert (wrong["output"], wrong["index"], wrong["got"]) == ("label", [1], "'negative'")

    def test_a_text_that_the_version_refuses_does_not_fit(self, tmp_path):
        example = {"inputs": {"text": "good " * 100}, "expected": {"label": "positive"}}

        version = text_versions.a_classifier(tmp_path, config={"long_texts": "refuse"}, examples=[example])
        line = check(version)["conformance"]

        assert (line.code, line.facts["example"]) == ("example_unfit", 1)
        assert "100 tokens" in line.reason


def test_a_process_without_a_proof_makes_the_same_as_the_check(tmp_path):
    """After an upgrade of the runtime, a process that serves asks before the version is checked again."""
    version = text_versions.a_classifier(tmp_path)
    check(version)
    checked = ProbePass.objects.get()
    ProbePass.objects.all().delete()

    proof = Proofs().get(
        version.pk,
        sha256=version.artifact.sha256,
        options=text_versions.OPTIONS,
        runtime_version=runtime_version(),
        values=current_serving(version.pk),
        timeout_s=60,
    )

    assert proof.batches == checked.found_batches
    assert proof.memory.row_bytes == checked.found_memory.row_bytes == 64 * 16
