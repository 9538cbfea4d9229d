"""Files that nobody here made: they come in, and every caller gets what the bare runtime answers."""

import re
from functools import cache, partial

import pytest

from tests.real.bare import Bare, differences
from tests.real.corpus import CORPUS, RealFile
from tests.real.installation import CALLERS, at_once
from tests.real.report import Line

LEAST_SHARE = 0.96
EXPECTED_REFUSALS = {"sk-text": r"locale"}  # where en_US.UTF-8 cannot be built


@pytest.fixture(params=CORPUS, ids=lambda file: file.name)
def file(request) -> RealFile:
    return request.param


@pytest.fixture
def line(file, installation, table) -> Line:
    """The file's line of the table; the file is brought in when that was not done yet."""
    if file.name not in table:
        line = table[file.name] = Line(file, installation.bring(file))
        if line.imported.is_accepted:
            facts = installation.facts(file)
            line.footprint_bytes = facts["warmup"].get("footprint_bytes", 0)
            line.max_batch_rows = facts["batching"].get("rows", 0)
    return table[file.name]


@cache
def _expected(file: RealFile) -> list:
    """Pairs of inputs and of what the bare runtime answers."""
    bare = Bare(file)
    return [(inputs, bare.run(inputs)) for inputs in file.inputs()]


def test_answers_are_those_of_the_bare_runtime(file, line, installation, executor):
    """One caller after the other, then many at once. Versions are asked for by number, so that they come and go."""
    if not line.imported.is_accepted:
        pytest.skip(f"refused: {line.imported.reason}")
    line.answers[executor] = "wrong"
    pairs = _expected(file)

    alone = [_check(installation.caller, file, pair, is_exact=True) for pair in pairs]
    together = at_once(
        [
            partial(_check, installation.caller, file, pairs[number % len(pairs)], is_exact=False)
            for number in range(CALLERS)
        ]
    )

    assert together == []
    line.answers[executor] = f"{len(alone)} + {CALLERS} equal"


def _check(caller, file: RealFile, pair, *, is_exact: bool) -> None:
    inputs, expected = pair
    found = differences(caller.ask(file.name, inputs, version=1), expected, is_exact=is_exact)
    assert found == []


def test_nearly_all_files_are_accepted(table):
    """Comes after the others."""
    if len(table) < len(CORPUS):
        pytest.skip("not all files were tried")
    refused = {name: line.imported.reason for name, line in table.items() if not line.imported.is_accepted}

    unexpected = {
        name: reason
        for name, reason in refused.items()
        if not re.search(EXPECTED_REFUSALS.get(name, "(?!)"), reason)
    }

    assert unexpected == {}
    assert len(table) - len(refused) >= LEAST_SHARE * len(table)
