"""Statements of reasons, as the transparency database of the Digital Services Act takes them. Knows no database."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from moderation.policies.rules import language_of


class DecisionVisibility(StrEnum):
    REMOVED = "DECISION_VISIBILITY_CONTENT_REMOVED"
    DISABLED = "DECISION_VISIBILITY_CONTENT_DISABLED"
    DEMOTED = "DECISION_VISIBILITY_CONTENT_DEMOTED"
    AGE_RESTRICTED = "DECISION_VISIBILITY_CONTENT_AGE_RESTRICTED"
    INTERACTION_RESTRICTED = "DECISION_VISIBILITY_CONTENT_INTERACTION_RESTRICTED"
    LABELLED = "DECISION_VISIBILITY_CONTENT_LABELLED"
    OTHER = "DECISION_VISIBILITY_OTHER"


class DecisionAccount(StrEnum):
    SUSPENDED = "DECISION_ACCOUNT_SUSPENDED"
    TERMINATED = "DECISION_ACCOUNT_TERMINATED"


class DecisionProvision(StrEnum):
    """What happens to the service that the author gets."""

    PARTIAL_SUSPENSION = "DECISION_PROVISION_PARTIAL_SUSPENSION"
    TOTAL_SUSPENSION = "DECISION_PROVISION_TOTAL_SUSPENSION"
    PARTIAL_TERMINATION = "DECISION_PROVISION_PARTIAL_TERMINATION"
    TOTAL_TERMINATION = "DECISION_PROVISION_TOTAL_TERMINATION"


class DecisionMonetary(StrEnum):
    """What happens to payments to the author."""

    SUSPENSION = "DECISION_MONETARY_SUSPENSION"
    TERMINATION = "DECISION_MONETARY_TERMINATION"
    OTHER = "DECISION_MONETARY_OTHER"


class DecisionGround(StrEnum):
    ILLEGAL = "DECISION_GROUND_ILLEGAL_CONTENT"
    INCOMPATIBLE = "DECISION_GROUND_INCOMPATIBLE_CONTENT"  # with the terms and conditions


class StatementCategory(StrEnum):
    ANIMAL_WELFARE = "STATEMENT_CATEGORY_ANIMAL_WELFARE"
    CONSUMER_INFORMATION = "STATEMENT_CATEGORY_CONSUMER_INFORMATION"
    CYBER_VIOLENCE = "STATEMENT_CATEGORY_CYBER_VIOLENCE"
    CYBER_VIOLENCE_AGAINST_WOMEN = "STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN"
    DATA_PROTECTION = "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS"
    SPEECH = "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH"
    INTELLECTUAL_PROPERTY = "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS"
    CIVIC_DISCOURSE = "STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS"
    NOT_SPECIFIED = "STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE"
    OTHER = "STATEMENT_CATEGORY_OTHER_VIOLATION_TC"
    MINORS = "STATEMENT_CATEGORY_PROTECTION_OF_MINORS"
    PUBLIC_SECURITY = "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY"
    SCAMS = "STATEMENT_CATEGORY_SCAMS_AND_FRAUD"
    SELF_HARM = "STATEMENT_CATEGORY_SELF_HARM"
    PRODUCTS = "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS"
    VIOLENCE = "STATEMENT_CATEGORY_VIOLENCE"

    @property
    def label(self) -> str:
        """What a person who picks one reads."""
        return _CATEGORY_LABELS[self]


_CATEGORY_LABELS = {
    StatementCategory.ANIMAL_WELFARE: "Animal welfare",
    StatementCategory.CONSUMER_INFORMATION: "Wrong or missing consumer information",
    StatementCategory.CYBER_VIOLENCE: "Cyber violence (bullying, stalking, intimate pictures)",
    StatementCategory.CYBER_VIOLENCE_AGAINST_WOMEN: "Cyber violence against women",
    StatementCategory.DATA_PROTECTION: "Data protection and privacy",
    StatementCategory.SPEECH: "Illegal or harmful speech (hate, defamation)",
    StatementCategory.INTELLECTUAL_PROPERTY: "Intellectual property",
    StatementCategory.CIVIC_DISCOURSE: "Civic discourse and elections",
    StatementCategory.NOT_SPECIFIED: "Reported as illegal, without saying why",
    StatementCategory.OTHER: "Another breach of the terms",
    StatementCategory.MINORS: "Protection of minors",
    StatementCategory.PUBLIC_SECURITY: "Public security (terrorism, illegal organisations)",
    StatementCategory.SCAMS: "Scams and fraud",
    StatementCategory.SELF_HARM: "Self-harm",
    StatementCategory.PRODUCTS: "Unsafe or prohibited products",
    StatementCategory.VIOLENCE: "Violence",
}


class StatementContentType(StrEnum):
    APP = "CONTENT_TYPE_APP"
    AUDIO = "CONTENT_TYPE_AUDIO"
    IMAGE = "CONTENT_TYPE_IMAGE"
    PRODUCT = "CONTENT_TYPE_PRODUCT"
    SYNTHETIC_MEDIA = "CONTENT_TYPE_SYNTHETIC_MEDIA"
    TEXT = "CONTENT_TYPE_TEXT"
    VIDEO = "CONTENT_TYPE_VIDEO"
    OTHER = "CONTENT_TYPE_OTHER"


class AccountType(StrEnum):
    BUSINESS = "ACCOUNT_TYPE_BUSINESS"
    PRIVATE = "ACCOUNT_TYPE_PRIVATE"


class SourceType(StrEnum):
    """What led to the decision. Article 16: anybody's report that a content is illegal."""

    ARTICLE_16 = "SOURCE_ARTICLE_16"
    TRUSTED_FLAGGER = "SOURCE_TRUSTED_FLAGGER"
    OTHER_NOTIFICATION = "SOURCE_TYPE_OTHER_NOTIFICATION"
    VOLUNTARY = "SOURCE_VOLUNTARY"


