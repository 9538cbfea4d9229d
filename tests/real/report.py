"""What is known of each file at the end, as a table."""

from dataclasses import dataclass, field
from statistics import median

from tests.real.corpus import CORPUS, RealFile
from tests.real.importing import Imported

HEADINGS = ["file", "package", "size", "import", "took", "footprint", "batch", "answers", "reason"]


@dataclass
class Line:
    file: RealFile
    imported: Imported
    footprint_bytes: int = 0
    max_batch_rows: int = 0
    answers: dict[str, str] = field(default_factory=dict)  # by executor

    def cells(self) -> list[str]:
        paths = [self.file.path, *self.file.data_paths]
        return [
            self.file.name,
            self.file.package,
            f"{sum(path.stat().st_size for path in paths) / 1024:,.0f} KiB",
            "accepted" if self.imported.is_accepted else "refused",
            f"{self.imported.seconds:.1f} s",
            f"{self.footprint_bytes / 2**20:.1f} MiB",
            str(self.max_batch_rows),
            ", ".join(f"{executor} {said}" for executor, said in self.answers.items()),
            self.imported.reason,
        ]


Table = dict[str, Line]  # by the file's name


def rendered(table: Table) -> list[str]:
    rows = [HEADINGS, *(line.cells() for line in table.values())]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    took = [line.imported.seconds for line in table.values() if line.imported.is_accepted]
    return [
        *lines,
        f"{len(took)} of {len(table)} files accepted, {len(CORPUS)} in the corpus; their imports took"
        f" {median(took or [0]):.1f} s (median)",
    ]
