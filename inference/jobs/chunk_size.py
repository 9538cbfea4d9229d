"""How many rows make a chunk: about as many as the version answers in a second or two."""

from inference.checks.proofs import merged_rows
from inference.engine.batch_proof import BatchProof
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.intake.checklist.models import CheckLine
from registry.intake.checklist.selectors import last_facts

CHUNK_S = 1.5
MAX_CHUNK_ROWS = 20_000  # beyond that reading and writing take longer than answering
_UNKNOWN_ROW_S = 0.001


def chunk_rows_for(version: Version) -> int:
    """Whole batches that take about CHUNK_S by what was measured when the version was checked; one at least."""
    batch_rows = _merged_rows(version)
    batches = max(1, round(CHUNK_S / (batch_rows * _row_seconds(version, batch_rows))))
    return max(batch_rows, min(batches * batch_rows, MAX_CHUNK_ROWS // batch_rows * batch_rows))


def _merged_rows(version: Version) -> int:
    """How many rows share a run, by what its last check has proven."""
    values = current_serving(version.pk)
    proven = last_facts(version, "batching").get("rows") or 1
    return merged_rows(values, BatchProof(int(proven), "", ""))


def _row_seconds(version: Version, batch_rows: int) -> float:
    """What a row takes in the largest measured batch that is no larger than those that will be run."""
    warmed = CheckLine.objects.filter(run__version=version, step="warmup", facts__has_key="profile")
    facts = warmed.order_by("-pk").values_list("facts", flat=True).first() or {}
    measured = [(rows, ms) for rows, ms in facts.get("profile", ()) if rows <= batch_rows]
    if not measured:
        return _UNKNOWN_ROW_S
    rows, ms = max(measured)
    return max(float(ms), 0.001) / 1000 / int(rows)
