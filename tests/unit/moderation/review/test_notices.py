"""Notices: complete in every language, and what they say."""

import string
import tomllib
import unicodedata
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from django.utils import dates, translation

from moderation.review import notices
from moderation.review.notices import Notice, NoticeKind, NoticeValues, notice_language, notice_text
from moderation.review.statements import DecisionAccount, DecisionMaker, DecisionVisibility

TEXTS = tomllib.loads(Path(notices.__file__).with_name("notices.toml").read_text(encoding="utf-8"))
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ar", "ru", "uk")
SCRIPTS = {**dict.fromkeys(LANGUAGES, "LATIN"), "ar": "ARABIC", "ru": "CYRILLIC", "uk": "CYRILLIC"}
CONTENT = {"content"}
PLACEHOLDERS = {
    "removed": CONTENT,
    "disabled": CONTENT,
    "demoted": CONTENT,
    "age_restricted": CONTENT,
    "interaction_restricted": CONTENT,
    "labelled": CONTENT,
    "other": CONTENT,
    "suspended": set(),
    "suspended_until": {"until"},
    "terminated": set(),
    "restored": CONTENT,
    "restored_account": set(),
    "decision_confirmed": CONTENT,
    "decision_confirmed_account": set(),
    "report_action": CONTENT,
    "report_no_action": CONTENT,
    "rule": {"rule"},
    "machine": set(),
    "machine_and_person": set(),
    "person": set(),
    "appeal": {"appeal_until"},
    "appeal_link": {"appeal_until", "appeal_url"},
    "redress": set(),
}
VALUES = NoticeValues(
    decided_by=DecisionMaker.MACHINE_AND_PERSON,
    content="comment-17",
    visibility=[DecisionVisibility.REMOVED],
    rule="Insults",
    rule_sentences={"en": "Do not insult other people.", "de-AT": "Beleidigen Sie niemanden."},
    appeal_until=date(2027, 6, 1),
)
ACCOUNT = replace(VALUES, content="", visibility=[], account=DecisionAccount.SUSPENDED)


def written(language="en", kind=NoticeKind.RESTRICTED, values=VALUES, **changes):
    return notice_text(language, kind, replace(values, **changes))


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


class TestTables:
    def test_there_is_one_for_each_language(self):
        assert tuple(TEXTS) == LANGUAGES

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_it_is_complete(self, language):
        table = TEXTS[language]

        assert table.keys() - {"first_day"} == {"date", "months", "subjects", "sentences"}
        assert table["subjects"].keys() == set(NoticeKind)
        assert {name: placeholders(text) for name, text in table["sentences"].items()} == PLACEHOLDERS
        assert placeholders(table["date"]) == {"day", "month", "year"}
        assert not any(map(placeholders, table["subjects"].values()))

    def test_each_choice_has_a_sentence(self):
        names = {one.name.lower() for one in (*DecisionVisibility, *DecisionAccount)}

        assert names | set(DecisionMaker) <= PLACEHOLDERS.keys()

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_no_two_texts_are_the_same(self, language):
        table = TEXTS[language]
        texts = [*table["subjects"].values(), *table["sentences"].values()]

        assert len(set(texts)) == len(texts) == 29
        assert all(text == text.strip() == unicodedata.normalize("NFC", text) for text in texts)

    @pytest.mark.parametrize("language", LANGUAGES[1:])
    def test_nothing_is_in_another_language(self, language):
        for part in ("subjects", "sentences"):
            for name, text in TEXTS[language][part].items():
                others = [TEXTS[other][part][name] for other in LANGUAGES if other != language]
                assert text not in others, name

    @pytest.mark.parametrize(("language", "script"), SCRIPTS.items())
    def test_letters_are_those_of_the_language(self, language, script):
        table = TEXTS[language]
        texts = [*table["subjects"].values(), *table["sentences"].values(), *table["months"]]
        letters = {letter for text in texts for letter in outside_braces(text) if letter.isalpha()} - {"º"}

        assert letters
        assert {letter for letter in letters if not unicodedata.name(letter).startswith(script)} == set()

    def test_ukrainian_is_not_russian(self):
        letters = {name: set("".join(TEXTS[name]["sentences"].values())) for name in ("ru", "uk")}

        assert not letters["uk"] & set("ыэъё")
        assert not letters["ru"] & set("іїєґ")
        assert letters["ru"] & set("ыэъё")
        assert letters["uk"] & set("іїєґ")

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_months_are_those_that_django_knows(self, language):
        with translation.override(language):
            known = [str(dates.MONTHS_ALT[month]) for month in range(1, 13)]

        assert [name.lower() for name in TEXTS[language]["months"]] == [name.lower() for name in known]


