"""What a verb will do, in numbers, said before somebody does it."""

from collections.abc import Callable, Iterable, Sequence

from django.db.models import Q
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from registry.access.models import ApiKey
from registry.access.policies import Right, rights_of_scopes
from registry.catalogue.models import Model, Version
from registry.catalogue.services import CRASHES_TO_BREAK
from registry.kit.admin.facts import ago
from registry.traffic.assignment import WHOLE
from registry.traffic.models import Hold
from registry.traffic.selectors import (
    ArmShare,
    live_arms,
    open_holds,
    open_requests,
    versions_once_live,
    waiting_split,
)

Rate = Callable[[Model], float]  # answers a second, lately

_rate: Rate | None = None


def register_rate(ask: Rate) -> None:
    """Ask this how much a Model answers now; who measures tells."""
    global _rate
    _rate = ask


def shares_of(arms: Iterable[ArmShare]) -> str:
    """version 3 90 %, version 2 10 %."""
    return ", ".join(f"version {arm.version} {arm.percent:g} %" for arm in arms)


def of_stopping(model: Model) -> list[str]:
    arms, keys = live_arms(model), _keys_that_may_ask(model)
    if not arms:
        answers = f"Nobody answers for {model.slug} now."
    else:
        both = {1: "it stops", 2: "both stop"}.get(len(arms), f"all {len(arms)} stop")
        answers = f"Now {_answering(arms)}; {both}."
    asking = "The one API key" if keys == 1 else f"All {keys:,} API keys"
    refused = (
        f"{asking} that may ask it get{'s' if keys == 1 else ''} 503 with your text, for a version or an alias too, "
        "within 2 seconds on every process."
    )
    return [
        *_rate_of(model),
        answers,
        refused,
        "New jobs are refused; those already accepted go on with their version.",
        "It stays so until somebody starts it again. Splits, aliases and versions stay as they are.",
    ]


def _rate_of(model: Model) -> list[str]:
    rate = _rate(model) if _rate is not None else 0.0
    if not rate:
        return []
    shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return [f"{shown} requests a second were answered over the last 5 minutes; all of them will get 503."]


def of_starting(model: Model) -> list[str]:
    told = [
        f"{_since(model, Hold.Kind.STOPPED)} Callers were told: {open_holds(model).get(Hold.Kind.STOPPED, '')}"
    ]
    arms = live_arms(model)
    if arms:
        told.append(f"Within 2 seconds {_answering(arms)} again.")
    else:
        told.append("No version is live, so nobody answers until a split is set.")
    if Hold.Kind.FROZEN in open_holds(model):
        told.append("It is frozen, and starting gives live share: unfreeze it first.")
    return told


def of_freezing(model: Model) -> list[str]:
    arms = live_arms(model)
    stays = (
        f"{_capital(_answering(arms))}, and nothing may gain more." if arms else "Nothing may become live."
    )
    waiting = waiting_split(model)
    held = []
    if waiting is not None:
        becomes = "rolls back, and becomes" if waiting.split.goes_back else "does not become"
        held = [f"Split {waiting.split.number} waits for engines; it {becomes} current while this holds."]
    return [stays, *held, "Lowering, stopping and rolling back still work."]


def of_unfreezing(model: Model) -> list[str]:
    waiting = waiting_split(model)
    is_held = waiting is not None and not waiting.split.goes_back
    freed = [f"Split {waiting.split.number} that waits may become current."] if waiting and is_held else []
    return [_since(model, Hold.Kind.FROZEN), "Versions may gain live share again.", *freed]


def of_reshuffling(model: Model) -> list[str]:
    arms = live_arms(model)
    moving = 100 - sum((arm.share / WHOLE) ** 2 for arm in arms) * 100 if arms else 0.0
    told = (
        f"With {shares_of(arms)}, about {moving:.0f} % of routing keys change the version that answers them."
    )
    return [
        "Every routing key is dealt a new bucket.",
        told if arms else "No version is live, so nobody notices.",
    ]


def of_splitting(model: Model) -> list[str]:
    told, held = _overtakes(model), open_holds(model)
    if model.needs_approval:
        told.insert(
            0,
            f"{model.slug} asks for two people: shares that give a version more go out as a request, which somebody else"
            " has to approve. Shares that only go back to the leading version are set at once.",
        )
    if Hold.Kind.FROZEN in held:
        told.append(f"It is frozen ({held[Hold.Kind.FROZEN]}): share can only be lowered.")
    if Hold.Kind.STOPPED in held:
        told.append("It is stopped: the split answers once it is started.")
    return told


def of_rolling_back(model: Model) -> list[str]:
    return [f"Now {_answering(arms)}." for arms in [live_arms(model)] if arms] + _overtakes(model)


def of_archiving(version: Version) -> list[str]:
    told = [f"It stops being offered for splits; its file ({_size(version)}) and its history stay."]
    if any(row.version.pk == version.pk for row in versions_once_live(version.model)):
        told.append("It was live once; to roll back to it, it must be brought back first.")
    return told


def of_bringing_back(version: Version) -> list[str]:
    found = "failed, as its check found" if version.failure else "ready to answer"
    return [f"It is {found} again. Its file ({_size(version)}) never left; nothing goes live by this."]


def of_clearing(version: Version) -> list[str]:
    crashes = version.uncleared_crashes.count()
    count_no_more = "crash counts no more" if crashes == 1 else "crashes count no more"
    return [
        f"Its {crashes} {count_no_more}, and every process may run it within 2 seconds. After the next crash it runs in a"
        f" process of its own again; after {CRASHES_TO_BREAK} crashes it is refused."
    ]


def _size(version: Version) -> str:
    return str(filesizeformat(version.artifact.size_bytes)).replace("\xa0", " ")


def _answering(arms: Sequence[ArmShare]) -> str:
    first, *rest = arms
    others = "".join(f", version {arm.version} {arm.percent:g} %" for arm in rest)
    return f"version {first.version} answers {first.percent:g} %{others}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _overtakes(model: Model) -> list[str]:
    waiting, asked = waiting_split(model), open_requests(model).count()
    told = []
    if waiting:
        told.append(f"Split {waiting.split.number} waits to become current; this one takes its place.")
    if asked:
        told.append(
            f"{asked} open request{'s' if asked > 1 else ''} will be overtaken once another split is set."
        )
    return told


def _since(model: Model, kind: Hold.Kind) -> str:
    hold = model.holds.filter(kind=kind, to_at=None).first()
    if hold is None:
        return f"{model.slug} is not {kind}."
    verb = "stopped" if kind == Hold.Kind.STOPPED else "froze"
    return f"{hold.begun_by} {verb} it {ago(hold.from_at)}."


def _keys_that_may_ask(model: Model) -> int:
    reaching = Q(all_models=True) | Q(only_models=model.pk)
    valid = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    keys = ApiKey.objects.filter(reaching, valid, revoked_at=None).distinct().values_list("pk", "scopes")
    return sum(Right.PREDICT in rights_of_scopes(frozenset(scopes)) for _, scopes in keys)
