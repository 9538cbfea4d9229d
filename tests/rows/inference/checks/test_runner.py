"""The checklist of a version, worked through with real files in real children."""

from datetime import timedelta
from functools import partial

import numpy as np
import pytest
from django.utils import timezone
from onnx import helper

from inference.checks.models import ProbePass
from inference.checks.proofs import known_sample, runtime_version
from inference.checks.runner import check_version, run_checks
from inference.checks.steps import base, conformance, performance, structure
from inference.engine.backends import SessionOptions
from inference.engine.batch_proof import BatchProof
from inference.tensors.samples import Sample
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.services import change_serving
from registry.intake.checklist.models import STEPS, CheckRun, Step
from registry.intake.checklist.services import SILENT_AT_MOST, ask_check, start_line, start_run, sweep
from registry.intake.examples.selectors import golden_gate
from registry.traffic.models import Split
from tests.support import fruit, onnx_models
from tests.support.factories import a_model, a_split, an_actor, an_uploaded_version
from tests.support.model_files import put_outside
from tests.support.zipmap_models import a_classifier

pytestmark = pytest.mark.django_db


def options_for(_version_id):
    return fruit.OPTIONS


def check(version):
    return run_checks(version_id=version.pk, options_for=options_for, by=an_actor())


def lines(run):
    return {line.step: line for line in run.lines.all()}


def states(run):
    return [line.state for line in run.lines.order_by("id")]


def status_of(version):
    return Version.objects.get(pk=version.pk).status


def plain(path, model=None, **more):
    return fruit.bring_in(path, model or a_model(), labels=None, **more)


def hostile(monkeypatch, backend, where="trial"):
    """Have the file's child misbehave as named."""
    name = f"tests.support.hostile:{backend}"
    if where == "trial":
        monkeypatch.setattr(base, "Trial", partial(base.Trial, backend=name))
    else:
        monkeypatch.setattr(structure, "probe", partial(structure.probe, backend=name))


@pytest.fixture
def identity(tmp_path):
    """A version of plain tensors with a good file; nothing has checked it yet."""
    return plain(onnx_models.identity(tmp_path / "m.onnx"))


@pytest.fixture
def best(tmp_path):
    """A version with examples, of a Model with a golden set and another version live."""
    model = fruit.go_live(tmp_path).model
    fruit.put_golden(model, fruit.golden_lines(wrong=3))
    version = fruit.bring_in_right(tmp_path, model, with_examples=fruit.examples())
    change_serving(version=version, changes={"max_batch_rows": 6}, reason="test", by=an_actor())
    return version


def test_a_good_file_passes_every_step(best):
    run = check(best)

    assert (run.state, run.runtime_version, status_of(best)) == ("passed", runtime_version(), "ready")
    assert [(line.step, line.state) for line in run.lines.order_by("id")] == [
        (step, "passed") for step in STEPS
    ]
    assert all(line.started_at and line.ended_at for line in run.lines.all())
    best.refresh_from_db()
    assert golden_gate(best).passes is True


def test_facts_of_a_good_file_are_what_the_page_shows(best):
    facts = {step: line.facts for step, line in lines(check(best)).items()}

    assert facts["gate"]["nodes"] == 7 and facts["gate"]["opsets"] == {"ai.onnx": 13}
    assert facts["probe"]["provider"] == facts["probe"]["provider_asked"] == "CPUExecutionProvider"
    assert facts["probe"]["peak_rss_bytes"] > 2**20 and facts["probe"]["load_s"] > 0
    assert facts["signature"]["scores"] == "scores"
    assert [rows for rows, _ in facts["warmup"]["profile"]] == [1, 2, 4, 6]
    assert facts["warmup"]["footprint_bytes"] > 0 and facts["warmup"]["largest_batch"] == 6
    assert facts["batching"] == {"rows": 6, "asked_rows": 6, "merging": "proven"}
    assert facts["conformance"] == {"examples": 1, "wrong": []}
    assert (facts["golden"]["done"], facts["golden"]["of"], facts["golden"]["value"]) == (60, 60, 0.95)
    assert (facts["golden"]["champion"], facts["golden"]["champion_value"]) == (1, 0.95)
    assert [one["row"] for one in facts["golden"]["wrong"]] == [1, 2, 3]
    assert facts["diff"] == {"champion": 1, "changes": []}


