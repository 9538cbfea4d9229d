"""Answers texts with alt-profanity-check's own code. Runs in the environment that converts it for `make demo-real`.

Reads a list of texts from stdin, and writes labels and probabilities to stdout.
"""

import json
import sys

import numpy as np
from profanity_check import predict, predict_prob


def main() -> None:
    texts = json.load(sys.stdin)
    answers = {"labels": np.asarray(predict(texts)).tolist(), "scores": predict_prob(texts).tolist()}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
