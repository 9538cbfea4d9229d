"""Queries for examples, golden sets and results."""

from collections.abc import Collection, Iterator
from contextlib import suppress

from django.db.models import QuerySet

from registry.catalogue import artifacts
from registry.catalogue.models import CHAMPION, Alias, Model, Version
from registry.errors import NotFound
from registry.intake.examples.golden_results import GoldenGate, judge
from registry.intake.examples.models import ConformanceExample, GoldenResult, GoldenSet
from registry.intake.examples.rows import GoldenRow, read_rows, read_rows_numbered
from registry.kit.actors import Actor, in_scope
from registry.kit.compute_lock import compute_lock


def examples_of(version: Version) -> list[ConformanceExample]:
    """The version's examples, in order."""
    return list(version.conformance_examples.order_by("position"))


def current_golden_set(model: Model) -> GoldenSet | None:
    return model.golden_sets.select_related("model").filter(is_current=True).first()


def the_golden_set(model: Model) -> GoldenSet:
    golden_set = current_golden_set(model)
    if golden_set is None:
        raise NotFound(f"{model.slug} has no golden set; add one.")
    return golden_set


def read_golden_rows(golden_set: GoldenSet) -> Iterator[GoldenRow]:
    """The rows in order, one at a time."""
    return read_rows(artifacts.path_of(golden_set.sha256))


def golden_rows_numbered(golden_set: GoldenSet, numbers: Collection[int]) -> dict[int, GoldenRow]:
    """Rows by number. Only these are read, once it is known where the rows of the set are."""
    with compute_lock.released():
        rows = read_rows_numbered(artifacts.path_of(golden_set.sha256), numbers)
        return {row.number: row for row in rows}


def results_for(by: Actor) -> QuerySet[GoldenResult]:
    rows = GoldenResult.objects.select_related("version__model", "golden_set")
    return in_scope(rows, by, model="version__model_id")


def result_of(version: Version, golden_set: GoldenSet | None) -> GoldenResult | None:
    if golden_set is None:
        return None
    return GoldenResult.objects.filter(version=version, golden_set=golden_set).first()


def champion_of(model: Model) -> Version | None:
    """The version with the largest live share."""
    with suppress(Alias.DoesNotExist):
        return model.aliases.select_related("version__model").get(name=CHAMPION).version
    return None


def golden_gate(version: Version, *, preprocessing: str | None = None) -> GoldenGate:
    """Judge a version by its Model's golden set, the floor and the live version.

    `preprocessing` is the version's hash if its row has none yet, because its first check is still running.
    """
    golden_set = current_golden_set(version.model)
    champion = champion_of(version.model)
    if champion == version:
        champion = None
    return judge(
        version=version.number,
        golden_set=golden_set,
        result=result_of(version, golden_set),
        champion=champion.number if champion is not None else None,
        champion_result=result_of(champion, golden_set) if champion is not None else None,
        preprocessing=version.preprocessing if preprocessing is None else preprocessing,
    )