def test_what_there_is_nothing_to_compare_with_is_skipped_with_a_reason(identity):
    run = check(identity)

    assert status_of(identity) == "ready"
    assert states(run) == ["passed"] * 5 + ["skipped"] * 3
    found = lines(run)
    assert [found[step].code for step in STEPS[5:]] == ["no_examples", "not_measured", "no_live_version"]
    assert "Not measured" in found["golden"].reason and found["golden"].advice


def test_the_version_keeps_its_signature_and_the_proof(identity):
    check(identity)

    checked = Version.objects.get(pk=identity.pk)
    assert [spec["name"] for spec in checked.signature["inputs"]] == ["x"]
    proof = ProbePass.objects.get()
    assert (proof.sha256, proof.options_digest) == (identity.artifact.sha256, fruit.OPTIONS.digest)
    assert BatchProof.from_json(proof.batches).rows == 64


def garbage(folder):
    (folder / "m.onnx").write_bytes(b"PK\x03\x04 no model")
    return folder / "m.onnx"


def without_kernel(folder):
    """Well-formed, and refused by the runtime: a Sigmoid takes no integers."""
    return onnx_models.save(
        folder / "m.onnx",
        [helper.make_node("Sigmoid", ["x"], ["y"])],
        [onnx_models.value("x", ("rows", 4), onnx_models.ELEMENT_TYPES["INT32"])],
        [onnx_models.value("y", ("rows", 4), onnx_models.ELEMENT_TYPES["INT32"])],
    )


def one_row_at_a_time(folder):
    """Says that it takes any number of rows, and fails beyond one."""
    return onnx_models.save(
        folder / "m.onnx",
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [onnx_models.value("x", ("rows", 4))],
        [onnx_models.value("y", ("rows", 4))],
        [onnx_models.numpy_helper.from_array(np.array([1, 4], np.int64), "shape")],
    )


def test_a_batch_that_fails_bounds_the_batches_and_refuses_nothing(tmp_path):
    version = plain(one_row_at_a_time(tmp_path))

    run = check(version)

    found = lines(run)
    assert (run.state, found["warmup"].code, found["warmup"].facts["largest_batch"]) == ("passed", "", 1)
    assert found["warmup"].reason.startswith("Batches of at most 1. It failed with 2 rows in one run: ")
    assert found["batching"].facts["rows"] == 1


class TestWhatItRunsOn:
    def check(self, tmp_path, **given):
        run = check(plain(onnx_models.seventh(tmp_path / "m.onnx"), **given))
        return run, lines(run)["probe"]

    def test_sizes_that_were_found_by_trying_are_told_and_kept(self, tmp_path):
        run, line = self.check(tmp_path)

        assert line.reason.startswith("It ran on 'x' of 1 x 8, the first sizes that worked.")
        assert line.facts["ran_on"] == {"made_of": "made up", "tries": 3, "x": [1, 8]}
        assert ProbePass.objects.get().found_sample == Sample({"x": (1, 8)})
        assert known_sample(run.version.artifact.sha256) == Sample({"x": (1, 8)})

    def test_every_later_step_runs_on_the_sizes_that_came_with_the_file(self, tmp_path):
        run, line = self.check(tmp_path, input_shapes={"x": [1, 50]})

        assert (run.state, line.reason, line.facts["ran_on"]["x"]) == ("passed", "", [1, 50])
        assert lines(run)["batching"].facts["rows"] == 64

    def test_its_examples_are_run_where_it_has_some(self, tmp_path):
        example = {"inputs": {"x": [[0.5] * 20]}, "expected": {"y": [[0.5]]}}

        _, line = self.check(tmp_path, with_examples=[example])

        assert line.facts["ran_on"] == {"made_of": "examples", "tries": 1, "x": [1, 20]}

    def test_a_shape_that_it_does_not_take_is_refused(self, tmp_path):
        run, line = self.check(tmp_path, input_shapes={"picture": [1, 50]})

        assert (run.state, line.code) == ("failed", "run_failed")
        assert "'picture', which is not an input of the file; it accepts 'x'" in line.reason

    def test_an_output_that_cannot_be_carried_is_a_warning(self, tmp_path):
        run = check(plain(with_a_sequence(tmp_path)))

        line = lines(run)["signature"]
        assert (run.state, line.state, line.code) == ("passed", "passed", "outputs_left_out")
        assert "do not include 'all', a seq(tensor(float))" in line.reason and "plain tensor" in line.advice
        assert [spec["name"] for spec in Version.objects.get(pk=run.version_id).signature["outputs"]] == ["y"]

    def test_a_batch_that_takes_too_much_is_told_with_the_setting(self, tmp_path):
        version = plain(onnx_models.identity(tmp_path / "m.onnx", shape=("rows", 1 << 20)))
        changes = {"batch_memory_bytes": 20 << 20}
        change_serving(version=version, changes=changes, reason="test", by=an_actor())

        line = lines(check(version))["warmup"]

        rows = line.facts["largest_batch"]
        assert 1 <= rows < 64 and line.reason.startswith(f"Batches of at most {rows}: ")
        assert "; the limit is 20 MiB. Raise the serving setting batch_memory_bytes" in line.reason
        assert line.code == ""


