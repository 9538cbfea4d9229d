"""A version's task is read in a child: bad files are refused with a reason, and hostile ones in bounded time and memory."""

import json
import os

import pytest

from inference.checks import task_probe
from inference.checks.task_probe import TaskRefused, probe_task
from inference.confinement import parent as probing
from inference.pipelines.tasks import TASKS
from inference.tensors.signature import Signature, TensorSpec
from tests.support.text_versions import hostile_tokenizer, large_tokenizer

WORDS = b"[UNK]\ngood\nbad\n"
CONFIG = {"labels": ["no", "yes"], "vocabulary": "words"}
SIGNATURE = Signature(
    (TensorSpec("input_ids", "INT64", (None, None)), TensorSpec("attention_mask", "INT64", (None, None))),
    (TensorSpec("logits", "FP32", (None, 2)),),
)
MIB = 1 << 20


@pytest.fixture
def files(tmp_path):
    def stored(**contents):
        paths = {}
        for name, content in contents.items():
            paths[name.replace("_", ".")] = tmp_path / name
            (tmp_path / name).write_bytes(content)
        return paths

    return stored


def refusal(config, paths, **limits):
    with pytest.raises(TaskRefused) as refused:
        probe_task("text-classification", config, SIGNATURE, paths, **limits)
    return refused.value


def test_a_good_task_has_the_hash_that_its_pipeline_has_here(files):
    paths = files(vocab_txt=WORDS)

    digest = probe_task("text-classification", CONFIG, SIGNATURE, paths)

    assert digest == TASKS["text-classification"](CONFIG, {"vocab.txt": WORDS}, SIGNATURE).digest


def test_a_configuration_longer_than_arguments_of_a_program_is_read(files):
    labels = [f"{number:0200d}" for number in range(2_000)]
    signature = Signature(SIGNATURE.inputs, (TensorSpec("logits", "FP32", (None, len(labels))),))

    assert probe_task("text-classification", {**CONFIG, "labels": labels}, signature, files(vocab_txt=WORDS))


@pytest.mark.parametrize(
    ("config", "contents", "field"),
    [
        ({**CONFIG, "labels": ["a", "b", "c"]}, {"vocab_txt": WORDS}, "labels"),
        (CONFIG, {}, "tokenizer"),
        (CONFIG, {"tokenizer_json": b"{"}, "tokenizer"),
        ({**CONFIG, "max_tokens": 64, "padding_id": 9}, {"vocab_txt": WORDS}, "padding_id"),
    ],
    ids=["labels", "no tokenizer", "broken tokenizer", "padding"],
)
def test_what_does_not_fit_is_named(files, config, contents, field):
    refused = refusal(config, files(**contents))

    assert (refused.cause, refused.field) == ("refused", field)
    assert str(refused).endswith(".")


class TestHostileFiles:
    """What would take all memory, or never end, takes a child with it, and nothing here."""

    def test_memory(self, files):
        refused = refusal(
            {"labels": ["no", "yes"]}, files(tokenizer_json=large_tokenizer()), memory_limit_bytes=64 * MIB
        )

        assert refused.cause == "memory" and "64 MiB" in str(refused)

    def test_a_tokenizer_that_makes_a_million_characters_of_one(self, files):
        refused = refusal({"labels": ["no", "yes"]}, files(tokenizer_json=hostile_tokenizer()))

        assert (refused.cause, refused.field) == ("refused", "tokenizer")

    def test_time(self, files):
        paths = files(tokenizer_json=hostile_tokenizer())
        paths["tokenizer.json"].unlink()
        os.mkfifo(paths["tokenizer.json"])  # never ends: nobody writes into it

        refused = refusal({"labels": ["no", "yes"]}, paths, time_limit_s=1.5)

        assert refused.cause == "timed_out" and "1.5 s" in str(refused)

    @pytest.mark.parametrize(
        ("death", "said"), [("os.kill(os.getpid(), 11)", "SIGSEGV"), ("os._exit(3)", "exit status 3")]
    )
    def test_a_crash(self, files, monkeypatch, death, said):
        start = (
            "import os, sys; sys.path.insert(0, sys.argv.pop(1)); import inference.{} as child;"
            f"child._read = lambda order: {death}; child.main()"
        )
        monkeypatch.setattr(probing, "_START", start)

        refused = refusal(CONFIG, files(vocab_txt=WORDS))

        assert refused.cause == "crashed" and said in str(refused)

    def test_a_panic_of_native_code(self, files, monkeypatch):
        start = (
            "import sys; sys.path.insert(0, sys.argv.pop(1)); import inference.{} as child;"
            "child._read = lambda order: (_ for _ in ()).throw(BaseException('it panicked')); child.main()"
        )
        monkeypatch.setattr(probing, "_START", start)

        refused = refusal(CONFIG, files(vocab_txt=WORDS))

        assert refused.cause == "crashed" and "it panicked" in str(refused)


def test_the_child_has_no_secrets_and_nothing_of_django(files, monkeypatch):
    monkeypatch.setenv("ROUNDHOUSE_SECRET_KEY", "secret")
    start = (
        "import os, sys, json; sys.path.insert(0, sys.argv.pop(1)); import inference.{} as child;"
        "child._read = lambda order: json.dumps([os.environ.get('ROUNDHOUSE_SECRET_KEY'), 'django' in sys.modules,"
        " os.listdir('.')]); child.main()"
    )
    monkeypatch.setattr(probing, "_START", start)

    told = probe_task("text-classification", CONFIG, SIGNATURE, files(vocab_txt=WORDS))

    assert json.loads(told) == [None, False, []]


def test_a_child_that_cannot_be_started_is_told(files, monkeypatch):
    def refuse(*_args):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(task_probe, "follow_child", refuse)

    assert refusal(CONFIG, files(vocab_txt=WORDS)).cause == "not_started"
