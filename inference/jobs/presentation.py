"""What the admin pages show about a job: progress, parts, contract, first results, and previews of its buttons."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from inference.jobs import files
from inference.jobs.models import Chunk, Format, Job
from inference.jobs.selectors import Progress, chunks_of, jobs_in_reach, progress_of
from inference.jobs.transitions import ENDED, OPEN, STUCK, ChunkStatus, Status
from inference.rows import Contract, OnRowError
from inference.rows.result_parts import safe_text
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.kit.admin.columns import Tone, badge
from registry.kit.admin.facts import duration, short
from registry.kit.admin.theme import actor

# People want to see what needs attention, what is running, and a few of the others.
_MAX_LISTED = {ChunkStatus.DEAD: 25, ChunkStatus.FAILED: 25, ChunkStatus.LEASED: 25, ChunkStatus.DONE: 5}
_ORDER = (
    ChunkStatus.DEAD, ChunkStatus.FAILED, ChunkStatus.LEASED, ChunkStatus.WAITING, ChunkStatus.DONE,
    ChunkStatus.CANCELLED,
)  # fmt: skip
_PREVIEW_LINES, _PREVIEW_BYTES, _MAX_LINE = 5, 2**16, 240
_MAX_IN_PANEL = 5
_TONES = {Status.RUNNING: Tone.BUSY, Status.DONE: Tone.GOOD, Status.FAILED: Tone.BAD}
_PART_TONES = {
    ChunkStatus.LEASED: Tone.BUSY, ChunkStatus.DONE: Tone.GOOD, ChunkStatus.FAILED: Tone.BAD, ChunkStatus.DEAD: Tone.BAD,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobSummary:
    job: Job
    progress: Progress

    @property
    def short(self) -> str:
        return str(self.job.pk)[:8]

    @property
    def state(self) -> SafeString:
        """A badge, and another one if parts are stuck."""
        job = self.job
        badges = [badge(job.get_status_display().lower(), _TONES.get(Status(job.status), Tone.IDLE))]
        if job.chunks_stuck and job.status != Status.FAILED:
            badges.append(badge(f"{job.chunks_stuck} stuck", Tone.BAD))
        return format_html_join(" ", "{}", ((one,) for one in badges))

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
        """Rounded down, so that 100 means complete."""
        return int(self.progress.fraction * 100)

    @property
    def times(self) -> str:
        """Working and waiting time."""
        progress = self.progress
        times = [f"took {duration(progress.worked_s)}"] if progress.worked_s else []
        if progress.waited_s >= 1:
            times.append(f"waited {duration(progress.waited_s)}")
        return ", ".join(times)

    @property
    def figures(self) -> str:
        """The progress bar in words."""
        progress = self.progress
        if progress.rows_total is None:
            return "counting rows" if self.is_open else ""
        figures = [f"{self.percent} %", f"{progress.rows_done:,} of {_rows(progress.rows_total)}"]
        if progress.rows_bad:
            figures.append(f"{progress.rows_bad:,} skipped")
        if self.is_open and progress.rows_per_s is not None:
            figures.append(f"{progress.rows_per_s:,.{0 if progress.rows_per_s >= 10 else 1}f} rows/s")
        if progress.eta_s is not None:
            figures.append(f"about {_duration_left(progress.eta_s)} left")
        return " · ".join(figures)


@dataclass(frozen=True, slots=True)
class PartSummary:
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
    """The parts in one state: their number, their rows, and the first few."""

    state: ChunkStatus
    count: int
    rows: int
    first: list[PartSummary]

    @property
    def badge(self) -> SafeString:
        return badge(self.state, _PART_TONES.get(self.state, Tone.IDLE))

    @property
    def is_stuck(self) -> bool:
        return self.state in STUCK

    @property
    def summary(self) -> str:
        return f"{_parts(self.count)}, {_rows(self.rows)}"

    @property
    def more(self) -> str:
        more = self.count - len(self.first)
        return f"and {more:,} more" if more and self.first else ""


def summarize_job(job: Job) -> JobSummary:
    return JobSummary(job, progress_of(job))


def part_groups(job: Job) -> list[PartGroup]:
    """The parts by state, starting with those that need attention."""
    counts = {row["status"]: row for row in _counted(job)}
    groups = []
    for state in _ORDER:
        if state in counts:
            first = chunks_of(job).filter(status=state)[: _MAX_LISTED.get(state, 0)]
            count, rows = counts[state]["count"], counts[state]["rows_in"] or 0
            groups.append(PartGroup(state, count, rows, [PartSummary(chunk) for chunk in first]))
    return groups


def describe_cancel(job: Job) -> str:
    counts = {row["status"]: row["count"] for row in _counted(job)}
    waiting, leased, done = (
        counts.get(state, 0) for state in (ChunkStatus.WAITING, ChunkStatus.LEASED, ChunkStatus.DONE)
    )
    if not job.is_planned:
        return "The file is still being read; no rows have been processed yet."
    return (
        f"{_parts(waiting)} waiting and {_parts(leased)} running will be cancelled, and unfinished work is lost. The "
        f"results of {_parts(done)} with {_rows(job.rows_done)} can still be downloaded. A cancelled job cannot be resumed."
    )


def describe_retry(job: Job) -> str:
    stuck = {row["status"]: row for row in _counted(job) if row["status"] in STUCK}
    count, rows = (sum(row[name] or 0 for row in stuck.values()) for name in ("count", "rows_in"))
    if not count:
        return "The file will be read again from the start."
    dead = stuck.get(ChunkStatus.DEAD, {}).get("count", 0)
    warning = f" Workers died three times on {_parts(dead)}; this may happen again." if dead else ""
    return (
        f"{_parts(count)} with {_rows(rows)} will run again.{warning} Parts that never started will run too. "
        f"{_parts(job.chunks_done)} with {_rows(job.rows_done)} are finished and stay unchanged."
    )


def _counted(job: Job) -> list[dict[str, Any]]:
    groups = chunks_of(job).order_by().values("status")
    return [dict(row) for row in groups.annotate(count=Count("pk"), rows_in=Sum("rows"))]


def _duration_left(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count:,} parts"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def describe_contract(job: Job) -> list[tuple[str, str]]:
    """The row contract as labels and values."""
    contract = Contract.from_json(job.contract)
    facts = [
        (f"input {name}", columns if isinstance(columns, str) else ", ".join(columns))
        for name, columns in contract.columns.items()
    ] or [("inputs", "columns of the same name")]
    facts.append(("id", contract.id or "row number"))
    if contract.passthrough:
        facts.append(("passthrough", ", ".join(contract.passthrough)))
    is_strict = contract.on_row_error is OnRowError.FAIL
    facts.append(("bad rows", "fail the job" if is_strict else f"skipped, up to {contract.error_limit:,}"))
    return facts


def describe_options(job: Job) -> list[tuple[str, str]]:
    """The options of a job's kind as labels and values."""
    return [(name.replace("_", " "), safe_text(value)) for name, value in job.options.items()]


