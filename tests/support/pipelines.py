"""Short ways through a task's steps, for requests whose rows have one shape."""

import numpy as np

from inference.pipelines.plain import PlainClassification, PlainTensors


def inputs_of(pipeline, body):
    """The model's inputs for a request."""
    (group,) = pipeline.encode(body).groups
    return pipeline.prepare(group.tensors)


def encoded_rows(pipeline, body):
    (group,) = pipeline.encode(body).groups
    return group.tensors


def decoded(pipeline, outputs, encoded):
    """The answers for outputs whose rows are in the request's order."""
    first = next(iter(outputs.values()))
    rows = [{name: np.asarray(tensor)[at] for name, tensor in outputs.items()} for at in range(len(first))]
    return pipeline.decode(rows, encoded)


def plain(signature, *, labels=(), scores="probabilities"):
    """The pipeline of a version whose callers send tensors."""
    if labels:
        return PlainClassification({"labels": list(labels), "scores": scores}, {}, signature)
    return PlainTensors({}, {}, signature)
