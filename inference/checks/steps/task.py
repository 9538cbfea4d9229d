"""What the steps ask of a version's task: whether its files can be read, and whether the model gets on with its tokens."""

from inference.checks.steps.base import CheckContext, StepFailed
from inference.checks.task_probe import TaskRefused, probe_task
from inference.checks.trial import TrialFailed
from inference.checks.version_tasks import task_paths
from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature

_TOKENS_TRIED = 8


def read_task(context: CheckContext) -> None:
    """Build the pipeline, in a child if it has files or texts to read. Raises TaskRefused, or ArtifactMissing."""
    version = context.version
    kind = TASKS[version.model.task]
    try:
        if issubclass(kind, ItemPipeline):
            signature = context.signature or Signature((), ())
            probe_task(kind.task, version.task_config, signature, task_paths(version))
        _ = context.pipeline
    except BadTaskConfig as error:
        raise TaskRefused("refused", str(error), error.field) from None


def check_vocabulary(context: CheckContext) -> None:
    """Fail the step if the model refuses the tokenizer's largest id: then they do not belong together."""
    rows = context.pipeline.token_rows
    if rows is None:
        return
    largest = rows.largest_id
    error = _failure(context, rows.row_of(largest, _TOKENS_TRIED))
    if error is None or error.code != "run_failed" or _failure(context, rows.row_of(0, _TOKENS_TRIED)):
        return  # the warm-up tells what else is wrong
    raise StepFailed(
        "task_config",
        f"The tokenizer has ids up to {largest:,}, which the model of {context.version} does not know: {error}",
        "Upload the model with the tokenizer that it was trained with, as the next version.",
        {"field": "tokenizer", "largest_id": largest},
    )


def check_length(context: CheckContext, error: TrialFailed) -> None:
    """Fail the step with this error of the longest row if a short one runs: then `max_tokens` is too large."""
    rows = context.pipeline.token_rows
    if rows is None or error.code != "run_failed" or _failure(context, rows.row_of(0, _TOKENS_TRIED)):
        return
    raise StepFailed(
        "task_config",
        f"{context.version} does not run on {rows.max_tokens:,} tokens, which its `max_tokens` allows: {error}",
        "Set `max_tokens` to what the model was made for, and upload it as the next version.",
        {"field": "max_tokens", "max_tokens": rows.max_tokens},
    )


def padding_is_harmless(context: CheckContext) -> bool:
    """Whether texts may be filled up to a common width: only if every comparison ran, and its answers agreed.

    If not, the pipeline does without from now on.
    """
    pipeline = context.pipeline
    try:
        is_harmless = pipeline.padding_is_harmless(
            lambda inputs: context.trial().run(inputs, soft_limit_s=context.serving.soft_limit_s)
        )
    except TrialFailed:  # whatever the reason, nothing is shown
        is_harmless = False
    if not is_harmless:
        pipeline.forbid_padding()
    return is_harmless


def _failure(context: CheckContext, inputs: Tensors) -> TrialFailed | None:
    try:
        context.trial().run(inputs, soft_limit_s=context.serving.soft_limit_s)
    except TrialFailed as error:
        return error
    return None
