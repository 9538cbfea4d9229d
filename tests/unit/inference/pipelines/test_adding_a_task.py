"""The example in docs/adding-a-task.md is a task."""

import re

import numpy as np
import pytest

from inference.pipelines.errors import BadTaskConfig, InvalidItem
from inference.tensors.signature import Signature, TensorSpec
from tests.support.processes import ROOT

SIGNATURE = Signature((TensorSpec("x", "FP32", (None, 1)),), (TensorSpec("y", "FP32", (None, 1)),))


@pytest.fixture(scope="module")
def reading_times():
    page = (ROOT / "docs" / "adding-a-task.md").read_text()
    code = next(
        code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class ReadingTimes" in code
    )
    names = {"__name__": "reading_times"}
    exec(compile(code, "adding-a-task.md", "exec"), names)
    return names["ReadingTimes"]


def test_it_answers_in_the_order_of_the_texts(reading_times):
    pipeline = reading_times({"words_per_minute": 2}, {}, SIGNATURE)

    answers = pipeline.answer(
        {"texts": ["one two three", "one"]}, lambda inputs: {"y": inputs["x"]}, most_rows=1
    )

    assert [answer.minutes for answer in answers] == [1.5, 0.5]
    assert pipeline.tensors_of(answers)["minutes"].tolist() == [1.5, 0.5]
    assert pipeline.body_of({"text": np.array(["a"], object)}) == {"texts": ["a"]}


def test_it_refuses_what_does_not_fit(reading_times):
    with pytest.raises(BadTaskConfig):
        reading_times.check_config({"words": 2}, ())
    with pytest.raises(InvalidItem):
        reading_times({}, {}, SIGNATURE).encode({"text": 5})


def test_its_hash_is_its_configurations(reading_times):
    assert (
        reading_times({}, {}, SIGNATURE).digest
        != reading_times({"words_per_minute": 9}, {}, SIGNATURE).digest
    )
