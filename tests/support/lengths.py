"""A kind of job without a Model, as an upper app would add one: it counts the characters or words of texts."""

from contextlib import ExitStack, contextmanager

import numpy as np

from inference.jobs.errors import BadJob
from inference.jobs.kinds import JOB_KINDS, ChunkFailed, JobKind
from inference.tensors.signature import Signature, TensorSpec
from registry.access.policies import GRANTS, Grants, Role

LENGTHS, MEASURE = "lengths", "measure_texts"
UNMEASURABLE, JAMMED = "unmeasurable", "jammed"  # a bad row; a text on which the whole chunk fails
_COUNTS = {"characters": len, "words": lambda text: len(text.split())}
_SIGNATURE = Signature(
    (TensorSpec("text", "BYTES", (None,)), TensorSpec("note", "BYTES", (None,), optional=True)),
    (TensorSpec("length", "INT64", (None,)), TensorSpec("noted", "BOOL", (None,))),
    may_lack=frozenset({"note"}),
)


class Lengths(JobKind):
    title = "lengths"
    right = MEASURE
    chunk_rows = 2
    contract_defaults = {"missing": "nan"}

    def signatures(self, version):
        assert version is None
        return (_SIGNATURE,)

    def check_options(self, options):
        of = options.get("of", "characters")
        if of not in _COUNTS or not options.keys() <= {"of"}:
            raise BadJob("Lengths are `of` characters or words.")
        return {"of": of}

    def open(self, job, signature, held):
        return _Measure(_COUNTS[job.options["of"]], held)


class _Measure:
    batch_rows = 10

    def __init__(self, count, held):
        self._count, self._held = count, held

    def answer(self, batch):
        self._held.note_progress()
        texts = batch.tensors.get("text", np.empty(0, object)).tolist()
        if JAMMED in texts:
            raise ChunkFailed("The measuring tape is jammed.")
        good = batch.without(
            {place: "It cannot be measured." for place, text in enumerate(texts) if text == UNMEASURABLE}
        )
        tensors = good.tensors
        lengths = [self._count(text) for text in tensors.get("text", ())]
        notes = tensors.get("note", [None] * len(lengths))
        yield (
            good,
            {"length": np.array(lengths, np.int64), "noted": np.array([bool(note) for note in notes], bool)},
        )


@contextmanager
def lengths_installed():
    """As if an app had added the kind, with a right for operators and for keys with the scope `measure`."""
    right = frozenset({MEASURE})
    grants = Grants(right, {Role.OPERATOR: right}, {"measure": right}, {"measure": "measure texts"}, {})
    with ExitStack() as installed:
        installed.enter_context(GRANTS.changed(lengths=grants))
        installed.enter_context(JOB_KINDS.changed(lengths=Lengths()))
        yield
