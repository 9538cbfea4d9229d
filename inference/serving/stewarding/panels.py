"""On the home page: processes that need somebody. Nothing where all are well."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.serving.stewarding.models import EngineReport, EngineState, HeldState, HeldVersion, Kind
from inference.serving.stewarding.selectors import SHOWN_ENGINES, engines_for, is_alive
from registry.kit.admin.theme import actor

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Sick:
    """One process, and what is wrong with it."""

    engine: EngineReport
    wrongs: list[str]


def draw_sick(request: HttpRequest, _row: object) -> SafeString | str:
    """The panel; nothing where every process is well and a worker is there."""
    engines = list(engines_for(actor(request))[:SHOWN_ENGINES])
    sick = [Sick(engine, wrongs) for engine in engines if (wrongs := _wrongs(engine))]
    without_worker = not any(engine.kind == Kind.WORKER and is_alive(engine) for engine in engines)
    if not sick and not without_worker:
        return ""
    shown = {
        "sick": sick[:_SHOWN],
        "more": max(0, len(sick) - _SHOWN),
        "without_worker": without_worker,
        "through_workers": settings.EXECUTOR == "workers",
    }
    return render_to_string("admin/inference/sick_workers.html", shown, request)


def _wrongs(engine: EngineReport) -> list[str]:
    if not is_alive(engine):
        return ["lost: it ended or went silent without signing off"]
    found = ["it finishes what it has and takes no more"] if engine.state == EngineState.DRAINING else []
    if engine.provider_got and engine.provider_got != engine.provider_asked:
        found.append(f"runs on {_short(engine.provider_got)}, was to run on {_short(engine.provider_asked)}")
    held: list[HeldVersion] = engine.seen_held  # type: ignore[attr-defined]
    found += [f"could not load {one.version}: {one.reason}" for one in held if one.state == HeldState.FAILED]
    return found


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")
