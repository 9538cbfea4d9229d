"""Examining contents: everything that a policy looks at is asked at the same time, within one deadline."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from inference.pipelines.errors import ItemNotFetched
from inference.serving.item_urls import RequestEnd, fetch_item, fetch_together, read_item_url
from inference.serving.off_loop import decoding_off_loop, fetching_off_loop, off_loop
from moderation.deciding.contents import MAX_PICTURE_BYTES, Content
from moderation.deciding.detectors import Answers, Asking, ask, failure_of
from moderation.deciding.findings import DetectorAnswer, Failure, Findings, image_part, kind_of_part
from moderation.deciding.judgements import needed_detectors, needed_lists
from moderation.matching.errors import MatchError
from moderation.matching.pictures import PictureHashes
from moderation.matching.texts import Readable
from moderation.policies.rules import DetectorRule, HashRule, ListRule, Part, PatternRule, PolicyRules

_LOOP_CHARACTERS = 500  # more would hold up the loop
_LOOP_ENTRIES = 1_000
_EMPTY = Failure("unreadable_picture", "There is an empty file at its address.", False)
_LATE = Failure("deadline_exceeded", "The lists were not read in time.", True)
_FETCHING_SHARE = 0.5  # of the time that is left, at most, so that something is left for the detectors


@dataclass(slots=True)
class Examined:
    """A content with the files of its pictures, and what was found in it."""

    content: Content
    findings: Findings


async def examine(
    contents: Sequence[Content], rules: Sequence[PolicyRules], asking: Asking
) -> list[Examined]:
    """Find out what the contents' policies need. Raises TooManyRequests only; all else becomes a failure in the findings."""
    examined = [Examined(content, Findings(_parts(content), content.language)) for content in contents]
    await _together(
        [_fetch(one, asking) for one in examined if any(not sent.content for sent in one.content.pictures)]
    )
    matching = asyncio.ensure_future(_match(examined, rules, asking))
    try:
        await _ask_needed(examined, rules, asking)  # perhaps only which language it is
        if any(policy.language_detector for policy in rules):
            await _ask_needed(examined, rules, asking)
        await matching
    finally:
        matching.cancel()
    return examined


def _parts(content: Content) -> list[str]:
    count = len(content.pictures)
    return [*(part for part, _ in content.texts()), *(image_part(number, count) for number in range(count))]


async def _together(work: Sequence[Awaitable[None]]) -> None:
    """Await all of it; after an error none is left running."""
    if len(work) == 1:
        await work[0]
        return
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _fetch(one: Examined, asking: Asking) -> None:
    """Fetch the pictures that are named by URLs. One that cannot be fetched is a failure of its part."""
    pictures, end = one.content.pictures, RequestEnd(asking.ends_at - (1 - _FETCHING_SHARE) * asking.left_s)
    hosts: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    for sent in pictures:
        if (
            sent.url and not sent.content
        ):  # what was fetched once is not fetched again: it may be another picture now
            try:
                hosts[sent.url] = read_item_url(sent.url, "image_url").host
            except ItemNotFetched as error:
                failures[sent.url] = failure_of(error)

    async def fetch(url: str) -> bytes | Failure:
        try:
            work = partial(fetch_item, url, "image_url", MAX_PICTURE_BYTES, end)
            content = await fetching_off_loop(work)
            asking.hold(len(content))
            return content or _EMPTY
        except Exception as error:  # noqa: BLE001 (a person decides about a picture that nobody could see)
            return failure_of(error)._replace(passes=True)

    try:
        files = dict(zip(hosts, await fetch_together(fetch, hosts, end), strict=True))
    except Exception as error:  # noqa: BLE001 (the deadline)
        files = dict.fromkeys(hosts, failure_of(error))
    fetched = []
    for number, sent in enumerate(pictures):
        got = sent.content or failures.get(sent.url) or files[sent.url]
        if isinstance(got, Failure):
            one.findings.failures[image_part(number, len(pictures))] = got
            got = b""
        fetched.append(got)
    one.content = one.content.with_pictures(fetched)


def _payloads(one: Examined) -> dict[str, str | bytes]:
    """The words or bytes of each part that can be looked at."""
    payloads: dict[str, str | bytes] = dict(one.content.texts())
    count = len(one.content.pictures)
    for number, sent in enumerate(one.content.pictures):
        if sent.content:
            payloads[image_part(number, count)] = sent.content
    return payloads


async def _ask_needed(examined: Sequence[Examined], rules: Sequence[PolicyRules], asking: Asking) -> None:
    """Ask every detector that is needed and was not asked."""
    needed: dict[str, list[tuple[Examined, PolicyRules]]] = defaultdict(list)
    for one, policy in zip(examined, rules, strict=True):
        for detector in needed_detectors(policy, one.findings):
            if detector not in one.findings.detectors and detector not in one.findings.failures:
                needed[detector].append((one, policy))
    await _together([ask_detector(detector, needed[detector], asking) for detector in sorted(needed)])


async def ask_detector(
    detector: str, examined: Sequence[tuple[Examined, PolicyRules]], asking: Asking
) -> None:
    """Ask a detector once about all parts of these contents that their policies have it read."""
    texts: list[tuple[Examined, str, Any]] = []
    pictures: list[tuple[Examined, str, Any]] = []
    reads_of: dict[int, set[str]] = {}  # contents often share their policy
    for one, policy in examined:
        one.findings.detectors[detector] = DetectorAnswer(0, "", [])
        reads = reads_of.get(id(policy))
        if reads is None:
            reads = reads_of[id(policy)] = _reads(policy, detector)
        for part, payload in _payloads(one).items():
            if kind_of_part(part) in reads:
                (texts if isinstance(payload, str) else pictures).append((one, part, payload))
    await _together([_ask(detector, items, asking) for items in (texts, pictures) if items])


