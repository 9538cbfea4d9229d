"""The categories of other services, and the labels that count for them unless a mapping says otherwise."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache


class ForeignProtocol(StrEnum):
    OPENAI = "openai"
    PERSPECTIVE = "perspective"

    @property
    def service(self) -> str:
        return _TITLES[self]


_TITLES = {ForeignProtocol.OPENAI: "OpenAI", ForeignProtocol.PERSPECTIVE: "Perspective"}
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    ForeignProtocol.OPENAI: (
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ),
    ForeignProtocol.PERSPECTIVE: (
        "TOXICITY",
        "SEVERE_TOXICITY",
        "IDENTITY_ATTACK",
        "INSULT",
        "PROFANITY",
        "THREAT",
        "SEXUALLY_EXPLICIT",
        "FLIRTATION",
        "SPAM",
    ),
}
# Labels that well-known public models use. A label that is a category's own name needs no line here.
_OTHER_LABELS: Mapping[str, Mapping[str, str]] = {
    ForeignProtocol.OPENAI: {
        "nsfw": "sexual",
        "porn": "sexual",
        "hentai": "sexual",
        "hate-speech": "hate",
        "hateful": "hate",
        "violent": "violence",
        "gore": "violence/graphic",
    },
    ForeignProtocol.PERSPECTIVE: {
        "toxic": "TOXICITY",
        "toxic-language": "TOXICITY",
        "severe-toxic": "SEVERE_TOXICITY",
        "identity-hate": "IDENTITY_ATTACK",
        "obscene": "PROFANITY",
        "sexual-explicit": "SEXUALLY_EXPLICIT",
        "nsfw": "SEXUALLY_EXPLICIT",
    },
}
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def _plain(name: str) -> str:
    return _SEPARATORS.sub("-", name.lower()).strip("-")


_BY_PLAIN_NAME = {
    protocol: {_plain(category): category for category in categories}
    for protocol, categories in CATEGORIES.items()
}


def category_named(protocol: str, name: str) -> str | None:
    """The category that a label or a violation's code names: `severe_toxicity` is SEVERE_TOXICITY."""
    return _BY_PLAIN_NAME[protocol].get(_plain(name))


@lru_cache(maxsize=10_000)
def usual_categories(protocol: str, label: str) -> tuple[str, ...]:
    """The categories of a label that is not mapped."""
    found = category_named(protocol, label) or _OTHER_LABELS[protocol].get(_plain(label))
    return (found,) if found else ()
