"""Changing guidelines on violations, and the waiting cases that they are about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from django.db import transaction
from django.db.models import Q, QuerySet

from moderation.cases.languages import check_language
from moderation.cases.models import Case, CaseItem, Guideline, Harm
from moderation.cases.opening import UNKNOWN_HARM, gravest_of
from moderation.cases.selectors import names_code, waiting_cases
from moderation.policies.models import Policy
from moderation.policies.rules import read_rules
from moderation.review.models import Verdict
from moderation.review.statements import StatementCategory
from moderation.review.verdicts import VIOLATION_CODE
from moderation.rights import ModerationRight
from registry.catalogue.validation import check_row
from registry.errors import Invalid, NameTaken
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of

MAX_NOTICES, MAX_NOTICE = 50, 1_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidelineSettings:
    """What a violation means to people. `notices`: a sentence for authors, by language."""

    title: str
    guidance: str = ""
    harm: int = Harm.MEDIUM
    hours: int = 24
    is_restricted: bool = False
    category: str = ""
    is_illegal: bool = False
    ground: str = ""
    notices: Mapping[str, str]


def undescribed_codes() -> list[str]:
    """Violations that published policies look for and that no guideline describes."""
    contents = Policy.objects.filter(retired_at=None, current__isnull=False).values_list(
        "current__content", flat=True
    )
    used = {rule.code for content in contents for rule in read_rules(content).active}
    return sorted(used - set(Guideline.objects.values_list("code", flat=True)))


def codes_to_choose(more: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Violations with their titles: those that guidelines describe, then others that policies look for, and `more`."""
    described = [(row.code, f"{row.title} ({row.code})") for row in Guideline.objects.all()]
    others = {*undescribed_codes(), *filter(None, more)} - {code for code, _ in described}
    return [*described, *((code, code) for code in sorted(others))]


@transaction.atomic
def create_guideline(*, code: str, values: GuidelineSettings, by: Actor) -> Guideline:
    """Describe a violation. Cases that wait because of it get its harm, and are restricted if it is."""
    by.check(ModerationRight.LEAD)
    if not VIOLATION_CODE.fullmatch(code):
        raise Invalid(f"{code[:80]!r} is no violation code; use lower-case letters, digits, - and _.")
    if Guideline.objects.filter(code=code).exists():
        raise NameTaken(f"There is already a guideline on {code}.")
    guideline = Guideline(code=code)
    _save(guideline, values)
    _update_cases(code)
    record_change(
        action="create_guideline", subject=guideline, before=None, after=_audit_fields(guideline), by=by
    )
    return guideline


@transaction.atomic
def change_guideline(*, guideline: Guideline, values: GuidelineSettings, by: Actor) -> Guideline:
    """Change what a violation means. Waiting cases follow its harm; all its cases follow whether it is restricted."""
    by.check(ModerationRight.LEAD)
    row = Guideline.objects.select_for_update().get(pk=guideline.pk)
    if row.is_restricted and not values.is_restricted:
        by.check(ModerationRight.SEE_RESTRICTED)  # else a lead could show themselves what they may not see
    before, followed = _audit_fields(row), (row.harm, row.is_restricted)
    _save(row, values)
    if (row.harm, row.is_restricted) != followed:
        _update_cases(row.code)
    record_change(action="change_guideline", subject=row, before=before, after=_audit_fields(row), by=by)
    return row


@transaction.atomic
def remove_guideline(*, guideline: Guideline, by: Actor) -> None:
    """Forget what a violation means. Its cases stay, with the harm of a violation that nobody described."""
    by.check(ModerationRight.LEAD)
    row = Guideline.objects.select_for_update().get(pk=guideline.pk)
    if row.is_restricted:
        by.check(ModerationRight.SEE_RESTRICTED)
    subject, before = subject_of(row), _audit_fields(row)
    row.delete()
    _update_cases(row.code)
    record_change(action="remove_guideline", subject=subject, before=before, after=None, by=by)