@dataclass(frozen=True, slots=True)
class ResultPreview:
    """The first lines, or why there are none."""

    lines: list[str] = field(default_factory=list)
    why: str = ""


def first_results(job: Job) -> ResultPreview:
    if not job.rows_done and job.status in ENDED:
        return ResultPreview(why="There are no results.")
    if job.rows_done and job.output_ref:
        return ResultPreview(why=f"The results are written to {job.output_ref}.")
    if job.rows_done and job.output_format not in {Format.JSONL, Format.CSV}:
        return ResultPreview(why="No preview for this format; download the results.")
    part = chunks_of(job).filter(status=ChunkStatus.DONE, rows_done__gt=0).first() if job.rows_done else None
    if part is None:
        return ResultPreview(why="The first results will appear here.")
    with files.open_results(part) as results:
        lines = results.read(_PREVIEW_BYTES).decode(errors="replace").splitlines()
    has_header = job.output_format == Format.CSV
    return ResultPreview([short(line, _MAX_LINE) for line in lines[: _PREVIEW_LINES + has_header]])


def draw_jobs(request: HttpRequest, model: Model) -> SafeString:
    """The "Jobs" panel on a Model's page."""
    by = actor(request)
    jobs = jobs_in_reach(by).filter(model=model)[:_MAX_IN_PANEL]
    context = {
        "model": model,
        "jobs": [summarize_job(job) for job in jobs],
        "may_ask": by.may(Right.PREDICT, model_id=model.pk),
    }
    return render_to_string("admin/inference/job_panel.html", context, request)
