"""The client as a stranger gets it: downloaded into an empty folder, run by a Python that has nothing else."""

import json
import os
import subprocess
import sys
import urllib.request
from textwrap import dedent

import pytest

from registry.intake.services import MAX_PART_BYTES
from tests.support.model_files import looks_like_a_model
from tests.support.processes import ROOT, clean_environment
from tests.support.served_uploads import MIB, Bytes, caller_of

MODEL = ROOT / "examples" / "demand" / "model.onnx"
HARVEST = "fruit,weight,firmness,hue\napple,0.21,0.79,0.31\npear,0.8,0.2,oops\nplum,0.8,0.2,0.9\n"
CONTRACT = {
    "columns": {"features": ["weight", "firmness", "hue"]},
    "id": "fruit",
    "on_row_error": "skip",
}
BEGIN = """\
import json, os, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
import roundhouse
client = roundhouse.Client()
"""


class Stranger:
    """Somebody with the file, an address and a key."""

    def __init__(self, folder, served):
        self.folder = folder
        self.environment = clean_environment(URL=served.url, KEY=served.credentials["api_key"])
        with urllib.request.urlopen(f"{served.url}/api/v1/client.py", timeout=10) as response:
            (folder / "roundhouse.py").write_bytes(response.read())

    def python(self, *arguments, **environment):
        # -I: neither this folder nor PYTHONPATH; -S: nothing that is installed.
        return subprocess.run(
            [sys.executable, "-I", "-S", *arguments],
            cwd=self.folder, env={**self.environment, **environment}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def script(self, code):
        """What the code, which has a `client`, leaves in `result`."""
        made = self.python("-c", f"{BEGIN}{dedent(code)}\nprint(json.dumps(result))")
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)

    def program(self, *arguments, **environment):
        return self.python("roundhouse.py", *arguments, **environment)


@pytest.fixture
def stranger(embedded, tmp_path):
    yield Stranger(tmp_path, embedded)
    caller = caller_of(embedded)
    for upload in caller.ask("GET", "uploads")[1]["results"]:
        caller.abandon(upload["id"])


def test_the_file_is_all_there_is(stranger):
    """Else the other tests would show nothing."""
    assert os.listdir(stranger.folder) == ["roundhouse.py"]
    assert "No module named" in stranger.python("-c", "import django").stderr
    assert stranger.program("--help").stdout.startswith("usage: roundhouse.py")


class TestPredictions:
    @pytest.fixture(autouse=True)
    def picture(self, stranger):
        stranger.script("""
            from base64 import b64decode
            example = client.call("GET", "models/shapes/schema")["examples"]["image"]["image"]
            result = Path("square.png").write_bytes(b64decode(example))
        """)

    @pytest.mark.parametrize(
        ("call", "found"),
        [
            ("predict('ripeness', features=[0.21, 0.79, 0.31])['prediction'][0] > 0.9", True),
            ("predict('ripeness@champion', instances=[[0.21, 0.79, 0.31]], deadline_s=5)['version']", 1),
            ("predict('demand/versions/1', instances=[{'hour': [0.25], 'warmth': [0.5]}])['model']", "demand"),
            ("predict('ripeness', data=[0.21, 0.79, 0.31], dry_run=True)['valid']", True),
            ("ask('tone', text='The food was wonderful.', top_k=1)['label']", "positive"),
            ("classify('Terrible service!')['label']", "negative"),
            ("classify(['Terrible service!', 'How wonderful.'], model='tone')['answers'][0]['label']", "negative"),
            ("entities('Ada Lovelace met Charles Babbage.')['entities'][0]['text']", "Ada Lovelace"),
            ("classify(image='square.png')['label']", "square"),
            ("detect(Path('square.png'), threshold=0.9)['objects'][0]['label']", "square"),
            ("detect([Path('square.png').read_bytes()] * 2)['answers'][1]['objects'][0]['label']", "square"),
        ],
        ids=["features", "instances", "version", "dry run", "ask", "text", "texts", "entities", "image", "detect", "images"],
    )  # fmt: skip
    def test_of_every_task(self, stranger, call, found):
        assert stranger.script(f"result = client.{call}") == found

    def test_what_is_wrong_is_told(self, stranger):
        told = stranger.script("""
            try:
                client.predict("ripeness", features=[0.21, 0.79])
            except roundhouse.RoundhouseError as error:
                result = [error.status, error.code, error.errors[0]["pointer"], bool(error.request_id)]
        """)

        assert told == [422, "wrong_dimension", "#/features", True]

    def test_in_a_shell(self, stranger):
        asked = stranger.program("predict", "ripeness", '{"features": [0.21, 0.79, 0.31]}')
        named = stranger.program("predict", "figures", "--image", "square.png")
        live = stranger.program("status", "tone")

        assert json.loads(asked.stdout)["model"] == "ripeness"
        assert json.loads(named.stdout)["label"] == "square"
        assert json.loads(live.stdout)["arms"][0]["version"] == 1


