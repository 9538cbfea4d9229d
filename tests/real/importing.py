"""Imports a file by the command, as a user does, and tells what came of it."""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.real.corpus import RealFile
from tests.support.processes import ROOT, clean_environment

_LIMIT_S = 600


@dataclass(frozen=True)
class Imported:
    is_accepted: bool
    seconds: float
    output: str

    @property
    def reason(self) -> str:
        """Why it was refused, in one line; empty where it was not."""
        if self.is_accepted:
            return ""
        lines = [line for line in self.output.splitlines() if line.strip()]
        return re.sub(r"^CommandError: ", "", lines[-1]) if lines else "said nothing"


@dataclass(frozen=True)
class Checkout:
    """A working tree with a virtual environment, whose commands are run."""

    folder: Path = ROOT

    def manage(self, *arguments, **variables) -> subprocess.CompletedProcess:
        environment = clean_environment(**{**variables, "GRPC_PORT": 0})
        environment.pop("PYTHONPATH", None)  # it may name another checkout
        return subprocess.run(
            [self.folder / ".venv" / "bin" / "python", self.folder / "manage.py", *arguments],
            env=environment, cwd=self.folder, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip

    @cache  # noqa: B019 - few, and as long as the run
    def knows(self, option: str) -> bool:
        """Whether the help of import_model names it."""
        return option in self.manage("import_model", "--help").stdout.lower()

    def import_file(self, file: RealFile, **variables) -> Imported:
        arguments = self._arguments(file)
        started = time.monotonic()
        done = self.manage("import_model", file.name, *arguments, **variables)
        seconds = time.monotonic() - started
        return Imported(done.returncode == 0, seconds, done.stdout + done.stderr)

    def _arguments(self, file: RealFile) -> list[str]:
        """What a checkout that is older than an option does not know is left out, and it refuses the file."""
        arguments = [os.fspath(file.path)]
        if file.data and self.knows("[data"):
            arguments += map(os.fspath, file.data_paths)
        if not file.flags or self.knows(file.flags[0]):
            arguments += file.flags
        return arguments
