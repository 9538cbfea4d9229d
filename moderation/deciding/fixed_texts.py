"""Fixed texts for programs that are being tested: each is always decided in the same way, and nothing is asked or stored."""

from collections.abc import Mapping

from moderation.deciding.contents import Content
from moderation.deciding.judgements import Evidence, Judgement
from moderation.policies.rules import RuleEffect, Ruling

FIXED_CODE = "test_text"
FIXED_TEXTS: Mapping[str, Ruling] = {
    "roundhouse-test: allow": Ruling.ALLOW,
    "roundhouse-test: review": Ruling.REVIEW,
    "roundhouse-test: block": Ruling.BLOCK,
}


def fixed_judgement(content: Content) -> Judgement | None:
    """The judgement about a fixed text; None for all other contents."""
    text = content.text.strip()
    ruling = FIXED_TEXTS.get(text)
    if ruling is None:
        return None
    evidence = () if ruling is Ruling.ALLOW else (_evidence(RuleEffect(ruling.value), len(text)),)
    return Judgement(ruling, evidence, (), ruling, content.language, None, None)


def _evidence(effect: RuleEffect, length: int) -> Evidence:
    return Evidence(
        "test-text", FIXED_CODE, effect, "text", 1.0, 0.0, place=(0, length), entry="roundhouse-test"
    )