class TestJobs:
    @pytest.fixture(autouse=True)
    def harvest(self, stranger):
        (stranger.folder / "harvest.csv").write_text(HARVEST)

    def test_from_the_file_to_the_results(self, stranger):
        told = stranger.script(f"""
            job = client.run_job("ripeness", "harvest.csv", contract={CONTRACT}, output_format="jsonl")
            client.download(job, "ripe.jsonl")
            client.download(job, "bad.jsonl", "errors")
            result = [job["status"], job["progress"]["rows_bad"]]
        """)

        rows = [json.loads(line) for line in (stranger.folder / "ripe.jsonl").read_text().splitlines()]
        assert told == ["done", 1]
        assert [row["fruit"] for row in rows] == ["apple", "plum"]
        assert json.loads((stranger.folder / "bad.jsonl").read_text())["id"] == "pear"

    def test_a_download_is_resumed(self, stranger):
        whole = stranger.script("""
            job = client.run_job("ripeness", [[0.21, 0.79, 0.31]] * 3)
            result = client.results(job).decode()
            part = Path(f"out.jsonl.{job['id']}.part")
            part.write_bytes(b"?" * 20)  # shows what was not fetched again
            client.download(job, "out.jsonl")
            part.write_text(result)
            client.download(job, "out.jsonl.all")
        """)

        assert (stranger.folder / "out.jsonl").read_text() == "?" * 20 + whole[20:]
        assert (stranger.folder / "out.jsonl.all").read_text() == whole

    def test_one_file_is_one_job_however_often_it_is_sent(self, stranger):
        first, second = stranger.script(f"""
            given = dict(contract={CONTRACT}, idempotency_key="harvest-" + os.urandom(4).hex())
            result = [client.start_job("ripeness", "harvest.csv", **given)["id"] for _ in range(2)]
        """)

        assert first == second

    def test_a_file_that_needs_an_upload(self, stranger):
        told = stranger.script(f"""
            roundhouse._BODY_BYTES = 10
            job = client.start_job("ripeness", "harvest.csv", contract={CONTRACT})
            client.cancel_job(job, "seen enough")
            result = [job["source"], client.wait_for_job(job)["status"] in {{"cancelled", "done"}}]
        """)

        assert told == ["file", True]

    def test_in_a_shell(self, stranger):
        arguments = ["job", "ripeness", "harvest.csv", "--contract"]

        good = stranger.program(*arguments, json.dumps(CONTRACT), "--output", "ripe.csv")
        bad = stranger.program(*arguments, json.dumps({**CONTRACT, "on_row_error": "fail"}))

        assert (good.returncode, good.stdout) == (0, ""), good.stderr
        assert (stranger.folder / "ripe.csv").read_text().startswith("fruit,probabilities.0")
        assert "is done: 2 rows, 1 skipped.\n" in good.stderr
        assert bad.returncode == 1
        assert "is failed" in bad.stderr


