"""The first results of a job, as text for its page."""

from dataclasses import dataclass, field

from inference.jobs import files
from inference.jobs.models import Format, Job
from inference.jobs.selectors import chunks_of
from inference.jobs.transitions import ENDED, ChunkStatus
from registry.kit.admin.facts import short

_LINES, _BYTES, _LONGEST = 5, 2**16, 240


@dataclass(frozen=True, slots=True)
class Preview:
    """Lines, or why there are none."""

    lines: list[str] = field(default_factory=list)
    why: str = ""


def first_results(job: Job) -> Preview:
    if not job.rows_done:
        return Preview(
            why="None were made." if job.status in ENDED else "They are shown here once there are some."
        )
    if job.output_ref:
        return Preview(why=f"They are written to {job.output_ref}.")
    if job.output_format not in {Format.JSONL, Format.CSV}:
        return Preview(why="This format is not shown as text; download them.")
    part = chunks_of(job).filter(status=ChunkStatus.DONE, rows_done__gt=0).first()
    if part is None:
        return Preview(why="They are shown here once there are some.")
    with files.open_results(part) as results:
        lines = results.read(_BYTES).decode(errors="replace").splitlines()
    has_names = job.output_format == Format.CSV
    return Preview([short(line, _LONGEST) for line in lines[: _LINES + has_names]])
