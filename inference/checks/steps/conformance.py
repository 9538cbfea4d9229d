"""The step that runs a version's own examples: the same input gives what its makers saw."""

import time
from itertools import islice
from typing import Any

from inference.checks.answers.comparing import Difference, differences
from inference.checks.answers.examples import read_example
from inference.checks.steps.findings import Found, StepFailed, StepSkipped
from inference.checks.steps.subject import Subject
from inference.checks.trial import TrialFailed
from inference.tensors.errors import InvalidInput
from inference.tensors.signature import Signature
from registry.intake.examples.models import ConformanceExample
from registry.intake.examples.selectors import examples_of

BUDGET_S = 300.0  # for all examples together
_TOLD = 10
_ADVICE = (
    "Compare the preprocessing and the exporter's options with those that made the example, and bring in"
    " the mended file as the next version; or bring it in with examples that are right."
)


def run_examples(subject: Subject) -> Found:
    """Run each example and compare all outputs that it expects, within its tolerances."""
    examples = examples_of(subject.version)
    if not examples:
        raise StepSkipped(
            "no_examples",
            f"{subject.version} came without examples, so its answers were compared with nothing.",
            "Send examples with the next version: an input and the output that training code gave for it.",
        )
    wrong: list[dict[str, Any]] = []
    first = ""
    ends_at = time.monotonic() + BUDGET_S
    for done, example in enumerate(examples):
        subject.progress({"done": done, "of": len(examples)})
        if time.monotonic() > ends_at:
            raise StepFailed(
                "out_of_time",
                f"{subject.version} ran {done} of its {len(examples)} examples in {BUDGET_S:g} s.",
                "Bring it in again with fewer or smaller examples.",
                {"done": done, "of": len(examples)},
            )
        for difference in islice(_compare(subject, example), _TOLD - len(wrong)):
            first = first or f"in example {example.position} {difference}"
            wrong.append({"example": example.position, **difference.to_json()})
    if wrong:
        raise StepFailed(
            "outputs_differ",
            f"{subject.version} does not give what its examples expect: {first}.",
            _ADVICE,
            {"examples": len(examples), "wrong": wrong},
        )
    return Found({"examples": len(examples), "wrong": []})


def _compare(subject: Subject, example: ConformanceExample) -> list[Difference]:
    inputs, is_row = _inputs(subject, example)
    try:
        got = subject.trial().run(inputs, soft_limit_s=subject.serving.soft_limit_s)
    except TrialFailed as error:
        raise StepFailed(
            error.code,
            f"{subject.version} failed on example {example.position}: {error}",
            "Run the file on this example where it was exported; mend it, and bring it in as the next version.",
            {"example": example.position},
        ) from None
    if is_row:
        got = {
            name: tensor[0] if len(tensor.shape) and len(tensor) == 1 else tensor
            for name, tensor in got.items()
        }
    found = differences(example.expected, got, atol=example.atol, rtol=example.rtol)
    return list(islice(found, _TOLD))


def _inputs(subject: Subject, example: ConformanceExample) -> tuple[Any, bool]:
    signature = subject.signature or Signature((), ())
    try:
        return read_example(signature, example.inputs)
    except InvalidInput as error:
        raise StepFailed(
            "example_unfit",
            f"Example {example.position} of {subject.version} does not fit its signature: {error}",
            "Write the example for this file's inputs, and bring the file in again with it.",
            {"example": example.position, "field": error.field},
        ) from None
