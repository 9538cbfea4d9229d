"""Code on a page, and what the page says that it prints."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ALONE = [sys.executable, "-S"]  # a Python that has only what lies beside the code
_BLOCK = re.compile(
    r"^```(?P<language>\w+)(?: test=(?P<kind>\w+))?(?P<start> start)?\n(?P<code>.*?)^```$", re.M | re.S
)
_PRINTS = re.compile(r"^(?:#|//) → (.*)$", re.M)


class Snippet(NamedTuple):
    language: str
    kind: str | None  # what runs it; None: nothing does
    line: int
    code: str
    prints: str

    def __str__(self) -> str:
        return f"{self.kind}-line-{self.line}"


def snippets_of(page: Path) -> list[Snippet]:
    """All blocks of code; what is marked `start` is not one, but stands before the others of its kind."""
    text, starts, found = page.read_text(), {}, []
    for block in _BLOCK.finditer(text):
        language, kind, start, code = block.group("language", "kind", "start", "code")
        if start:
            starts[kind] = code
            continue
        line = text.count("\n", 0, block.start()) + 1
        found.append(
            Snippet(language, kind, line, starts.get(kind, "") + code, "\n".join(_PRINTS.findall(code)))
        )
    return found


def run(command, snippet: Snippet, folder: Path, environment, suffix="") -> subprocess.CompletedProcess:
    """Save a snippet and run it as its reader would."""
    file = folder / f"snippet{suffix}"
    file.write_text(snippet.code)
    return subprocess.run(
        [*command, file], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def check_printed(made: subprocess.CompletedProcess, snippet: Snippet) -> None:
    """Compare what came out with what the page promises, in which `…` is whatever the page does not say."""
    assert made.returncode == 0, made.stdout + made.stderr
    promised = ".*?".join(re.escape(_dense(part)) for part in snippet.prints.split("…"))
    assert re.fullmatch(promised, _dense(made.stdout)), (
        f"promised:\n{snippet.prints}\nprinted:\n{made.stdout}"
    )


def _dense(text: str) -> str:
    return re.sub(r"\s+", "", text)
