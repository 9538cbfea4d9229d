"""Changes the product in small ways, one at a time, and sees whether a test notices: `make mutants`.

    python -m tests.support.mutants map               run all tests of unit and rows once; note which lines each one ran
    python -m tests.support.mutants run               200 mutants by dice; each meets the tests that ran its line
    python -m tests.support.mutants run --seed 7      the same ones again
    python -m tests.support.mutants run --from FILE   the ones that an earlier run wrote down, on the tests of today

What is written lies in .mutants/. A mutant that lives is either equivalent, or says which test is missing.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

import coverage
import pytest

from tests.support.private import a_database, drop_database
from tests.support.processes import ROOT
from tests.support.services import DATABASE_URL, SERVICE_REDIS_URL

FOLDER = ROOT / ".mutants"
MAP = FOLDER / "map.json"
LAYERS = ("tests/unit", "tests/rows")
MUTATED = ("registry/**/services*.py", "registry/**/services/*.py", "inference/doors/**/*.py",
           "inference/engine/**/*.py", "inference/jobs/**/*.py")  # fmt: skip
LEFT_OUT = ("/migrations/", "/generated/", "/admin", "/management/")
SLOTS, AT_MOST_S, FIRST_REDIS = 2, 120.0, 10
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}
LOG_CALLS = {"debug", "info", "warning", "error", "exception"}


@dataclass(frozen=True)
class Mutant:
    """The text between two places of a file, and what stands there instead."""

    path: str
    line: int
    begin: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {' '.join(self.old.split())} -> {' '.join(self.new.split())}"


def mutants_of(path: Path) -> Iterator[Mutant]:
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _functions_code(ast.parse(source)):
        for new in _changes_of(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            text = f"({ast.unparse(new)})" if isinstance(new, ast.expr) else ast.unparse(new)
            name = str(path.relative_to(ROOT))
            yield Mutant(name, node.lineno, begin, end, source[begin:end].decode(), text)


def _functions_code(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when it is called: lines that run at import belong to no test."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _code_of(node)
        else:
            yield from _functions_code(node)


def _code_of(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run: no docstrings, annotations, defaults, decorators, or lines for a log."""
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "decorator_list", "args"} and not isinstance(tree, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_silent(child):
                yield child
                yield from _code_of(child)


def _is_silent(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr | ast.Raise):  # words for people
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in LOG_CALLS
    )


