"""What authors, and people who reported something, are told in their language. Knows no database."""

import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from moderation.policies.rules import language_of
from moderation.review.statements import DecisionAccount, DecisionMaker, DecisionVisibility

FALLBACK_LANGUAGE = "en"


class NoticeKind(StrEnum):
    """`restored` and `decision_confirmed` end an appeal: the decision was reversed, or it stands."""

    RESTRICTED = "restricted"
    ACCOUNT_RESTRICTED = "account_restricted"
    RESTORED = "restored"
    DECISION_CONFIRMED = "decision_confirmed"
    REPORT_ACTION = "report_action"
    REPORT_NO_ACTION = "report_no_action"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeValues:
    """What a notice says. `content` is an address or an id: what people wrote is not repeated to them."""

    decided_by: DecisionMaker
    content: str = ""  # none: the notice is about the account
    visibility: Collection[DecisionVisibility] = ()
    account: DecisionAccount | None = None
    account_until: date | None = None  # none: not known
    rule: str = ""  # the title of the violation
    rule_sentences: Mapping[str, str] = field(default_factory=dict)  # what it means, by language
    appeal_until: date | None = None  # the last day; none: no appeal is possible
    appeal_url: str = ""  # none: the service has its own way


@dataclass(frozen=True, slots=True)
class Notice:
    """`language` is the one that it is written in. An empty line parts the paragraphs of the body."""

    language: str
    subject: str
    body: str


def notice_text(language: str, kind: NoticeKind, values: NoticeValues) -> Notice:
    """Write a notice for people with this language tag, in English if theirs is missing.

    Raises ValueError if the notice would not say what was restricted.
    """
    if not values.content and kind in _ABOUT_CONTENTS:
        raise ValueError(f"A notice of the kind {kind} names a content.")
    if values.account is None and kind is NoticeKind.ACCOUNT_RESTRICTED:
        raise ValueError("A notice about a restricted account says how it is restricted.")
    writer = _NoticeWriter(notice_language(language), values)
    paragraphs = [write(writer) for write in _PARAGRAPHS[kind]]
    return Notice(writer.language, writer.subject(kind), "\n\n".join(filter(None, paragraphs)))


def notice_language(tag: str) -> str:
    """The language that notices for people with this tag are written in."""
    try:
        language = language_of(tag.replace("_", "-"))
    except ValueError:
        return FALLBACK_LANGUAGE
    return language if language in _texts() else FALLBACK_LANGUAGE


class _NoticeWriter:
    def __init__(self, language: str, values: NoticeValues) -> None:
        self.language, self._values, self._table = language, values, _texts()[language]

    def subject(self, kind: NoticeKind) -> str:
        return str(self._table["subjects"][kind])

    def restricted(self) -> str:
        how = [one for one in DecisionVisibility if one in self._values.visibility] or [
            DecisionVisibility.OTHER
        ]
        sentences = [self._sentence(one.name.lower(), content=self._values.content) for one in how]
        return " ".join([*sentences, *([self.account_restricted()] if self._values.account else [])])

    def account_restricted(self) -> str:
        if self._values.account is DecisionAccount.TERMINATED:
            return self._sentence("terminated")
        if self._values.account_until is None:
            return self._sentence("suspended")
        return self._sentence("suspended_until", until=self._date(self._values.account_until))

    def restored(self) -> str:
        return self._about("restored")

    def decision_confirmed(self) -> str:
        return self._about("decision_confirmed")

    def report_action(self) -> str:
        return self._sentence("report_action", content=self._values.content)

    def report_no_action(self) -> str:
        return self._sentence("report_no_action", content=self._values.content)

    def rule(self) -> str:
        named = self._sentence("rule", rule=self._values.rule) if self._values.rule else ""
        return "\n".join(filter(None, [named, self._rule_sentence()]))

    def decided_by(self) -> str:
        return self._sentence(self._values.decided_by)

    def appeal(self) -> str:
        if self._values.appeal_until is None:
            return ""
        until = self._date(self._values.appeal_until)
        if not self._values.appeal_url:
            return self._sentence("appeal", appeal_until=until)
        return self._sentence("appeal_link", appeal_until=until, appeal_url=self._values.appeal_url)

    def redress(self) -> str:
        return self._sentence("redress")

    def _about(self, name: str) -> str:
        if not self._values.content:
            return self._sentence(f"{name}_account")
        return self._sentence(name, content=self._values.content)

    def _sentence(self, name: str, **values: str) -> str:
        return str(self._table["sentences"][name]).format(**values)

    def _rule_sentence(self) -> str:
        """In the notice's language; else in English, because a reason in a foreign language is better than none."""
        given = {
            tag.partition("-")[0].lower(): text.strip() for tag, text in self._values.rule_sentences.items()
        }
        return given.get(self.language) or given.get(FALLBACK_LANGUAGE, "")

    def _date(self, day: date) -> str:
        number = self._table.get("first_day", "1") if day.day == 1 else day.day
        return str(self._table["date"]).format(
            day=number, month=self._table["months"][day.month - 1], year=day.year
        )


_ABOUT_CONTENTS = frozenset({NoticeKind.RESTRICTED, NoticeKind.REPORT_ACTION, NoticeKind.REPORT_NO_ACTION})
_REASONS = (_NoticeWriter.rule, _NoticeWriter.decided_by, _NoticeWriter.appeal, _NoticeWriter.redress)
_PARAGRAPHS: Mapping[NoticeKind, tuple[Callable[[_NoticeWriter], str], ...]] = {
    NoticeKind.RESTRICTED: (_NoticeWriter.restricted, *_REASONS),
    NoticeKind.ACCOUNT_RESTRICTED: (_NoticeWriter.account_restricted, *_REASONS),
    NoticeKind.RESTORED: (_NoticeWriter.restored,),
    NoticeKind.DECISION_CONFIRMED: (
        _NoticeWriter.decision_confirmed,
        _NoticeWriter.rule,
        _NoticeWriter.redress,
    ),
    NoticeKind.REPORT_ACTION: (_NoticeWriter.report_action, *_REASONS),
    NoticeKind.REPORT_NO_ACTION: (_NoticeWriter.report_no_action, *_REASONS[1:]),
}


@cache
def _texts() -> dict[str, dict[str, Any]]:
    """The table of each language."""
    return tomllib.loads(Path(__file__).with_name("notices.toml").read_text(encoding="utf-8"))
