"""The product as people run it: started, watched through /proc, ended by process id."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USUAL_UMASK = 0o022  # of people's shells; the tests' own is the product's


def clean_environment(**variables) -> dict[str, str]:
    """This environment without any Roundhouse setting, with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUNDHOUSE_")}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    return {**kept, **{f"ROUNDHOUSE_{name}": str(value) for name, value in variables.items()}}


def product_environment(**variables) -> dict[str, str]:
    """The same for a Python of our own that imports the product."""
    return {
        **clean_environment(**variables),
        "DJANGO_SETTINGS_MODULE": "roundhouse.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
    }


def manage(*arguments, timeout=60, **variables) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env=clean_environment(**{"GRPC_PORT": 0, **variables}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        umask=USUAL_UMASK,
    )


def import_live(slug, path, *beside, options=None, **variables) -> subprocess.CompletedProcess:
    """Import a file as a Model that one person may set live, so that its first version is. `options`: of import_model."""
    options = options or {}
    files = [str(file) for file in (path, *beside)]
    code = (
        "from pathlib import PosixPath\n"
        "from django.core.management import call_command\n"
        "from tests.support.factories import a_model\n"
        f"a_model({slug!r}, task={options.get('task', 'tensor')!r})\n"
        f"call_command('import_model', {slug!r}, *{files!r}, **{options!r})\n"
    )
    return manage("shell", "--no-imports", "-c", code, **variables)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(holds, *, within_s, what):
    """Look until it holds and return what it gave; these are other processes, whose events we cannot await."""
    give_up_at = time.monotonic() + within_s
    while True:
        result = holds()
        if result:
            return result
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.02)


def get(url, **headers):
    """Status and body of a GET; (0, "") when nothing answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def post(url, body, **headers):
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def family_of(pid) -> dict[int, str]:
    """All descendants of a process, with their command lines."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                if status[0] == "Z":
                    continue
                parents[int(entry.name)] = int(status[1])
                commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    family, todo = {}, [pid]
    while todo:
        parent = todo.pop()
        for child in [child for child, its_parent in parents.items() if its_parent == parent]:
            family[child] = commands[child]
            todo.append(child)
    return family


def _age(pid) -> tuple[int, int]:
    """Clock tick of its start, then its id: ids alone begin again at the top of their range."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid


@contextmanager
def growing_at_most(pids, mebibytes):
    """Watch the processes' memory: the most that they had meanwhile, not what is left."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = _memory(pids, "VmRSS")
    yield
    grown = _memory(pids, "VmHWM") - before
    assert grown <= mebibytes, f"they grew by {grown:.0f} MiB"


def _memory(pids, field) -> float:
    states = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(state.partition(f"{field}:")[2].split()[0]) for state in states) / 1024


def threads_of(pids) -> int:
    """How many threads they have together."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def is_running(pid) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def paused(pid, data=None):
    """The process stands still, all its threads, and does not hold the write lock of the SQLite database in `data`."""
    _pause(pid)
    try:
        while data is not None and _is_locked(data / "roundhouse.sqlite3"):
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)
            _pause(pid)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _pause(pid):
    """Wait for it: a thread that is kept from a core, as nice ones are, stops only when it gets one."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    wait_until(
        lambda: all(_state(thread) == "T" for thread in threads.iterdir()),
        within_s=60,
        what=f"{pid} stands still",
    )


def _state(task) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # the thread has ended
        return "T"


def _is_locked(database) -> bool:
    with closing(sqlite3.connect(database, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


class Served:
    """A running `manage.py serve`, and the settings it was started with."""

    def __init__(self, process, url, variables, log):
        self.process, self.url, self.variables, self._log = process, url, variables, log
        self.data = variables["DATA"]

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int:
        return self.variables["PORT"]

    @property
    def grpc_port(self) -> int:
        return self.variables["GRPC_PORT"]

    @property
    def credentials(self) -> dict[str, str]:
        return json.loads((self.data / "first-run.json").read_text())

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credentials['api_key']}"}

    def manage(self, *arguments, **options) -> subprocess.CompletedProcess:
        """A command beside it, with the same settings."""
        return manage(*arguments, **{**self.variables, "GRPC_PORT": 0, **options})

    def is_ready(self) -> bool:
        return get(f"{self.url}/readyz")[0] == 200

    def wait_ready(self, within_s=180):
        wait_until(self.is_ready, within_s=within_s, what=f"ready; it said:\n{self.output}")

    def family(self) -> dict[int, str]:
        return family_of(self.process.pid)

    def find(self, text) -> list[int]:
        """The processes that run this, the parent before its forks."""
        return sorted((pid for pid, command in self.family().items() if re.search(text, command)), key=_age)

    def stop(self, number=signal.SIGTERM) -> float:
        """Signal it, wait for the end, return how long that took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=40)
        return time.monotonic() - started


@contextmanager
def serving(folder, *arguments, **variables):
    """Run `manage.py serve` on a free port; whatever happens, nothing of it stays."""
    port = variables.pop("PORT", None) or free_port()
    data, log = Path(folder) / "data", Path(folder) / f"serve-{time.monotonic_ns()}.log"
    variables = {
        "DATA": data,
        "WEB_THREADS": 8,
        "GRPC_PORT": 0,
        "LOG_LEVEL": "info",
        "JOB_NICENESS": 0,  # at 19 a worker beside other tests gets a hundredth of a core
        **variables,
        "PORT": port,
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "serve", *arguments],
            env=clean_environment(**variables),
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=folder,
            umask=USUAL_UMASK,
        )
    served = Served(process, f"http://127.0.0.1:{port}", variables, log)
    try:
        yield served
    finally:
        family = served.family()
        if process.poll() is None:
            process.kill()
            process.wait()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def changed_web_process(
    folder, data, change, *, threads, before="", server="", options=(), respawns=False, **variables
):
    """A web process beside those of a served Roundhouse, with lines of Python that take a guard away; gives its port.

    Lines may come `before` anything of it is loaded, and others change the `server` (`roundhouse.granian_server`), which
    gets more `options`. With `respawns` it is started again when it dies.
    """
    (folder / "changed.py").write_text(f"{before}\nfrom roundhouse.web import application\n{change}\n")
    port = free_port()
    command = [
        sys.executable, "-c", f"from roundhouse import granian_server as server\n{server}\nserver.main()",
        "--interface", "rsgi", "--loop", "uvloop", "--task-impl", "asyncio",
        "--port", str(port), "--workers", "1", "--backpressure", "16384", "--http", "1", "--no-ws", "--log-level", "error",
        *(["--respawn-failed-workers", "--respawn-interval", "0.2"] if respawns else []),
        *options, "changed:application",
    ]  # fmt: skip
    environ = clean_environment(DATA=data, GRPC_PORT=0, WEB_THREADS=threads, **variables)
    environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT), str(ROOT / "platform")])
    process = subprocess.Popen(command, env=environ, cwd=folder, start_new_session=True)
    try:
        yield port
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # a thread of it may still read
            process.wait(timeout=20)
        with suppress(ProcessLookupError):  # the group: one of it may have been started just now
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
