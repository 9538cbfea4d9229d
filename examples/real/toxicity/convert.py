"""Converts alt-profanity-check's classifier into an ONNX model that reads texts.

Runs in an environment of its own, with that package and skl2onnx. Takes the file to write.
"""

import sys
import warnings
from pathlib import Path

from profanity_check import profanity_check
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.pipeline import make_pipeline


def main(path: Path) -> None:
    pipeline = make_pipeline(profanity_check.vectorizer, profanity_check.model)
    exported = to_onnx(
        pipeline,
        initial_types=[("text", StringTensorType([None]))],
        options={
            id(profanity_check.vectorizer): {
                # By default, the exported file would divide words at every letter that is not ASCII
                "tokenexp": r"[\p{L}\p{N}_]+",
                # The default, en_US, is missing on many machines; this one is part of the C library
                "locale": "C.UTF-8",
            },
            id(profanity_check.model): {"zipmap": False},
        },
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    path.write_bytes(exported.SerializeToString())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
