"""Fitting of linear models by gradient descent, for several examples."""

import numpy as np


def fit_softmax(x, labels, classes, *, steps=3000, rate=0.5):
    """Fit a linear classifier by plain gradient descent."""
    weight, bias = np.zeros((x.shape[1], classes)), np.zeros(classes)
    target = np.eye(classes)[labels]
    for _ in range(steps):
        error = softmax(x @ weight + bias) - target
        weight -= rate * x.T @ error / len(x)
        bias -= rate * error.mean(axis=0)
    return weight, bias


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sums(places, values, count):
    """The sum of the rows of `values` that belong to each of so many places."""
    return np.stack([np.bincount(places, column, count) for column in values.T], axis=1)