def _save(guideline: Guideline, values: GuidelineSettings) -> None:
    if values.category and values.category not in set(StatementCategory):
        raise Invalid(f"There is no category {values.category[:80]!r} of statements.")
    for column in fields(values):
        setattr(guideline, column.name, getattr(values, column.name))
    guideline.notices = _checked_notices(values.notices)
    check_row(guideline)
    guideline.save()


def _checked_notices(notices: Mapping[str, str]) -> dict[str, str]:
    if len(notices) > MAX_NOTICES:
        raise Invalid(f"A guideline may have sentences in at most {MAX_NOTICES} languages.")
    for language, sentence in notices.items():
        check_language(language)
        if not sentence.strip() or len(sentence) > MAX_NOTICE:
            raise Invalid(f"The sentence for authors in {language} must have 1 to {MAX_NOTICE:,} characters.")
    return {language: sentence.strip() for language, sentence in sorted(notices.items())}


def _update_cases(code: str) -> None:
    """Restrict the violation's cases, ended ones too, or not any more; and give waiting ones their harm."""
    guidelines = {row.code: row for row in Guideline.objects.all()}
    about = Case.objects.filter(pk__in=_cases_naming([code]))
    restricted = [one.code for one in guidelines.values() if one.is_restricted]
    if code in restricted:
        about.filter(is_restricted=False).update(is_restricted=True)
    else:
        still = about.filter(is_restricted=True).exclude(pk__in=_cases_naming(restricted))
        still.update(is_restricted=False)
    waiting = list(waiting_cases().filter(pk__in=about.values("pk")).values_list("pk", flat=True))
    for start in range(0, len(waiting), _AT_ONCE):
        _set_harm(waiting[start : start + _AT_ONCE], guidelines)


def _cases_naming(codes: Sequence[str]) -> QuerySet[Case]:
    """The cases with one of these violations: found in their contents, decided, or reported."""
    found, decided, own = Q(pk__in=[]), Q(pk__in=[]), Q(code__in=codes) | Q(reports__code__in=codes)
    for code in codes:
        found |= names_code("decision__codes", code)
        decided |= names_code("codes", code)
    items, verdicts = CaseItem.objects.filter(found), Verdict.objects.filter(decided)
    own |= Q(pk__in=items.values("case")) | Q(pk__in=verdicts.values("case"))
    return Case.objects.filter(own).order_by().values("pk")  # type: ignore[return-value]


def _set_harm(ids: Sequence[int], guidelines: Mapping[str, Guideline]) -> None:
    """As when the cases were opened: the gravest violation counts, and the earlier one of equals."""
    cases = {case.pk: case for case in Case.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    codes = {pk: [case.code] for pk, case in cases.items()}
    for pk, found in CaseItem.objects.filter(case__in=ids).values_list("case", "decision__codes"):
        codes[pk] += found
    for pk, reported in Case.objects.filter(pk__in=ids, reports__isnull=False).values_list(
        "pk", "reports__code"
    ):
        codes[pk].append(reported)
    for pk, case in cases.items():
        gravest = gravest_of(codes[pk], guidelines)
        harm = Harm(gravest.harm) if gravest is not None else UNKNOWN_HARM
        case.harm, case.weight = harm, harm.weight * case.score
        case.code = gravest.code if gravest is not None else case.code
    Case.objects.bulk_update(cases.values(), ["harm", "weight", "code"])


def _audit_fields(guideline: Guideline) -> dict[str, object]:
    return {
        "title": guideline.title,
        "guidance": guideline.guidance,
        "harm": Harm(guideline.harm).label.lower(),
        "deadline_hours": guideline.hours,
        "restricted": guideline.is_restricted,
        "category": guideline.category,
        "illegal": guideline.is_illegal,
        "ground": guideline.ground,
        "sentences_for_authors": guideline.notices,
    }
