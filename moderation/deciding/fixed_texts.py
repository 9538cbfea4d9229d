"""Fixed texts for programs that are being tested: each is always decided in the same way, and nothing is asked or stored."""

from collections.abc import Mapping

from moderation.deciding.contents import Content
from moderation.deciding.verdicts import Evidence, Verdict
from moderation.policies.rules import Effect, Ruling

FIXED_CODE = "test_text"
FIXED_TEXTS: Mapping[str, Ruling] = {
    "roundhouse-test: allow": Ruling.ALLOW,
    "roundhouse-test: review": Ruling.REVIEW,
    "roundhouse-test: block": Ruling.BLOCK,
}


def fixed_verdict(content: Content) -> Verdict | None:
    """The verdict about a fixed text; None for all other contents."""
    text = content.text.strip()
    ruling = FIXED_TEXTS.get(text)
    if ruling is None:
        return None
    evidence = () if ruling is Ruling.ALLOW else (_evidence(Effect(ruling.value), len(text)),)
    return Verdict(ruling, evidence, (), ruling, content.language, None, None)


def _evidence(effect: Effect, length: int) -> Evidence:
    return Evidence(
        "test-text", FIXED_CODE, effect, "text", 1.0, 0.0, place=(0, length), entry="roundhouse-test"
    )
