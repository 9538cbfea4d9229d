"""The steps of versions that come in another format: converting the file, and comparing the answers of both."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inference.checks.examples import example_rows
from inference.checks.steps.base import CheckContext, StepFailed, StepPassed, StepSkipped
from inference.checks.trial import TrialFailed
from inference.convert.converting import Conversion, SourceFile, run_source
from inference.convert.errors import ConversionRefused
from inference.engine.errors import RunFailed
from inference.engine.row_generators import row_generators
from inference.tensors.arrays import Array, Tensors
from inference.tensors.samples import Sample, takes_rows
from inference.tensors.signature import Signature
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.models import Version
from registry.kit.actors import Actor

# Of the range of an output over all rows; and the share of labels, or of highest scores, that are the same.
LARGEST_DIFFERENCE, LARGEST_QUANTIZED = 1e-4, 1e-2
LEAST_AGREEMENT = 0.99
BATCHES = (1, 2, 7)
_ODD = 5  # of axes whose sizes callers choose
_MAX_KINDS = 3  # of generated rows
_PIECE = 1 << 20
_SURROUNDINGS = {"not_installed", "not_confined", "not_started"}
_FIX_HOST = "Nothing is wrong with the file. Fix this on the workers' machine, then check the version again."
_FIX_FILE = "Export the model as ONNX where it was trained (docs/exporting.md says how), and upload that as the next version."


def convert(context: CheckContext, *, by: Actor) -> StepPassed:
    """Convert the file that was sent, once; from then on the version's artifact is the ONNX file."""
    version = context.version
    if not version.awaits_conversion:
        return StepPassed(version.origin.get("converted", {}))
    started = time.monotonic()
    try:
        with Conversion(source_of(version)) as converted:
            file = artifacts.store(_pieces(converted))
            lineage = {
                **converted.facts,
                "format": version.source_format,
                "source_sha256": version.artifact.sha256,
                "sha256": file.sha256,
                "seconds": round(time.monotonic() - started, 3),
            }
    except ConversionRefused as refusal:
        raise StepFailed(
            refusal.code,
            f"{version} was not converted: {refusal}",
            _FIX_HOST if refusal.code in _SURROUNDINGS else _FIX_FILE,
        ) from None
    context.use(catalogue.record_conversion(version=version, file=file, lineage=lineage, by=by))
    return StepPassed(lineage)


def compare_with_source(context: CheckContext) -> StepPassed:
    """Run the file as it was sent with its own runtime, and compare its answers with those of the ONNX file."""
    version, signature = context.version, context.signature
    if signature is None:
        raise StepSkipped("not_reached", "The file has not been loaded.")
    inputs = list(_inputs(context, signature))
    try:
        answers = [
            context.trial().run(one, None, soft_limit_s=context.serving.soft_limit_s) for one in inputs
        ]
        expected = run_source(source_of(version), inputs)
    except TrialFailed as error:
        raise StepFailed(
            error.code, f"{version} fails on rows on which it ran before: {error}", _FIX_FILE
        ) from None
    except ConversionRefused as refusal:
        if refusal.code in _SURROUNDINGS:
            raise StepSkipped(refusal.code, f"The answers were not compared: {refusal}", _FIX_HOST) from None
        raise StepFailed(
            refusal.code,
            f"The file that was sent does not answer with its own runtime: {refusal}",
            "Run it on plain rows where it was made, and upload a file that answers them as the next version.",
        ) from None
    is_quantized = version.origin.get("converted", {}).get("quantized") is True
    comparison = (
        AnswersCompared(LARGEST_QUANTIZED, step=1) if is_quantized else AnswersCompared(LARGEST_DIFFERENCE)
    )
    for got, wanted in zip(answers, expected, strict=True):
        comparison.add(got, wanted)
    facts = {"runs": len(inputs), "rows": sum(map(_rows_of, inputs)), **comparison.facts()}
    if wrong := comparison.what_is_wrong():
        raise StepFailed(
            "answers_differ",
            f"{version} does not answer as the file it was converted from: {wrong}",
            _FIX_FILE,
            facts,
        )
    return StepPassed(facts)


def source_of(version: Version) -> SourceFile:
    source = version.source
    assert source is not None  # noqa: S101  only versions with a source have these steps
    options = {**version.source_options, "shapes": version.input_shapes}
    return SourceFile(artifacts.path_of(source.sha256), version.source_format, options)


@dataclass
class _OutputSeen:
    """One output over all runs."""

    largest_difference: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    compared: int = 0
    same: int = 0

    @property
    def relative(self) -> float:
        spread = self.high - self.low if self.high > self.low else max(abs(self.high), abs(self.low))
        return (
            self.largest_difference / spread
            if np.isfinite(spread) and spread > 0
            else self.largest_difference
        )

    @property
    def agreement(self) -> float:
        return self.same / self.compared if self.compared else 1.0