def _reads(policy: PolicyRules, detector: str) -> set[str]:
    rules = (rule for rule in policy.active if isinstance(rule, DetectorRule) and rule.detector == detector)
    reads = {str(part) for rule in rules for part in rule.reads}
    return reads | ({Part.TEXT, Part.TITLE} if detector == policy.language_detector else set())


async def _ask(detector: str, items: Sequence[tuple[Examined, str, Any]], asking: Asking) -> None:
    """A deadline bounds the answer: a detector that is silent has failed."""
    try:
        async with asyncio.timeout(max(0.001, asking.left_s)):
            answers = await ask(detector, [payload for _, _, payload in items], _keyed(asking, items))
    except TimeoutError:
        silent = Failure("deadline_exceeded", f"{detector} did not answer in time.", True)
        answers = Answers.of_failure(silent, len(items))
    for (one, part, _), found in zip(items, answers.items, strict=True):
        if isinstance(found, Failure):
            one.findings.failures[detector] = found
        else:
            answer = one.findings.detectors[detector]
            answer.version, answer.preprocessing, answer.arm = answers.facts
            answer.found += [(part, *thing) for thing in found]
            one.findings.looked_at.setdefault(detector, []).append(part)


def _keyed(asking: Asking, items: Sequence[tuple[Examined, str, Any]]) -> Asking:
    """The same content gets the same arm each time."""
    content = items[0][0].content
    key = content.content_id or content.author_id
    return (
        asking
        if not key or any(one.content is not content for one, _, _ in items)
        else replace(asking, routing_key=key)
    )


async def _match(examined: Sequence[Examined], rules: Sequence[PolicyRules], asking: Asking) -> None:
    """Note the hashes of pictures, and look for the entries of lists: in a thread if that may take long, in one for all."""
    await _together([_hash_pictures(one) for one in examined if one.content.pictures])
    searches = [
        (lists, one)
        for one, policy in zip(examined, rules, strict=True)
        if (lists := needed_lists(policy, one.findings))
    ]
    if not searches:
        return
    search = partial(_search, searches, asking)
    try:
        async with asyncio.timeout(max(0.001, asking.left_s)):
            if _is_long(searches):
                await off_loop(search)
            else:
                search()
    except Exception as error:  # noqa: BLE001 (no thread was free, for example; a person decides)
        failure = _LATE if isinstance(error, TimeoutError) else failure_of(error)
        for lists, one in searches:
            for rule in lists:
                if rule.digest not in one.findings.matches:
                    one.findings.failures.setdefault(rule.digest, failure)


def _is_long(searches: Sequence[tuple[Sequence[ListRule], Examined]]) -> bool:
    characters = sum(len(one.content.text) + len(one.content.title) for _, one in searches)
    return characters > _LOOP_CHARACTERS or any(
        isinstance(rule, PatternRule | HashRule) or rule.entries > _LOOP_ENTRIES
        for lists, _ in searches
        for rule in lists
    )


def _search(searches: Sequence[tuple[Sequence[ListRule], Examined]], asking: Asking) -> None:
    """Once it is too late, the rest is left out."""
    for lists, one in searches:
        texts = {str(part): text for part, text in one.content.texts()}
        match_lists(lists, one.findings, texts, is_late=lambda: asking.left_s <= 0)


def match_lists(
    lists: Sequence[ListRule],
    findings: Findings,
    texts: Mapping[str, str],
    *,
    is_late: Callable[[], bool] = lambda: False,
) -> None:
    """Add what the lists have of these texts, and of the pictures whose hashes are noted.

    Rules with the same list may read other parts, so all are searched.
    """
    readable = {str(part): Readable(text) for part, text in texts.items()}
    for rule in lists:
        if is_late():
            return
        if rule.digest in findings.matches or rule.digest in findings.failures:
            continue
        try:
            findings.matches[rule.digest] = _hits(rule, findings, readable)
            pictures = [part for part, *_ in findings.pictures]
            findings.looked_at[rule.digest] = pictures if isinstance(rule, HashRule) else list(readable)
        except MatchError as error:
            findings.failures[rule.digest] = Failure("list_failed", f"Rule {rule.name}: {error}", False)


def _hits(rule: ListRule, findings: Findings, readable: Mapping[str, Readable]) -> list[Any]:
    if isinstance(rule, HashRule):
        return [
            (part, 0, hit.distance, hit.entry)
            for part, *hashes in findings.pictures
            for hit in rule.matcher.find(PictureHashes(*hashes))
        ]
    return [
        (part, hit.start, hit.end, hit.entry)
        for part, text in readable.items()
        for hit in rule.matcher.find(text)
    ]


async def _hash_pictures(one: Examined) -> None:
    for part, payload in _payloads(one).items():
        if isinstance(payload, bytes):
            try:
                hashes = await decoding_off_loop(partial(PictureHashes.of, payload))
                one.findings.pictures.append((part, *hashes))
            except Exception as error:  # noqa: BLE001 (a person looks at a picture that cannot be read)
                one.findings.failures[part] = _unreadable(error)


def _unreadable(error: Exception) -> Failure:
    if isinstance(error, MatchError):
        return Failure("unreadable_picture", str(error), False)
    return failure_of(error)
