"""The document's sender in processes of its own, without Django and without our code, against a served Roundhouse."""

import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest

from tests.support.processes import clean_environment, get, wait_until
from tests.support.sending import documented

ORDER = {
    "model": "ripeness",
    "instances": [[0.8, 0.2, 0.9]],
    "on_done": {"task": "shop.scored", "queue": "shop"},
}
# What an application does not have cannot be imported; Celery itself takes Django where it finds it.
ALONE = "for name in ('django', 'registry', 'inference', 'roundhouse'): sys.modules[name] = None"


class Shop:
    """Another application: a folder with its one module, which is the document's code."""

    def __init__(self, folder, key, url, data):
        self.folder, self.key, self.url = folder, key, url
        blocks = [documented(0), documented(2), documented(3).partition("answer =")[0]]
        if not url:
            blocks[2] = documented(4).replace("/var/lib/roundhouse/celery", str(data / "celery"))
        code = "\n".join(blocks).replace("redis://127.0.0.1:6379/0", url)
        (folder / "shop.py").write_text(code)

    def python(self, code, **more):
        # -I: neither this folder nor PYTHONPATH; what is left is the interpreter with Celery.
        environ = {**clean_environment(KEY=self.key), "TMPDIR": str(self.folder)}
        environ.pop("PYTHONPATH", None)
        lines = f"import sys\n{ALONE}\nsys.path.insert(0, {str(self.folder)!r})\nfrom shop import *\n{code}"
        return subprocess.Popen([sys.executable, "-I", "-c", lines], env=environ, cwd=self.folder, **more)

    def run(self, code):
        process = self.python(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said, complained = process.communicate(timeout=60)
        assert process.returncode == 0, complained
        return said.strip()

    @property
    def log(self):
        return (self.folder / "worker.log").read_text()

    @contextmanager
    def worker(self):
        with (self.folder / "worker.log").open("wb") as sink:
            process = self.python(
                "app.worker_main(['worker', '--queues', 'shop', '--pool', 'solo', '--loglevel', 'info'])",
                stdout=sink, stderr=sink,
            )  # fmt: skip
        try:
            wait_until(lambda: "ready." in self.log, within_s=30, what="the shop's worker")
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            process.wait()

    def results_url(self, job):
        return self.log.partition(f"job {job} is done: ")[2].split()[0]

    def wait_told(self, words, within_s=40):
        wait_until(lambda: words in self.log, within_s=within_s, what=f"{words}; the shop heard:\n{self.log}")


@pytest.fixture(scope="module", params=["files", "redis"])
def shop(request, tmp_path_factory):
    served = request.getfixturevalue({"files": "embedded", "redis": "production"}[request.param])
    folder = tmp_path_factory.mktemp("shop")
    shop = Shop(folder, served.credentials["api_key"], served.variables.get("REDIS_URL", ""), served.data)
    with shop.worker():
        yield shop


def test_a_job_is_sent_done_and_told_of(shop):
    job = shop.run(f"print(submit({ORDER}))")

    shop.wait_told(f"job {job} is done")

    status, results = get(shop.results_url(job), Authorization=f"Bearer {shop.key}")
    assert status == 200
    assert len(results.splitlines()) == 1


def test_sent_twice_is_one_job(shop):
    job = shop.run(f"job = submit({ORDER})\nprint(submit({ORDER}, job))")

    shop.wait_told(f"job {job} is done")

    other = shop.run(f"print(submit({ORDER} | {{'version': 1}}, {job!r}))")
    assert other == job
    shop.wait_told(f"job {job} is refused")


def test_a_refusal_is_told(shop):
    job = shop.run(f"print(submit({ORDER} | {{'model': 'nobody'}}))")

    shop.wait_told(f"job {job} is refused")


def test_a_wrong_key_is_not_heard(shop):
    """And those that follow are: the sender's worker is told in order of arrival."""
    stranger = shop.run(f"import shop; shop.KEY = KEY[:-4] + 'AAAA'; print(submit({ORDER}))")
    friend = shop.run(f"print(submit({ORDER}))")

    shop.wait_told(f"job {friend} is done")

    assert stranger not in shop.log


@pytest.mark.parametrize("shop", ["redis"], indirect=True)  # files carry no answers
def test_an_answer_at_once(shop):
    question = documented(3).partition("answer =")[2].partition("\n")[0]

    said = shop.run(f"print(answer := {question})\nassert answer['ok'] and len(answer['prediction']) == 3")

    assert "'model': 'ripeness'" in said

    said = shop.run("print(predict({'model': 'nobody', 'features': [1]}))")
    assert "'ok': False" in said and "unknown_model" in said
