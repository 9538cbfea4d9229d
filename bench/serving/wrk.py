"""Load by wrk: a Lua script per target, which prints one line of results."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.serving.wire import Request

_MARK = "figures "

# `response` costs wrk about 2 us per answer, most noticeable for the fastest servers: their ratios are a little too low.
_SCRIPT = """
local file = assert(io.open(%(body)s, "rb"))
wrk.method, wrk.path, wrk.body = "POST", %(path)s, file:read("*a")
file:close()
%(headers)s

local threads = {}
function setup(thread) table.insert(threads, thread) end

other = 0
function response(status) if status ~= 200 then other = other + 1 end end

function done(summary, latency, requests)
  local others = 0
  for _, thread in ipairs(threads) do others = others + thread:get("other") end
  local errors = summary.errors
  io.write(string.format(
    '%(mark)s{"answers": %%d, "others": %%d, "broken": %%d, "duration_us": %%d, "p50_us": %%d, "p99_us": %%d}\\n',
    summary.requests, others, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


class NoFigures(Exception):
    """wrk ended without output."""


@dataclass(frozen=True)
class Sample:
    """One run. `rate` counts answers with status 200 only."""

    rate: float
    p50_ms: float
    p99_ms: float
    others: int = 0  # answers with another status
    broken: int = 0  # connections refused, cut or too slow


def figures(sample: Sample) -> str:
    trouble = ""
    if sample.others or sample.broken:
        trouble = f"   ({sample.others} answers not 200, {sample.broken} connections broken)"
    return f"{sample.rate:9,.0f} /s {sample.p50_ms:9.3f} ms {sample.p99_ms:9.3f} ms{trouble}"


def script(request: Request, body_file: Path) -> str:
    headers = "\n".join(
        f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in request.headers.items()
    )
    return _SCRIPT % {
        "body": _lua(str(body_file)),
        "path": _lua(request.path),
        "headers": headers,
        "mark": _MARK,
    }


def _lua(text: str) -> str:
    if not text.isprintable():
        raise ValueError("Only printable text goes into a script.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse(output: str) -> Sample:
    """Parse a script's line, wherever it is between wrk's own lines."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            told = json.loads(line.removeprefix(_MARK))
            seconds = told["duration_us"] / 1e6
            return Sample(
                rate=(told["answers"] - told["others"]) / seconds,
                p50_ms=told["p50_us"] / 1e3,
                p99_ms=told["p99_us"] / 1e3,
                others=told["others"],
                broken=told["broken"],
            )
    raise NoFigures(output.strip()[-500:] or "wrk said nothing.")


def run(url: str, request: Request, folder: Path, *, connections: int, seconds: int) -> Sample:
    body_file, script_file = folder / "body", folder / "load.lua"
    body_file.write_bytes(request.body)
    script_file.write_text(script(request, body_file))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    ended = subprocess.run(
        [*command, "-s", script_file, url],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    return parse(ended.stdout + ended.stderr)
