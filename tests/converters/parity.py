"""Compares a converted file with its format's own runtime, on the same inputs."""

import numpy as np
import onnxruntime

from inference.convert.converting import Conversion, run_source

ALLOWED = 1e-4


def check_parity(source, inputs, rows, *, name):
    """Convert, run both, add rows to the table, and check that numbers and choices agree. Returns the facts."""
    original = run_source(source, inputs)
    with Conversion(source) as converted:
        session = onnxruntime.InferenceSession(converted.path, providers=["CPUExecutionProvider"])
    outputs = [one.name for one in session.get_outputs()]
    answers = [dict(zip(outputs, session.run(None, one), strict=True)) for one in inputs]
    assert {one.name for one in session.get_inputs()} == inputs[0].keys()
    for found, wanted in zip(answers, original, strict=True):
        assert found.keys() == wanted.keys()
        assert {key: np.shape(found[key]) for key in found} == {key: wanted[key].shape for key in wanted}
    for key in outputs:
        found, wanted = ([one[key] for one in sets] for sets in (answers, original))
        if wanted[0].dtype.kind == "f":
            rows.append((name, key, relative_difference(found, wanted), ALLOWED))
            assert relative_difference(found, wanted) <= ALLOWED
        agreement = top_1_agreement(found, wanted)
        if agreement is not None:
            rows.append((name, f"{key}: choices that differ", 1 - agreement, 0.0))
            assert agreement == 1.0
    return converted.facts


def relative_difference(found, wanted) -> float:
    """The largest difference, relative to the range of what is wanted."""
    flat, other = (
        np.concatenate([np.ravel(one).astype(np.float64) for one in sets]) for sets in (wanted, found)
    )
    return float(np.abs(flat - other).max() / np.ptp(flat))


def top_1_agreement(found, wanted) -> float | None:
    """How often the same class is chosen: by the label, or by the largest score of a row. None for what chooses nothing."""
    if wanted[0].dtype.kind != "f":
        pairs = [
            (np.asarray(one).astype(str), other.astype(str)) for one, other in zip(found, wanted, strict=True)
        ]
    elif wanted[0].ndim == 2 and wanted[0].shape[1] > 1:
        pairs = [(one.argmax(axis=1), other.argmax(axis=1)) for one, other in zip(found, wanted, strict=True)]
    else:
        return None
    return float(np.mean(np.concatenate([one == other for one, other in pairs])))
