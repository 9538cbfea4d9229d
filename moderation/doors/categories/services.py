"""Changes to mappings."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from django.db import transaction

from moderation.doors.categories.models import MAX_DETECTOR, MAX_LABEL, CategoryMapping
from moderation.doors.categories.protocols import CATEGORIES, ForeignProtocol
from moderation.errors import InvalidMapping
from moderation.policies.rules import split_detector
from moderation.rights import ModerationRight
from registry.catalogue.models import Model
from registry.errors import Invalid, NotAllowed
from registry.kit.actors import Actor
from registry.kit.text import checked_line
from registry.record.audit import AuditSubject, queue_writers, record_change

MAX_MAPPINGS = 1_000  # of a protocol


class LabelMapping(NamedTuple):
    """With an empty category, the label counts for none."""

    detector: str
    label: str
    category: str = ""

    def __str__(self) -> str:
        return f"{self.detector}: {self.label} → {self.category or 'no category'}"


def mappings_of(protocol: ForeignProtocol) -> list[LabelMapping]:
    rows = CategoryMapping.objects.filter(protocol=protocol)
    return [LabelMapping(*row) for row in rows.values_list("detector", "label", "category")]


@transaction.atomic
def set_category_mappings(
    *, protocol: ForeignProtocol, mappings: Sequence[LabelMapping], by: Actor
) -> list[LabelMapping]:
    """Replace all mappings of a protocol. Raises InvalidMapping, which names the place."""
    _check_may_map(by)
    if len(mappings) > MAX_MAPPINGS:
        raise InvalidMapping(f"A protocol may have at most {MAX_MAPPINGS:,} mappings.", "mappings")
    known = _known_models(mappings)
    wanted = [_checked(protocol, one, place, known) for place, one in enumerate(mappings)]
    _check_none_stands_alone(wanted)
    return _write(protocol, wanted, by)


@transaction.atomic
def add_category_mapping(*, protocol: ForeignProtocol, mapping: LabelMapping, by: Actor) -> LabelMapping:
    """Have a label count for one more category; with an empty one, for none any more."""
    _check_may_map(by)
    new = _checked(protocol, mapping, None, _known_models([mapping]))
    queue_writers()
    before = mappings_of(protocol)
    same_label = {one for one in before if one[:2] == new[:2]}
    replaced = same_label if not new.category else {new._replace(category="")}
    kept = [one for one in before if one not in replaced]
    if len(kept) >= MAX_MAPPINGS:
        raise InvalidMapping(f"A protocol may have at most {MAX_MAPPINGS:,} mappings.", "mappings")
    _write(protocol, [*kept, new], by)
    return new


@transaction.atomic
def remove_category_mapping(*, protocol: ForeignProtocol, mapping: LabelMapping, by: Actor) -> None:
    """Forget a mapping. A label without any has its usual categories again."""
    _check_may_map(by)
    queue_writers()
    before = mappings_of(protocol)
    if mapping not in before:
        raise InvalidMapping(f"There is no mapping {mapping}; perhaps somebody else removed it.")
    _write(protocol, [one for one in before if one != mapping], by)


def _check_may_map(by: Actor) -> None:
    by.check(ModerationRight.EDIT_POLICIES)
    if by.tenant_id is not None:
        raise NotAllowed(
            f"{by.name} acts for a tenant. Mappings are for all tenants; only people change them."
        )


def _write(protocol: ForeignProtocol, wanted: Iterable[LabelMapping], by: Actor) -> list[LabelMapping]:
    queue_writers()
    before, after = set(mappings_of(protocol)), set(wanted)
    added, removed = sorted(after - before), sorted(before - after)
    for one in removed:
        CategoryMapping.objects.filter(protocol=protocol, **one._asdict()).delete()
    CategoryMapping.objects.bulk_create(CategoryMapping(protocol=protocol, **one._asdict()) for one in added)
    if added or removed:
        record_change(
            action="set_category_mappings",
            subject=AuditSubject("category mappings", protocol.value, protocol.service),
            before={"mappings": [str(one) for one in removed]},
            after={"mappings": [str(one) for one in added]},
            by=by,
        )
    return sorted(after)


def _checked(
    protocol: ForeignProtocol, mapping: LabelMapping, place: int | None, models: Collection[str]
) -> LabelMapping:
    def fail(field: str, message: str) -> InvalidMapping:
        return InvalidMapping(message, *(("mappings", place) if place is not None else ()), field)

    try:
        detector = checked_line(mapping.detector, what="detector", longest=MAX_DETECTOR)
        label = checked_line(mapping.label, what="label", longest=MAX_LABEL)
    except Invalid as error:
        raise fail("label", str(error)) from None
    if split_detector(detector)[0] not in models:
        raise fail("detector", f"There is no Model {detector[:64]!r}.")
    if mapping.category and mapping.category not in CATEGORIES[protocol]:
        known = ", ".join(CATEGORIES[protocol])
        raise fail(
            "category",
            f"{protocol.service} has no category {mapping.category[:40]!r}; its categories are {known}.",
        )
    return LabelMapping(detector, label, mapping.category)


def _known_models(mappings: Iterable[LabelMapping]) -> set[str]:
    slugs = {split_detector(one.detector.strip())[0] for one in mappings}
    return set(Model.objects.filter(slug__in=slugs).values_list("slug", flat=True))


def _check_none_stands_alone(mappings: Sequence[LabelMapping]) -> None:
    categories: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in mappings:
        categories[one.detector, one.label].add(one.category)
    for place, one in enumerate(mappings):
        if not one.category and len(categories[one.detector, one.label]) > 1:
            raise InvalidMapping(
                f"{one.label} of {one.detector} cannot count for a category and for none.",
                "mappings",
                place,
                "category",
            )
