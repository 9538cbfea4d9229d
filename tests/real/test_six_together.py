"""Six usual files live in one installation, whose memory is what a newcomer gets."""

import pytest

from tests.real.bare import Bare, differences
from tests.real.corpus import CORPUS
from tests.real.installation import installed
from tests.support.processes import wait_until

NAMES = ("ppocr-v6-det", "ppocr-v6-rec", "ppocr-cls", "open-nsfw", "magika", "silero-vad")
SIX = [file for file in CORPUS if file.name in NAMES]


@pytest.fixture(scope="module")
def installation(tmp_path_factory, prepared):
    with installed(tmp_path_factory.mktemp("six")) as one:
        one.let_one_person_decide(SIX)
        yield one


def test_all_are_live_warm_and_answer(installation):
    said = {file.name: installation.bring(file) for file in SIX}

    assert {name: one.reason for name, one in said.items() if "and live" not in one.output} == {}
    wait_until(
        lambda: all(_warm(engine) == set(NAMES) for engine in installation.engines()),
        within_s=30,
        what="all six are warm in each engine",
    )
    assert installation.caller.read("/readyz?verbose")["checks"]["engine"]["versions"] == len(SIX)
    for file in SIX:
        bare = Bare(file)
        for inputs in file.inputs():
            answer = installation.caller.ask(file.name, inputs)
            assert differences(answer, bare.run(inputs), is_exact=True) == []
    for engine in installation.engines():
        assert engine["memory_used_bytes"] <= engine["memory_budget_bytes"]


def _warm(engine) -> set[str]:
    return {version["model"] for version in engine["versions"] if version["state"] == "warm"}