def outside_braces(text):
    return "".join(literal for literal, _, _, _ in string.Formatter().parse(text))


class TestNotices:
    def test_english(self):
        assert written() == Notice(
            "en",
            "Your content has been restricted",
            "Your content comment-17 has been removed, and other people cannot see it.\n\n"
            "Rule that was broken: Insults\nDo not insult other people.\n\n"
            "An automated system flagged this case, and a person made the decision.\n\n"
            "If you disagree, you can appeal free of charge until 1 June 2027, through the service that sent you this"
            " message. A person who took no part in this decision will review your appeal.\n\n"
            "In the European Union, you can also turn to a certified out-of-court dispute settlement body, or go to"
            " court.",
        )

    def test_german(self):
        notice = written(
            "de-CH",
            NoticeKind.ACCOUNT_RESTRICTED,
            ACCOUNT,
            account_until=date(2026, 12, 24),
            decided_by=DecisionMaker.MACHINE,
            appeal_url="https://example.org/appeal",
        )

        assert notice == Notice(
            "de",
            "Ihr Konto wurde eingeschränkt",
            "Ihr Konto wurde bis zum 24. Dezember 2026 gesperrt.\n\n"
            "Verletzte Regel: Insults\nBeleidigen Sie niemanden.\n\n"
            "Diese Entscheidung hat ein automatisiertes System getroffen; es war kein Mensch beteiligt.\n\n"
            "Wenn Sie nicht einverstanden sind, können Sie bis zum 1. Juni 2027 hier kostenlos Beschwerde einlegen:"
            " https://example.org/appeal\n"
            "Eine Person, die an dieser Entscheidung nicht beteiligt war, wird Ihre Beschwerde prüfen.\n\n"
            "In der Europäischen Union können Sie sich außerdem an eine zertifizierte außergerichtliche"
            " Streitbeilegungsstelle wenden oder vor Gericht gehen.",
        )

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(
        ("kind", "says", "says_not"),
        [
            ("restricted", ["comment-17", "Insults", "decided_by", "2027", "redress"], []),
            ("restored", ["comment-17"], ["Insults", "decided_by", "2027", "redress"]),
            ("decision_confirmed", ["comment-17", "Insults", "redress"], ["decided_by", "2027"]),
            ("report_action", ["comment-17", "Insults", "decided_by", "2027", "redress"], []),
            ("report_no_action", ["comment-17", "decided_by", "2027", "redress"], ["Insults"]),
        ],
    )
    def test_each_kind_says_what_is_needed(self, language, kind, says, says_not):
        notice = written(language, NoticeKind(kind))
        sentences = TEXTS[language]["sentences"]
        looks = {"decided_by": sentences["machine_and_person"], "redress": sentences["redress"]}

        assert (notice.language, notice.subject) == (language, TEXTS[language]["subjects"][kind])
        assert [one for one in says if looks.get(one, one) not in notice.body] == []
        assert [one for one in says_not if looks.get(one, one) in notice.body] == []
        assert not {"{", "}"} & set(notice.body)
        assert "\n\n\n" not in notice.body

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("maker", DecisionMaker)
    def test_who_decided(self, language, maker):
        paragraphs = written(language, decided_by=maker).body.split("\n\n")

        assert paragraphs[2] == TEXTS[language]["sentences"][maker]

    @pytest.mark.parametrize("visibility", DecisionVisibility)
    def test_what_was_done(self, visibility):
        sentence = TEXTS["fr"]["sentences"][visibility.name.lower()].format(content="comment-17")

        assert written("fr", visibility=[visibility]).body.startswith(f"{sentence}\n\n")

    def test_several_things_were_done(self):
        visibility = {DecisionVisibility.LABELLED, DecisionVisibility.DEMOTED}

        assert written(visibility=visibility, account=DecisionAccount.TERMINATED).body.startswith(
            "Your content comment-17 is shown to fewer people. A label has been added to your content comment-17."
            " Your account has been closed permanently.\n\n"
        )

    def test_nothing_says_what_was_done(self):
        assert written(visibility=[]).body.startswith("Your content comment-17 has been restricted.\n\n")

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({}, "Your account has been suspended."),
            ({"account_until": date(2026, 12, 8)}, "Your account has been suspended until 8 December 2026."),
            ({"account": DecisionAccount.TERMINATED}, "Your account has been closed permanently."),
        ],
    )
    def test_what_was_done_to_the_account(self, changes, sentence):
        notice = written("en", NoticeKind.ACCOUNT_RESTRICTED, ACCOUNT, **changes)

        assert notice.body.startswith(f"{sentence}\n\n")

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("kind", [NoticeKind.RESTORED, NoticeKind.DECISION_CONFIRMED])
    def test_an_appeal_was_about_the_account(self, language, kind):
        sentence = TEXTS[language]["sentences"][f"{kind}_account"]

        assert written(language, kind, ACCOUNT).body.startswith(sentence)

    def test_no_appeal_is_possible(self):
        with_appeal, without = written().body.split("\n\n"), written(appeal_until=None).body.split("\n\n")

        assert without == [*with_appeal[:3], with_appeal[4]]

    @pytest.mark.parametrize("kind", ["restricted", "report_action", "report_no_action"])
    def test_a_content_must_be_named(self, kind):
        with pytest.raises(ValueError, match=f"the kind {kind} names a content"):
            written("en", NoticeKind(kind), content="")

    def test_what_happened_to_the_account_must_be_said(self):
        with pytest.raises(ValueError, match="how it is restricted"):
            written("en", NoticeKind.ACCOUNT_RESTRICTED)

    def test_values_are_no_templates(self):
        notice = written(content="{rule}", rule="{content} {0}", rule_sentences={"en": "{months}"})

        assert "Your content {rule} has been removed" in notice.body
        assert "Rule that was broken: {content} {0}\n{months}\n\n" in notice.body


