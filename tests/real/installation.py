"""A served Roundhouse into which files are brought."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.asking import Caller
from tests.real.corpus import RealFile
from tests.real.importing import Checkout, Imported
from tests.support.processes import Served, serving, wait_until

CALLERS = 24


class Installation:
    def __init__(self, served: Served) -> None:
        self.served = served
        tenant = f"real-{served.port}"  # another for each start on the same data
        printed = self._shell(
            f"from tests.support.factories import a_key, a_tenant; print(a_key(tenant=a_tenant({tenant!r}))[1])"
        )
        self.caller = Caller(f"127.0.0.1:{served.port}", printed.split()[-1])

    def let_one_person_decide(self, files: list[RealFile]) -> None:
        """Make the Models beforehand, so that their first versions go live at once."""
        names = [file.name for file in files]
        self._shell(f"from tests.support.factories import a_model\nfor name in {names!r}: a_model(name)")

    def bring(self, file: RealFile) -> Imported:
        """Import a file, and wait until those who answer know it."""
        imported = Checkout().import_file(file, **self.served.variables)
        if imported.is_accepted:
            wait_until(lambda: self.caller.finds(file.name, 1), within_s=60, what=f"{file.name} is known")
        return imported

    def facts(self, file: RealFile) -> dict[str, dict]:
        """What the checks found, by step."""
        checks = self.caller.read(f"/api/v1/models/{file.name}/versions/1/checks")
        return {line["step"]: line["facts"] for line in checks["lines"]}

    def engines(self) -> list[dict]:
        """Those that hold live versions."""
        engines = self.caller.read("/api/v1/engines")["results"]
        return [engine for engine in engines if engine["role"] == "serves" and engine["is_alive"]]

    def _shell(self, code: str) -> str:
        done = self.served.manage("shell", "--no-imports", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def installed(folder: Path, **variables) -> Iterator[Installation]:
    with serving(folder, WEB_THREADS=64, LOG_LEVEL="warning", **variables) as served:
        served.wait_ready()
        yield Installation(served)


def at_once(calls: list[Callable[[], None]]) -> list[BaseException]:
    """Run them together, each in a thread; what they raised."""
    raised: list[BaseException] = []
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], None]) -> None:
        barrier.wait()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - told by the test
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised
