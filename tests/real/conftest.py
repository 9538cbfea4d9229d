"""Two ways of running versions, one after the other on the same data, and the table at the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import pytest

from tests.real.corpus import CORPUS, RealFile, write_licences
from tests.real.importing import Imported
from tests.real.installation import Installation, installed
from tests.real.locales import use_locale
from tests.support.missing import missing
from tests.support.private import PrivateRedis


@dataclass
class Line:
    """What is known of a file."""

    file: RealFile
    imported: Imported
    footprint_bytes: int = 0
    max_batch_rows: int = 0
    answers: dict[str, str] = field(default_factory=dict)  # by executor

    def cells(self) -> list[str]:
        size = self.file.path.stat().st_size + sum(path.stat().st_size for path in self.file.data_paths)
        return [
            self.file.name,
            self.file.package,
            f"{size / 1024:,.0f} KiB",
            "accepted" if self.imported.is_accepted else "refused",
            f"{self.imported.seconds:.1f} s",
            f"{self.footprint_bytes / 2**20:.1f} MiB",
            str(self.max_batch_rows),
            ", ".join(f"{executor} {said}" for executor, said in self.answers.items()),
            self.imported.reason,
        ]


HEADINGS = ["file", "package", "size", "import", "took", "footprint", "batch", "answers", "reason"]
_table: dict[str, Line] = {}


@pytest.fixture(scope="session", autouse=True)
def prepared() -> None:
    """Fetch and export before the first server starts; the locale is found by all processes that follow."""
    use_locale()
    write_licences()


@pytest.fixture(scope="session")
def table() -> dict[str, Line]:
    return _table


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session", params=["inprocess", "workers"])
def installation(request, prepared, data) -> Iterator[Installation]:
    if request.param == "inprocess":
        with installed(data, EXECUTOR="inprocess", WEB_PROCESSES=1) as one:
            yield one
        return
    if not PrivateRedis.is_installed():
        missing("no redis-server to start")
    redis = PrivateRedis().start()
    try:
        with installed(data, EXECUTOR="workers", REDIS_URL=redis.url) as one:
            yield one
    finally:
        redis.stop()


@pytest.fixture
def executor(installation) -> str:
    return installation.served.variables["EXECUTOR"]


def pytest_terminal_summary(terminalreporter) -> None:
    if not _table:
        return
    rows = [HEADINGS, *(line.cells() for line in _table.values())]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]
    terminalreporter.section("real files")
    for row in rows:
        terminalreporter.write_line(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    accepted = [line for line in _table.values() if line.imported.is_accepted]
    took = median(line.imported.seconds for line in _table.values())
    terminalreporter.write_line(
        f"{len(accepted)} of {len(_table)} files accepted, {len(CORPUS)} in the corpus; an import took {took:.1f} s (median)"
    )
