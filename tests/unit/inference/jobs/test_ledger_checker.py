"""The checker itself: it says nothing about what is right, and finds each wrong that is planted."""

import json

import pytest

from tests.support.ledger_checker import Chunk, Job, Sent, problems, read_client_log, read_worker_logs


def a_sent(**changes):
    return Sent(**{"value": 3.0, "rows": 2, "acked": True, **changes})


def a_job(status="done", rows_done=2, **changes):
    results = [{"row": 1, "y": [6.0]}, {"row": 2, "y": [6.0]}]
    chunk = {"pk": 7, "job": "a", "index": 0, "status": "done", "attempt": 2, "rows": 2, "results": results}
    return Job("a", status, 2, rows_done, [Chunk(**{**chunk, **changes})])


def taken(attempt, event="chunk taken"):
    return {"event": event, "chunk": 7, "attempt": attempt}


RIGHT = [taken(1), taken(2), taken(2, "chunk done")]


def test_nothing_is_said_about_what_is_right():
    assert problems({"a": a_sent()}, [a_job()], RIGHT) == []


@pytest.mark.parametrize(
    ("sent", "jobs", "said", "found"),
    [
        pytest.param({"a": a_sent()}, [], [], "is not there", id="lost"),
        pytest.param({"a": a_sent()}, [a_job("running")], [], "is running", id="never ended"),
        pytest.param({}, [a_job()], [], "nobody sent it", id="phantom"),
        pytest.param({"a": a_sent()}, [a_job(rows_done=3)], [], "counts 3 rows", id="miscounted"),
        pytest.param(
            {"a": a_sent()}, [a_job(results=[{"row": 1, "y": [6.0]}] * 2)], [], "each of 2 once", id="row twice"
        ),
        pytest.param({"a": a_sent(value=4.0)}, [a_job()], [], "not its own", id="another's answer"),
        pytest.param(
            {"a": a_sent()}, [a_job()], [taken(1, "chunk done")], "by attempt 1", id="stale attempt wrote"
        ),
        pytest.param({"a": a_sent()}, [a_job()], [taken(1), taken(1)], "taken twice", id="attempt used twice"),
        pytest.param({"a": a_sent()}, [a_job()], [taken(3)], "stands at attempt 2", id="attempt went back"),
        pytest.param({"a": a_sent()}, [a_job()], [*RIGHT, RIGHT[-1]], "written 2 times", id="written twice"),
        pytest.param(
            {"a": a_sent()}, [a_job("failed")], [], "is failed, not done", id="failed without cause"
        ),
    ],
)  # fmt: skip
def test_each_wrong_is_found(sent, jobs, said, found):
    assert any(found in sentence for sentence in problems(sent, jobs, said))


def test_what_was_never_acknowledged_may_be_missing():
    assert problems({"a": a_sent(acked=False)}, [], []) == []


def test_logs_are_read_and_cut_lines_are_left_out(tmp_path):
    client, worker = tmp_path / "client.log", tmp_path / "worker.log"
    client.write_text(
        json.dumps({"did": "send", "job": "a", "value": 3.0, "rows": 2}) + "\n"
        + json.dumps({"did": "ack", "job": "a"}) + "\n"
    )  # fmt: skip
    worker.write_text(f"{json.dumps(taken(1))}\n{json.dumps(['no', 'event'])}\n{json.dumps(taken(2))[:20]}")

    assert read_client_log(client) == {"a": a_sent()}
    assert read_worker_logs([worker]) == [taken(1)]
