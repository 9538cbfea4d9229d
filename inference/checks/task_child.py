"""The child that reads a version's task: limits itself, builds the pipeline, reads two texts, reports lines of JSON."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from inference.checks.probe_child import give_up, limit_for, read_and_delete, send_report
from inference.confinement.child import take_stdout
from inference.confinement.memory import process_memory
from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.tensors.errors import InvalidInput
from inference.tensors.signature import Signature

# Many scripts, a long word, and what normalisation makes longer.
_PIECES = (
    "The train was on time. ",
    "Ää Öö ßẞ ﷺ ",
    "東京都に行きました。",
    "สวัสดีครับ",
    "👩‍👩‍👧 e\u0301 ",
    "x" * 300,
)
_LONG_TEXT = "".join(_PIECES) * 40


def main() -> NoReturn:
    config = json.loads(sys.argv[1])
    report = take_stdout()
    order = read_and_delete(Path(config["order"]))
    give_up(config, *map(Path, order["files"].values()))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads would need addresses beyond the limit
    limit_for(config)
    send_report(report, phase="loading", resident_bytes=process_memory()[1])
    send_report(report, phase="done", **_result(order))
    os._exit(0)


def _result(order: dict[str, Any]) -> dict[str, str]:
    try:
        return {"code": "passed", "digest": _read(order)}
    except BadTaskConfig as error:
        return {"code": "refused", "message": str(error), "field": error.field}
    except MemoryError:
        return {"code": "memory"}
    except BaseException as error:  # noqa: BLE001 (panics of native code are no Exceptions)
        return {"code": "crashed", "message": f"{type(error).__name__}: {str(error)[:300]}"}


def _read(order: dict[str, Any]) -> str:
    """The pre-processing hash of a task that can be read."""
    files = {name: Path(path).read_bytes() for name, path in order["files"].items()}
    pipeline = TASKS[order["task"]](order["config"], files, Signature.from_json(order["signature"]))
    if isinstance(pipeline, ItemPipeline):
        pipeline.encode(pipeline.example)
        if pipeline.token_rows is not None:
            with suppress(InvalidInput):  # the version may refuse long texts
                pipeline.token_rows.read([_LONG_TEXT])
    return pipeline.digest
