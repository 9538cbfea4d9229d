"""Reads of examples, and what they say about a version."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice

from django.db.models import QuerySet

from registry.catalogue import artifacts
from registry.catalogue.models import CHAMPION, Alias, Model, Version
from registry.errors import NotFound
from registry.intake.examples.gate import GoldenGate, judge
from registry.intake.examples.models import ConformanceExample, GoldenResult, GoldenSet
from registry.intake.examples.rows import GoldenRow, parse_row
from registry.kit.actors import Actor, in_scope


def examples_of(version: Version) -> list[ConformanceExample]:
    """The version's own examples, in their order."""
    return list(version.conformance_examples.order_by("position"))


def current_golden_set(model: Model) -> GoldenSet | None:
    return model.golden_sets.select_related("model").filter(is_current=True).first()


def the_golden_set(model: Model) -> GoldenSet:
    found = current_golden_set(model)
    if found is None:
        raise NotFound(f"{model.slug} has no golden set; put one.")
    return found


def read_golden_rows(golden_set: GoldenSet) -> Iterator[GoldenRow]:
    """The rows in their order, one at a time."""
    with artifacts.path_of(golden_set.sha256).open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield parse_row(line, number)


def golden_rows_numbered(golden_set: GoldenSet, numbers: Collection[int]) -> dict[int, GoldenRow]:
    """Some rows by their number; reading ends with the last of them, and only they are parsed."""
    wanted = set(numbers)
    with artifacts.path_of(golden_set.sha256).open("rb") as file:
        lines = islice(enumerate(file, start=1), max(wanted, default=0))
        return {number: parse_row(line, number) for number, line in lines if number in wanted}


def results_for(by: Actor) -> QuerySet[GoldenResult]:
    rows = GoldenResult.objects.select_related("version__model", "golden_set")
    return in_scope(rows, by, model="version__model_id")


def result_of(version: Version, golden_set: GoldenSet | None) -> GoldenResult | None:
    if golden_set is None:
        return None
    return GoldenResult.objects.filter(version=version, golden_set=golden_set).first()


def champion_of(model: Model) -> Version | None:
    """The version that answers most, as the alias says."""
    with suppress(Alias.DoesNotExist):
        return model.aliases.select_related("version__model").get(name=CHAMPION).version
    return None


def golden_gate(version: Version) -> GoldenGate:
    """Say how a version did on its Model's golden set, beside the floor and the live version."""
    golden_set = current_golden_set(version.model)
    champion = champion_of(version.model)
    others = champion if champion is not None and champion.pk != version.pk else None
    return judge(
        version=version.number,
        golden_set=golden_set,
        result=result_of(version, golden_set),
        champion=others.number if others is not None else None,
        champion_result=result_of(others, golden_set) if others is not None else None,
    )
