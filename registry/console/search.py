"""What the search over everything finds about Models: Models, versions, requests, and what can be done with a Model."""

import re
from itertools import islice

from django.contrib import admin
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Length
from django.http import HttpRequest
from django.urls import reverse

from registry.catalogue.models import Model
from registry.catalogue.selectors import versions_for
from registry.kit.actors import visible_models
from registry.kit.admin.search import HITS_PER_SOURCE, Hit
from registry.kit.admin.theme import actor
from registry.kit.admin.verbs import Verb
from registry.traffic.selectors import describe_shares, open_holds, requests_for, with_live_arms
from registry.traffic.transitions import RequestStatus

# "demand 3", "demand v3", "demand@3", "v3"
_NUMBERED = re.compile(
    r"(?:(?P<model>[\w.-]+)[\s@:/]+)?(?:(?P<v>v)\s?)?(?P<number>[0-9]{1,9})", re.IGNORECASE
)
_SHA256 = re.compile(r"[0-9a-f]{6,64}", re.IGNORECASE)
_REQUEST = re.compile(r"(?:request\s*)?#?\s*(?P<number>[0-9]{1,18})", re.IGNORECASE)
_MODELS_PER_VERB = 3
_MOST_FITTED = 12  # whether a verb fits may take a query
_SHORTEST_WORD = 2


def find_models(request: HttpRequest, text: str) -> list[Hit]:
    """By name, title or tag: exact names first, then names that begin with the text."""
    best = Case(
        When(slug__iexact=text, then=Value(0)), When(slug__istartswith=text, then=Value(1)), default=Value(2)
    )
    matching = Q(slug__icontains=text) | Q(title__icontains=text) | Q(tags__name__iexact=text)
    models = visible_models(Model.objects.filter(matching), actor(request)).order_by(best, "slug").distinct()
    return [
        Hit(model.slug, reverse("admin:registry_model_change", args=[model.pk]), model.title)
        for model in models[:HITS_PER_SOURCE]
    ]


def find_versions(request: HttpRequest, text: str) -> list[Hit]:
    """By Model and number, by number, or by the beginning of the file's SHA-256; the closest name first."""
    numbered = _NUMBERED.fullmatch(text)
    matching = Q()
    if numbered and (numbered["model"] or numbered["v"]):
        matching = Q(number=int(numbered["number"]), model__slug__icontains=numbered["model"] or "")
    if _SHA256.fullmatch(text):
        matching |= Q(artifact__sha256__startswith=text.lower())
    if not matching:
        return []
    versions = versions_for(actor(request)).filter(matching).order_by(Length("model__slug"), "-id")
    return [
        Hit(
            f"{version.model.slug} v{version.number}",
            reverse("admin:registry_version_change", args=[version.pk]),
            f"{version.get_status_display().lower()}, SHA-256 {version.artifact.sha256[:12]}",
        )
        for version in versions[:HITS_PER_SOURCE]
    ]


def find_requests(request: HttpRequest, text: str) -> list[Hit]:
    """Approval requests by number; open ones also by Model."""
    numbered = _REQUEST.fullmatch(text)
    matching = Q(status=RequestStatus.OPEN, model__slug__icontains=text)
    if numbered:
        matching |= Q(pk=int(numbered["number"]))
    rows = requests_for(actor(request)).filter(matching).order_by("-id")
    return [
        Hit(
            f"Request {row.pk} for {row.model.slug}",
            reverse("admin:registry_splitrequest_change", args=[row.pk]),
            f"{row.get_status_display().lower()}: {describe_shares(row)}, by {row.asked_by}",
        )
        for row in rows[:HITS_PER_SOURCE]
    ]


def find_verbs(request: HttpRequest, text: str) -> list[Hit]:
    """Pages such as “roll back demand”: words of the verb, and of the Model, in any order.

    Only what the person's rights allow. If the Models' states allow none of it, the results say so.
    """
    verbs = admin.site._registry[Model].verbs  # type: ignore[attr-defined]  # our page has verbs
    rest_of = {verb: rest for verb in verbs if (rest := _words_besides(verb, text)) is not None}
    if not rest_of:
        return []
    named = Q()
    for rest in rest_of.values():
        named |= Q(slug__icontains=rest) | Q(title__icontains=rest)
    by = actor(request)
    candidates = visible_models(Model.objects.filter(named), by).order_by("slug")
    models = list(with_live_arms(candidates)[: HITS_PER_SOURCE * _MODELS_PER_VERB])
    pairs = (
        (verb, model)
        for verb, rest in rest_of.items()
        for model in [each for each in models if _is_named(each, rest)][:_MODELS_PER_VERB]
        if by.may(verb.right, model_id=model.pk)
    )
    fitting, others = [], []
    for verb, model in islice(pairs, _MOST_FITTED):
        title = f"{verb.title}: {model.slug}"
        if verb.fits(model):
            fitting.append(Hit(title, _page(verb, model), ", ".join(open_holds(model))))
        else:
            others.append(
                Hit(title, reverse("admin:registry_model_change", args=[model.pk]), "not possible now")
            )
    return fitting or others


def _words_besides(verb: Verb, text: str) -> str | None:
    """The words that are not the verb's, which name the Model; None if no word is the verb's."""
    words, title = text.lower().split(), verb.title.lower().split()
    rest = [
        word
        for word in words
        if len(word) < _SHORTEST_WORD or not any(part.startswith(word) for part in title)
    ]
    return " ".join(rest) if len(rest) < len(words) else None


def _is_named(model: Model, rest: str) -> bool:
    return rest in model.slug.lower() or rest in model.title.lower()


def _page(verb: Verb, model: Model) -> str:
    return reverse(f"admin:registry_model_{verb.name.replace('-', '_')}", args=[model.pk])
