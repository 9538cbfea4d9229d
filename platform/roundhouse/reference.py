"""The generated pages of docs/: written from the code, so that they cannot say something else."""

from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Any

from inference.jobs import transitions as jobs
from registry.catalogue import transitions as versions
from registry.intake.checklist import transitions as check_lines
from registry.intake.checklist import transitions as check_runs
from registry.traffic import transitions as requests
from registry.traffic import transitions as splits
from roundhouse.env import PREFIX, VARIABLES
from roundhouse.problems import FRAMEWORK, known_errors

_NOTE = "<!-- Written by `make docs`; edit the code, not this page. -->\n"


def configuration() -> str:
    rows = [
        f"| `{PREFIX}{variable.name}`{' *(secret)*' if variable.is_secret else ''} "
        f"| {f'`{variable.default}`' if variable.default is not None else 'unset'} | {variable.means} |"
        for variable in VARIABLES
    ]
    return "\n".join([
        _NOTE, "# Configuration", "",
        "Roundhouse reads these variables from the environment and nothing else. Mistakes are reported all at once,",
        "with advice, and stop the start; so does a `ROUNDHOUSE_` name that does not exist.", "",
        "A variable marked *secret* can also be given as a file: set its name with `_FILE` to the file's path.", "",
        "| variable | default | meaning |", "|---|---|---|", *rows, "",
        "## Checks at the start", "",
        "| id | refuses or warns |", "|---|---|",
        "| roundhouse.E001 | debug pages in the production profile |",
        "| roundhouse.E002 | a production address without https |",
        "| roundhouse.E003 | SQLite without WAL and IMMEDIATE transactions |",
        "| roundhouse.E004 | none or two ONNX Runtime distributions installed |",
        "| roundhouse.E005 | `ORT_LOAD_CONFIG_FROM_MODEL` is set |",
        "| roundhouse.E006 | Redis may evict keys |",
        "| roundhouse.E007 | Redis is older than 6.2 |",
        "| roundhouse.E008 | every user of the machine can reach into the data folder |",
        "| roundhouse.W001 | Redis does not answer |",
        "| roundhouse.W002 | production without a trusted proxy |",
        "| roundhouse.W003 | the group of the data folder can reach into it |",
        "",
    ])  # fmt: skip


def errors() -> str:
    ours = sorted(
        {(status, kind.code, kind.retryable, _sentence(kind)) for kind, status in known_errors()}  # type: ignore[attr-defined]
    )
    rows = [
        f"| {status} | `{code}` | {'yes' if retryable else 'no'} | {text} |"
        for status, code, retryable, text in ours
    ]
    known_codes = {code for _, code, _, _ in ours}
    rows += [
        f"| {status} | `{code}` | {'yes' if status in {429, 503} else 'no'} | {text} |"
        for status, (code, text) in FRAMEWORK.items()
        if code not in known_codes
    ]
    return "\n".join([
        _NOTE, "# Errors", "",
        "Every error under `/api` is `application/problem+json` (RFC 9457) with `type, title, status, detail`, and",
        "`code` (stable; test for it), `retryable` and `request_id` (it leads to the log line). Where fields are to blame,",
        "`errors` lists them with `pointer` and `detail`. What is retryable with 503 or 429 carries `Retry-After`.", "",
        "| status | code | retryable | meaning |", "|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def _sentence(kind: type[Exception]) -> str:
    return " ".join((getdoc(kind) or "").split())


def states() -> str:
    lines = [_NOTE, "# States", ""]
    tables: dict[str, tuple[Mapping[Any, frozenset[Any]], Mapping[Any, str]]] = {
        "Version": (versions.ALLOWED, versions.MEANING),
        "Split": (splits.ALLOWED, splits.MEANING),
        "Request": (requests.REQUEST_ALLOWED, requests.REQUEST_MEANING),
        "Check": (check_runs.ALLOWED, check_runs.MEANING),
        "Step of a check": (check_lines.LINE_ALLOWED, check_lines.LINE_MEANING),
        "Job": (jobs.ALLOWED, jobs.MEANING),
        "Part of a job": (jobs.CHUNK_ALLOWED, jobs.CHUNK_MEANING),
    }
    for title, (allowed, meaning) in tables.items():
        lines += [f"## {title}", "", "| state | means | may become |", "|---|---|---|"]
        for state, following in allowed.items():
            to = ", ".join(f"`{name}`" for name in sorted(following)) or "nothing"
            lines.append(f"| `{state}` | {meaning[state]} | {to} |")
        lines.append("")
    lines.append("Every move is one conditional update: of two that try at once, one is told `stale_state`.")
    return "\n".join([*lines, ""])


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "errors.md": errors,
    "states.md": states,
}
