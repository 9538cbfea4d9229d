"""gRPC load by h2load: unary calls over HTTP/2, one at a time on each connection."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from bench.serving import wire
from bench.serving.wire import Request
from bench.serving.wrk import NoFigures, Sample

_FIGURES = re.compile(
    r"finished in [\d.]+s, (?P<rate>[\d.]+) req/s.*"
    r" (?P<done>\d+) done, \d+ succeeded, (?P<failed>\d+) failed, (?P<errored>\d+) errored, (?P<timeout>\d+) timeout.*"
    r"\((?P<data>\d+)\) data",
    re.DOTALL,
)


def parse(output: str, took_us: np.ndarray, *, answer_bytes: int) -> Sample:
    """Parse h2load's output, and the duration of each request.

    It does not know gRPC's status, which any HTTP 200 may carry. But a failed call has no message,
    and the messages of the others have all the same length.
    """
    found = _FIGURES.search(output)
    if found is None or not took_us.size:
        raise NoFigures(output.strip()[-500:] or "h2load said nothing.")
    done, failed, errored, timeout, data = (
        int(found[name]) for name in ("done", "failed", "errored", "timeout", "data")
    )
    answered = min(done, data // answer_bytes)
    p50, p99 = np.percentile(took_us, [50, 99]) / 1e3
    return Sample(
        rate=float(found["rate"]) * answered / done if done else 0.0,
        p50_ms=float(p50),
        p99_ms=float(p99),
        others=done - answered,
        broken=failed + errored + timeout,
    )


def run(url: str, request: Request, folder: Path, *, connections: int, seconds: int) -> Sample:
    if shutil.which("h2load") is None:
        raise NoFigures("h2load is not installed (Debian: package nghttp2-client).")
    _, _, answer = wire.call(url, request)
    body, log = folder / "message", folder / "requests"
    body.write_bytes(request.body)
    log.unlink(missing_ok=True)
    headers = [f"--header={name}: {value}" for name, value in request.headers.items()]
    ended = subprocess.run(
        ["h2load", "-t1", f"-c{connections}", "-m1", f"-D{seconds}", f"-d{body}", f"--log-file={log}", *headers,
         url + request.path],
        capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    took_us = np.loadtxt(log, usecols=2, ndmin=1) if log.exists() and log.stat().st_size else np.array([])
    return parse(ended.stdout + ended.stderr, took_us, answer_bytes=len(answer))
