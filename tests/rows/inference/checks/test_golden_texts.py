"""Versions that answer texts are measured on texts."""

import json

import pytest

from inference.checks.runner import run_checks
from inference.checks.steps import golden
from inference.checks.trial import Trial
from inference.checks.version_tasks import pipeline_of
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.intake.examples.models import GoldenResult, GoldenSet
from registry.intake.examples.selectors import golden_gate
from tests.support import fruit, text_versions
from tests.support.factories import a_split, an_actor

pytestmark = pytest.mark.django_db
MOODS = [
    ("the coffee was good", "positive"),
    ("a lovely day", "positive"),
    ("the train was bad", "negative"),
    ("awful coffee and a bad day", "negative"),
]
NAMES = [
    ("Ada Lovelace met Bob in London", [("PER", 0, 12), ("PER", 17, 20), ("LOC", 24, 30)]),
    ("the train was on time", []),
]


def check(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: text_versions.OPTIONS, by=an_actor())
    return run.lines.get(step="golden")


def again(version):
    return Version.objects.select_related("model").get(pk=version.pk)


def put(model, rows, **more):
    lines = [
        json.dumps({"inputs": {"text": text}, "label": label}, ensure_ascii=False).encode()
        for text, label in rows
    ]
    return fruit.put_golden(model, lines, **more)


def spans(*places):
    return [dict(zip(("label", "start", "end"), place, strict=True)) for place in places]


def moods(folder, rows=MOODS, *, config=None, **more):
    version = text_versions.a_classifier(folder, config=config)
    put(version.model, rows, **more)
    return version


def names(folder, rows, **more):
    version = text_versions.a_tagger(folder)
    put(version.model, [(text, spans(*places)) for text, places in rows], metric="span_f1", **more)
    return version


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_labels_are_compared_by_their_names(tmp_path, metric):
    line = check(moods(tmp_path, metric=metric))

    assert (line.state, line.facts["value"], line.facts["done"]) == ("passed", 1.0, 4)


def test_wrong_rows_show_the_text(tmp_path):
    rows = [*MOODS, ("a good train " + "on time " * 50, "negative")]

    line = check(moods(tmp_path, rows, floor=0.7))

    (wrong,) = line.facts["wrong"]
    assert (wrong["row"], wrong["expected"], wrong["got"]) == (5, "negative", "positive")
    assert wrong["text"].startswith("a good train") and len(wrong["text"]) == 200
    assert GoldenResult.objects.get().wrong == [wrong]


def test_swapped_labels_do_not_pass(tmp_path):
    """Negative control: the file loads, runs and has the right number of labels."""
    line = check(moods(tmp_path, config={"labels": ["positive", "negative"]}))

    assert (line.state, line.code, line.facts["value"]) == ("failed", "worse_than_demanded", 0.0)


def test_entities_are_right_if_label_and_places_are(tmp_path):
    assert check(names(tmp_path, NAMES)).facts["value"] == 1.0


def test_entities_at_other_places_are_wrong(tmp_path):
    rows = [("Ada Lovelace met Bob in London", [("PER", 0, 3), ("PER", 17, 20), ("LOC", 24, 30)])]

    line = check(names(tmp_path, rows, floor=None))

    assert line.facts["value"] == pytest.approx(2 / 3)
    assert line.facts["wrong"][0]["got"] == spans(("PER", 0, 12), ("PER", 17, 20), ("LOC", 24, 30))


def test_many_rows_share_runs(tmp_path, monkeypatch):
    sizes, real = [], Trial.run

    def run(self, inputs, *rest, **more):
        sizes.append(len(inputs["input_ids"]))
        return real(self, inputs, *rest, **more)

    version = moods(tmp_path, MOODS * 25)
    monkeypatch.setattr(Trial, "run", run)

    assert check(version).facts["done"] == 100
    assert 64 in sizes and len(sizes) < 20


@pytest.mark.parametrize("rows_before", [0, 2])
def test_a_row_that_cannot_be_read_is_named(tmp_path, rows_before):
    rows = [*MOODS[:rows_before], ("good " * 100, "positive"), *MOODS]

    line = check(moods(tmp_path, rows, config={"long_texts": "refuse"}))

    assert (line.state, line.code, line.facts) == ("failed", "row_unfit", {"row": rows_before + 1})
    assert "100 tokens" in line.reason


def test_more_rows_than_there_is_time_for(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "BUDGET_S", 0.0)

    line = check(moods(tmp_path))

    assert (line.code, line.facts) == ("out_of_time", {"done": 0, "of": 4})


class TestPreprocessing:
    def test_the_first_version_that_passes_gives_the_set_its_hash(self, tmp_path):
        version = moods(tmp_path)
        assert GoldenSet.objects.get().preprocessing == ""

        check(version)

        assert GoldenSet.objects.get().preprocessing == again(version).preprocessing != ""

    @pytest.mark.parametrize("floor", [0.9, None])
    def test_swapped_labels_do_not_lock_out_the_right_ones(self, tmp_path, floor):
        swapped = moods(tmp_path, floor=floor, config={"labels": ["positive", "negative"]})
        check(swapped)
        assert GoldenSet.objects.get().preprocessing == ""
        right = text_versions.a_classifier(tmp_path, swapped.model)

        line = check(right)

        assert (line.state, line.code, line.facts["value"]) == ("passed", "", 1.0)
        assert golden_gate(again(right)).passes is (True if floor else None)
        assert golden_gate(again(swapped)).passes is (False if floor else None)

    def test_a_version_from_before_there_were_hashes_gets_its_own_in_the_next_check(self, tmp_path):
        version = moods(tmp_path)
        check(version)
        Version.objects.filter(pk=version.pk).update(preprocessing="", may_pad=False)
        assert golden_gate(again(version)).passes is False

        check(version)

        checked = again(version)
        assert (checked.preprocessing, checked.may_pad) == (pipeline_of(checked).digest, True)
        assert golden_gate(checked).passes is True

    @pytest.mark.parametrize(
        ("config", "state"),
        [({}, "passed"), ({"max_tokens": 32}, "failed"), ({"lower_case": True}, "failed")],
        ids=["the same", "fewer tokens", "lower case"],
    )
    def test_a_version_that_reads_texts_otherwise_is_told_in_its_check(self, tmp_path, config, state):
        version = moods(tmp_path, floor=None)
        check(version)
        a_split(version.model, 100, versions=[again(version)])
        other = text_versions.a_classifier(tmp_path, version.model, config=config)

        line = check(other)

        assert line.state == state
        assert again(other).is_servable
        assert golden_gate(again(other)).passes is (None if state == "passed" else False)
        if state == "failed":
            assert line.code == "other_preprocessing" and "put the set again for version 2" in line.reason
            assert line.facts["value"] == 1.0  # it was measured all the same


def test_a_live_version_whose_tokenizer_is_gone_is_told(tmp_path):
    own = [*text_versions.vocabulary(text_versions.MOOD_WORDS)[:-1], "night"]  # a file that no other test has
    live = text_versions.a_classifier(tmp_path, files={"vocab.txt": "\n".join(own).encode()})
    check(live)
    a_split(live.model, 100, versions=[again(live)])
    put(live.model, MOODS[:3], floor=None)
    artifacts.path_of(live.task_files["vocab.txt"]).unlink()

    line = check(text_versions.a_classifier(tmp_path, live.model))

    assert f"The task of {live} cannot be read" in line.facts["champion_not_measured"]
    assert line.facts["value"] == 1.0
