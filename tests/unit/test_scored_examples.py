"""The examples that score items, candidates and rows are right on their golden rows, and on what a person would ask."""

import json
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnxruntime
import pytest

from inference.pipelines.ranking import Ranking
from inference.pipelines.recommendation import Recommendation
from inference.pipelines.tables import TabularClassification
from inference.tensors.signature import Signature, TensorSpec
from registry.intake.file_scan.embeddings import model_of_embeddings
from registry.intake.file_scan.sent_files import open_file

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKS = {task.task: task for task in (Ranking, Recommendation, TabularClassification)}
DATATYPES = {"tensor(int64)": "INT64", "tensor(float)": "FP32", "tensor(string)": "BYTES"}
NAMES = ["picks", "clicks", "parcels"]
HORROR = {
    "The Cellar Door",
    "Whispers in the Mill",
    "The Thirteenth Guest",
    "They Came at Dusk",
    "Signal Lost",
}


@cache
def example(name: str) -> tuple[Any, onnxruntime.InferenceSession]:
    folder = EXAMPLES / name
    about = json.loads((folder / "about.json").read_text())
    model, files = _model_and_files(folder)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    signature = Signature(tuple(map(_spec, session.get_inputs())), tuple(map(_spec, session.get_outputs())))
    return TASKS[about["task"]](about["task_config"], files, signature), session


def _model_and_files(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    if (folder / "model.onnx").exists():
        return (folder / "model.onnx").read_bytes(), {}
    with (
        TemporaryDirectory() as scratch,
        open_file(folder / "model.npz", "model.npz") as file,
        model_of_embeddings(file, Path(scratch)) as made,
    ):
        model, *others = (
            b"".join(one.read(0, one.size)) for one in (made.unpacked.model, *made.unpacked.others)
        )
        return model, dict(zip([one.label for one in made.unpacked.others], others, strict=True))


def _spec(tensor) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
    return TensorSpec(tensor.name, DATATYPES[tensor.type], shape)


def ask(name: str, body: dict[str, Any]) -> list[Any]:
    pipeline, session = example(name)

    def run(inputs):
        return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))

    return pipeline.answer(body, run, most_rows=64)


def golden_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name / "golden.jsonl").read_text().splitlines()]


def test_users_get_films_of_the_kind_that_they_like():
    ada, dan = ask("picks", {"users": ["ada", "dan"], "top_k": 4})

    of_space, of_crime = ada.items[:2], ada.items[2:]
    assert of_space == ["The Last Orbit", "Twelve Moons of Ganymede"]
    assert of_crime == ["The Silent Witness", "Murder at Low Tide"]
    assert set(dan.items) <= HORROR


def test_films_that_a_user_has_seen_are_not_recommended():
    (ada,) = ask("picks", {"user": "ada", "exclude": ["The Last Orbit"], "top_k": 40})

    assert len(ada.items) == 39
    assert "The Last Orbit" not in ada.items


def test_an_unknown_user_gets_what_most_would_like():
    (stranger,) = ask("picks", {"user": "nobody that we know"})

    assert stranger.fallback
    assert len(stranger.items) == 10


def test_what_users_liked_is_recommended():
    rows = golden_rows("picks")

    answers = ask("picks", {"users": [row["inputs"]["user"] for row in rows], "top_k": 5})

    assert len(rows) == 30
    for row, answer in zip(rows, answers, strict=True):
        assert set(row["label"]) & set(answer.items[:3]), row


@pytest.mark.parametrize(
    ("user", "best"),
    [
        ({"age": 34, "likes": "cooking"}, "cooking"),
        ({"age": 70, "likes": "garden"}, "garden"),
        ({"age": 19, "likes": "games"}, "games"),
    ],
)
def test_offers_of_the_topic_that_a_user_likes_come_first(user, best):
    topics = ["travel", "games", "garden", "cooking", "fashion"]

    (ranked,) = ask(
        "clicks", {"user": user, "candidates": [{"topic": topic, "price": 20} for topic in topics]}
    )

    assert topics[ranked.indices[0]] == best


def test_the_cheaper_of_two_offers_comes_first_and_age_matters():
    cheap_and_dear = [{"topic": "music", "price": price} for price in (60, 8)]
    games_and_garden = [{"topic": topic, "price": 20} for topic in ("games", "garden")]
    bodies = [
        {"user": {"age": 30, "likes": "music"}, "candidates": cheap_and_dear},
        {"user": {"age": 20, "likes": "art"}, "candidates": games_and_garden},
        {"user": {"age": 75, "likes": "art"}, "candidates": games_and_garden},
    ]

    assert [ask("clicks", body)[0].indices[0] for body in bodies] == [1, 0, 1]


def test_clicks_come_before_the_others():
    rows = golden_rows("clicks")
    asked = [row["inputs"] for row in rows]

    answers = ask(
        "clicks",
        {"users": [one["user"] for one in asked], "candidates": [one["candidates"] for one in asked]},
    )

    in_order = []
    for row, answer in zip(rows, answers, strict=True):
        places = {at: place for place, at in enumerate(answer.indices)}
        for clicked, other in product(range(len(places)), repeat=2):
            if row["label"][clicked] > row["label"][other]:
                in_order.append(places[clicked] < places[other])
    assert len(rows) == 40
    assert sum(in_order) / len(in_order) > 0.75


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"distance_km": 900, "weight_kg": 25, "carrier": "Snail", "weekday": "Sunday"}, "late"),
        ({"distance_km": 50, "weight_kg": 1, "carrier": "Swift", "weekday": "Monday"}, "on time"),
        ({"distance_km": 950, "carrier": "Snail"}, "late"),
        ({"distance_km": 20, "weekday": "Tuesday"}, "on time"),
        ({"distance_km": None, "weight_kg": None, "carrier": "Snail", "weekday": "Saturday"}, "late"),
        ({"carrier": "Swift", "weekday": None}, "on time"),
        ({"distance_km": 30, "weight_kg": 2, "carrier": "Unheard of", "weekday": "Monday"}, "on time"),
    ],
)
def test_parcels(row, label):
    (answer,) = ask("parcels", {"row": row})

    assert answer.label == label
    assert answer.confidence > 0.6


def test_parcels_of_the_golden_set():
    rows = golden_rows("parcels")

    answers = ask("parcels", {"rows": [row["inputs"]["row"] for row in rows]})

    right = sum(answer.label == row["label"] for answer, row in zip(answers, rows, strict=True))
    assert len(rows) == 60
    assert right / len(rows) > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_its_notes_are_honest_and_its_sample_is_answered(name):
    folder = EXAMPLES / name
    about, sample = (json.loads((folder / file).read_text()) for file in ("about.json", "sample.json"))

    assert "invented" in about["notes"]
    assert "not for real use" in about["notes"]
    assert len(ask(name, sample)) == 1
    assert sum(path.stat().st_size for path in folder.iterdir()) < 40_000