def with_a_sequence(folder):
    return onnx_models.save(
        folder / "m.onnx",
        [helper.make_node("SequenceConstruct", ["x"], ["all"]), helper.make_node("Neg", ["x"], ["y"])],
        [onnx_models.value("x", ("rows", 4))],
        [
            helper.make_tensor_sequence_value_info("all", onnx_models.FLOAT, None),
            onnx_models.value("y", ("rows", 4)),
        ],
    )


def test_a_zipmap_is_told_with_the_ways_out(tmp_path):
    (tmp_path / "model.onnx").write_bytes(a_classifier(["a", "b"]).SerializeToString())

    found = lines(check(plain(tmp_path / "model.onnx")))

    assert (found["gate"].code, found["signature"].code) == ("", "outputs_left_out")
    assert "seq(map(" in found["signature"].reason and "drop_zipmap" in found["signature"].advice


class TestFailures:
    """Each step's failure ends the run, and says what is wrong and what to do."""

    def failed(self, version, step):
        run = check(version)
        line = lines(run)[step]
        at = STEPS.index(step)
        assert states(run) == ["passed"] * at + ["failed"] + ["skipped"] * (len(STEPS) - 1 - at)
        assert {one.reason for one in run.lines.all()[at + 1 :]} == {
            f"Skipped because '{Step(step).label}' failed."
        }
        assert (run.state, run.reason) == ("failed", line.reason)
        changed = Version.objects.get(pk=version.pk)
        assert (changed.status, changed.failure, changed.signature) == ("failed", line.reason, None)
        assert line.reason.startswith(str(version)) or str(version) in line.reason
        assert line.reason.endswith(".") and line.advice.endswith(".")
        return line

    def test_gate(self, tmp_path):
        line = self.failed(plain(garbage(tmp_path)), "gate")

        assert line.code == "not_onnx" and not ProbePass.objects.exists()

    def test_weights_that_did_not_come(self, tmp_path):
        (tmp_path / "model.onnx").write_bytes(put_outside(a_classifier(["a", "b"]))[0])

        line = self.failed(plain(tmp_path / "model.onnx"), "gate")

        assert line.code == "external_data" and "'model.onnx.data'; send that file as well" in line.reason
        assert "together with the files" in line.advice

    def test_a_file_that_is_not_in_the_store(self):
        assert self.failed(an_uploaded_version(), "gate").code == "artifact_missing"

    def test_probe(self, tmp_path):
        line = self.failed(plain(without_kernel(tmp_path)), "probe")

        assert line.code == "load_failed" and line.facts["provider_asked"] == "CPUExecutionProvider"

    def test_nothing_but_what_cannot_be_carried(self, tmp_path):
        path = onnx_models.save(
            tmp_path / "m.onnx",
            [helper.make_node("SequenceConstruct", ["x"], ["all"])],
            [onnx_models.value("x", ("rows", 4))],
            [helper.make_tensor_sequence_value_info("all", onnx_models.FLOAT, None)],
        )

        line = self.failed(plain(path), "signature")

        assert line.code == "no_outputs" and "only 'all', a seq(tensor(float))" in line.reason

    def test_a_locale_that_the_machine_lacks(self, tmp_path):
        kind = onnx_models.ELEMENT_TYPES["BYTES"]
        path = onnx_models.save(
            tmp_path / "m.onnx",
            [
                helper.make_node(
                    "StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_YY.UTF-8"
                )
            ],
            [onnx_models.value("x", ("words",), kind)],
            [onnx_models.value("y", ("words",), kind)],
        )

        line = self.failed(plain(path), "probe")

        assert line.code == "locale_missing"
        assert "xx_YY.UTF-8" in line.reason and "apt-get install locales" in line.advice

    def test_a_crash_in_the_probe(self, identity, monkeypatch):
        hostile(monkeypatch, "Crashing", where="probe")

        line = self.failed(identity, "probe")

        assert line.code == "crashed_signal" and "SIGSEGV" in line.reason

    def test_signature(self, tmp_path):
        line = self.failed(fruit.bring_in_right(tmp_path, labels=["unripe", "ripe"]), "signature")

        assert (line.code, line.facts["field"]) == ("task_config", "labels")
        assert "2 labels" in line.reason and "`scores` [-1, 3]" in line.reason

    def test_a_crash_in_the_warm_up(self, identity, monkeypatch):
        hostile(monkeypatch, "DyingOnRows")

        line = self.failed(identity, "warmup")

        assert line.code == "crashed_signal" and "during its warm-up" in line.reason

    def test_a_hang_in_the_warm_up(self, identity, monkeypatch):
        hostile(monkeypatch, "HangingInRun")
        monkeypatch.setattr(performance, "WARM_UP_S", 0.5)

        line = self.failed(identity, "warmup")

        assert line.code == "timed_out" and "0.5 s" in line.reason

    def test_conformance(self, tmp_path):
        examples = fruit.examples()
        examples[0]["expected"]["scores"][1][2] += 0.5

        line = self.failed(fruit.bring_in_right(tmp_path, with_examples=examples), "conformance")

        (wrong,) = line.facts["wrong"]
        assert (line.code, wrong["example"], wrong["output"]) == ("outputs_differ", 1, "scores")
        assert wrong["index"] == [1, 2]
        assert f"example 1, output 'scores' at [1, 2] should be {wrong['expected']}" in line.reason

    def test_an_example_that_does_not_fit(self, tmp_path):
        examples = [{"inputs": {"y": [1]}, "expected": {"scores": [1]}}]
        version = fruit.bring_in_right(tmp_path, with_examples=examples)

        assert self.failed(version, "conformance").code == "example_unfit"

    def test_an_example_that_the_runtime_refuses(self, tmp_path, monkeypatch):
        examples = [{"inputs": {"x": [[666.0, 0, 0, 0]]}, "expected": {"y": [[1]]}}]
        version = plain(onnx_models.identity(tmp_path / "m.onnx"), with_examples=examples)
        hostile(monkeypatch, "Answering")

        line = self.failed(version, "conformance")

        assert (line.code, line.facts) == ("run_failed", {"example": 1})

    def test_more_examples_than_there_is_time_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr(conformance, "BUDGET_S", -1.0)
        version = fruit.bring_in_right(tmp_path, with_examples=fruit.examples())

        assert self.failed(version, "conformance").code == "out_of_time"


