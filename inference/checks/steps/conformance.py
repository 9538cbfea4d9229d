"""The step that runs a version's own examples: the same input must produce the outputs that its authors saw."""

import time
from functools import partial
from itertools import islice
from typing import Any

from inference.checks.examples import OutputDifference, output_differences, read_example
from inference.checks.steps.base import CheckContext, StepFailed, StepPassed, StepSkipped
from inference.checks.trial import TrialFailed
from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.pipeline import ItemPipeline
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InvalidInput
from inference.tensors.signature import Signature
from registry.intake.examples.models import ConformanceExample
from registry.intake.examples.selectors import examples_of

BUDGET_S = 300.0  # for all examples together
_MAX_DIFFERENCES = 10
_ADVICE = (
    "Compare the preprocessing and the exporter's options with those used for the example, and upload"
    " the fixed file as the next version; or upload it with correct examples."
)


def run_examples(context: CheckContext) -> StepPassed:
    """Run each example and compare its outputs with the expected ones, within its tolerances."""
    examples = examples_of(context.version)
    if not examples:
        raise StepSkipped(
            "no_examples",
            f"{context.version} came without examples, so its answers were not compared with anything.",
            "Send examples with the next version: an input and the output that the training code produced for it.",
        )
    wrong: list[dict[str, Any]] = []
    first = ""
    ends_at = time.monotonic() + BUDGET_S
    for done, example in enumerate(examples):
        context.progress({"done": done, "of": len(examples)})
        if time.monotonic() > ends_at:
            raise StepFailed(
                "out_of_time",
                f"{context.version} ran {done} of its {len(examples)} examples in {BUDGET_S:g} s.",
                "Upload it again with fewer or smaller examples.",
                {"done": done, "of": len(examples)},
            )
        for difference in islice(_compare(context, example), _MAX_DIFFERENCES - len(wrong)):
            first = first or f"in example {example.position}, {difference}"
            wrong.append({"example": example.position, **difference.to_json()})
    if wrong:
        raise StepFailed(
            "outputs_differ",
            f"{context.version} does not return what its examples expect: {first}.",
            _ADVICE,
            {"examples": len(examples), "wrong": wrong},
        )
    return StepPassed({"examples": len(examples), "wrong": []})


def _compare(context: CheckContext, example: ConformanceExample) -> list[OutputDifference]:
    try:
        got, is_row = _answer(context, example)
    except InvalidInput as error:
        raise StepFailed(
            "example_unfit",
            f"Example {example.position} of {context.version} does not fit its signature: {error}",
            "Write the example for this file's inputs, and upload the file again with it.",
            {"example": example.position, "field": error.field},
        ) from None
    except (TrialFailed, UnusableOutput, BadTaskConfig) as error:
        raise StepFailed(
            error.code,
            f"{context.version} failed on example {example.position}: {error}",
            "Run the file on this example where it was exported; fix it, and upload it as the next version.",
            {"example": example.position},
        ) from None
    if is_row:
        got = {
            name: tensor.reshape(tensor.shape[1:]) if len(tensor.shape) and len(tensor) == 1 else tensor
            for name, tensor in got.items()
        }
    differences = output_differences(example.expected, got, atol=example.atol, rtol=example.rtol)
    return list(islice(differences, _MAX_DIFFERENCES))


def _answer(context: CheckContext, example: ConformanceExample) -> tuple[Tensors, bool]:
    """The outputs, and whether the example is one row without a row axis. Examples may be items, such as texts."""
    pipeline = context.pipeline
    run = partial(context.trial().run, soft_limit_s=context.serving.soft_limit_s)
    if isinstance(pipeline, ItemPipeline) and _are_items(pipeline, example):
        items, is_row = read_example(pipeline.items, example.inputs)
        answers = pipeline.answer(pipeline.body_of(items), run, most_rows=context.merged_rows())
        return pipeline.tensors_of(answers), is_row
    inputs, is_row = read_example(context.signature or Signature((), ()), example.inputs)
    return run(inputs), is_row


def _are_items(pipeline: ItemPipeline[Any], example: ConformanceExample) -> bool:
    return set(example.inputs) <= {spec.name for spec in pipeline.items.inputs}