def _changes_of(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield _with(node, ops=[COMPARISONS[type(op)]()])
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BinOp(op=op, left=left) if type(op) in ARITHMETIC and not isinstance(left, ast.Constant):
            yield _with(node, op=ARITHMETIC[type(op)]())
        case ast.Constant(value=bool(value)):
            yield _with(node, value=not value)
        case ast.Constant(value=int(value)):
            yield _with(node, value=value + 1)
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(value=ast.Constant(value=None))
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Mapping:
    """A plugin for pytest: which lines of the product each test ran, and how long it took."""

    def __init__(self, worker: str) -> None:
        self._took: Counter[str] = Counter()
        self._worker = worker
        self._coverage = coverage.Coverage(
            data_file=str(FOLDER / f"coverage.{worker}"), source=["registry", "inference"], branch=False
        )
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._took[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        self._coverage.save()
        (FOLDER / f"took.{self._worker}.json").write_text(json.dumps(self._took))


def pytest_configure(config: pytest.Config) -> None:
    """Where pytest is told `-p tests.support.mutants`."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker or not config.getoption("numprocesses"):
        config.pluginmanager.register(Mapping(worker or "one"))


def make_map() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(SLOTS), "-p", "tests.support.mutants", *LAYERS]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    lines: dict[str, dict[int, list[int]]] = {}
    took: dict[str, float] = {}
    numbers: dict[str, int] = {}  # of the tests: their names are long, and come many times
    for data_file in FOLDER.glob("coverage.*"):
        data = coverage.CoverageData(str(data_file))
        data.read()
        for path in data.measured_files():
            here = lines.setdefault(str(Path(path).relative_to(ROOT)), {})
            for line, tests in data.contexts_by_lineno(path).items():
                here.setdefault(line, []).extend(
                    numbers.setdefault(test, len(numbers)) for test in tests if test
                )
        data_file.unlink()
    for part in FOLDER.glob("took.*.json"):
        took |= json.loads(part.read_text())
        part.unlink()
    MAP.write_text(json.dumps({"tests": list(numbers), "lines": lines, "took": took}))


class Slot:
    """A copy of the tree with a database of its own, in which one mutant after the other is met."""

    def __init__(self, opened: ExitStack, number: int, database_url: str, redis_url: str) -> None:
        self.root = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="mutants-"))) / "tree"
        shutil.copytree(
            ROOT, self.root, ignore=shutil.ignore_patterns(".git", ".venv", ".mutants", ".*_cache")
        )
        (self.root / ".venv").symlink_to(ROOT / ".venv")
        database = opened.enter_context(a_database(database_url))
        opened.callback(drop_database, database_url, f"test_{database.rpartition('/')[2]}")
        self._environ = {
            **os.environ,
            "ROUNDHOUSE_TEST_DATABASE_URL": database,
            "ROUNDHOUSE_TEST_REDIS_URL": f"{redis_url.rpartition('/')[0]}/{FIRST_REDIS + number}",
            "PYTHONDONTWRITEBYTECODE": "1",  # a file's age in seconds is all that is looked at
        }

    def meet(self, mutant: Mutant, tests: list[str], took_s: float) -> str:
        """What became of it: killed by a test, or it lives."""
        path = self.root / mutant.path
        source, times = path.read_bytes(), path.stat()
        path.write_bytes(source[: mutant.begin] + mutant.new.encode() + source[mutant.end :])
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--reuse-db", "-p", "no:randomly",
                   "-p", "no:cacheprovider", "--no-header", "--tb=no", *tests]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=self.root, env=self._environ, capture_output=True, text=True, check=False,
                timeout=60 + 5 * took_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "killed: it hung"
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if done.returncode == 0:
            return "lives"
        ends = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return f"killed: {ends[0].partition(' ')[2] if ends else done.stdout[-200:]}"


def run(mutants: list[Mutant]) -> dict[Mutant, str]:
    known = json.loads(MAP.read_text())
    found: dict[Mutant, str] = {}
    slots: Queue[Slot] = Queue()

    def meet(mutant: Mutant) -> None:
        tests, took_s = tests_for(mutant, known)
        slot = slots.get()
        found[mutant] = slot.meet(mutant, tests, took_s) if tests else "lives: no test runs this line"
        slots.put(slot)
        print(f"{len(found):>4} {time.strftime('%H:%M:%S')} {mutant}: {found[mutant]}", flush=True)

    with ExitStack() as opened:
        for number in range(SLOTS):
            slots.put(Slot(opened, number, DATABASE_URL, SERVICE_REDIS_URL))
        with ThreadPoolExecutor(SLOTS) as threads:
            list(threads.map(meet, mutants))
    return found


def tests_for(mutant: Mutant, known: dict) -> tuple[list[str], float]:
    """The tests that ran the line, the quickest first, as many as run in two minutes."""
    took = known["took"]
    numbers = set(known["lines"].get(mutant.path, {}).get(str(mutant.line), ()))
    tests = sorted((known["tests"][number] for number in numbers), key=lambda test: took.get(test, 0))
    chosen, so_far = [], 0.0
    for test in tests:
        so_far += took.get(test, 0)
        if so_far > AT_MOST_S:
            break
        chosen.append(test)
    return chosen, min(so_far, AT_MOST_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=["map", "run"])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--from", dest="earlier", type=Path)
    chosen = parser.parse_args()
    if chosen.verb == "map":
        return make_map()
    if chosen.earlier:
        mutants = [Mutant(**one) for one in json.loads(chosen.earlier.read_text())["mutants"]]
    else:
        paths = sorted({path for pattern in MUTATED for path in ROOT.glob(pattern)})
        everything = [
            mutant
            for path in paths
            if not any(part in str(path) for part in LEFT_OUT)
            for mutant in mutants_of(path)
        ]
        print(f"seed {chosen.seed}: {chosen.count} of {len(everything):,} mutants")
        mutants = random.Random(chosen.seed).sample(everything, chosen.count)
    found = run(mutants)
    alive = [mutant for mutant, became in found.items() if became.startswith("lives")]
    results = {"seed": chosen.seed, "mutants": [asdict(mutant) for mutant in mutants],
               "found": {str(mutant): became for mutant, became in found.items()}}  # fmt: skip
    (FOLDER / "results.json").write_text(json.dumps(results, indent=1))
    print(
        f"{len(found) - len(alive)} of {len(found)} were killed ({1 - len(alive) / len(found):.1%}); these live:"
    )
    for mutant in sorted(alive, key=str):
        print(f"  {mutant}")


if __name__ == "__main__":
    main()
