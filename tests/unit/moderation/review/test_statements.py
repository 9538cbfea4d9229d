"""Statements of reasons: what is written, and what the checker refuses."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.review.statements import (
    DSA_VALUES,
    EEA_COUNTRIES,
    EU_COUNTRIES,
    AccountType,
    AutomatedDecision,
    Automation,
    DecisionAccount,
    DecisionGround,
    DecisionMaker,
    DecisionMonetary,
    DecisionProvision,
    DecisionVisibility,
    Restriction,
    SourceType,
    StatementCategory,
    StatementContentType,
    automation_of,
    check_statement,
    statement_of,
)

BLOCKED = Restriction(
    puid="decision-01a23150",
    visibility=[DecisionVisibility.REMOVED],
    ground=DecisionGround.INCOMPATIBLE,
    ground_reference="Community rules, section 2",
    explanation="Insults of other people are not allowed.",
    also_illegal=False,
    category=StatementCategory.SPEECH,
    content_types=[StatementContentType.TEXT],
    content_language="pt-BR",
    content_date=date(2026, 11, 30),
    applied_on=date(2026, 12, 1),
    territorial_scope=["FR", "DE"],
    facts="A comment insults another user.",
    source_type=SourceType.VOLUNTARY,
    automation=automation_of(DecisionMaker.MACHINE),
)
# As the official documentation lists them. Written here once more, so that a slip of the pen in the product shows.
OFFICIAL_VALUES = {
    "decision_visibility": """
        DECISION_VISIBILITY_CONTENT_REMOVED DECISION_VISIBILITY_CONTENT_DISABLED DECISION_VISIBILITY_CONTENT_DEMOTED
        DECISION_VISIBILITY_CONTENT_AGE_RESTRICTED DECISION_VISIBILITY_CONTENT_INTERACTION_RESTRICTED
        DECISION_VISIBILITY_CONTENT_LABELLED DECISION_VISIBILITY_OTHER""",
    "decision_account": "DECISION_ACCOUNT_SUSPENDED DECISION_ACCOUNT_TERMINATED",
    "decision_provision": """
        DECISION_PROVISION_PARTIAL_SUSPENSION DECISION_PROVISION_TOTAL_SUSPENSION
        DECISION_PROVISION_PARTIAL_TERMINATION DECISION_PROVISION_TOTAL_TERMINATION""",
    "decision_monetary": "DECISION_MONETARY_SUSPENSION DECISION_MONETARY_TERMINATION DECISION_MONETARY_OTHER",
    "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "incompatible_content_illegal": "Yes No",
    "category": """
        STATEMENT_CATEGORY_ANIMAL_WELFARE STATEMENT_CATEGORY_CONSUMER_INFORMATION STATEMENT_CATEGORY_CYBER_VIOLENCE
        STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS
        STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS
        STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE
        STATEMENT_CATEGORY_OTHER_VIOLATION_TC STATEMENT_CATEGORY_PROTECTION_OF_MINORS
        STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY STATEMENT_CATEGORY_SCAMS_AND_FRAUD STATEMENT_CATEGORY_SELF_HARM
        STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS STATEMENT_CATEGORY_VIOLENCE""",
    "content_type": """
        CONTENT_TYPE_APP CONTENT_TYPE_AUDIO CONTENT_TYPE_IMAGE CONTENT_TYPE_PRODUCT CONTENT_TYPE_SYNTHETIC_MEDIA
        CONTENT_TYPE_TEXT CONTENT_TYPE_VIDEO CONTENT_TYPE_OTHER""",
    "account_type": "ACCOUNT_TYPE_BUSINESS ACCOUNT_TYPE_PRIVATE",
    "source_type": "SOURCE_ARTICLE_16 SOURCE_TRUSTED_FLAGGER SOURCE_TYPE_OTHER_NOTIFICATION SOURCE_VOLUNTARY",
    "automated_detection": "Yes No",
    "automated_decision": "AUTOMATED_DECISION_FULLY AUTOMATED_DECISION_PARTIALLY AUTOMATED_DECISION_NOT_AUTOMATED",
}

# Of the European Union.
OFFICIAL_LANGUAGES = "BG CS DA DE EL EN ES ET FI FR GA HR HU IT LT LV MT NL PL PT RO SK SL SV"
LISTS = ("decision_visibility", "category_addition", "content_type", "territorial_scope")


class TestWhatIsWritten:
    def test_a_machine_removes_a_text(self):
        assert statement_of(BLOCKED) == {
            "puid": "decision-01a23150",
            "decision_visibility": ["DECISION_VISIBILITY_CONTENT_REMOVED"],
            "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
            "incompatible_content_ground": "Community rules, section 2",
            "incompatible_content_explanation": "Insults of other people are not allowed.",
            "incompatible_content_illegal": "No",
            "category": "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
            "content_type": ["CONTENT_TYPE_TEXT"],
            "content_language": "PT",
            "content_date": "2026-11-30",
            "application_date": "2026-12-01",
            "territorial_scope": ["DE", "FR"],
            "decision_facts": "A comment insults another user.",
            "source_type": "SOURCE_VOLUNTARY",
            "automated_detection": "Yes",
            "automated_decision": "AUTOMATED_DECISION_FULLY",
        }

    def test_a_person_demotes_and_labels_what_is_illegal(self):
        statement = statement_of(
            replace(
                BLOCKED,
                visibility={
                    DecisionVisibility.LABELLED,
                    DecisionVisibility.DEMOTED,
                    DecisionVisibility.OTHER,
                },
                visibility_other="Not shown in the newsletter",
                visibility_until=date(2027, 1, 31),
                ground=DecisionGround.ILLEGAL,
                ground_reference="Section 185 of the German Criminal Code",
                ground_url="https://www.gesetze-im-internet.de/stgb/__185.html",
                more_categories=[StatementCategory.SPEECH, StatementCategory.CYBER_VIOLENCE],
                content_types=[StatementContentType.OTHER, StatementContentType.IMAGE],
                content_type_other="Sticker",
                source_type=SourceType.TRUSTED_FLAGGER,
                source_identity="HateAid",
                automation=automation_of(DecisionMaker.MACHINE_AND_PERSON),
            )
        )

        assert check_statement(statement) == []
        assert statement == {
            **{
                name: value
                for name, value in statement_of(BLOCKED).items()
                if not name.startswith("incompatible_")
            },
            "decision_visibility": [
                "DECISION_VISIBILITY_CONTENT_DEMOTED",
                "DECISION_VISIBILITY_CONTENT_LABELLED",
                "DECISION_VISIBILITY_OTHER",
            ],
            "decision_visibility_other": "Not shown in the newsletter",
            "end_date_visibility_restriction": "2027-01-31",
            "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT",
            "illegal_content_legal_ground": "Section 185 of the German Criminal Code",
            "illegal_content_explanation": "Insults of other people are not allowed.",
            "decision_ground_reference_url": "https://www.gesetze-im-internet.de/stgb/__185.html",
            "category_addition": ["STATEMENT_CATEGORY_CYBER_VIOLENCE"],
            "content_type": ["CONTENT_TYPE_IMAGE", "CONTENT_TYPE_OTHER"],
            "content_type_other": "Sticker",
            "source_type": "SOURCE_TRUSTED_FLAGGER",
            "source_identity": "HateAid",
            "automated_decision": "AUTOMATED_DECISION_PARTIALLY",
        }

    def test_an_account_is_suspended_after_a_report(self):
        statement = statement_of(
            replace(
                BLOCKED,
                visibility=[],
                account=DecisionAccount.SUSPENDED,
                account_type=AccountType.PRIVATE,
                account_until=date(2026, 12, 15),
                provision=DecisionProvision.PARTIAL_SUSPENSION,
                provision_until=date(2026, 12, 16),
                monetary=DecisionMonetary.OTHER,
                monetary_other="Payments are delayed",
                monetary_until=date(2026, 12, 17),
                also_illegal=None,
                content_language="",
                source_type=SourceType.ARTICLE_16,
                automation=automation_of(DecisionMaker.PERSON),
            )
        )

        assert check_statement(statement) == []
        gone = {"decision_visibility", "incompatible_content_illegal", "content_language"}
        assert statement == {
            **{name: value for name, value in statement_of(BLOCKED).items() if name not in gone},
            "decision_account": "DECISION_ACCOUNT_SUSPENDED",
            "account_type": "ACCOUNT_TYPE_PRIVATE",
            "end_date_account_restriction": "2026-12-15",
            "decision_provision": "DECISION_PROVISION_PARTIAL_SUSPENSION",
            "end_date_service_restriction": "2026-12-16",
            "decision_monetary": "DECISION_MONETARY_OTHER",
            "decision_monetary_other": "Payments are delayed",
            "end_date_monetary_restriction": "2026-12-17",
            "source_type": "SOURCE_ARTICLE_16",
            "automated_detection": "No",
            "automated_decision": "AUTOMATED_DECISION_NOT_AUTOMATED",
        }

    @pytest.mark.parametrize(
        "changes",
        [
            {"visibility_other": "x"},
            {"monetary_other": "x"},
            {"content_type_other": "x"},
            {"source_identity": "x"},
            {"account_until": date(2027, 1, 1)},
            {"provision_until": date(2027, 1, 1)},
            {"monetary_until": date(2027, 1, 1)},
            {"ground_url": f"https://example.org/{'x' * 500}"},
            {"more_categories": [StatementCategory.SPEECH]},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_what_does_not_apply_is_left_out(self, changes):
        assert statement_of(replace(BLOCKED, **changes)) == statement_of(BLOCKED)

    @pytest.mark.parametrize(
        ("tag", "written"),
        [("en", "EN"), ("zh-Hant-TW", "ZH"), ("fil", None), ("und", None), ("", None), ("no such", None)],
    )
    def test_language(self, tag, written):
        assert statement_of(replace(BLOCKED, content_language=tag)).get("content_language") == written

    def test_long_texts_are_cut_between_words(self):
        facts = "Somebody wrote this. " * 500

        written = statement_of(replace(BLOCKED, facts=facts))["decision_facts"]

        assert 4950 < len(written) <= 5000
        assert written.endswith((" Somebody…", " wrote…", " this.…"))
        assert facts.startswith(written[:-1])

    def test_spaces_around_a_text_go(self):
        assert statement_of(replace(BLOCKED, facts=f" {BLOCKED.facts}\n")) == statement_of(BLOCKED)

    def test_a_text_without_spaces_is_cut_anywhere(self):
        written = statement_of(replace(BLOCKED, explanation=f"a {'字' * 3000}"))

        assert written["incompatible_content_explanation"] == f"a {'字' * 1997}…"

    @pytest.mark.parametrize(
        ("day", "written"),
        [
            (date(1999, 12, 31), "2000-01-01"),
            (date(2000, 1, 1), "2000-01-01"),
            (date(2038, 1, 2), "2038-01-01"),
            (datetime(2026, 12, 1, 23, 59, tzinfo=UTC), "2026-12-01"),
        ],
    )
    def test_dates_are_those_that_the_database_takes(self, day, written):
        assert statement_of(replace(BLOCKED, content_date=day))["content_date"] == written

    def test_it_is_plain_json(self):
        statement = statement_of(BLOCKED)

        assert json.loads(json.dumps(statement)) == statement
        assert {type(value) for value in statement.values()} == {str, list}
        assert {type(value) for value in statement["content_type"]} == {str}


@pytest.mark.parametrize(
    ("maker", "automation"),
    [
        (DecisionMaker.MACHINE, (True, "AUTOMATED_DECISION_FULLY")),
        (DecisionMaker.MACHINE_AND_PERSON, (True, "AUTOMATED_DECISION_PARTIALLY")),
        (DecisionMaker.PERSON, (False, "AUTOMATED_DECISION_NOT_AUTOMATED")),
    ],
)
def test_who_decided_says_how_automated_it_was(maker, automation):
    assert automation_of(maker) == automation


class TestOfficialValues:
    @pytest.mark.parametrize("name", OFFICIAL_VALUES)
    def test_they_are_those_of_the_documentation(self, name):
        assert DSA_VALUES[name] == set(OFFICIAL_VALUES[name].split())

    def test_no_other_field_has_any(self):
        others = DSA_VALUES.keys() - OFFICIAL_VALUES.keys()

        assert others == {"category_addition", "territorial_scope", "content_language"}
        assert DSA_VALUES["category_addition"] == DSA_VALUES["category"]

    def test_countries(self):
        assert len(EU_COUNTRIES) == 27
        assert EU_COUNTRIES < EEA_COUNTRIES
        assert len(EEA_COUNTRIES) == 30
        assert {"GR", "IE", "HR"} < EU_COUNTRIES
        assert not {"IS", "LI", "NO"} & EU_COUNTRIES
        assert not {"EL", "GB", "UK", "CH", "EU"} & EEA_COUNTRIES

    def test_languages(self):
        languages = DSA_VALUES["content_language"]

        assert len(languages) == 184
        assert not set(OFFICIAL_LANGUAGES.split()) - languages
        assert all(len(one) == 2 and one.isalpha() and one.isupper() for one in languages)

    @pytest.mark.parametrize("name", [name for name in DSA_VALUES if name != "decision_ground"])
    def test_each_is_valid_in_a_statement(self, name):
        for value in DSA_VALUES[name]:
            statement = {**statement_of(BLOCKED), name: [value] if name in LISTS else value}
            if value.endswith("_OTHER"):
                statement[f"{name}_other"] = "Something else"

            assert check_statement(statement) == []

    def test_each_category_has_a_short_label_of_its_own(self):
        labels = [category.label for category in StatementCategory]

        assert len(set(labels)) == len(labels) == 16
        assert all(label.strip() and len(label) <= 60 and "_" not in label for label in labels)


WORDS = st.text(min_size=1).filter(
    lambda text: any(not one.isspace() and one not in "\ufeff\u200b\u200e" for one in text)
)
LONG_WORDS = st.builds(lambda text, times: text * times, WORDS, st.sampled_from([1, 1, 700, 6000]))
DATES = st.dates()


def some_of(kind, least=0):
    return st.sets(st.sampled_from(sorted(kind)), min_size=least)


@st.composite
def restrictions(draw):
    made = draw(
        st.builds(
            Restriction,
            puid=st.text("abcXYZ019-_", min_size=1, max_size=500),
            visibility=some_of(DecisionVisibility),
            visibility_other=LONG_WORDS,
            visibility_until=st.none() | DATES,
            account=st.none() | st.sampled_from(DecisionAccount),
            account_type=st.none() | st.sampled_from(AccountType),
            account_until=st.none() | DATES,
            provision=st.none() | st.sampled_from(DecisionProvision),
            provision_until=st.none() | DATES,
            monetary=st.none() | st.sampled_from(DecisionMonetary),
            monetary_other=LONG_WORDS,
            monetary_until=st.none() | DATES,
            ground=st.sampled_from(DecisionGround),
            ground_reference=LONG_WORDS,
            ground_url=st.sampled_from(["", "https://example.org/terms#2", f"http://x.org/{'y' * 600}"]),
            explanation=LONG_WORDS,
            also_illegal=st.none() | st.booleans(),
            category=st.sampled_from(StatementCategory),
            more_categories=some_of(StatementCategory),
            content_types=some_of(StatementContentType, least=1),
            content_type_other=LONG_WORDS,
            content_language=st.sampled_from(["", "de", "pt-BR", "fil", "und", "???"]) | st.text(max_size=5),
            content_date=DATES,
            applied_on=st.dates(min_value=date(2020, 1, 1)),
            territorial_scope=some_of(EEA_COUNTRIES),
            facts=LONG_WORDS,
            source_type=st.sampled_from(SourceType),
            source_identity=st.just("") | LONG_WORDS,
            automation=st.builds(Automation, st.booleans(), st.sampled_from(AutomatedDecision)),
        )
    )
    nothing = not (made.visibility or made.account or made.provision or made.monetary)
    return replace(made, visibility=[DecisionVisibility.REMOVED]) if nothing else made


@given(restrictions())
def test_every_restriction_has_a_valid_statement(restriction):
    assert check_statement(statement_of(restriction)) == []


VALID = statement_of(
    replace(
        BLOCKED,
        visibility=[DecisionVisibility.OTHER],
        visibility_other="Not shown in the newsletter",
        monetary=DecisionMonetary.OTHER,
        monetary_other="Payments are delayed",
        ground_url="https://example.org/terms",
        content_types=[StatementContentType.OTHER],
        content_type_other="Sticker",
        source_type=SourceType.ARTICLE_16,
        source_identity="A reader",
    )
)
ILLEGAL = statement_of(replace(BLOCKED, ground=DecisionGround.ILLEGAL))
NEEDED = ["puid", "decision_ground", "category", "content_type", "content_date", "application_date", "decision_facts",
          "source_type", "automated_detection", "automated_decision"]  # fmt: skip
ENDS = {
    "end_date_visibility_restriction": "decision_visibility",
    "end_date_account_restriction": "decision_account",
    "end_date_service_restriction": "decision_provision",
    "end_date_monetary_restriction": "decision_monetary",
}


class TestWhatIsRefused:
    def test_the_statements_that_are_broken_here_are_valid(self):
        assert check_statement(VALID) == check_statement(ILLEGAL) == []

    @pytest.mark.parametrize("blank", [None, "", " \t\n", "\u200b\ufeff", []], ids=ascii)
    @pytest.mark.parametrize("name", NEEDED)
    def test_a_field_is_missing(self, name, blank):
        problems = check_statement({**VALID, name: blank})

        assert f"`{name}` is missing." in problems
        assert check_statement({field: value for field, value in VALID.items() if field != name}) == problems

    def test_nothing_was_restricted(self):
        names = (
            "decision_visibility",
            "decision_visibility_other",
            "decision_monetary",
            "decision_monetary_other",
        )

        assert check_statement({name: value for name, value in VALID.items() if name not in names}) == [
            "Nothing was restricted: one of `decision_visibility`, `decision_account`, `decision_provision`,"
            " `decision_monetary` is needed."
        ]

    @pytest.mark.parametrize("name", DSA_VALUES)
    @pytest.mark.parametrize("value", ["NO_SUCH_VALUE", "yes", 1, True, {"a": 1}], ids=ascii)
    def test_a_value_is_not_official(self, name, value):
        assert f"`{name}` cannot be {value!r}." in check_statement(
            {**VALID, name: [value] if name in LISTS else value}
        )

    @pytest.mark.parametrize("name", ["category", "decision_account", "content_language"])
    def test_a_list_is_not_a_value(self, name):
        assert f"`{name}` cannot be ['x']." in check_statement({**VALID, name: ["x"]})

    @pytest.mark.parametrize("name", LISTS)
    def test_a_value_is_not_a_list(self, name):
        value = sorted(DSA_VALUES[name])[0]

        assert f"`{name}` must be a list." in check_statement({**VALID, name: value})

    @pytest.mark.parametrize(
        ("name", "longest"),
        [
            ("puid", 500),
            ("decision_visibility_other", 500),
            ("decision_monetary_other", 500),
            ("content_type_other", 500),
            ("source_identity", 500),
            ("incompatible_content_ground", 500),
            ("incompatible_content_explanation", 2000),
            ("illegal_content_legal_ground", 500),
            ("illegal_content_explanation", 2000),
            ("decision_facts", 5000),
        ],
    )  # fmt: skip
    def test_a_text_is_too_long(self, name, longest):
        statement = ILLEGAL if name.startswith("illegal_") else VALID

        assert check_statement({**statement, name: "x" * longest}) == []
        assert check_statement({**statement, name: "x" * (longest + 1)}) == [
            f"`{name}` has {longest + 1:,} characters; at most {longest:,} are possible."
        ]
        assert check_statement({**statement, name: 5}) == [f"`{name}` must be a text."]

    @pytest.mark.parametrize("puid", ["a b", "a/b", "ä", "a.b", "a\n", "a\u0661"], ids=ascii)
    def test_a_puid_has_other_characters(self, puid):
        assert check_statement({**VALID, "puid": puid}) == [
            "`puid` may only have the letters A to Z, digits, - and _."
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "example.org/terms",
            "ftp://example.org",
            "https://",
            "https://[",
            "https://example.org/a b",
            "terms",
        ],
    )
    def test_a_link_leads_nowhere(self, url):
        assert check_statement({**VALID, "decision_ground_reference_url": url}) == [
            "`decision_ground_reference_url` must be a link that begins with http:// or https://."
        ]

    def test_a_link_is_too_long(self):
        link = "https://example.org/".ljust(501, "x")

        assert check_statement({**VALID, "decision_ground_reference_url": link[:500]}) == []
        assert check_statement({**VALID, "decision_ground_reference_url": link}) == [
            "`decision_ground_reference_url` has 501 characters; at most 500 are possible."
        ]

    @pytest.mark.parametrize("name", ["content_date", "application_date", *ENDS])
    @pytest.mark.parametrize(
        "value",
        [
            "2026-02-30",
            "2026-2-3",
            "20260203",
            "2026-W01-1",
            "03.02.2026",
            "2026-02-03T00:00:00",
            "2026-02-03\n",
            2026,
        ],
        ids=ascii,
    )
    def test_a_date_is_none(self, name, value):
        statement = {**VALID, "decision_account": "DECISION_ACCOUNT_SUSPENDED",
                     "decision_provision": "DECISION_PROVISION_TOTAL_SUSPENSION"}  # fmt: skip

        assert check_statement({**statement, name: "2028-02-29"}) == []
        assert check_statement({**statement, name: value}) == [f"`{name}` must be a date such as 2026-03-31."]

    @pytest.mark.parametrize(
        ("name", "first", "before"),
        [("content_date", "2000-01-01", "1999-12-31"), ("application_date", "2020-01-01", "2019-12-31")],
    )
    def test_a_date_is_too_early(self, name, first, before):
        assert check_statement({**VALID, name: first}) == []
        assert check_statement({**VALID, name: before}) == [f"`{name}` is before {first}."]

    @pytest.mark.parametrize("name", ["content_date", "application_date", "end_date_visibility_restriction"])
    def test_a_date_is_too_late(self, name):
        assert check_statement({**VALID, name: "2038-01-01"}) == []
        assert check_statement({**VALID, name: "2038-01-02"}) == [f"`{name}` is after 2038-01-01."]

    @pytest.mark.parametrize(("name", "decision"), ENDS.items())
    def test_an_end_has_no_beginning(self, name, decision):
        statement = {**ILLEGAL, "decision_account": "DECISION_ACCOUNT_TERMINATED", name: "2027-01-01"}
        statement = {field: value for field, value in statement.items() if field != decision}
        if decision == "decision_account":
            del statement[name]
            assert check_statement(statement) == []
            statement[name] = "2027-01-01"

        assert check_statement(statement) == [f"`{name}` is the end of nothing: `{decision}` is missing."]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("decision_visibility_other", "DECISION_VISIBILITY_OTHER"),
            ("decision_monetary_other", "DECISION_MONETARY_OTHER"),
            ("content_type_other", "CONTENT_TYPE_OTHER"),
            ("incompatible_content_ground", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
            ("incompatible_content_explanation", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
            ("illegal_content_legal_ground", "DECISION_GROUND_ILLEGAL_CONTENT"),
            ("illegal_content_explanation", "DECISION_GROUND_ILLEGAL_CONTENT"),
        ],
    )
    def test_a_value_needs_another_field(self, name, value):
        statement = ILLEGAL if name.startswith("illegal_") else VALID

        assert check_statement({**statement, name: " "}) == [f"`{name}` is missing; {value} needs it."]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("decision_visibility_other", "DECISION_VISIBILITY_OTHER"),
            ("decision_monetary_other", "DECISION_MONETARY_OTHER"),
            ("content_type_other", "CONTENT_TYPE_OTHER"),
            ("incompatible_content_ground", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
            ("incompatible_content_explanation", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
            ("incompatible_content_illegal", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
            ("illegal_content_legal_ground", "DECISION_GROUND_ILLEGAL_CONTENT"),
            ("illegal_content_explanation", "DECISION_GROUND_ILLEGAL_CONTENT"),
        ],
    )
    def test_a_field_is_there_without_its_value(self, name, value):
        statement = ILLEGAL if name.startswith("incompatible_") else statement_of(BLOCKED)

        assert check_statement({**statement, name: "Yes"}) == [f"`{name}` is only for {value}."]

    def test_what_is_not_said_about_illegality_is_not_needed(self):
        assert check_statement({**VALID, "incompatible_content_illegal": None}) == []

    def test_own_initiative_has_no_source(self):
        assert check_statement({**VALID, "source_type": "SOURCE_VOLUNTARY"}) == [
            "`source_identity` is not for SOURCE_VOLUNTARY."
        ]

    def test_a_field_is_unknown(self):
        assert check_statement({**VALID, "url": "https://example.org"}) == [
            "`url` is not a field of a statement."
        ]

    def test_all_problems_are_told(self):
        assert len(check_statement({})) == len(NEEDED) + 1

    def test_a_restriction_of_nothing(self):
        assert len(check_statement(statement_of(replace(BLOCKED, visibility=[])))) == 1

    def test_an_other_without_words(self):
        assert check_statement(statement_of(replace(BLOCKED, visibility=[DecisionVisibility.OTHER]))) == [
            "`decision_visibility_other` is missing; DECISION_VISIBILITY_OTHER needs it."
        ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({*VALID, *ILLEGAL, *DSA_VALUES, *ENDS})


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), st.sampled_from(["missing", "given"]))
def test_the_checker_answers_whatever_it_is_asked(odd, rest):
    problems = check_statement({**(VALID if rest == "given" else {}), **odd})

    assert all(isinstance(one, str) and one.endswith(".") for one in problems)
