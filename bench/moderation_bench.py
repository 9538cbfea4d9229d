"""What decisions cost beside predictions of the same Models: `python -m bench.moderation_bench [decide preview outage]`.

decide   one content after the other, beside the slowest of its three detectors alone; and 32 connections, beside predictions of
         these Models
preview  a draft's preview over 100,000 stored decisions
outage   90,000 contents while a detector is stopped, which are decided by themselves when it is back; as many as arrive in 30
         minutes at 50 a second

Ratios are medians over repeats that alternate between what is compared. Exits with 1 if a mark is missed.
"""

import argparse
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import orjson

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench.engine_bench import mark, missed  # noqa: E402
from bench.serving import wrk  # noqa: E402
from bench.serving.wire import Request, post  # noqa: E402

now = time.perf_counter
DETECTORS = {"tone": "text-classification", "names": "entities", "abuse": "text-classification"}
TEXT = "The parcel arrived on Tuesday, and the box was still closed. Thanks to Ada for the quick answer."
STORED, HELD = 100_000, 90_000

_PREPARE = """
import os, sys
from registry.access.policies import command_actor
from moderation.policies import services
by = command_actor("bench")
rules = [
    {"name": "tone", "kind": "detector", "detector": "tone", "labels": ["negative"], "code": "rude", "review": 0.999999},
    {"name": "names", "kind": "detector", "detector": "names", "labels": ["ID"], "code": "personal", "note": 0.5},
    {"name": "abuse", "kind": "detector", "detector": "abuse", "labels": ["toxic"], "code": "toxic", "block": 0.9},
    {"name": "spam", "kind": "words", "entries": ["casino", "free money"], "code": "spam", "effect": "review"},
]
policy = services.create_policy(name="default", content={"rules": rules}, by=by)
services.publish(policy=policy, reason="bench", by=by)
"""


@contextmanager
def moderating():
    """A server with three detectors and a policy: its address, a key, and a folder."""
    from bench.serving.installation import Installation

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installation = Installation(folder, {})
        for slug, task in DETECTORS.items():
            example = ROOT / "examples" / slug
            about = orjson.loads((example / "about.json").read_bytes())
            config = folder / f"{slug}.json"
            config.write_bytes(orjson.dumps(about["task_config"]))
            left_out = {"model.onnx", "about.json", "sample.json", "golden.jsonl"}
            beside = [path for path in example.iterdir() if path.name not in left_out]
            installation.import_model(slug, example / "model.onnx", *beside, task=task, task_config=config)
        installation._manage("shell", "--no-imports", "-c", _PREPARE)
        key = (
            installation._manage(
                "issue_key",
                "bench",
                "--tenant",
                "bench",
                "--scope",
                "moderate",
                "--scope",
                "predict",
                "--scope",
                "registry.write",
            )
            .strip()
            .splitlines()[-1]
        )
        with installation.served() as (url, _):
            yield url, key, folder


def decide(repeats: int, seconds: int) -> None:
    with moderating() as (url, key, folder):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        body = orjson.dumps({"text": TEXT})
        predictions = {slug: Request(f"/api/v1/models/{slug}/predict", body, headers) for slug in DETECTORS}
        content = Request("/api/v1/moderate", body, headers)
        for request in (content, *predictions.values()):
            status, _, answer = post(url, request)
            assert status == 200, answer
        _one_by_one(url, folder, content, predictions, repeats, seconds)
        _together(url, folder, content, predictions, repeats, seconds)


def _one_by_one(url, folder, content, predictions, repeats, seconds) -> None:
    over, lines = [], []
    for _ in range(repeats):
        alone = {
            slug: wrk.run(url, request, folder, connections=1, seconds=seconds).p50_ms
            for slug, request in predictions.items()
        }
        decision = wrk.run(url, content, folder, connections=1, seconds=seconds)
        slowest = max(alone.values())
        over.append(decision.p50_ms - (1.3 * slowest + 1.0))
        told = ", ".join(f"{slug} {ms:.2f}" for slug, ms in alone.items())
        lines.append(f"  decision p50 {decision.p50_ms:.2f} ms, p99 {decision.p99_ms:.2f}; alone: {told}")
    print("one content after the other", *lines, sep="\n")
    mark("p50 of a decision, beyond 1.3 x the slowest detector + 1 ms", median(over), "ms", at_most=0.0)


def _together(url, folder, content, predictions, repeats, seconds) -> None:
    ratios, lines = [], []
    for _ in range(repeats):
        rates = [
            wrk.run(url, one, folder, connections=32, seconds=seconds).rate for one in predictions.values()
        ]
        # a second of the server is shared by three predictions of one content
        of_all_three = 1 / sum(1 / rate for rate in rates)
        decision = wrk.run(url, content, folder, connections=32, seconds=seconds)
        ratios.append(decision.rate / of_all_three)
        told = ", ".join(f"{slug} {rate:,.0f}" for slug, rate in zip(predictions, rates, strict=True))
        lines.append(
            f"  {wrk.figures(decision)}; predictions: {told}; all three for a content {of_all_three:,.0f} /s"
        )
    print("32 connections", *lines, sep="\n")
    mark("decisions, of contents that get the three predictions", median(ratios), "x", at_least=0.5)