def test_another_provider_than_the_one_asked_is_told(identity):
    """A version that asks for CUDA on a machine without it loads on the CPU, which is slower and no failure."""
    wish = SessionOptions(providers=("NoSuchExecutionProvider", "CPUExecutionProvider"))

    run = run_checks(version_id=identity.pk, options_for=lambda _: wish, by=an_actor())

    line = lines(run)["probe"]
    assert (line.state, line.code) == ("passed", "other_provider")
    assert (line.facts["provider_asked"], line.facts["provider"]) == wish.providers


def test_examples_may_be_written_as_rows(tmp_path):
    rows = fruit.some_rows(2)
    examples = [
        {"inputs": {"x": row.tolist()}, "expected": {"scores": scores.tolist()}}
        for row, scores in zip(rows, fruit.scores_of(rows), strict=True)
    ]
    version = fruit.bring_in_right(tmp_path, with_examples=examples)

    assert lines(check(version))["conformance"].facts == {"examples": 2, "wrong": []}


def test_a_signature_that_breaks_callers_is_a_warning(tmp_path):
    model = a_model()
    first = plain(onnx_models.identity(tmp_path / "1.onnx"), model)
    check(first)
    a_split(model, 100)
    second = plain(onnx_models.identity(tmp_path / "2.onnx", shape=("rows", 5)), model)

    line = lines(check(second))["diff"]

    assert (line.state, line.code, status_of(second)) == ("passed", "breaking", "ready")
    assert {change["effect"] for change in line.facts["changes"]} == {"breaking"}
    assert f"breaks callers of {first}" in line.reason and line.advice


