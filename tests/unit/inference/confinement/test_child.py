"""What a hostile program in a confined child tries is refused by the kernel; without the guard it succeeds."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from inference.confinement import child, landlock, seccomp
from inference.confinement.errors import NotConfined
from tests.support.processes import ROOT

START = """
import json, os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from inference.confinement.child import confine
if {is_confined}:
    confine(readable=[], writable=[Path.cwd()])
try:
    {act}
except (OSError, RuntimeError) as error:
    print(json.dumps({{"refused": type(error).__name__, "number": getattr(error, "errno", None)}}))
else:
    print(json.dumps({{"done": True}}))
"""
NOT_PERMITTED, DENIED, ANOTHER_DEVICE = 1, 13, 18
# What it tries, and with which error it is refused. {there} is a folder that is not the child's.
ACTS = {
    "reads a file": ("open('{there}/secret').read()", DENIED),
    "lists a folder": ("os.listdir('{there}')", DENIED),
    "writes a file": ("open('{there}/marker', 'w')", DENIED),
    "deletes a file": ("os.unlink('{there}/secret')", DENIED),
    "links to a file": ("os.link('{there}/secret', 'link')", ANOTHER_DEVICE),
    "cuts a file off": ("os.truncate('{there}/secret', 1)", DENIED),
    "changes a mode": ("os.chmod('{there}/secret', 0o777)", NOT_PERMITTED),
    "changes a time": ("os.utime('{there}/secret', (1, 1))", NOT_PERMITTED),
    "connects": ("__import__('socket').create_connection(('127.0.0.1', {port}))", NOT_PERMITTED),
    "opens a socket of the system": ("__import__('socket').socket(1)", NOT_PERMITTED),
    "runs a program": ("__import__('subprocess').run(['/bin/true'], check=True)", NOT_PERMITTED),
    "becomes a program": ("os.execv('/bin/true', ['true'])", NOT_PERMITTED),
    "forks": ("os.fork() or os._exit(0)", NOT_PERMITTED),
    "signals another process": ("os.kill({sibling}, 10)", NOT_PERMITTED),
    "reads another's environment": ("open('/proc/{sibling}/environ').read()", DENIED),
}  # fmt: skip


@pytest.fixture
def there(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


@pytest.fixture
def sibling():
    with subprocess.Popen(
        [sys.executable, "-c", "import signal; print(flush=True); signal.sigwait([signal.SIGUSR1])"],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def run(folder, act, *, is_confined, **places):
    folder = folder / "own"
    folder.mkdir()
    code = START.format(root=str(ROOT), is_confined=is_confined, act=act.format(**places))
    made = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return made, json.loads(made.stdout) if made.stdout.startswith("{") else None


@pytest.mark.parametrize("act", ACTS, ids=lambda name: name.replace(" ", "_"))
@pytest.mark.parametrize("is_confined", [True, False], ids=["confined", "open"])
def test_the_kernel_refuses_each_act(tmp_path, there, sibling, act, is_confined):
    code, number = ACTS[act]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        made, told = run(tmp_path, code, is_confined=is_confined, there=there, port=port, sibling=sibling.pid)

    if is_confined:
        assert told is not None, made.stderr
        assert told.get("number") == number, told
        assert sorted(os.listdir(there)) == ["secret"]
        assert (there / "secret").read_text() == "secret"
    else:  # becoming a program says nothing
        assert made.returncode == 0, made.stderr
        assert told in ({"done": True}, None)


USES = {
    "its own folder": "open('file', 'w').write('x'); os.rename('file', 'other'); os.unlink('other')",
    "threads": "t = __import__('threading').Thread(target=lambda: None); t.start(); t.join()",
    "numpy": "assert __import__('numpy').ones((64, 64)).dot(__import__('numpy').ones((64, 64)))[0, 0] == 64",
    "the runtime": "__import__('onnxruntime').get_available_providers()",
    "the clock": "__import__('datetime').datetime.now().astimezone()",
    "its own signals": "os.kill(os.getpid(), 0)",
}


@pytest.mark.parametrize("use", USES, ids=lambda name: name.replace(" ", "_"))
def test_what_a_runtime_needs_is_left(tmp_path, use):
    made, told = run(tmp_path, USES[use], is_confined=True)

    assert told == {"done": True}, made.stderr


def test_an_abort_still_tells_what_it_is(tmp_path):
    made, _ = run(tmp_path, "os.abort()", is_confined=True)

    assert made.returncode == -signal.SIGABRT


def test_threads_that_run_already_are_not_overlooked(tmp_path):
    """Landlock binds the thread that asks, and those it starts."""
    act = (
        "__import__('threading').Thread(target=__import__('time').sleep, args=(60,), daemon=True).start();"
        " confine(readable=[])"
    )

    made, _ = run(tmp_path, act, is_confined=False)

    assert "NotConfined: threads are running already" in made.stderr


@pytest.mark.parametrize(
    ("module", "name", "value", "sentence"),
    [
        (landlock, "_call", lambda *_: -1, "no Landlock of version 3"),
        (landlock, "version", lambda: 2, "no Landlock of version 3"),
        (seccomp.platform, "machine", lambda: "mips", "system calls for mips"),
    ],
    ids=["no_landlock", "an_old_one", "another_architecture"],
)
def test_a_host_that_lacks_a_part_is_told(monkeypatch, module, name, value, sentence):
    monkeypatch.setattr(
        child, "restrict_files", child.restrict_files if module is landlock else lambda **_: None
    )
    monkeypatch.setattr(child.os, "listdir", lambda _: ["only"])
    monkeypatch.setattr(module, name, value)

    with pytest.raises(NotConfined, match=sentence):
        child.confine(readable=[Path("/nowhere")])
