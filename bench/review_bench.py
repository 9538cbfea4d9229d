"""How soon the next case is there: `python -m bench.review_bench [--database URL] [--cases 10000] [--decided 100]`.

10,000 cases wait, each with a text and a picture. Six people review at once: one in Chromium, by keyboard, and five whose
browsers this program plays. In Chromium it measures from the key that decides a case until the next case is on the screen with
its picture complete. It counts cases that two people got. Without `--database`, the product's own SQLite is used; name an empty
PostgreSQL database to measure that. Exits with 1 if a mark is missed.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench.engine_bench import mark, missed  # noqa: E402
from bench.serving.installation import Installation  # noqa: E402
from bench.serving.pages import Person  # noqa: E402
from tests.support.browser import chromium, log_in, open_page  # noqa: E402

REVIEWERS, PASSWORD = 6, "correct-horse-battery"
PAGE = "/admin/moderation/review/"
THINKS_S = 1.0  # about a third of the fastest people's time for a case

_PREPARE = """
import random
from io import BytesIO
import numpy as np
from PIL import Image
from django.utils import timezone
from moderation.cases.models import Guideline
from moderation.cases.opening import open_cases
from moderation.deciding.answers import codes_of, encode_evidence
from moderation.deciding.findings import Findings
from moderation.deciding.judgements import Evidence, Judgement
from moderation.deciding.models import Awaits, Decision, StoredContent, StoredPicture
from moderation.policies import services
from moderation.policies.rules import RuleEffect, Ruling
from registry.access.policies import command_actor
from registry.access.services import Person, create_person
by = command_actor("bench")
rules = [{{"name": "listed", "kind": "words", "code": "insults", "entries": ["blockhead"], "effect": "review"}}]
policy = services.create_policy(name="default", content={{"rules": rules}}, by=by)
services.publish(policy=policy, reason="bench", by=by)
policy.refresh_from_db()
for code in ("insults", "hate", "threats", "spam", "fraud", "privacy"):
    Guideline.objects.create(code=code, title=code.capitalize(), guidance="What it is, and what it is not. " * 8)
for number in range({reviewers}):
    create_person(person=Person(f"reviewer-{{number}}", ["reviewer"]), password={password!r}, by=by)
