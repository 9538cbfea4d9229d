"""Exports alt-profanity-check's classifier, and answers texts with its own code. Runs in the exporters' environment.

Takes the file to write; reads a list of texts from stdin, and writes labels and probabilities to stdout.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from profanity_check import predict, predict_prob, profanity_check
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.pipeline import make_pipeline


def main(path: Path) -> None:
    texts = json.load(sys.stdin)
    pipeline = make_pipeline(profanity_check.vectorizer, profanity_check.model)
    exported = to_onnx(
        pipeline,
        initial_types=[("text", StringTensorType([None]))],
        options={
            # By default, the exported file would divide words at every letter that is not ASCII
            id(profanity_check.vectorizer): {"tokenexp": r"[\p{L}\p{N}_]+"},
            id(profanity_check.model): {"zipmap": False},
        },
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    path.write_bytes(exported.SerializeToString())
    answers = {"labels": np.asarray(predict(texts)).tolist(), "scores": predict_prob(texts).tolist()}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
