"""The page of a decision: the content with its evidence, why it needs a person, and what was decided before and since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from moderation.cases.models import Case
from moderation.cases.selectors import visible_cases
from moderation.console.marked_content import (
    MarkedPicture,
    MarkedText,
    NumberedEvidence,
    evidence_of_picture,
    mark_text,
    numbered,
)
from moderation.console.preview_panel import draft_judgement
from moderation.deciding.answers import Explanation, stored_explanation
from moderation.deciding.findings import Findings, image_part
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.policies.rules import Ruling, split_detector
from moderation.rights import ModerationRight
from registry.catalogue.models import Model, Version
from registry.kit.admin.columns import Tone
from registry.kit.admin.theme import actor

TONES = {Ruling.ALLOW: Tone.GOOD, Ruling.REVIEW: Tone.WARN, Ruling.BLOCK: Tone.BAD}
_HISTORY_SHOWN = 20
# What may be sent to a browser, by how such files begin. Anything else could be a page with a script.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_PICTURE_HEADERS = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ADVICE = {
    "language_not_covered": "Add a detector for this language to the policy, or send the language that the text is in.",
    "text_not_covered": "Add a rule that reads texts to the policy.",
    "image_not_covered": "Add a rule that reads pictures to the policy.",
    "title_not_covered": "Add a rule that reads titles to the policy.",
    "unreadable_picture": "It is damaged, or in a format that is not read.",
    "item_not_fetched": "Look whether its host is in ROUNDHOUSE_ITEM_HOSTS, and whether the picture is still there.",
    "unusable_output": "Look at the detector’s version: it answered with numbers that are none.",
    "list_failed": "Simplify the expressions of the policy’s list.",
    "stopped": "Somebody stopped this Model; its page says why.",
    "overloaded": "The installation has too much to do; look at the workers.",
    "not_a_detector": "Change the rule, or the Model that it names.",
    "deadline_exceeded": "If this happens often, look at the Model’s traffic: it is too slow, or has too little room.",
    "no_live_version": "Make a version of this Model live.",
}
_PASSES = "It is decided again by itself when this works again."
_STAYS = "A person has to decide; asking again would not help."


@dataclass(frozen=True, slots=True)
class ShownProblem:
    sentence: str
    source: str
    advice: str
    url: str


@dataclass(frozen=True, slots=True)
class ShownDetector:
    name: str
    version: int
    preprocessing: str
    url: str


@dataclass(frozen=True, slots=True)
class VersionLinks:
    """The pages of the versions that answered, by detector and number."""

    urls: Mapping[tuple[str, int], str]
    models: Mapping[str, str]

    @classmethod
    def of(cls, findings: Findings, evidence: Iterable[Any]) -> "VersionLinks":
        pairs = {(name, answer.version) for name, answer in findings.detectors.items()}
        pairs |= {(one.detector, one.version) for one in evidence if one.detector and one.version}
        slugs = {split_detector(name)[0] for name in {*(name for name, _ in pairs), *findings.failures}}
        ids = {
            (slug, number): pk
            for pk, slug, number in Version.objects.filter(model__slug__in=slugs)
            .filter(number__in={number for _, number in pairs})
            .values_list("pk", "model__slug", "number")
        }
        models = {
            slug: reverse("admin:registry_model_change", args=[pk])
            for pk, slug in Model.objects.filter(slug__in=slugs).values_list("pk", "slug")
        }
        urls = {
            (name, number): reverse("admin:registry_version_change", args=[pk])
            for name, number in pairs
            if (pk := ids.get((split_detector(name)[0], number))) is not None
        }
        return cls(urls, models)


def decision_context(request: HttpRequest, decision: Any) -> dict[str, Any]:
    """`decision` has `is_hidden`: then its content, and what was found in it, is not part of the page."""
    earlier, later = _history(decision)
    context = {
        "decision": decision,
        "tone": TONES[Ruling(decision.ruling)],
        "earlier": earlier,
        "later": later,
        "superseded_by": later[-1] if later else None,
        "redecided_by": decision.redecided_by.first(),
        "facts": [fact for fact in decision_facts(decision) if not (decision.is_hidden and fact[0] == "URL")],
        "cases": _cases(request, decision),
    }
    return context if decision.is_hidden else {**context, **_found(request, decision)}


def _found(request: HttpRequest, decision: Decision) -> dict[str, Any]:
    """The content, and what was found in it."""
    explanation, findings = stored_explanation(decision), Findings.from_bytes(decision.findings)
    links = VersionLinks.of(findings, explanation.evidence)
    told = linked_evidence([one for one in explanation.evidence if not one.is_shadow], links, explanation)
    shadow = linked_evidence([one for one in explanation.evidence if one.is_shadow], links, explanation)
    content = StoredContent.objects.filter(decision=decision).first()
    pictures = list(decision.pictures.all().defer("file")) if content is not None else []
    kept = set(
        StoredPicture.objects.filter(decision=decision, file__isnull=False).values_list("number", flat=True)
    )
    drafted = draft_judgement(decision, request.GET.get("preview", ""))
    return {
        "drafted": drafted,
        "drafted_evidence": (
            linked_evidence(drafted.judgement.in_force, links, explanation)
            if drafted is not None and drafted.judgement
            else []
        ),
        "is_stored": content is not None,
        "texts": marked_texts(content, told),
        "pictures": _pictures(decision, pictures, kept, told),
        "evidence": told,
        "shadow": shadow,
        "is_cut": explanation.is_cut,
        "problems": [shown_problem(one, links) for one in explanation.problems],
        "detectors": _detectors(findings, links),
    }


def _cases(request: HttpRequest, decision: Decision) -> list[Case]:
    """The cases that the content is in, for those who may open them."""
    by = actor(request)
    if ModerationRight.REVIEW not in by.rights:
        return []
    cases = Case.objects.filter(items__decision=decision).order_by("pk")
    return list(visible_cases(cases, by))


def picture_response(decision_id: UUID, number: int) -> HttpResponse:
    """A stored picture. It is served only if it begins like a picture."""
    row = StoredPicture.objects.filter(decision=decision_id, number=number, file__isnull=False).first()
    content_type = picture_type(bytes(row.file or b"")) if row is not None else None
    if row is None or content_type is None:
        raise Http404("There is no such picture, or it is not kept.")
    return HttpResponse(bytes(row.file or b""), content_type=content_type, headers=_PICTURE_HEADERS)


def picture_type(file: bytes) -> str | None:
    """The content type of a picture in a format that browsers show; None for everything else."""
    if file[:4] == b"RIFF" and file[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _SIGNATURES if file.startswith(beginning)), None)


def linked_evidence(
    evidence: Sequence[Any], links: VersionLinks, explanation: Explanation
) -> list[NumberedEvidence]:
    return [
        replace(
            one,
            version_url=links.urls.get((one.evidence.detector, one.evidence.version or 0), ""),
            quote=explanation.quote(one.evidence),
        )
        for one in numbered(evidence)
    ]


def marked_texts(content: StoredContent | None, evidence: Sequence[NumberedEvidence]) -> list[MarkedText]:
    if content is None:
        return []
    parts = (("title", "Title", content.title), ("text", "Text", content.text))
    return [mark_text(part, title, text, evidence) for part, title, text in parts if text]


def _pictures(
    decision: Decision,
    pictures: Sequence[StoredPicture],
    kept: set[int],
    evidence: Sequence[NumberedEvidence],
) -> list[MarkedPicture]:
    shown = []
    for picture in pictures:
        part = image_part(picture.number, len(pictures))
        address = (
            reverse("admin:moderation_decision_picture", args=[decision.pk, picture.number])
            if picture.number in kept
            else ""
        )
        title = f"Picture {picture.number + 1}" if len(pictures) > 1 else "Picture"
        shown.append(MarkedPicture(title, address, picture.url, **evidence_of_picture(part, evidence)))
    return shown


def shown_problem(problem: Any, links: VersionLinks) -> ShownProblem:
    advice = _ADVICE.get(problem.code, "")
    ending = _PASSES if problem.passes else _STAYS
    url = links.models.get(split_detector(problem.source)[0], "")
    return ShownProblem(problem.detail, problem.source, f"{advice} {ending}".strip(), url)


def _detectors(findings: Findings, links: VersionLinks) -> list[ShownDetector]:
    return [
        ShownDetector(name, answer.version, answer.preprocessing, links.urls.get((name, answer.version), ""))
        for name, answer in findings.detectors.items()
        if answer.version
    ]


def decision_facts(decision: Decision) -> list[tuple[str, str]]:
    facts = {
        "Content id": decision.content_id,
        "Author id": decision.author_id,
        "Context": decision.context,
        "Language": decision.language,
        "Thread": decision.thread,
        "URL": decision.url,
        "Tenant": str(decision.tenant) if decision.tenant else "",
        "API key": str(decision.key) if decision.key else "",
        "Request id": decision.request_id,
    }
    return [(name, text) for name, text in facts.items() if text]


def _history(decision: Decision) -> tuple[list[Decision], list[Decision]]:
    """Earlier and later decisions about the same content id of the same tenant, each from the oldest on."""
    if not decision.content_id:
        return [], []
    rows = Decision.objects.select_related("policy", "revision").defer(
        "evidence", "findings", "revision__content"
    )
    same = rows.filter(tenant=decision.tenant_id, content_id=decision.content_id).exclude(pk=decision.pk)
    newest = same.order_by("-received_at", "-decided_at")[: 2 * _HISTORY_SHOWN]
    moment = (decision.received_at, decision.decided_at)
    before = [one for one in newest if (one.received_at, one.decided_at) <= moment][:_HISTORY_SHOWN]
    after = [one for one in newest if (one.received_at, one.decided_at) > moment][:_HISTORY_SHOWN]
    return before[::-1], after[::-1]
