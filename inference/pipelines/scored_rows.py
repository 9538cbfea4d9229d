"""Rows of golden sets whose answers have scores or numbers: rankings, and rows of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from inference.pipelines.errors import InvalidItem
from inference.pipelines.golden import (
    LABEL_METRICS,
    ClassScores,
    Compared,
    Gains,
    GoldenRanking,
    GoldenRows,
    RightClasses,
    check_label,
)

MAX_GAINS = 10_000


def check_items_row(inputs: Mapping[str, Any], label: Any) -> None:
    """A user with the list of the items that he or she liked."""
    if "user" not in inputs or not inputs.keys() <= {"user", "exclude"}:
        raise InvalidItem('`inputs` must be an object with a user, as in {"user": "ann"}.')
    are_ids = isinstance(label, list) and all(
        isinstance(one, (str, int)) and not isinstance(one, bool) for one in label
    )
    if not are_ids or not 0 < len(label) <= MAX_GAINS:
        raise InvalidItem(f"`label` must be a list of 1 to {MAX_GAINS:,} ids of items that the user liked.")


def check_candidates_row(inputs: Mapping[str, Any], label: Any) -> None:
    """A user and candidates, with a number for each candidate: 1 for good and 0 for not, or more for better ones."""
    candidates = inputs.get("candidates")
    if inputs.keys() != {"user", "candidates"} or not isinstance(candidates, list):
        raise InvalidItem(
            '`inputs` must be an object with a user and candidates, as in {"user": {…}, "candidates": [{…}, …]}.'
        )
    are_numbers = isinstance(label, list) and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) and one >= 0 for one in label
    )
    if not are_numbers or len(label) != len(candidates):
        raise InvalidItem("`label` must be a list of numbers, one for each candidate, 0 or more.")


def check_label_of_row(inputs: Mapping[str, Any], label: Any) -> None:
    """A row with the name of its label."""
    _check_row(inputs)
    check_label(label)


def check_number_of_row(inputs: Mapping[str, Any], label: Any) -> None:
    """A row with its number, or several."""
    _check_row(inputs)
    numbers = label if isinstance(label, list) and label else [label]
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in numbers):
        raise InvalidItem("`label` must be a number, or a list of them.")


def _check_row(inputs: Mapping[str, Any]) -> None:
    if inputs.keys() != {"row"} or not isinstance(inputs["row"], (dict, list)):
        raise InvalidItem('`inputs` must be an object with a row, as in {"row": {"age": 31}}.')


def _clicks(label: Sequence[float]) -> RightClasses:
    """A candidate is good if its number is above 0."""
    return RightClasses([one > 0 for one in label], _gains(label).in_words)


def _gains(label: Sequence[float]) -> Gains:
    return Gains(dict(enumerate(label)), "candidate")


def _click_scores(answer: Any) -> ClassScores:
    scores = dict(zip(answer.indices, answer.scores, strict=True))
    return ClassScores(
        [{True: scores[place]} for place in range(len(scores))],
        GoldenRanking(
            [f"{place} ({score:.3g})" for place, score in scores.items()], (), "candidate"
        ).in_words,
    )


def _plain(value: Any) -> str:
    """As people write it: names and values of an object, or JSON."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _user_and_candidates(inputs: Mapping[str, Any]) -> str:
    count = len(inputs["candidates"])
    return f"{_plain(inputs['user'])}; {count:,} candidate{'' if count == 1 else 's'}"


def _numbers(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_CLICK_SCORES = Compared(_clicks, _click_scores, {"top_k": MAX_GAINS})
ITEM_ROWS = GoldenRows(
    {
        "ndcg": Compared(
            lambda label: Gains({str(item): 1.0 for item in label}),
            lambda answer: GoldenRanking([str(item) for item in answer.items], answer.scores),
        )
    },
    '{"inputs": {"user": "ann"}, "label": ["i17", "i4"]}',
    check_items_row,
    lambda inputs: _plain(inputs["user"]),
)
CANDIDATE_ROWS = GoldenRows(
    {
        "ndcg": Compared(_gains, lambda answer: GoldenRanking(answer.indices, answer.scores, "candidate")),
        "auc": _CLICK_SCORES,
        "log_loss": _CLICK_SCORES,
    },
    '{"inputs": {"user": {"age": 31}, "candidates": [{"price": 5}, {"price": 9}]}, "label": [1, 0]}',
    check_candidates_row,
    _user_and_candidates,
)
CLASSIFIED_ROWS = GoldenRows(
    LABEL_METRICS,
    '{"inputs": {"row": {"age": 31, "city": "Bern"}}, "label": "yes"}',
    check_label_of_row,
    lambda inputs: _plain(inputs["row"]),
)
NUMBER_ROWS = GoldenRows(
    {"error": Compared(_numbers, lambda answer: _numbers(answer.value))},
    '{"inputs": {"row": {"age": 31, "city": "Bern"}}, "label": 2.5}',
    check_number_of_row,
    lambda inputs: _plain(inputs["row"]),
)
