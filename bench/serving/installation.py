"""A Roundhouse of our own in a temporary folder: its database, its Models, its keys."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from bench.serving.processes import started
from tests.support.processes import ROOT, clean_environment, free_port, get, import_live, manage

sys.path.insert(0, str(ROOT / "platform"))

from roundhouse.env import VARIABLES

PROCESSES = int(next(one.default for one in VARIABLES if one.name == "WEB_PROCESSES"))


class NotPrepared(Exception):
    """A management command failed."""


class Installation:
    """`settings` are ROUNDHOUSE_ variables without the prefix, for every server started from here.

    All others keep the product's defaults, so the results are those of a normal installation.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self._settings = {"DATA": str(folder / "data"), **settings}
        self._manage("migrate", "--verbosity", "0")

    def import_model(self, name: str, path: Path, *beside: Path, **options: Any) -> None:
        imported = import_live(name, path, *beside, options=options, timeout=120, **self._settings)
        self._checked(f"import_model {name}", imported)

    def issue_key(self, tenant: str = "bench") -> str:
        return self._manage("issue_key", f"key of {tenant}", "--tenant", tenant).strip().splitlines()[-1]

    def make_person(self, name: str) -> str:
        """An administrator and operator; their password."""
        return self._manage("first_admin", name).strip().rpartition(" / ")[2]

    @contextmanager
    def served(
        self,
        command: Sequence[str | Path] = (ROOT / "manage.py", "serve"),
        environ: Mapping[str, str] | None = None,
        **settings: str,
    ) -> Iterator[tuple[str, int]]:
        """Serve; yields the address and the main process."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with started(
            [sys.executable, *command],
            folder=self.folder,
            is_ready=lambda: get(f"{url}/readyz")[0] == 200,
            environ={**clean_environment(**{**self._settings, **settings, "PORT": port}), **(environ or {})},
            cwd=ROOT,
        ) as process:
            yield url, process.pid

    def _manage(self, *arguments: str) -> str:
        return self._checked(arguments[0], manage(*arguments, timeout=120, **self._settings))

    def _checked(self, what: str, ended: CompletedProcess[str]) -> str:
        if ended.returncode:
            raise NotPrepared(f"manage.py {what}: {ended.stderr.strip()[-300:]}")
        return ended.stdout
