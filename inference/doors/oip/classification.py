"""The protocol's classification extension: the best classes of each row, as texts."""

import numpy as np

from inference.doors.oip.errors import BadParameter
from inference.doors.oip.messages import Array


def classify(
    name: str, tensor: Array, classes: int, *, by_row: bool, labels: tuple[str, ...] | None
) -> Array:
    """Give the `classes` largest values of each row as `value:index[:label]`, largest first."""
    if tensor.dtype == object:
        raise BadParameter(
            f"Parameter 'classification': output {name!r} holds texts, which have no order of rank."
        )
    rows = tensor.shape[0] if by_row and tensor.ndim else 1
    if not tensor.size:
        return np.empty((rows, 0), object) if by_row else np.empty(0, object)
    scores = tensor.reshape(rows, -1)
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :classes]
    texts = np.empty(best.shape, object)
    for row, indices in enumerate(best.tolist()):
        for rank, index in enumerate(indices):
            label = f":{labels[index]}" if labels and index < len(labels) else ""
            texts[row, rank] = f"{_number(scores[row, index])}:{index}{label}"
    return texts if by_row else texts[0]


def _number(value: object) -> str:
    """Write it as short as its own type reads it back."""
    return str(int(value)) if isinstance(value, np.bool_) else str(value)
