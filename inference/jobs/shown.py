"""What the admin's pages say of a job: bars, facts, parts, and what its buttons would do, in numbers."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum

from inference.jobs.models import Chunk, Job
from inference.jobs.selectors import Progress, chunks_of, progress_of
from inference.jobs.transitions import ENDED, OPEN, STUCK, ChunkStatus, Status
from inference.rows import Contract, OnRowError
from registry.kit.admin.facts import duration

# A person wants to see what needs them, what goes on, and a few of the others.
_SHOWN = {ChunkStatus.DEAD: 25, ChunkStatus.FAILED: 25, ChunkStatus.LEASED: 25, ChunkStatus.DONE: 5}
_ORDER = (
    ChunkStatus.DEAD, ChunkStatus.FAILED, ChunkStatus.LEASED, ChunkStatus.WAITING, ChunkStatus.DONE,
    ChunkStatus.CANCELLED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownJob:
    """A job in a list."""

    job: Job
    progress: Progress

    @property
    def short(self) -> str:
        return str(self.job.pk)[:8]

    @property
    def is_open(self) -> bool:
        return self.job.status not in ENDED

    @property
    def per_mille(self) -> int:
        return round(self.progress.fraction * 1000)

    @property
    def may_be_cancelled(self) -> bool:
        return self.job.status in OPEN

    @property
    def may_be_retried(self) -> bool:
        return self.job.status == Status.FAILED

    @property
    def percent(self) -> int:
        """Rounded down: 100 means that nothing is missing."""
        return int(self.progress.fraction * 100)

    @property
    def times(self) -> str:
        """How long somebody worked on it, and how long it was at rest."""
        told = self.progress
        said = [f"took {duration(told.worked_s)}"] if told.worked_s else []
        if told.waited_s >= 1:
            said.append(f"waited {duration(told.waited_s)}")
        return ", ".join(said)

    @property
    def figures(self) -> str:
        """The bar in words."""
        told = self.progress
        if told.rows_total is None:
            return "its rows are being counted" if self.is_open else ""
        said = [f"{self.percent} %", f"{told.rows_done:,} of {_rows(told.rows_total)}"]
        if told.rows_bad:
            said.append(f"{told.rows_bad:,} left out")
        if self.is_open and told.rows_per_s is not None:
            said.append(f"{told.rows_per_s:,.{0 if told.rows_per_s >= 10 else 1}f} rows/s")
        if told.eta_s is not None:
            said.append(f"about {_left(told.eta_s)} left")
        return " · ".join(said)


@dataclass(frozen=True, slots=True)
class ShownPart:
    chunk: Chunk

    @property
    def rows(self) -> str:
        first = self.chunk.first_row
        return f"{first:,} – {first + self.chunk.rows - 1:,}"

    @property
    def done(self) -> str:
        return f"{self.chunk.rows_done:,}"


@dataclass(frozen=True, slots=True)
class PartGroup:
    """Parts in one state: how many, with how many rows, and the first of them."""

    state: ChunkStatus
    count: int
    rows: int
    first: list["ShownPart"]

    @property
    def is_stuck(self) -> bool:
        return self.state in STUCK

    @property
    def told(self) -> str:
        return f"{_parts(self.count)}, {_rows(self.rows)}"

    @property
    def more(self) -> str:
        more = self.count - len(self.first)
        return f"and {more:,} more" if more and self.first else ""


def shown_job(job: Job) -> ShownJob:
    return ShownJob(job, progress_of(job))


def part_groups(job: Job) -> list[PartGroup]:
    """The parts by state, what needs a person first."""
    counted = {row["status"]: row for row in _counted(job)}
    return [
        PartGroup(
            state,
            counted[state]["count"],
            counted[state]["rows_in"] or 0,
            [ShownPart(chunk) for chunk in chunks_of(job).filter(status=state)[: _SHOWN.get(state, 0)]],
        )
        for state in _ORDER
        if state in counted
    ]


def what_cancelling_does(job: Job) -> str:
    counts = {row["status"]: row["count"] for row in _counted(job)}
    waiting, leased, done = (
        counts.get(state, 0) for state in (ChunkStatus.WAITING, ChunkStatus.LEASED, ChunkStatus.DONE)
    )
    if not job.is_planned:
        return "Its file is still being looked through; no row has been answered, and none will be."
    return (
        f"{_parts(waiting)} waiting and {_parts(leased)} at work end at once; what workers have in hand is thrown away. "
        f"{_parts(done)} with {_rows(job.rows_done)} done can still be taken. It cannot be taken up again."
    )


def what_retrying_does(job: Job) -> str:
    stuck = {row["status"]: row for row in _counted(job) if row["status"] in STUCK}
    count, rows = (sum(row[name] or 0 for row in stuck.values()) for name in ("count", "rows_in"))
    if not count:
        return "Its file is looked through again, from the beginning."
    dead = stuck.get(ChunkStatus.DEAD, {}).get("count", 0)
    warning = f" {_parts(dead)} of them cost three workers each and may do so again." if dead else ""
    return (
        f"{_are(count)} tried again, with {_rows(rows)}.{warning} What nobody began goes on. "
        f"{_parts(job.chunks_done)} with {_rows(job.rows_done)} done stay as they are."
    )


def _counted(job: Job) -> list[dict[str, Any]]:
    groups = chunks_of(job).order_by().values("status")
    return [dict(row) for row in groups.annotate(count=Count("pk"), rows_in=Sum("rows"))]


def _left(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _are(count: int) -> str:
    return f"{_parts(count)} {'is' if count == 1 else 'are'}"


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count:,} parts"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def columns_of(job: Job) -> list[tuple[str, str]]:
    """The contract in words."""
    contract = Contract.from_json(job.contract)
    told = [
        (f"input {name}", columns if isinstance(columns, str) else ", ".join(columns))
        for name, columns in contract.columns.items()
    ]
    if not told:
        told.append(("inputs", "the columns of their names"))
    told.append(("id", contract.id or "counted from 1"))
    if contract.passthrough:
        told.append(("copied", ", ".join(contract.passthrough)))
    bad = (
        "fails the job"
        if contract.on_row_error is OnRowError.FAIL
        else f"is left out, {contract.error_limit:,} at most"
    )
    told.append(("a row that cannot be used", bad))
    return told