class AutomatedDecision(StrEnum):
    FULLY = "AUTOMATED_DECISION_FULLY"
    PARTIALLY = "AUTOMATED_DECISION_PARTIALLY"
    NOT_AUTOMATED = "AUTOMATED_DECISION_NOT_AUTOMATED"


class DecisionMaker(StrEnum):
    """Who decided: a machine alone, a person about what a machine flagged, or a person alone (report, audit)."""

    MACHINE = "machine"
    MACHINE_AND_PERSON = "machine_and_person"
    PERSON = "person"


class Automation(NamedTuple):
    """`detection`: a machine found the content; `decision`: how far a machine decided about it."""

    detection: bool
    decision: AutomatedDecision


def automation_of(maker: DecisionMaker) -> Automation:
    """Say how automated a decision was.

    A person who decides about a flagged content sees what the machine found, so the decision is partially automated.
    """
    match maker:
        case DecisionMaker.MACHINE:
            return Automation(True, AutomatedDecision.FULLY)
        case DecisionMaker.MACHINE_AND_PERSON:
            return Automation(True, AutomatedDecision.PARTIALLY)
        case DecisionMaker.PERSON:
            return Automation(False, AutomatedDecision.NOT_AUTOMATED)


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


EU_COUNTRIES = _codes("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK")
EEA_COUNTRIES = EU_COUNTRIES | {"IS", "LI", "NO"}
# Two letters of ISO 639-1. The database does not know all languages: others are left out.
_LANGUAGES = _codes(
    """
    AA AB AE AF AK AM AN AR AS AV AY AZ BA BE BG BH BI BM BN BO BR BS CA CE CH CO CR CS CU CV CY DA DE DV DZ EE EL EN
    EO ES ET EU FA FF FI FJ FO FR FY GA GD GL GN GU GV HA HE HI HO HR HT HU HY HZ IA ID IE IG II IK IO IS IT IU JA JV
    KA KG KI KJ KK KL KM KN KO KR KS KU KV KW KY LA LB LG LI LN LO LT LU LV MG MH MI MK ML MN MR MS MT MY NA NB ND NE
    NG NL NN NO NR NV NY OC OJ OM OR OS PA PI PL PS PT QU RM RN RO RU RW SA SC SD SE SG SI SK SL SM SN SO SQ SR SS ST
    SU SV SW TA TE TG TH TI TK TL TN TO TR TS TT TW TY UG UK UR UZ VE VI VO WA WO XH YI YO ZA ZH ZU
    """
)

