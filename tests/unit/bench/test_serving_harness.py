"""The serving benchmark itself: parsing, scripts and conclusions. Nothing here is timed."""

import base64
import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest

from bench.serving import h2load, marks, servers, wire, wrk
from bench.serving.generator import Order, Stream, generate
from bench.serving.marks import Mark
from bench.serving.wrk import Sample
from inference.doors.grpc.generated import open_inference_pb2 as pb
from tests.support.missing import missing

TOLD = """Running 5s test @ http://127.0.0.1:9
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.34ms    1.20ms  20.11ms   88.00%
Requests/sec:   2000.00
figures {"answers": 10000, "others": 500, "broken": 3, "duration_us": 5000000, "p50_us": 2100, "p99_us": 9000}
"""
HEAD = b'{"outputs": [{"name": "y", "shape": [1, 2], "parameters": {"binary_data_size": 8}}]}'
ROW = np.array([[0.5, 0.25]], np.float32)
OUTPUT = pb.ModelInferResponse.InferOutputTensor(name="y", datatype="FP32", shape=[1, 2])
MESSAGE = pb.ModelInferResponse(outputs=[OUTPUT], raw_output_contents=[ROW.tobytes()]).SerializeToString()


def test_only_answers_with_200_count():
    sample = wrk.parse(TOLD)

    assert sample == Sample(rate=1900.0, p50_ms=2.1, p99_ms=9.0, others=500, broken=3)


def test_wrks_own_error_is_shown():
    with pytest.raises(wrk.NoFigures, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:9 Connection refused\n")


H2LOAD_TOLD = """starting benchmark...
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 5.00s, 2000.00 req/s, 430.00KB/s
requests: 10000 total, 10000 started, 10000 done, 10000 succeeded, 3 failed, 2 errored, 1 timeout
status codes: 10000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 2.15MB (2150000) total, 200.00KB (204800) headers (space savings 80.00%), 1.14MB (1187500) data
                     min         max         mean         sd        +/- sd
time for request:      150us     10.00ms      2.50ms       800us    70.00%
"""
TOOK_US = np.array([1000.0] * 98 + [9000.0] * 2)


def test_calls_without_a_message_do_not_count():
    sample = h2load.parse(H2LOAD_TOLD, TOOK_US, answer_bytes=125)

    assert sample == Sample(rate=1900.0, p50_ms=1.0, p99_ms=9.0, others=500, broken=6)


def test_h2loads_own_error_is_shown():
    with pytest.raises(wrk.NoFigures, match="failed to connect"):
        h2load.parse("failed to connect to 127.0.0.1:9\n", np.array([]), answer_bytes=125)


def test_grpc_is_left_out_without_h2load(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(wrk.NoFigures, match="nghttp2-client"):
        h2load.run("http://127.0.0.1:9", wire.Request("/", b""), tmp_path, connections=1, seconds=1)


class _Answering(grpc.GenericRpcHandler):
    """Answers every call with the same message, but each third with a status alone."""

    def __init__(self, answer):
        self._answer, self._calls = answer, itertools.count(1)

    def service(self, _details):
        return grpc.unary_unary_rpc_method_handler(self._handle)

    def _handle(self, _message, context):
        if next(self._calls) % 3 == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        return self._answer


def test_h2load_counts_messages_and_not_statuses(tmp_path):
    """With the real one: two thirds of what it takes for answers are some."""
    if shutil.which("h2load") is None:
        missing("no h2load is installed (Debian: nghttp2-client)")
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Answering(b"x" * 120)])
    url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        sample = h2load.run(url, wire.GRPC.request("tiny", ROW), tmp_path, connections=2, seconds=1)
    finally:
        server.stop(None)

    assert sample.rate > 0
    assert sample.others == pytest.approx(sample.rate / 2, rel=0.1)
    assert sample.p50_ms <= sample.p99_ms


def test_script_quotes_its_values_and_refuses_a_line_break(tmp_path):
    request = wire.Request("/predict", b"{}", {"Authorization": 'Bearer "odd\\key"'})

    script = wrk.script(request, tmp_path / "body")

    assert 'wrk.headers["Authorization"] = "Bearer \\"odd\\\\key\\""' in script
    assert 'wrk.path, wrk.body = "POST", "/predict"' in script
    with pytest.raises(ValueError, match="printable"):
        wrk.script(wire.Request("/", b"", {"X": "a\nb"}), "body")


@pytest.mark.parametrize(
    ("protocol", "headers", "answer"),
    [
        (wire.NATIVE, {}, b'{"outputs": {"y": [[0.5, 0.25]]}, "model": "tiny"}'),
        (wire.OIP_JSON, {}, b'{"outputs": [{"name": "y", "shape": [1, 2], "data": [0.5, 0.25]}]}'),
        (wire.OIP_BINARY, {"Inference-Header-Content-Length": str(len(HEAD))}, HEAD + ROW.tobytes()),
        (wire.GRPC, {}, b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE),
    ],
    ids=["native", "oip json", "oip binary", "grpc"],
)
def test_every_protocol_gives_the_numbers(protocol, headers, answer):
    wire.check(ROW, protocol.output(headers, answer))