def preview(repeats: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        os.environ["ROUNDHOUSE_DATA"] = name
        os.environ["DJANGO_SETTINGS_MODULE"] = "roundhouse.settings"
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        policy = _store_decisions()
        print(f"preview of {STORED:,} stored decisions in {connection.vendor}")
        for what, change in _DRAFTS.items():
            _time_preview(policy, what, change)


def _raise_cut_off(content: dict) -> dict:
    return {**content, "rules": [{**content["rules"][0], "review": 0.6}, *content["rules"][1:]]}


def _add_words(content: dict) -> dict:
    entries = [
        f"{first}{second}"
        for first in ("cas", "vir", "lot", "bet", "win")
        for second in ("ino", "al", "to", "ter")
    ]
    words = {"name": "words", "kind": "words", "entries": entries, "code": "spam", "effect": "review"}
    return {**content, "rules": [*content["rules"], words]}


_DRAFTS: dict[str, Callable[[dict], dict]] = {
    "another cut-off": _raise_cut_off,
    "a new list of 20 words": _add_words,
}


def _time_preview(policy, what: str, change: Callable[[dict], dict]) -> None:
    from moderation.deciding.previews import preview_changes
    from moderation.policies.rules import read_rules

    rules = read_rules(change(policy.current.content))
    began = now()
    changes = preview_changes(policy, rules)
    took = now() - began
    assert changes.considered == STORED
    print(f"  {what}: {changes.changed:,} of {changes.considered:,} would change")
    mark(f"preview with {what}", took, "s", at_most=5.0)


def _store_decisions():
    """Decisions about short texts by three detectors, as the product stores them."""
    from django.utils import timezone

    from moderation.deciding.answers import codes_of, encode_evidence
    from moderation.deciding.findings import DetectorAnswer, Findings
    from moderation.deciding.judgements import decide as judge
    from moderation.deciding.models import Decision, StoredContent
    from moderation.deciding.services import _new_id
    from moderation.policies.models import Policy, PolicyRevision
    from moderation.policies.rules import read_rules

    content = {
        "rules": [
            {"name": name, "kind": "detector", "detector": name, "labels": ["bad"], "code": name, "reads": ["text"],
             "review": 0.7, "block": 0.95}
            for name in ("tone", "names", "abuse")
        ]
    }  # fmt: skip
    policy = Policy.objects.create(name="default")
    policy.current = PolicyRevision.objects.create(
        policy=policy, number=1, content=content, status="published", reason="bench", made_by="bench",
        decided_by="bench", decided_at=timezone.now(),
    )  # fmt: skip
    policy.save()
    rules, chance = read_rules(content), random.Random(1)
    words = [word for word in (ROOT / "README.md").read_text().split() if word.isalpha()]
    for _ in range(STORED // 2_000):
        decisions, contents = [], []
        for _ in range(2_000):
            found = Findings(["text"], chance.choice(["en", "de", ""]))
            found.looked_at = {name: ["text"] for name in ("tone", "names", "abuse")}
            for name in ("tone", "names", "abuse"):
                score = chance.random() ** 3
                found.detectors[name] = DetectorAnswer(
                    3,
                    "0123456789abcdef",
                    [("text", "good", 1 - score, None), ("text", "bad", score, None)],
                    "A",
                )
            judgement, at = judge(rules, found), timezone.now()
            decision = Decision(
                id=_new_id(), policy=policy, revision=policy.current, ruling=judgement.ruling.value,
                shadow_ruling=judgement.shadow_ruling.value, codes=codes_of(judgement), evidence_count=len(judgement.in_force),
                evidence=encode_evidence(judgement), findings=found.to_bytes(), language=judgement.language, digest=b"",
                received_at=at, decided_at=at,
            )  # fmt: skip
            decisions.append(decision)
            contents.append(StoredContent(decision=decision, text=" ".join(chance.choices(words, k=12))))
        Decision.objects.bulk_create(decisions)
        StoredContent.objects.bulk_create(contents)
    return policy


def outage(repeats: int, seconds: int) -> None:
    texts = [
        f"{TEXT} {number}" if number % 3 else f"You are an idiot, number {number}." for number in range(HELD)
    ]
    with moderating() as (url, key, folder):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

        def ask(path: str, body: dict | list | None = None) -> dict:
            status, _, answer = post(url, Request(path, orjson.dumps(body), headers))
            assert status == 200, answer
            return orjson.loads(answer)

        ask("/api/v1/models/abuse/stop", {"text": "bench"})
        time.sleep(2)
        began, allowed = now(), 0
        for first in range(0, HELD, 50):
            contents = [{"text": text, "content_id": text} for text in texts[first : first + 50]]
            answers = ask("/api/v1/moderate", {"contents": contents})["decisions"]
            allowed += sum(answer["decision"] == "allow" for answer in answers)
        print(f"outage: {HELD:,} contents in {now() - began:.0f} s, {allowed} of them allowed")
        mark("contents that were allowed during the outage", allowed, "", at_most=0)
        ask("/api/v1/models/abuse/start", {"reason": "bench"})
        began = now()
        open_cases = HELD
        while open_cases and now() - began < 1_200:
            time.sleep(5)
            open_cases = _count(folder, "is_held")
        took = now() - began
        reviewed = _count(folder, "ruling = 'review' AND NOT EXISTS (SELECT 1 FROM moderation_decision newer"
                                  " WHERE newer.redecides_id = moderation_decision.id)")  # fmt: skip
        print(f"  decided by themselves in {took:.0f} s; blocked {_count(folder, _BLOCKED):,}")
        mark("open cases; without the outage there are none", reviewed, "", at_most=0)


_BLOCKED = "ruling = 'block'"


def _count(folder: Path, condition: str) -> int:
    with closing(sqlite3.connect(folder / "data" / "roundhouse.sqlite3", timeout=20)) as connection:
        query = f"SELECT count(*) FROM moderation_decision WHERE {condition}"
        return connection.execute(query).fetchone()[0]


PARTS = {"decide": decide, "preview": preview, "outage": outage}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.moderation_bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    for part in options.parts or PARTS:
        PARTS[part](options.repeats, options.seconds)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