@dataclass
class AnswersCompared:
    """Compares answers, output by output.

    `step`: by how much whole numbers may differ; those of a quantized file are rounded.
    """

    largest: float
    step: int = 0
    _outputs: dict[str, _OutputSeen] = field(default_factory=dict)
    _wrong: str = ""

    def add(self, got: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        for name, mine, other in self._pairs(got, wanted):
            self._add_output(name, np.asarray(mine), np.asarray(other))

    def _pairs(self, got: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        """By name; by place if the format's own runtime has other names for as many outputs."""
        if set(got) <= set(wanted):
            yield from ((name, got[name], wanted[name]) for name in got)
        elif len(got) == len(wanted):
            yield from ((name, got[name], other) for name, other in zip(got, wanted.values(), strict=True))
        else:
            self._say(f"it has {len(got)} outputs, and the other {len(wanted)}.")

    def _add_output(self, name: str, got: Array, wanted: Array) -> None:
        if got.shape != wanted.shape:
            if got.size != wanted.size:
                return self._say(
                    f"output {name[:80]!r} has the shape {got.shape}, and the other {wanted.shape}."
                )
            wanted = wanted.reshape(got.shape)  # one column, or none
        seen = self._outputs.setdefault(name, _OutputSeen())
        if got.dtype.kind not in "fiub" or wanted.dtype.kind not in "fiub":
            seen.compared += got.size
            seen.same += int(np.sum(got.astype(str) == wanted.astype(str)))
            return None
        if "f" not in got.dtype.kind + wanted.dtype.kind:
            seen.compared += got.size
            seen.same += int(np.sum(np.abs(got.astype(np.int64) - wanted.astype(np.int64)) <= self.step))
            return None
        mine, other = got.astype(np.float64), wanted.astype(np.float64)
        finite = np.isfinite(other)
        if (
            not np.array_equal(mine[~finite], other[~finite], equal_nan=True)
            or not np.isfinite(mine[finite]).all()
        ):
            return self._say(f"output {name[:80]!r} is NaN or infinite where the other is not.")
        if finite.any():
            seen.low, seen.high = (
                min(seen.low, float(other[finite].min())),
                max(seen.high, float(other[finite].max())),
            )
            with np.errstate(invalid="ignore"):
                seen.largest_difference = max(
                    seen.largest_difference, float(np.abs(mine - other)[finite].max())
                )
        if got.ndim > 1 and got.shape[-1] > 1:  # the likeliest class
            seen.compared += got.size // got.shape[-1]
            seen.same += int(np.sum(mine.argmax(-1) == other.argmax(-1)))
        return None

    def facts(self) -> dict[str, Any]:
        return {
            "allowed": self.largest,
            "outputs": {
                name[:80]: {
                    "largest_difference": seen.largest_difference,
                    "of_range": seen.relative,
                    "agreement": round(seen.agreement, 6),
                }
                for name, seen in self._outputs.items()
            },
        }

    def what_is_wrong(self) -> str:
        if self._wrong:
            return self._wrong
        for name, seen in self._outputs.items():
            if not seen.relative <= self.largest:  # nor if it is no number
                return f"output {name[:80]!r} differs by {seen.relative:.2g} of its range; {self.largest:g} is allowed."
            if seen.agreement < LEAST_AGREEMENT:
                return f"output {name[:80]!r} has the same label for {seen.agreement:.1%} of the rows."
        return ""

    def _say(self, sentence: str) -> None:
        self._wrong = self._wrong or sentence


def _inputs(context: CheckContext, signature: Signature) -> Iterator[Tensors]:
    """Rows to compare on: the owner's examples, then generated ones, of several batch sizes, then of odd lengths."""
    rows = example_rows(signature, context.known.examples)
    yield from _batches(context, signature, rows, context.sample)
    odd = _with_odd_lengths(signature, context.sample)
    if odd is not None:
        with suppress(TrialFailed, RunFailed):
            yield from _batches(context, signature, None, odd)


def _batches(
    context: CheckContext, signature: Signature, examples: Tensors | None, sample: Sample
) -> Iterator[Tensors]:
    rng = np.random.default_rng(7)

    def run(tensors: Tensors) -> Any:
        try:
            return context.trial().run(tensors, None, soft_limit_s=context.serving.soft_limit_s)
        except TrialFailed as error:
            if context.trial().is_over:
                raise
            raise RunFailed(str(error)) from None

    counts: Sequence[int] = BATCHES if takes_rows(signature, sample) else BATCHES[:1]
    for number, generator in enumerate(row_generators(signature, examples, sample, run)):
        if number == _MAX_KINDS:
            return
        for count in counts:
            rows = generator.rows(rng, count)
            with suppress(RunFailed):
                run(rows)
                yield rows


def _with_odd_lengths(signature: Signature, sample: Sample) -> Sample | None:
    """The sample with an odd size on every free axis but the first; none if there is no such axis."""
    shapes = {}
    for spec in signature.required_inputs:
        known = sample.shapes.get(spec.name, ())
        dims = zip(known, spec.shape, strict=False)
        shapes[spec.name] = tuple(_ODD if dim is None and at else size for at, (size, dim) in enumerate(dims))
    if all(shapes[name] == tuple(sample.shapes.get(name, ())) for name in shapes):
        return None
    return Sample(shapes)


def _rows_of(inputs: Tensors) -> int:
    return max((len(tensor) for tensor in inputs.values() if np.ndim(tensor)), default=1)


def _pieces(converted: Conversion) -> Iterator[bytes]:
    with converted.path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