class TestLanguages:
    @pytest.mark.parametrize(
        ("tag", "language"),
        [
            ("pt-BR", "pt"),
            ("PT", "pt"),
            ("de_AT", "de"),
            ("uk-Cyrl-UA", "uk"),
            ("zh-Hant", "en"),
            ("und", "en"),
            ("", "en"),
            ("no language", "en"),
        ],
    )
    def test_a_tag_leads_to_one(self, tag, language):
        assert notice_language(tag) == language
        assert written(tag) == written(language)

    @pytest.mark.parametrize(
        ("sentences", "sentence"),
        [
            ({"fr": "Non.", "en": "No."}, "Non."),
            ({"FR-ca": "Non."}, "Non."),
            ({"en": "No.", "de": "Nein."}, "No."),
            ({"fr": "  ", "en-GB": "No."}, "No."),
            ({"de": "Nein."}, None),
            ({}, None),
        ],
    )
    def test_the_rules_own_sentence(self, sentences, sentence):
        paragraph = written("fr", rule_sentences=sentences).body.split("\n\n")[1]

        assert paragraph.split("\n")[1:] == ([sentence] if sentence else [])

    def test_a_rule_without_a_title(self):
        assert "\n\nDo not insult other people.\n\n" in written(rule="").body

    @pytest.mark.parametrize(
        ("language", "first", "eighth"),
        [
            ("en", "1 December 2026", "8 December 2026"),
            ("de", "1. Dezember 2026", "8. Dezember 2026"),
            ("fr", "1er décembre 2026", "8 décembre 2026"),
            ("es", "1 de diciembre de 2026", "8 de diciembre de 2026"),
            ("it", "1º dicembre 2026", "8 dicembre 2026"),
            ("pt", "1 de dezembro de 2026", "8 de dezembro de 2026"),
            ("nl", "1 december 2026", "8 december 2026"),
            ("pl", "1 grudnia 2026 roku", "8 grudnia 2026 roku"),
            ("tr", "1 Aralık 2026", "8 Aralık 2026"),
            ("ar", "1 ديسمبر 2026", "8 ديسمبر 2026"),
            ("ru", "1 декабря 2026 года", "8 декабря 2026 года"),
            ("uk", "1 грудня 2026 року", "8 грудня 2026 року"),
        ],
    )
    def test_dates_are_in_words(self, language, first, eighth):
        assert first in written(language, appeal_until=date(2026, 12, 1)).body
        assert eighth in written(language, appeal_until=date(2026, 12, 8)).body
