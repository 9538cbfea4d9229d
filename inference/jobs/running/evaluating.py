"""Batches through the engine: with patience where there is no room, and halved where one row spoils the others."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from inference.engine.combiner import Priority
from inference.engine.errors import (
    DeadlineExceeded,
    LoadFailed,
    NotLoaded,
    OverBudget,
    Overloaded,
    RunFailed,
    SlotLost,
    StillLoading,
    VersionBroken,
)
from inference.engine.loop import complete
from inference.engine.requests import EngineRequest
from inference.errors import Loading
from inference.jobs.running.failures import ChunkFailed
from inference.jobs.running.holding import Held
from inference.rows import Batch
from inference.serving import runtime
from inference.serving.runtime import Runtime
from inference.tensors.errors import InvalidInput
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.errors import ArtifactMissing

Outputs = Mapping[str, Any]

_LATER = (Overloaded, DeadlineExceeded, SlotLost, NotLoaded, StillLoading, OverBudget, Loading)
_PATIENCE_S = 300.0  # that a batch finds no room for, before its chunk fails
_DEADLINE_S = 60.0
_PAUSE_S = 0.2
_RUNS_TO_ITS_END = 4  # soft limits after which even a run that cannot be ended is noticed


class Evaluator:
    """Answers batches with one version, as bulk: whoever waits for an answer goes first."""

    def __init__(self, version: Version, held: Held) -> None:
        self._here: Runtime = runtime.started()
        target = self._here.target(version.pk)
        if target is None:  # ready since the last look at the routes, or not any more
            self._here.refresh()
            target = self._here.target(version.pk)
        if target is None:
            raise ChunkFailed(f"{version} cannot answer any more: it is {version.status}.", ends_job=True)
        self._target = target
        self._held = held
        self._quiet_s = _DEADLINE_S + _RUNS_TO_ITS_END * current_serving(version.pk).soft_limit_s
        self.batch_rows = self._here.executor.merged_rows(target)

    def answer(self, batch: Batch) -> Iterator[tuple[Batch, Outputs]]:
        """Give the batch with its outputs; in parts where some of its rows cannot be run, which are then bad."""
        if not len(batch.rows):
            yield batch, {}
            return
        try:
            yield batch, self._outputs(batch)
        except (InvalidInput, RunFailed) as error:
            if len(batch.rows) == 1:
                yield batch.without([0], str(error)), {}
                return
            for part in batch.split_at(len(batch.rows) // 2):
                yield from self.answer(part)

    def _outputs(self, batch: Batch) -> Outputs:
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            self._held.note_progress(next_within_s=self._quiet_s)
            try:
                request = EngineRequest(
                    batch.tensors,
                    time.monotonic() + _DEADLINE_S,
                    Priority.BULK,
                    allow_non_finite=True,  # the job's row contract has decided about its rows
                )
                return complete(self._here.infer(self._target, request)).outputs
            except _LATER as error:
                if time.monotonic() > give_up_at:
                    raise ChunkFailed(
                        f"No engine had room for it for {_PATIENCE_S:.0f} s: {error}"
                    ) from error
            except VersionBroken as error:
                raise ChunkFailed(str(error), ends_job=True) from error
            except (LoadFailed, ArtifactMissing) as error:
                raise ChunkFailed(str(error)) from error
            self._held.is_over.wait(_PAUSE_S)
