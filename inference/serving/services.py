"""Verbs of serving: predict, describe, and what operators and workers ask of this process."""

import time
from collections.abc import Iterator

from django.db.models.functions import Now

from inference.engine.errors import OutOfMemory, RunCrashed, RunFailed, RunTimedOut
from inference.engine.loop import complete
from inference.engine.meters import Meters
from inference.engine.requests import EngineRequest
from inference.errors import NotApproved, Pinned
from inference.measure.counts import STOPPED, ArmKey
from inference.serving import request_id, runtime
from inference.serving.calls import Call, Checked, Description, Inputs, Prediction
from inference.serving.models import Pulse
from inference.serving.routes import Route, Target
from inference.tensors.errors import InferenceError, InvalidInput
from inference.tensors.prepare import check_outputs, prepare
from inference.tensors.signature import Signature
from registry.access.key_ring import Principal
from registry.access.policies import Right, rights_of_scopes
from registry.errors import Invalid, RoundhouseError, Stopped

PLATFORM = "onnx_onnxv1"


def find(
    by: Principal, model: str, *, version: int | None = None, alias: str | None = None
) -> tuple[Route, Target | None]:
    """The Model's route for one call, and who will answer where no routing key has a say in it; raises all that can be
    said before the call's body is read.

    Who is turned away by a stop is counted, if the Model is in the caller's reach: one count per Model, whatever is asked.
    """
    here = runtime.started()
    route = here.find(model, by.models)
    try:
        target = route.foregone(version=version, alias=alias)
        if target is not None:
            check_approved(route.slug, target, may_ask_any=may_ask_unapproved(by))
        here.check_answers(target)
    except Stopped:
        here.windows.count(ArmKey(route.model_id, route.split, "", STOPPED), seconds=0.0, outcome="errors")
        raise
    return route, target


def may_ask_unapproved(by: Principal) -> bool:
    return Right.PREDICT_UNAPPROVED in rights_of_scopes(by.scopes)


def check_approved(model: str, target: Target, *, may_ask_any: bool) -> None:
    """Raise NotApproved where nobody approved the version and the caller has no right of their own to such ones."""
    if not target.is_approved and not may_ask_any:
        raise NotApproved(
            f"Nobody approved version {target.number} of {model}. Ask for a split that holds it and have that approved,"
            " or use a key with the scope `predict.unapproved`."
        )


async def predict(call: Call) -> Prediction:
    """Answer with the version that is asked for, or else with the arm that the current split gives this caller.

    Does no database query once the version is warm. On a loop only for versions that are at hand; a thread `complete`s it.
    """
    here, route = runtime.started(), call.route
    target, arm, key = _choose(call)
    counted_as = ArmKey(route.model_id, route.split, arm, target.version_id)
    started = time.monotonic()
    try:
        signature = here.at_hand(target)
        if signature is None:
            signature = await here.signature(target, timeout_s=call.within_s)
        check_outputs(signature, call.outputs)
        request = EngineRequest(
            _inputs(call, signature),
            started + call.within_s,
            call.priority,
            outputs=call.outputs,
            cancellation=call.cancellation,
        )
        answer = await here.infer(target, request)
    except (InferenceError, RoundhouseError) as error:
        here.windows.count(counted_as, seconds=time.monotonic() - started, outcome=_outcome_of(error))
        raise
    here.windows.count(counted_as, seconds=time.monotonic() - started)
    return Prediction(
        request_id=request_id.make(version_id=target.version_id, split=route.split, arm=arm, routing_key=key),
        model=route.slug,
        version=target.number,
        arm=arm,
        split=route.split,
        outputs=answer.outputs,
        signature=signature,
        labels=route.labels.get(target.version_id),
        scores=route.scores.get(target.version_id),
        non_finite=answer.non_finite,
    )


def check(call: Call) -> Checked:
    """Do all that `predict` does, up to running the version; loads it if it is not in memory."""
    target, arm, _ = _choose(call)
    here = runtime.started()
    signature = complete(here.signature(target, timeout_s=call.within_s))
    check_outputs(signature, call.outputs)
    return Checked(
        model=call.route.slug,
        version=target.number,
        arm=arm,
        split=call.route.split,
        tensors=prepare(
            signature,
            _inputs(call, signature),
            allow_non_finite=here.allows_non_finite(target),
            online=True,
        ),
        signature=signature,
    )