class TestOnce:
    def check_again(self, version):
        return check_version(version_id=version.pk, options_for=options_for, by=an_actor())

    def test_a_version_that_is_being_checked_is_left_alone(self, identity):
        start_run(version_id=identity.pk, runtime_version="1", by=an_actor())

        assert self.check_again(identity) is None
        assert CheckRun.objects.count() == 1

    def test_a_version_that_failed_is_not_checked_again_by_a_message_that_comes_twice(self, tmp_path):
        version = plain(garbage(tmp_path))
        check(version)

        assert self.check_again(version) is None
        assert CheckRun.objects.count() == 1

    def test_a_version_that_failed_for_its_surroundings_is_ready_once_they_are_fixed(
        self, identity, tmp_path
    ):
        path = artifacts.path_of(identity.artifact.sha256)
        away = path.rename(tmp_path / "away")
        assert check(identity).state == "failed"
        away.rename(path)

        ask_check(version=identity, by=an_actor())
        run = self.check_again(identity)

        assert (run.number, run.state, status_of(identity)) == (2, "passed", "ready")
        assert not Split.objects.exists()

    def test_a_version_that_is_ready_stays_so_while_it_is_checked_again(self, identity):
        check(identity)
        path = artifacts.path_of(identity.artifact.sha256)
        path.write_bytes(path.read_bytes()[:-1] + b"\0")

        run = check(identity)

        assert (run.number, run.state, status_of(identity)) == (2, "failed", "ready")


@pytest.mark.both
class TestWorkerThatDies:
    @pytest.fixture
    def dead_run(self, identity):
        run = start_run(version_id=identity.pk, runtime_version="1", by=an_actor())
        start_line(run=run, step="gate")
        silent_for = SILENT_AT_MOST + timedelta(minutes=1)
        CheckRun.objects.filter(pk=run.pk).update(touched_at=timezone.now() - silent_for)

    def test_its_run_is_given_up_and_the_version_checked_by_another(self, identity, dead_run):
        assert sweep() == 1
        assert status_of(identity) == "checking"

        run = check(identity)

        assert (run.number, run.state, status_of(identity)) == (2, "passed", "ready")

    def test_before_the_sweep_no_worker_takes_it_over(self, identity, dead_run):
        """Negative control: it is the sweep that lets another worker begin."""
        assert check_version(version_id=identity.pk, options_for=options_for, by=an_actor()) is None

    def test_a_worker_that_was_given_up_stops(self, identity, monkeypatch):
        """It was slow, not dead: its results no longer count."""
        real = structure.probe

        def slow(path, options, known):
            CheckRun.objects.update(touched_at=timezone.now() - timedelta(hours=1))
            sweep()
            return real(path, options, known)

        monkeypatch.setattr(structure, "probe", slow)

        assert check_version(version_id=identity.pk, options_for=options_for, by=an_actor()) is None
        assert CheckRun.objects.get().reason == "The worker that ran this check went away."
        assert status_of(identity) == "checking"

    def test_a_fault_of_ours_is_not_held_against_the_version(self, identity, monkeypatch):
        fault = structure.ProbeResult("not_started", "No processes left.", "CPU")
        monkeypatch.setattr(structure, "probe", lambda *_: fault)

        with pytest.raises(structure.ProbeNotStarted, match="No processes left"):
            check(identity)

        assert status_of(identity) == "checking"


def test_the_runtime_is_named_without_loading_it():
    import onnxruntime

    assert runtime_version() == onnxruntime.__version__
