"""A content with its evidence marked in place: pieces of texts, and boxes in pictures. Knows no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from moderation.deciding.findings import kind_of_part
from moderation.deciding.judgements import Evidence

_MOST_MARKS = 100


@dataclass(frozen=True, slots=True)
class NumberedEvidence:
    """A line of the table of evidence. Marks in the content carry its number."""

    number: int
    evidence: Evidence
    version_url: str = ""
    quote: str | None = None

    @property
    def name(self) -> str:
        """What was found: the label, or the list's entry."""
        return self.evidence.label or self.evidence.entry or self.evidence.rule

    @property
    def where(self) -> str:
        place = self.evidence.place
        if place is not None and len(place) == 2:
            return f"{self.evidence.part}, characters {int(place[0]) + 1} to {int(place[1])}"
        return self.evidence.part

    @property
    def is_list_entry(self) -> bool:
        return bool(self.evidence.entry)

    @property
    def box(self) -> str:
        """Left, top, width and height in pixels of the picture, for the page's script; empty: it has no box."""
        place = self.evidence.place
        if place is None or len(place) != 4:
            return ""
        left, top, right, bottom = place
        return f"{left:.1f} {top:.1f} {right - left:.1f} {bottom - top:.1f}"

    @property
    def sentence(self) -> str:
        """What a mark says to those who cannot see its colour."""
        one = self.evidence
        if one.entry:
            return f"{one.code}, entry “{one.entry}”, {one.effect}"
        return f"{one.code}, {one.label} {one.score:.2f}, cut-off {one.cut_off:g}, {one.effect}"


@dataclass(frozen=True, slots=True)
class MarkedPiece:
    """A piece of a text, with the evidence that covers it; none: plain text. `ends`: the evidence that ends with it."""

    text: str
    marks: Sequence[NumberedEvidence] = ()
    ends: Sequence[NumberedEvidence] = ()

    @property
    def effect(self) -> str:
        return str(self.marks[0].evidence.effect) if self.marks else ""


@dataclass(frozen=True, slots=True)
class MarkedText:
    title: str
    pieces: Sequence[MarkedPiece]
    whole: Sequence[NumberedEvidence] = ()  # about all of the text


@dataclass(frozen=True, slots=True)
class MarkedPicture:
    """`address`: empty if its file is not kept."""

    title: str
    address: str
    url: str
    boxes: Sequence[NumberedEvidence] = ()
    whole: Sequence[NumberedEvidence] = ()


def numbered(evidence: Sequence[Evidence]) -> list[NumberedEvidence]:
    return [NumberedEvidence(number, one) for number, one in enumerate(evidence, start=1)]


def mark_text(part: str, title: str, text: str, evidence: Sequence[NumberedEvidence]) -> MarkedText:
    """The text in pieces; where evidence overlaps, a piece has several marks, the gravest first."""
    here = [one for one in evidence if one.evidence.part == part]
    spans = [(one, _span(one, len(text))) for one in here]
    placed = [(one, start, end) for one, (start, end) in spans if start < end][:_MOST_MARKS]
    edges = sorted({0, len(text), *(edge for _, start, end in placed for edge in (start, end))})
    pieces = [
        MarkedPiece(
            text[start:end],
            [one for one, first, last in placed if first <= start and end <= last],
            [one for one, _, last in placed if last == end],
        )
        for start, end in pairwise(edges)
    ]
    marked = {id(one) for one, _, _ in placed}
    return MarkedText(title, pieces, [one for one in here if id(one) not in marked])


def _span(one: NumberedEvidence, length: int) -> tuple[int, int]:
    place = one.evidence.place
    if place is None or len(place) != 2:
        return 0, 0
    return max(0, int(place[0])), min(length, int(place[1]))


def evidence_of_picture(
    part: str, evidence: Sequence[NumberedEvidence]
) -> Mapping[str, list[NumberedEvidence]]:
    """The evidence about one picture: `boxes`, and `whole` for labels and hashes."""
    here = [one for one in evidence if one.evidence.part == part and kind_of_part(part) == "image"]
    return {"boxes": [one for one in here if one.box], "whole": [one for one in here if not one.box]}