def describe(by: Principal, model: str, version: int | None = None, alias: str | None = None) -> Description:
    """Say what a version takes and gives; loads it if it is not in memory."""
    route = runtime.find(model, by.models)
    target = route.choose(version=version, alias=alias)
    check_approved(route.slug, target, may_ask_any=may_ask_unapproved(by) or _may_read(by))
    return Description(
        model=route.slug,
        versions=tuple(sorted(route.versions)),
        version=target.number,
        sha256=target.sha256,
        signature=complete(runtime.started().signature(target)),
        is_ready=runtime.started().is_warm(target),
        platform=PLATFORM,
        merged_rows=runtime.started().merged_rows(target),
        labels=route.labels.get(target.version_id),
        scores=route.scores.get(target.version_id),
    )


def statistics(
    by: Principal, model: str | None = None, version: int | None = None
) -> list[tuple[str, int, Meters]]:
    """What this process has counted, for the versions that the caller may see."""
    counted = runtime.started().meters()
    return [
        (route.slug, target.number, counted[target.version_id])
        for route in _routes(by, model)
        for target in _versions(route, version)
        if target.version_id in counted
    ]


def repository_index(by: Principal, only_ready: bool = False) -> list[tuple[str, int, str, str]]:
    """Every version that the caller may see: model, number, READY or UNAVAILABLE, and why not."""
    found = []
    for route in _routes(by, None):
        for target in _versions(route, None):
            if not target.is_approved and not may_ask_unapproved(by):
                if not only_ready:
                    found.append((route.slug, target.number, "UNAVAILABLE", "Nobody approved it."))
            elif runtime.started().is_warm(target):
                found.append((route.slug, target.number, "READY", ""))
            elif not only_ready:
                found.append((route.slug, target.number, "UNAVAILABLE", runtime.started().why_not(target)))
    return found


def load(by: Principal, model: str) -> None:
    """Bring the version that answers into memory, if it is not there yet."""
    complete(runtime.started().signature(runtime.find(model, by.models).choose()))


def unload(by: Principal, model: str) -> None:
    """Let versions that are only held on demand go. What the current split needs stays."""
    route = runtime.find(model, by.models)
    if route.owners:
        raise Pinned(
            f"{model} is live: its versions stay in memory. Stop the Model, or lower the split, first."
        )
    for target in route.versions.values():
        runtime.started().let_go(target)


def record_pulse(*, worker: str) -> None:
    Pulse.objects.update_or_create(worker=worker, defaults={"at": Now()})


def _may_read(by: Principal) -> bool:
    return Right.READ in rights_of_scopes(by.scopes)


def _choose(call: Call) -> tuple[Target, str, str | None]:
    """Who answers, for which arm, and by which routing key."""
    route = call.route
    key = route.key_of(header=call.routing_key, fields=call.fields, tenant=call.by.tenant)
    target = call.foregone or route.choose(key, version=call.version, alias=call.alias)
    is_chosen = call.version is None and call.alias is None
    return target, route.arms.get(target.version_id, "") if is_chosen else "", key


def _inputs(call: Call, signature: Signature) -> Inputs:
    return call.inputs(signature) if callable(call.inputs) else call.inputs


def _routes(by: Principal, model: str | None) -> Iterator[Route]:
    if model is not None:
        yield runtime.find(model, by.models)
        return
    for route in runtime.started().routes():
        if by.models is None or route.model_id in by.models:
            yield route


def _versions(route: Route, number: int | None) -> list[Target]:
    if number is not None:
        return [route.choose(version=number)]
    return [route.versions[known] for known in sorted(route.versions)]


def _outcome_of(error: Exception) -> str:
    """Whose fault it was: a wrong request says nothing about the version."""
    is_callers = isinstance(error, (InvalidInput, Invalid)) or (
        isinstance(error, RunFailed) and not isinstance(error, (RunTimedOut, RunCrashed, OutOfMemory))
    )
    return "refused" if is_callers else "errors"
