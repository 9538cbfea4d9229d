"""How much pages of the console slow predictions down. The same processes answer both.

    python -m bench.serving.pages [--seconds 10] [--repeats 5] [--set NAME=VALUE]

wrk asks a tiny model over 32 connections, by turns alone and beside four pages a second of a person who is logged in: the list of
Models and the page of a version. Figures are medians of the turns. Exits with 1 if the mark is short.
"""

import argparse
import base64
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from http.cookiejar import CookieJar
from pathlib import Path
from statistics import median
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener
from urllib.request import Request as UrlRequest

from bench.serving import generator, servers, workloads, wrk
from bench.serving.__main__ import end_on_sigterm, parse_settings
from bench.serving.generator import Order, Report, Stream
from bench.serving.installation import Installation
from bench.serving.marks import Mark
from bench.serving.wire import NATIVE, Request

CONNECTIONS, PAGES_PER_S = 32, 4
LIST = "/admin/registry/model/"
_VERSION = re.compile(r'"(/admin/registry/version/[^"/]+/change/)["?]')


class Person:
    """A person who is logged in to the console."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._url = url
        self._cookies = CookieJar()
        self._browser: OpenerDirector = build_opener(HTTPCookieProcessor(self._cookies))
        token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', self.page("/admin/login/"))[0]
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token}
        self._browser.open(f"{url}/admin/login/", urlencode(form).encode(), timeout=30).close()

    def page(self, path: str) -> str:
        return self.fetch(UrlRequest(self._url + path)).decode()

    def fetch(self, request: UrlRequest) -> bytes:
        with self._browser.open(request, timeout=30) as answer:
            return bytes(answer.read())

    def wire_bytes(self, path: str) -> str:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\n\r\n"
        return base64.b64encode(request.encode()).decode()


def page_streams(person: Person) -> list[Stream]:
    """Each kind of page at half the rate."""
    version = _VERSION.findall(person.page("/admin/registry/version/"))[0]
    return [
        Stream(name, person.wire_bytes(path), connections=8, rate=PAGES_PER_S / 2)
        for name, path in (("the list of Models", LIST), ("a version's page", version))
    ]


def beside_pages(
    url: str, request: Request, folder: Path, streams: list[Stream], seconds: int
) -> tuple[wrk.Sample, dict[str, Report]]:
    process = generator.start(Order(int(url.rpartition(":")[2]), seconds, streams))
    try:
        sample = wrk.run(url, request, folder, connections=CONNECTIONS, seconds=seconds)
        return sample, generator.finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def print_pages(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        took = f"p50 {report.ok_ms[0]:.0f} ms, p99 {report.ok_ms[1]:.0f} ms" if report.ok_ms else "none"
        print(f"    {name}: {report.ok} of {report.due}; {took}", flush=True)


def measure(
    url: str, request: Request, folder: Path, streams: list[Stream], chosen: argparse.Namespace
) -> Mark:
    alone, beside = [], []
    wrk.run(url, request, folder, connections=CONNECTIONS, seconds=max(1, chosen.seconds // 5))
    for turn in range(1, chosen.repeats + 1):
        print(f"round {turn} of {chosen.repeats}", flush=True)
        alone.append(wrk.run(url, request, folder, connections=CONNECTIONS, seconds=chosen.seconds))
        print(f"  alone         {wrk.figures(alone[-1])}", flush=True)
        sample, reports = beside_pages(url, request, folder, streams, chosen.seconds)
        beside.append(sample)
        print(f"  beside pages  {wrk.figures(sample)}", flush=True)
        print_pages(reports)
    p99s = [median(sample.p99_ms for sample in samples) for samples in (alone, beside)]
    print(f"predictions' p99: {p99s[0]:.1f} ms alone, {p99s[1]:.1f} ms beside {PAGES_PER_S} pages a second")
    times = median(b.p99_ms / a.p99_ms for a, b in zip(alone, beside, strict=True))
    return Mark(f"p99 beside {PAGES_PER_S} pages a second / alone", times, at_most=2)


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m bench.serving.pages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=10, help="how long each load lasts")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a ROUNDHOUSE_ setting of the server"
    )
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: package wrk).")
        return 2
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as name:
        folder = Path(name)
        installation = Installation(folder, parse_settings(chosen.set))
        tiny = workloads.tiny()
        installation.import_model(tiny.name, tiny.path)
        password = installation.make_person("bench")
        target = servers.Target(
            servers.ROUNDHOUSE, NATIVE, headers={"Authorization": f"Bearer {installation.issue_key()}"}
        )
        with installation.served() as (url, _):
            target.check(url, tiny)
            streams = page_streams(Person(url, "bench", password))
            mark = measure(url, target.request(tiny), folder, streams, chosen)
    print(f"marks\n  {mark}")
    return 1 if mark.verdict == "short" else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
