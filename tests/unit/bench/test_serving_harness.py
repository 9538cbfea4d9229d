"""The serving bench itself: what it reads, writes and concludes. Nothing here is timed."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from bench.serving import marks, servers, wire, wrk
from bench.serving.generator import Order, Stream, generate
from bench.serving.marks import Mark
from bench.serving.wrk import Sample

TOLD = """Running 5s test @ http://127.0.0.1:9
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.34ms    1.20ms  20.11ms   88.00%
Requests/sec:   2000.00
figures {"answers": 10000, "others": 500, "broken": 3, "duration_us": 5000000, "p50_us": 2100, "p99_us": 9000}
"""
HEAD = b'{"outputs": [{"name": "y", "shape": [1, 2], "parameters": {"binary_data_size": 8}}]}'
ROW = np.array([[0.5, 0.25]], np.float32)


def test_only_answers_with_200_count():
    sample = wrk.parse(TOLD)

    assert sample == Sample(rate=1900.0, p50_ms=2.1, p99_ms=9.0, others=500, broken=3)


def test_wrk_that_could_not_connect_is_told_in_its_own_words():
    with pytest.raises(wrk.NoFigures, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:9 Connection refused\n")


def test_script_quotes_what_it_is_given_and_refuses_a_line_break(tmp_path):
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
    ],
    ids=["native", "oip json", "oip binary"],
)
def test_every_protocol_gives_the_numbers(protocol, headers, answer):
    wire.check(ROW, protocol.output(headers, answer))


def test_binary_request_states_where_its_header_ends():
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


def test_view_is_asked_what_the_loop_is_asked_at_an_address_that_it_leaves_to_django():
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
def test_p50_is_held_against_others_of_the_round(held, others, value):
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
