"""The text examples answer everyday sentences as a reader would, whatever the width that their rows are padded to."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from inference.pipelines.entities import Entities
from inference.pipelines.text_classification import TextClassification
from inference.tensors.signature import Signature, TensorSpec

EXAMPLES = Path(__file__).parents[2] / "examples"
NOT_FILES = {"model.onnx", "about.json", "sample.json", "golden.jsonl"}
TASKS = {task.task: task for task in (TextClassification, Entities)}
DATATYPES = {"tensor(int64)": "INT64", "tensor(float)": "FP32"}

TONES = [
    ("The food was wonderful and the staff were kind", "positive"),
    ("The parcel arrived on Tuesday", "neutral"),
    ("Terrible service, I want my money back", "negative"),
    ("The pizza was not good", "negative"),
    ("This isn't good.", "negative"),
    ("It wasn’t very good at all", "negative"),
    ("Not bad at all!", "positive"),
    ("I love this place", "positive"),
    ("I do not like it", "negative"),
    ("I don't recommend this hotel.", "negative"),
    ("The meeting starts at nine", "neutral"),
    ("Where can I find the instructions?", "neutral"),
    ("The phone broke after two days and support never answered", "negative"),
    ("The waiter was rude and the soup was cold", "negative"),
    ("The train was on time, and the coffee was good.", "positive"),
    ("Never again. A complete waste of money.", "negative"),
    ("The shop is not open on Sunday", "neutral"),
    ("She was never rude", "positive"),
    ("It did not arrive", "negative"),
    ("Worst hotel I have ever stayed in", "negative"),
    ("I could not be happier", "positive"),
    ("Zxqv blorp the frimble", "neutral"),
    ("Das Paket kam am Dienstag", "neutral"),
    ("", "neutral"),
]
NAMES = [
    ("Ada Lovelace met Charles Babbage in London.", "PER Ada Lovelace|PER Charles Babbage|LOC London"),
    (
        "Grace Hopper was born in New York and worked at Yale University.",
        "PER Grace Hopper|LOC New York|ORG Yale University",
    ),
    ("The parcel arrived on Tuesday.", ""),
    (
        "Mr Smith works for Acme Widgets Ltd in Manchester.",
        "PER Smith|ORG Acme Widgets Ltd|LOC Manchester",
    ),
    ("Dr. Marie Curie moved from Warsaw to Paris in 1891.", "PER Marie Curie|LOC Warsaw|LOC Paris"),
    (
        "Anna and Bob flew from Vienna to Tokyo with Lufthansa.",
        "PER Anna|PER Bob|LOC Vienna|LOC Tokyo|ORG Lufthansa",
    ),
    ("The Bank of England is in Threadneedle Street.", "ORG Bank of England|LOC Threadneedle Street"),
    (
        "Please call Peter at +44 20 7946 0123 or write to peter.parker@example.org.",
        "PER Peter|PHONE +44 20 7946 0123|EMAIL peter.parker@example.org",
    ),
    ("Jean-Luc Picard loves tea.", "PER Jean-Luc Picard"),
    ("NASA and ESA launched a satellite from Florida.", "ORG NASA|ORG ESA|LOC Florida"),
    ("Water boils at 100 degrees.", ""),
    (
        "My name is Priya Raghunathan and I live in Bangalore, India.",
        "PER Priya Raghunathan|LOC Bangalore|LOC India",
    ),
    ("The University of Oxford invited Professor Hawking.", "ORG University of Oxford|PER Hawking"),
    (
        "Microsoft bought Nokia in 2013, said Satya Nadella.",
        "ORG Microsoft|ORG Nokia|PER Satya Nadella",
    ),
    ("Zoë O'Brien asked Jürgen Müller.", "PER Zoë O'Brien|PER Jürgen Müller"),
    ("Call 020 7946 0123 before 5 o'clock on 12 May 2026.", "PHONE 020 7946 0123"),
    ("Dr. Ada Lovelace is customer AL-181512.", "PER Ada Lovelace|ID AL-181512"),
    ("Passport C01X00T47, account DE89370400440532013000.", "ID C01X00T47|ID DE89370400440532013000"),
    ("Maria Rossi, customer no. 47110815", "PER Maria Rossi|ID 47110815"),
    ("A well-known fact of 2020-2021, on pages 5-6.", ""),
    ("", ""),
]
# Between which scores it is toxic
CLEAN, DISPUTED, ABUSIVE = (0, 0.2), (0.5, 0.7), (0.9, 1)
ABUSE = [
    ("Thank you for the quick answer.", CLEAN),
    ("The phone broke after two days, I want my money back", CLEAN),
    ("What a useless phone.", CLEAN),
    ("You are right about the dates.", CLEAN),
    ("Your brain must be the size of a pea.", CLEAN),  # it has no word that the model knows
    ("", CLEAN),
    ("What a stupid idea.", DISPUTED),
    ("This crappy phone!", DISPUTED),
    ("You are an idiot, get lost.", ABUSIVE),
    ("YOU ARE SO STUPID", ABUSIVE),
    ("Everybody knows that you are useless.", ABUSIVE),
    ("What a bunch of morons!", ABUSIVE),
    ("Thank you for the quick answer. " * 30 + "You idiot.", ABUSIVE),
]


@cache
def example(name: str) -> tuple[Any, onnxruntime.InferenceSession]:
    folder = EXAMPLES / name
    about = json.loads((folder / "about.json").read_text())
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    signature = Signature(tuple(map(_spec, session.get_inputs())), tuple(map(_spec, session.get_outputs())))
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in NOT_FILES}
    return TASKS[about["task"]](about["task_config"], files, signature), session


def _spec(tensor) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
    return TensorSpec(tensor.name, DATATYPES[tensor.type], shape)


def ask(name: str, texts: list[str], *, wider_by: int = 0) -> list[Any]:
    """The answers of an example, with rows that are padded by so much more than needed."""
    pipeline, session = example(name)

    def run(inputs):
        wide = {key: np.pad(values, ((0, 0), (0, wider_by))) for key, values in inputs.items()}
        return dict(zip([one.name for one in session.get_outputs()], session.run(None, wide), strict=True))

    return pipeline.answer({"texts": texts}, run, most_rows=len(texts))


def test_tones():
    answers = ask("tone", [text for text, _ in TONES])

    said = [(text, answer.label) for (text, _), answer in zip(TONES, answers, strict=True)]
    assert said == TONES


def test_names():
    answers = ask("names", [text for text, _ in NAMES])

    found = [
        (text, "|".join(f"{entity.label} {entity.text}" for entity in answer.entities))
        for (text, _), answer in zip(NAMES, answers, strict=True)
    ]
    assert found == NAMES


def score_of_abuse(answer) -> float:
    return next(label.score for label in answer.labels if label.label == "toxic")


def test_abuse():
    answers = ask("abuse", [text for text, _ in ABUSE])

    wrong = [
        (text, score_of_abuse(answer))
        for (text, (least, most)), answer in zip(ABUSE, answers, strict=True)
        if not least <= score_of_abuse(answer) <= most
    ]
    assert wrong == []


def test_abuse_is_mostly_right_on_its_golden_set():
    rows = [json.loads(line) for line in (EXAMPLES / "abuse" / "golden.jsonl").read_text().splitlines()]
    answers = ask("abuse", [row["inputs"]["text"] for row in rows])

    right = [answer.label == row["label"] for row, answer in zip(rows, answers, strict=True)]

    assert (sum(right), len(right)) == (37, 40)  # a count of words cannot know all of them


@pytest.mark.parametrize(("name", "pairs"), [("tone", TONES), ("names", NAMES), ("abuse", ABUSE)])
@pytest.mark.parametrize("wider_by", [1, 40])
def test_padding_changes_nothing(name, pairs, wider_by):
    texts = [text for text, _ in pairs]

    together, wider = ask(name, texts), ask(name, texts, wider_by=wider_by)
    alone = [ask(name, [text])[0] for text in texts]

    assert wider == together == alone


@pytest.mark.parametrize("name", ["tone", "names", "abuse"])
def test_their_notes_are_honest_and_their_sample_is_answered(name):
    folder = EXAMPLES / name
    about, sample = (json.loads((folder / file).read_text()) for file in ("about.json", "sample.json"))

    assert "a script put together" in about["notes"]
    assert re.search("not for real (use|content)", about["notes"])
    assert len(ask(name, [sample["text"]])) == 1
    assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000