# What a field may say, for each field that takes official values.
DSA_VALUES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "decision_visibility": frozenset(DecisionVisibility),
        "decision_account": frozenset(DecisionAccount),
        "decision_provision": frozenset(DecisionProvision),
        "decision_monetary": frozenset(DecisionMonetary),
        "decision_ground": frozenset(DecisionGround),
        "incompatible_content_illegal": frozenset({"Yes", "No"}),
        "category": frozenset(StatementCategory),
        "category_addition": frozenset(StatementCategory),
        "content_type": frozenset(StatementContentType),
        "account_type": frozenset(AccountType),
        "territorial_scope": EEA_COUNTRIES,
        "content_language": _LANGUAGES,
        "source_type": frozenset(SourceType),
        "automated_detection": frozenset({"Yes", "No"}),
        "automated_decision": frozenset(AutomatedDecision),
    }
)
_LONG_WORD = 40  # a longer one is cut, because the text may have no spaces at all
FIRST_CONTENT_DATE, LAST_DATE = date(2000, 1, 1), date(2038, 1, 1)  # that the database takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """What a statement says about a restriction. At least one of the four decisions is needed.

    The database is public: none of its texts may have personal data.
    """

    puid: str  # ours, never used again: letters, digits, - and _
    visibility: Collection[DecisionVisibility] = ()
    visibility_other: str = ""  # what OTHER means
    visibility_until: date | None = None  # none: for good
    account: DecisionAccount | None = None
    account_type: AccountType | None = None
    account_until: date | None = None
    provision: DecisionProvision | None = None
    provision_until: date | None = None
    monetary: DecisionMonetary | None = None
    monetary_other: str = ""
    monetary_until: date | None = None
    ground: DecisionGround
    ground_reference: str  # the law, or the clause of the terms
    ground_url: str = ""
    explanation: str  # why the content is illegal, or against the terms
    also_illegal: bool | None = None  # of a content that is against the terms; none: not said
    category: StatementCategory
    more_categories: Collection[StatementCategory] = ()
    content_types: Collection[StatementContentType]
    content_type_other: str = ""
    content_language: str = ""  # a tag, such as pt-BR
    content_date: date
    applied_on: date
    territorial_scope: Collection[str] = EU_COUNTRIES
    facts: str
    source_type: SourceType
    source_identity: str = ""
    automation: Automation


def statement_of(restriction: Restriction) -> dict[str, Any]:
    """Write the statement, ready for JSON. Fields without a value are left out.

    Texts are shortened to what the database takes, and dates moved to the nearest one that it takes, because a
    restriction must have a statement. Whatever else is wrong with it, `check_statement` says.
    """
    fields = {
        "puid": restriction.puid,
        **_decision_fields(restriction),
        **_ground_fields(restriction),
        "category": str(restriction.category),
        "category_addition": _listed(set(restriction.more_categories) - {restriction.category}),
        "content_type": _listed(restriction.content_types),
        "content_type_other": _shortened(restriction.content_type_other, 500)
        if StatementContentType.OTHER in restriction.content_types
        else "",
        "content_language": _content_language(restriction.content_language),
        "content_date": _written_date(restriction.content_date, FIRST_CONTENT_DATE),
        "application_date": _written_date(restriction.applied_on),
        "territorial_scope": _listed(restriction.territorial_scope),
        "decision_facts": _shortened(restriction.facts, 5000),
        "source_type": str(restriction.source_type),
        "source_identity": _shortened(restriction.source_identity, 500)
        if restriction.source_type is not SourceType.VOLUNTARY
        else "",
        "automated_detection": _yes_or_no(restriction.automation.detection),
        "automated_decision": str(restriction.automation.decision),
    }
    return {name: value for name, value in fields.items() if value}


def _decision_fields(restriction: Restriction) -> dict[str, Any]:
    shows_other = DecisionVisibility.OTHER in restriction.visibility
    pays_other = restriction.monetary is DecisionMonetary.OTHER
    until = {
        "visibility": restriction.visibility and restriction.visibility_until,
        "account": restriction.account and restriction.account_until,
        "service": restriction.provision and restriction.provision_until,
        "monetary": restriction.monetary and restriction.monetary_until,
    }
    return {
        "decision_visibility": _listed(restriction.visibility),
        "decision_visibility_other": _shortened(restriction.visibility_other, 500) if shows_other else "",
        "decision_account": str(restriction.account or ""),
        "account_type": str(restriction.account_type or ""),
        "decision_provision": str(restriction.provision or ""),
        "decision_monetary": str(restriction.monetary or ""),
        "decision_monetary_other": _shortened(restriction.monetary_other, 500) if pays_other else "",
        **{f"end_date_{what}_restriction": _written_date(end) for what, end in until.items() if end},
    }


def _ground_fields(restriction: Restriction) -> dict[str, Any]:
    reference = _shortened(restriction.ground_reference, 500)
    explanation = _shortened(restriction.explanation, 2000)
    # Half a link leads nowhere, so a longer one is left out.
    url = {
        "decision_ground_reference_url": restriction.ground_url if len(restriction.ground_url) <= 500 else ""
    }
    if restriction.ground is DecisionGround.ILLEGAL:
        own = {"illegal_content_legal_ground": reference, "illegal_content_explanation": explanation}
    else:
        illegal = "" if restriction.also_illegal is None else _yes_or_no(restriction.also_illegal)
        own = {
            "incompatible_content_ground": reference,
            "incompatible_content_explanation": explanation,
            "incompatible_content_illegal": illegal,
        }
    return {"decision_ground": str(restriction.ground), **own, **url}


def _listed(values: Iterable[str]) -> list[str]:
    return sorted({str(value) for value in values})


def _yes_or_no(value: bool) -> str:
    return "Yes" if value else "No"


def _written_date(day: date, first: date = date.min) -> str:
    day = date(day.year, day.month, day.day)  # a datetime is a date, too, but not to be compared with one
    return min(max(day, first), LAST_DATE).isoformat()


def _content_language(tag: str) -> str:
    try:
        language = language_of(tag).upper()
    except ValueError:
        return ""
    return language if language in _LANGUAGES else ""


def _shortened(text: str, longest: int) -> str:
    text = text.strip()
    if len(text) <= longest:
        return text
    kept = text[: longest - 1]
    words, _, last = kept.rpartition(" ")
    return f"{kept if len(last) > _LONG_WORD else words.rstrip()}…"


# The checker has its own limits: those of the writer are not to be trusted by what checks them.
_LONGEST = {
    "decision_visibility_other": 500,
    "decision_monetary_other": 500,
    "decision_ground_reference_url": 500,
    "illegal_content_legal_ground": 500,
    "illegal_content_explanation": 2000,
    "incompatible_content_ground": 500,
    "incompatible_content_explanation": 2000,
    "content_type_other": 500,
    "source_identity": 500,
    "decision_facts": 5000,
    "puid": 500,
}
_LISTS = frozenset({"decision_visibility", "category_addition", "content_type", "territorial_scope"})
_FIRST_DATES = {
    "content_date": "2000-01-01",
    "application_date": "2020-01-01",
    "end_date_visibility_restriction": "",
    "end_date_account_restriction": "",
    "end_date_service_restriction": "",
    "end_date_monetary_restriction": "",
}
_ALWAYS_NEEDED = (
    "puid", "decision_ground", "category", "content_type", "content_date", "application_date", "decision_facts",
    "source_type", "automated_detection", "automated_decision",
)  # fmt: skip
_ANY_NEEDED = ("decision_visibility", "decision_account", "decision_provision", "decision_monetary")
# Field, whether it is needed, and the other field with the value for which it is there at all.
_ONLY_WITH = (
    ("decision_visibility_other", True, "decision_visibility", "DECISION_VISIBILITY_OTHER"),
    ("decision_monetary_other", True, "decision_monetary", "DECISION_MONETARY_OTHER"),
    ("content_type_other", True, "content_type", "CONTENT_TYPE_OTHER"),
    ("illegal_content_legal_ground", True, "decision_ground", "DECISION_GROUND_ILLEGAL_CONTENT"),
    ("illegal_content_explanation", True, "decision_ground", "DECISION_GROUND_ILLEGAL_CONTENT"),
    ("incompatible_content_ground", True, "decision_ground", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
    ("incompatible_content_explanation", True, "decision_ground", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
    ("incompatible_content_illegal", False, "decision_ground", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
)
_ENDS_OF = {
    "end_date_visibility_restriction": "decision_visibility",
    "end_date_account_restriction": "decision_account",
    "end_date_service_restriction": "decision_provision",
    "end_date_monetary_restriction": "decision_monetary",
}
# The database strips these, too, so that a text of nothing else is an empty one.
_BLANK = re.compile(r"[\s\ufeff\u200b\u200e]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PUID = re.compile(r"[A-Za-z0-9_-]+")


def check_statement(statement: Mapping[str, Any]) -> list[str]:
    """Say in words what the database would refuse, or drop without a word; nothing if the statement is valid."""
    given = {name: value for name, value in statement.items() if not _is_blank(value)}
    checks: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
        _check_names,
        _check_needed,
        _check_values,
        _check_texts,
        _check_dates,
        _check_companions,
    )
    return [problem for check in checks for problem in check(given)]


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return _BLANK.fullmatch(value) is not None
    return value is None or value == []


def _check_names(given: Mapping[str, Any]) -> Iterator[str]:
    for name in given:
        if name not in DSA_VALUES and name not in _LONGEST and name not in _FIRST_DATES:
            yield f"`{name}` is not a field of a statement."


def _check_needed(given: Mapping[str, Any]) -> Iterator[str]:
    for name in _ALWAYS_NEEDED:
        if name not in given:
            yield f"`{name}` is missing."
    if not any(name in given for name in _ANY_NEEDED):
        yield f"Nothing was restricted: one of {', '.join(f'`{name}`' for name in _ANY_NEEDED)} is needed."


def _check_values(given: Mapping[str, Any]) -> Iterator[str]:
    for name in (name for name in DSA_VALUES if name in given):
        value = given[name]
        if name in _LISTS and not isinstance(value, list):
            yield f"`{name}` must be a list."
            continue
        for one in value if name in _LISTS else [value]:
            if not isinstance(one, str) or one not in DSA_VALUES[name]:
                yield f"`{name}` cannot be {one!r}."


def _check_texts(given: Mapping[str, Any]) -> Iterator[str]:
    for name in (name for name in _LONGEST if name in given):
        value, longest = given[name], _LONGEST[name]
        if not isinstance(value, str):
            yield f"`{name}` must be a text."
        elif len(value) > longest:
            yield f"`{name}` has {len(value):,} characters; at most {longest:,} are possible."
        elif name == "puid" and not _PUID.fullmatch(value):
            yield "`puid` may only have the letters A to Z, digits, - and _."
        elif name == "decision_ground_reference_url" and not _is_link(value):
            yield "`decision_ground_reference_url` must be a link that begins with http:// or https://."


def _is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", text)


def _check_dates(given: Mapping[str, Any]) -> Iterator[str]:
    for name in (name for name in _FIRST_DATES if name in given):
        value = given[name]
        if not _is_date(value):
            yield f"`{name}` must be a date such as 2026-03-31."
        elif value < _FIRST_DATES[name]:
            yield f"`{name}` is before {_FIRST_DATES[name]}."
        elif value > "2038-01-01":
            yield f"`{name}` is after 2038-01-01."


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _check_companions(given: Mapping[str, Any]) -> Iterator[str]:
    for name, is_needed, other, value in _ONLY_WITH:
        is_with = value in given[other] if isinstance(given.get(other), list) else given.get(other) == value
        if is_with and is_needed and name not in given:
            yield f"`{name}` is missing; {value} needs it."
        if not is_with and name in given:
            yield f"`{name}` is only for {value}."
    for name, decision in _ENDS_OF.items():
        if name in given and decision not in given:
            yield f"`{name}` is the end of nothing: `{decision}` is missing."
    if given.get("source_type") == "SOURCE_VOLUNTARY" and "source_identity" in given:
        yield "`source_identity` is not for SOURCE_VOLUNTARY."