def test_binary_request_states_its_header_length():
    request = wire.OIP_BINARY.request("tiny", ROW)

    length = int(request.headers["Inference-Header-Content-Length"])

    assert request.body[length:] == ROW.tobytes()


@pytest.mark.parametrize(
    "answered", [ROW + 1e-3, ROW[:, :1], ROW * np.nan], ids=["off", "another shape", "not a number"]
)
def test_other_numbers_are_refused(answered):
    with pytest.raises(wire.WrongAnswer):
        wire.check(ROW, answered)


def test_ratios_are_medians_of_the_rounds():
    results = {
        ("tiny", 32, servers.ROUNDHOUSE): [
            _at(rate, p99_ms=p99) for rate, p99 in ((90, 3), (170, 1), (90, 9))
        ],
        ("tiny", 32, servers.MOSEC): [_at(rate, p99_ms=p99) for rate, p99 in ((50, 2), (100, 2), (90, 6))],
    }

    found = {str(mark) for mark in marks.marks(results) if mark.value is not None}

    assert found == {
        "met    tiny, 32 connections: roundhouse / mosec: 1.7 (mark >= 1.6, goal 2 short)",
        "short  tiny, 32 connections: p99 of roundhouse / mosec: 1.5 (mark <= 1.2)",
    }


@pytest.mark.parametrize(
    ("connections", "samples", "verdict"),
    [
        (256, [{}, {}], "met"),
        (1000, [{"others": 1}, {}], "short"),
        (1000, [{}, {"broken": 2}], "short"),
        (256, [], "absent"),
    ],
    ids=["all 200", "one 503", "connections broken", "not measured"],
)
def test_many_connections_get_nothing_but_200(connections, samples, verdict):
    results = {("wide", connections, servers.ROUNDHOUSE): [_at(1, **trouble) for trouble in samples]}

    (mark,) = [mark for mark in marks.marks(results) if mark.text.startswith(f"wide, {connections:,} conn")]

    assert mark.verdict == verdict


def test_view_gets_the_loops_request_at_an_address_for_django():
    through_loop, through_view = (
        protocol.request("tiny", ROW) for protocol in (wire.NATIVE, wire.THROUGH_VIEW)
    )

    path, _, query = through_view.path.partition("?")
    assert path == through_loop.path
    assert query
    assert through_view.body == through_loop.body


@pytest.mark.parametrize(
    ("held", "others", "value"),
    [
        (marks.p50_against_best, {servers.MOSEC: (1.0, 4.0), servers.LITSERVE: (2.0, 2.0)}, 0.2),
        (marks.p50_above, {servers.THROUGH_WORKERS: (1.2, 2.4)}, 1.5),
    ],
    ids=["share of the best peer's", "more than in the web process"],
)
def test_p50_is_compared_within_the_round(held, others, value):
    p50s = {servers.ROUNDHOUSE: (0.2, 0.4), **others}
    results = {("tiny", 1, name): [_at(1, p50_ms=p50) for p50 in two] for name, two in p50s.items()}
    ours = servers.ROUNDHOUSE
    compared = (ours, servers.PEERS) if len(others) > 1 else (servers.THROUGH_WORKERS, ours)

    assert held(results, "tiny", *compared) == pytest.approx(value)


@pytest.mark.parametrize(
    ("mark", "verdict"),
    [
        (Mark("a", 1.0, at_least=1.0), "met"),
        (Mark("a", 0.9, at_least=1.0), "short"),
        (Mark("a", 11.0, at_most=10.0), "short"),
        (Mark("a", None, at_most=10.0), "absent"),
    ],
    ids=["enough", "too little", "too much", "not measured"],
)
def test_a_mark_is_met_short_or_absent(mark, verdict):
    assert mark.verdict == verdict


def test_generator_accounts_for_every_request(refusing_every_third):
    request = base64.b64encode(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").decode()
    streams = [Stream("open", request, 8, rate=100.0), Stream("closed", request, 1)]

    reports = generate(Order(refusing_every_third, 0.5, streams))

    for report in reports.values():
        assert report.due == sum(report.statuses.values()) + report.not_sent + report.unanswered
        assert set(report.statuses) == {"200", "503"}
        assert report.ok == report.statuses["200"]


@pytest.fixture
def refusing_every_third():
    count = iter(range(1 << 30))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):  # the name that the library looks for
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503 if next(count) % 3 == 2 else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _at(rate, p50_ms=1.0, p99_ms=1.0, **trouble):
    return Sample(rate=rate, p50_ms=p50_ms, p99_ms=p99_ms, **trouble)