class TestPush:
    def test_green(self, stranger):
        (stranger.folder / "training.json").write_text('{"git_commit": "4f2c1e9", "metrics": {"rmse": 1.5}}')

        made = stranger.program(
            "push",
            "pushed",
            MODEL,
            "--new-model",
            "tensor",
            "--wait",
            "--ask-share",
            "100",
            "--notes",
            "by CI",
            "--training",
            "training.json",
        )

        version = json.loads(made.stdout)
        assert made.returncode == 0, made.stderr
        assert (version["model"], version["number"], version["status"]) == ("pushed", 1, "ready")
        assert version["origin"]["training"] == {"git_commit": "4f2c1e9", "metrics": {"rmse": 1.5}}
        assert version["check"]["state"] == "passed"
        assert version["request"]["arms"] == [{"version": 1, "share": 10_000}]
        assert "100 % sent\npushed version 1 is being checked\nFile: passed" in made.stderr
        assert "for 100 % waits for approval" in made.stderr

    def test_red(self, stranger):
        (stranger.folder / "bad.onnx").write_bytes(looks_like_a_model(b"but is none"))

        made = stranger.program(
            "push", "pushed-badly", "bad.onnx", "--new-model", "tensor", "--wait", "--ask-share", "100"
        )

        version = json.loads(made.stdout)
        (line,) = (line for line in version["check"]["lines"] if line["state"] == "failed")
        assert made.returncode == 1
        assert version["status"] == "failed"
        assert f"{line['title']}: failed. {line['reason']}" in made.stderr
        assert "request" not in version

    def test_files_and_labels_of_a_task(self, stranger):
        tone = ROOT / "examples" / "tone"
        config = json.loads((tone / "about.json").read_text())["task_config"]
        labels = config.pop("labels")
        (stranger.folder / "config.json").write_text(json.dumps(config))
        arguments = [argument for label in labels for argument in ("--label", label)]

        made = stranger.program(
            "push", "pushed-tone", tone / "model.onnx", "--file", tone / "vocab.txt", "--task-config", "config.json",
            "--new-model", "text-classification", *arguments,
        )  # fmt: skip

        version = json.loads(made.stdout)
        assert made.returncode == 0, made.stderr
        assert version["task_config"]["labels"] == labels
        assert list(version["task_files"]) == ["vocab.txt"]

    @pytest.mark.parametrize(
        ("arguments", "status", "code"),
        [
            (["roundhouse.py", "--new-model", "tensor"], 1, "not_onnx"),
            ([MODEL], 1, "not_found"),
            ([MODEL, "--new-model", "poetry"], 1, "invalid"),
        ],
        ids=["no model file", "no such Model", "no such task"],
    )
    def test_refused(self, stranger, arguments, status, code):
        made = stranger.program("push", "never-pushed", *arguments)

        assert (made.returncode, made.stdout) == (status, "")
        assert code in made.stderr

    def test_refused_and_completed_without_sending_it_again(self, stranger):
        refused = stranger.program("push", "second-try", MODEL, "--new-model", "poetry")

        made = stranger.program("push", "second-try", MODEL, "--new-model", "tensor", "--resume")

        assert (refused.returncode, made.returncode) == (1, 0), made.stderr
        assert "--resume does not send again" in refused.stderr
        assert "sent" not in made.stderr

    def test_interrupted_and_resumed_by_another_process(self, stranger, embedded):
        """The first process ends after one part; the second sends the others only."""
        size = MAX_PART_BYTES + MIB
        file = Bytes(size, seed=7)
        (stranger.folder / "model.onnx").write_bytes(file[0:size])

        ended = stranger.python(
            "-c", f"{BEGIN}client.upload('model.onnx', on_bytes=lambda sent, size: os._exit(9))"
        )
        made = stranger.program("push", "resumed", "model.onnx", "--new-model", "tensor", "--resume")

        version = json.loads(made.stdout)
        assert ended.returncode == 9
        assert version["sha256"] == file.sha256()
        assert made.stderr.startswith("100 % sent\n")
        assert caller_of(embedded).ask("GET", "uploads")[1]["results"] == []
