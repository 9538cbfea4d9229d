"""Engines that are rows only: what a process would have said of itself."""

import itertools
from datetime import timedelta

from django.db.models.functions import Now

from inference.serving.executors.executor import VersionHolding
from inference.serving.models import EngineReport, HeldState
from inference.serving.routes import Target
from inference.serving.stewards import services
from inference.serving.stewards.process import Identity, ProcessInfo
from inference.serving.stewards.services import EngineFigures
from registry.catalogue.models import RouteClock

_numbers = itertools.count(1)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def a_station(*, kind="web", role="serves", pool="", **who) -> ProcessInfo:
    number = next(_numbers)
    identity = {
        "id": f"engine{number}",
        "host": "here",
        "place": "boot/1",
        "pid": number,
        "pid_started": number,
        **who,
    }
    return ProcessInfo(Identity(**identity), kind, role, pool, threads=8)


def station_of(engine) -> ProcessInfo:
    """The same process again, to report something else."""
    return a_station(
        kind=engine.kind, role=engine.role, pool=engine.pool, id=engine.pk, host=engine.host, place=engine.place,
        pid=engine.pid, pid_started=engine.pid_started,
    )  # fmt: skip


def figures(state="ready", followed=None) -> EngineFigures:
    newest = RouteClock.objects.values_list("revision", flat=True).first() or 0
    return EngineFigures(state, newest if followed is None else followed, CPU, CPU, "CPU", 1000, 4000, 0, 0)


def holding(
    version, *, state="warm", use="held", asked=CPU, got=CPU, serving=None, reason="", merged_rows=64
) -> VersionHolding:
    revision = version.serving_settings.get(is_current=True).revision if serving is None else serving
    target = Target(version.pk, version.number, version.artifact.sha256, revision)
    return VersionHolding(target, state, use, asked, got if state == "warm" else "", 100, merged_rows, reason)


def an_engine(*versions, station=None, followed=None, state="ready", **about) -> EngineReport:
    """An engine that holds these versions warm; holdings may be given instead of versions."""
    station = station or a_station(**about)
    held = [one if isinstance(one, VersionHolding) else holding(one) for one in versions]
    services.report(station, figures(state, followed), held)
    return EngineReport.objects.get(pk=station.identity.id)


def silence(engine, seconds=20.0) -> None:
    EngineReport.objects.filter(pk=engine.pk).update(seen_at=Now() - timedelta(seconds=seconds))


def warm_in(engine) -> set[int]:
    return set(engine.held.filter(state=HeldState.WARM).values_list("version__number", flat=True))