chance = np.random.default_rng(1)
files = []
for _ in range(20):
    small = Image.fromarray(chance.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize((640, 480), Image.BICUBIC)
    file = BytesIO()
    small.save(file, "JPEG", quality=80)
    files.append(file.getvalue())
now = timezone.now()
for first in range(0, {cases}, 500):
    rows, contents, pictures = [], [], []
    for number in range(first, min(first + 500, {cases})):
        found = Evidence("listed", "insults", RuleEffect.REVIEW, "text", 1.0, 0.0, place=[4, 13], entry="blockhead")
        judgement = Judgement(Ruling.REVIEW, (found,), (), Ruling.REVIEW, "en", None, None)
        rows.append(Decision(
            policy=policy, revision=policy.current, ruling="review", shadow_ruling="review", codes=codes_of(judgement),
            evidence_count=1, evidence=encode_evidence(judgement), findings=Findings(["text", "image"]).to_bytes(),
            digest=bytes(32), received_at=now, decided_at=now, awaits=Awaits.CASE, content_id=f"comment-{{number}}",
            author_id=f"author-{{number % 500}}", thread=f"thread-{{number % 900}}", language="en",
        ))
        contents.append(StoredContent(decision=rows[-1], text=f"you blockhead, this is remark {{number}} of many."))
        pictures.append(StoredPicture(decision=rows[-1], number=0, file=files[number % len(files)]))
    Decision.objects.bulk_create(rows)
    StoredContent.objects.bulk_create(contents)
    StoredPicture.objects.bulk_create(pictures)
opened = 0
while found := open_cases(within_s=60):
    opened += found
print("opened", opened, "pictures of", sum(map(len, files)) // len(files), "bytes")
"""

_COUNT = """
from django.db.models import Count
from moderation.review.models import Exposure, Verdict
verdicts = Verdict.objects.exclude(status="undone")
twice = verdicts.values("case").annotate(n=Count("pk")).filter(n__gt=1).count()
seen = Exposure.objects.order_by().values("case").annotate(n=Count("reviewer", distinct=True)).filter(n__gt=1).count()
print(verdicts.count(), twice, seen)
"""

# From the key to the next case with its picture decoded, in the page's own time.
_WATCH = """() => {
    window.took = [];
    let pressedAt = 0;
    addEventListener("keydown", (event) => (pressedAt = event.timeStamp), true);
    new MutationObserver(async () => {
        const next = document.querySelector("[data-case]");
        if (!next || !pressedAt) return;
        const began = pressedAt;
        pressedAt = 0;
        await Promise.all([...next.querySelectorAll("img")].map((image) => image.decode()));
        await new Promise(requestAnimationFrame);
        window.took.push(performance.now() - began);
    }).observe(document.querySelector("[data-stage]"), { childList: true });
}"""


class PlayedReviewer(threading.Thread):
    """A person's browser without a screen: takes, looks, decides, and fetches each picture."""

    def __init__(self, url: str, number: int, until: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url, self._until = url, until
        self._person = Person(url, f"reviewer-{number}", PASSWORD)
        page = self._person.page(PAGE)
        self._token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', page)[0]
        self.took_ms: list[float] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            answer = self._post("next/")
            while not self._until.wait(THINKS_S):
                number = re.findall(r'data-case="(\d+)"', answer["html"])[0]
                began = time.perf_counter()
                answer = self._post(f"cases/{number}/verdict/", action="remove", seconds=THINKS_S)
                for picture in re.findall(r'<img src="(/[^"]+)"', answer["html"]):
                    self._person.fetch(Request(self._url + picture))
                self.took_ms.append(1000 * (time.perf_counter() - began))
        except Exception as error:  # noqa: BLE001 (told by whoever waits for this thread)
            self.failure = error

    def _post(self, path: str, **fields: object) -> dict:
        body = urlencode({"csrfmiddlewaretoken": self._token, "queue": "", **fields}).encode()
        return json.loads(self._person.fetch(Request(f"{self._url}{PAGE}{path}", body)))


def review(url: str, decided: int) -> tuple[list[float], list[float]]:
    """The milliseconds in Chromium, and those of the others."""
    until = threading.Event()
    others = [PlayedReviewer(url, number, until) for number in range(1, REVIEWERS)]
    with chromium() as browser:
        page, complaints = open_page(browser)
        log_in(page, url, "reviewer-0", PASSWORD)
        page.goto(url + PAGE)
        for one in others:
            one.start()
        page.keyboard.press("Enter")
        page.locator("[data-case]").wait_for()
        page.evaluate(_WATCH)
        for count in range(1, decided + 1):
            page.wait_for_timeout(1000 * THINKS_S)
            page.keyboard.press("r")
            page.wait_for_function("count => window.took.length >= count", arg=count)
        took = page.evaluate("window.took")
        assert complaints == [], complaints
    until.set()
    for one in others:
        one.join()
        if one.failure is not None:
            raise one.failure
    return took, [ms for one in others for ms in one.took_ms]


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.review_bench", description=__doc__)
    parser.add_argument("--database", help="the address of an empty PostgreSQL database")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--decided", type=int, default=100, help="in Chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        settings = {"DATABASE_URL": options.database} if options.database else {}
        installation = Installation(Path(name), settings)
        code = _PREPARE.format(reviewers=REVIEWERS, password=PASSWORD, cases=options.cases)
        began = time.perf_counter()
        print(installation._manage("shell", "--no-imports", "-c", code).strip(), flush=True)
        print(f"  prepared in {time.perf_counter() - began:.0f} s", flush=True)
        with installation.served() as (url, _):
            took, others = review(url, options.decided)
        given, twice, seen = map(int, installation._manage("shell", "--no-imports", "-c", _COUNT).split())
    told = f"p50 {statistics.median(others):.0f} ms, p95 {percentile(others, 95):.0f} ms"
    print(
        f"{REVIEWERS} reviewers, {options.cases:,} cases, {given:,} verdicts; the answers to the others: {told}"
    )
    print(f"  in Chromium p50 {statistics.median(took):.0f} ms, p95 {percentile(took, 95):.0f} ms")
    mark("key to the next case with its picture, p50", statistics.median(took), "ms", at_most=150)
    mark("key to the next case with its picture, p95", percentile(took, 95), "ms", at_most=300)
    mark("cases with two verdicts", twice, "", at_most=0)
    mark("cases that two people saw", seen, "", at_most=0)
    sys.exit(1 if missed else 0)


def percentile(values: list[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


if __name__ == "__main__":
    main()
