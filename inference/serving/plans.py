"""How versions are served: the only place that turns settings into the engine's configuration."""

from typing import TypedDict

from django.conf import settings

from inference.checks.proofs import Proof, batch_bytes, engine_count, merged_rows, warmed_rows
from inference.engine.backends import SessionOptions
from inference.engine.batch_runs import BatchConfig
from inference.engine.combiner import QueueLimits
from inference.engine.engine import EnginePlan
from inference.engine.pool import LoadOrder
from inference.engine.threads import available_cores, threads_per_session
from registry.catalogue import artifacts
from registry.catalogue.serving_settings import DEFAULTS, ServingValues

_HARD_LIMIT_FACTOR = 3.0  # a run that exceeds its soft limit by this factor is not going to end


class EngineLimits(TypedDict):
    budget_bytes: int
    engines_on_device: int
    budget_name: str


def engine_limits() -> EngineLimits:
    return EngineLimits(
        budget_bytes=settings.SESSION_MEMORY_BYTES,
        engines_on_device=engine_count(),
        budget_name="ROUNDHOUSE_SESSION_MEMORY_MB",
    )


def _online_engines() -> int:
    """How many engines on a host answer callers."""
    return 1 if settings.EXECUTOR == "workers" else settings.WEB_PROCESSES


def session_options(values: ServingValues = DEFAULTS) -> SessionOptions:
    """A version gets the number of threads in its settings, but never more than its share of the cores."""
    threads = threads_per_session(
        cores=available_cores(),
        engines=_online_engines(),
        asked=values.intra_op_threads or settings.INTRA_OP_THREADS,
    )
    return SessionOptions(
        providers=values.providers,
        device_id=values.device_id,
        intra_op_threads=threads,
        graph_level=values.graph_level,
        arena_limit_bytes=values.arena_limit_bytes,
    )


def plan_for(sha256: str, options: SessionOptions, proof: Proof, values: ServingValues) -> EnginePlan:
    merged = merged_rows(values, proof.batches, proof.memory)
    warmed = warmed_rows(values, proof.batches, proof.memory)
    order = LoadOrder(
        path=artifacts.path_of(sha256),
        options=options,
        probed=proof.fact,
        max_batch=warmed,
        sample=proof.sample,
        expected_bytes=proof.memory.footprint_bytes(warmed),
        run_limit_s=values.soft_limit_s,
    )
    limits = QueueLimits(
        max_batch_bytes=min(QueueLimits().max_batch_bytes, batch_bytes(proof.memory, warmed)),
        max_request_rows=max(QueueLimits().max_request_rows, values.max_batch_rows),
        max_waiting_rows=values.max_queue_rows,
        max_waiting_bytes=values.max_queue_bytes,
    )
    batching = BatchConfig(
        limits,
        soft_limit_s=values.soft_limit_s,
        hard_limit_s=_HARD_LIMIT_FACTOR * values.soft_limit_s,
        max_output_bytes=values.max_output_bytes,
    )
    target_s = values.target_p99_ms / 1000 if values.target_p99_ms is not None else None
    return EnginePlan(
        order,
        merged,
        is_audited=values.merging == "proven",  # a person's decision is not audited
        batching=batching,
        target_p99_s=target_s,
        wait_s=values.max_wait_ms / 1000,
        allow_non_finite=values.allow_non_finite,
    )
