"""The generated pages of docs/, written from the code so that they cannot disagree with it."""

from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.jobs import transitions as jobs
from moderation.appeals import transitions as appeals
from moderation.cases import transitions as cases
from moderation.policies import transitions as revisions
from moderation.privacy import transitions as erasures
from moderation.reports import transitions as reports
from moderation.review import transitions as verdicts
from registry.catalogue import transitions as versions
from registry.intake.checklist import transitions as check_lines
from registry.intake.checklist import transitions as check_runs
from registry.traffic import transitions as requests
from registry.traffic import transitions as splits
from roundhouse.env import PREFIX, ROOT, VARIABLES
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
        "Roundhouse reads these environment variables and nothing else. A wrong value, or a `ROUNDHOUSE_` name that does",
        "not exist, prevents Roundhouse from starting; all problems are reported together, each with advice.", "",
        "A *secret* can also be read from a file: set the variable's name plus `_FILE` to the file's path.", "",
        "| variable | default | meaning |", "|---|---|---|", *rows, "",
        "## Start-up checks", "",
        "An error (E) prevents Roundhouse from starting; a warning (W) does not.", "",
        "| id | reported when |", "|---|---|",
        "| roundhouse.E001 | debug pages are on in the production profile |",
        "| roundhouse.E002 | the production profile has a public URL without https |",
        "| roundhouse.E003 | SQLite is not set to WAL with IMMEDIATE transactions |",
        "| roundhouse.E004 | no ONNX Runtime distribution is installed, or two are |",
        "| roundhouse.E005 | `ORT_LOAD_CONFIG_FROM_MODEL` is set |",
        "| roundhouse.E006 | Redis may evict keys |",
        "| roundhouse.E007 | Redis is older than 6.2 |",
        "| roundhouse.E008 | every user of the machine can read the data folder |",
        "| roundhouse.W001 | Redis is not responding |",
        "| roundhouse.W002 | the production profile trusts no proxy |",
        "| roundhouse.W003 | the data folder's group can read it |",
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
        "`code` (stable; test for this), `retryable` and `request_id` (search for it in the log). If fields are wrong,",
        "`errors` lists them with `pointer` and `detail`. A retryable 503 or 429 carries `Retry-After`.", "",
        "| status | code | retryable | meaning |", "|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def _sentence(kind: type[Exception]) -> str:
    return " ".join((getdoc(kind) or "").split())


def states() -> str:
    lines = [_NOTE, "# States", ""]
    tables: dict[str, tuple[Mapping[Any, frozenset[Any]], Mapping[Any, str]]] = {
        "Version": (versions.ALLOWED, versions.MEANING),
        "Split": (splits.ALLOWED, splits.MEANING),
        "Approval request": (requests.REQUEST_ALLOWED, requests.REQUEST_MEANING),
        "Check": (check_runs.ALLOWED, check_runs.MEANING),
        "Check step": (check_lines.LINE_ALLOWED, check_lines.LINE_MEANING),
        "Job": (jobs.ALLOWED, jobs.MEANING),
        "Chunk of a job": (jobs.CHUNK_ALLOWED, jobs.CHUNK_MEANING),
        "Revision of a policy": (revisions.REVISION_ALLOWED, revisions.REVISION_MEANING),
        "Erasure": (erasures.ERASURE_ALLOWED, erasures.ERASURE_MEANING),
        "Case": (cases.CASE_ALLOWED, cases.CASE_MEANING),
        "Verdict": (verdicts.VERDICT_ALLOWED, verdicts.VERDICT_MEANING),
        "Proposed account action": (verdicts.PROPOSAL_ALLOWED, verdicts.PROPOSAL_MEANING),
        "Appeal": (appeals.APPEAL_ALLOWED, appeals.APPEAL_MEANING),
        "Report": (reports.REPORT_ALLOWED, reports.REPORT_MEANING),
    }
    for title, (allowed, meaning) in tables.items():
        lines += [f"## {title}", "", "| state | meaning | next states |", "|---|---|---|"]
        for state, following in allowed.items():
            to = ", ".join(f"`{name}`" for name in sorted(following)) or "none"
            lines.append(f"| `{state}` | {meaning[state]} | {to} |")
        lines.append("")
    lines.append(
        "Each change of state is one conditional update. If two try at once, one wins and the other gets `stale_state`."
    )
    return "\n".join([*lines, ""])


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "errors.md": errors,
    "states.md": states,
}


class Command(BaseCommand):
    help = "Write the generated pages of docs/ from the code."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail if a page is out of date."
        )

    def handle(self, *_: Any, check: bool, **__: Any) -> None:
        stale = [name for name, make in PAGES.items() if _read(name) != make()]
        if check and stale:
            raise CommandError(f"Out of date: {', '.join(stale)}. Run `make docs`.")
        for name in stale:
            (ROOT / "docs" / name).write_text(PAGES[name]())
            self.stdout.write(f"docs/{name} written")


def _read(name: str) -> str:
    path = ROOT / "docs" / name
    return path.read_text() if path.exists() else ""
