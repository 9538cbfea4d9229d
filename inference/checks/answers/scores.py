"""Which output of a classification holds the scores, and what a row of them says."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.engine.backends import type_ndarray
from inference.tensors.signature import Signature, TensorSpec


def score_output(signature: Signature, labels: Sequence[str]) -> TensorSpec | None:
    """The first output that can hold a number for each label."""
    return next((spec for spec in signature.outputs if _holds(spec, len(labels))), None)


def answer_of(row: type_ndarray, labels: Sequence[str] | None) -> Any:
    """The label with the largest score; without labels its index, or the value where there is only one."""
    flat = row.ravel()
    if labels is None and flat.size == 1:
        return flat[0].item() if isinstance(flat[0], np.generic) else flat[0]
    if not flat.size or flat.dtype == object or not np.isfinite(flat.astype(np.float64)).all():
        return None
    best = int(flat.argmax())
    return best if labels is None else labels[best]


def label_of(label: Any, labels: Sequence[str] | None) -> Any:
    """A label by its name; people may write its index instead."""
    is_index = isinstance(label, int) and not isinstance(label, bool)
    return labels[label] if labels is not None and is_index and 0 <= label < len(labels) else label


def labels_of(task_config: Mapping[str, Any]) -> list[str] | None:
    return task_config.get("labels")


def _holds(spec: TensorSpec, count: int) -> bool:
    if spec.datatype in {"BYTES", "BOOL"}:
        return False
    return spec.any_rank or (bool(spec.shape) and spec.shape[-1] in {None, count})
