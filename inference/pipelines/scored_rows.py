"""Rows of golden sets whose answers have scores or numbers: rankings, and rows of tables."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from inference.pipelines.errors import InvalidItem
from inference.pipelines.golden import GoldenRows, check_label

MAX_GAINS = 10_000


class GoldenRanking(NamedTuple):
    """What was ranked, best first, and its scores."""

    keys: Sequence[Hashable]
    scores: Sequence[float]


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


ITEM_ROWS = GoldenRows(
    ("ndcg",),
    '{"inputs": {"user": "ann"}, "label": ["i17", "i4"]}',
    check_items_row,
    expected=lambda label: {str(item): 1.0 for item in label},
    got=lambda answer: GoldenRanking([str(item) for item in answer.items], answer.scores),
)
CANDIDATE_ROWS = GoldenRows(
    ("ndcg", "auc", "log_loss"),
    '{"inputs": {"user": {"age": 31}, "candidates": [{"price": 5}, {"price": 9}]}, "label": [1, 0]}',
    check_candidates_row,
    expected=lambda label: dict(enumerate(label)),
    got=lambda answer: GoldenRanking(answer.indices, answer.scores),
)
CLASSIFIED_ROWS = GoldenRows(
    ("accuracy", "f1", "auc", "log_loss"),
    '{"inputs": {"row": {"age": 31, "city": "Bern"}}, "label": "yes"}',
    check_label_of_row,
)
NUMBER_ROWS = GoldenRows(
    ("error",),
    '{"inputs": {"row": {"age": 31, "city": "Bern"}}, "label": 2.5}',
    check_number_of_row,
    expected=lambda label: label if isinstance(label, list) else [label],
    got=lambda answer: answer.value if isinstance(answer.value, list) else [answer.value],
)
