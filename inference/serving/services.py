"""What callers, operators and workers can ask of this process: predict, describe, load, statistics."""

import time
from collections.abc import Awaitable, Iterator, Sequence
from functools import partial

from django.db.models.functions import Now

from inference.engine.loop import complete
from inference.engine.meters import Meters
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.errors import NotApproved, Pinned
from inference.measure.counts import ArmKey
from inference.serving import request_id, runtime
from inference.serving.calls import Call, CheckedCall, Description, Inputs, Prediction
from inference.serving.models import Pulse
from inference.serving.pipelines import read_request
from inference.serving.routes import Route, Target
from inference.tensors.prepare import prepare
from registry.access.key_ring import Principal
from registry.access.policies import Right, rights_of_scopes

PLATFORM = "onnx_onnxv1"
_NOT_LOADED = "Not in memory; it is loaded on demand."


def find(
    by: Principal, model: str, *, version: int | None = None, alias: str | None = None
) -> tuple[Route, Target | None]:
    """The Model's route, and the version that answers if that does not depend on a routing key. Raises all errors that
    are known before the body is read."""
    serving = runtime.started()
    route = serving.find(model, by.models)
    target = route.fixed_target(version=version, alias=alias)
    if target is not None:
        check_approved(route.slug, target, may_ask_any=may_use_unapproved(by))
    serving.check_can_answer(target)
    return route, target


def may_use_unapproved(by: Principal) -> bool:
    return Right.PREDICT_UNAPPROVED in rights_of_scopes(by.scopes)


def check_approved(model: str, target: Target, *, may_ask_any: bool) -> None:
    """Raise NotApproved if the version is not approved and the caller may not use unapproved ones."""
    if not target.is_approved and not may_ask_any:
        raise NotApproved(
            f"Version {target.number} of {model} is not approved. Request a split that includes it and have it approved,"
            " or use a key with the scope `predict.unapproved`."
        )


async def predict(call: Call) -> Prediction:
    """Answer with the requested version, or with the arm that the current split assigns to this caller.

    Makes no database query once the version is warm. May run on the event loop only for a version whose signature is known.
    The door counts the request once it has ended (`doors.request_counts`); its arm and its latency are noted in `call.request`.
    """
    serving, route = runtime.started(), call.route
    target, arm, key, chosen_by = _choose(call)
    call.request.arm_key = ArmKey(route.model_id, route.split, arm, target.version_id)
    started = time.monotonic()
    pipeline = serving.known_pipeline(target) or await serving.pipeline(target, timeout_s=call.within_s)
    asked = read_request(call, pipeline, started + call.within_s)

    def run(inputs: Inputs, outputs: Sequence[str] | None) -> Awaitable[EngineAnswer]:
        request = EngineRequest(
            inputs,
            started + call.within_s,
            call.priority,
            outputs=outputs,
            cancellation=call.request.cancellation,
            allow_non_finite=asked.takes_missing,
        )
        return serving.infer(target, request)

    answered = await asked.answer(run, partial(serving.executor.merged_rows, target))
    call.request.took_s = time.monotonic() - started
    return Prediction(
        request_id=request_id.make(
            version_id=target.version_id, split=route.split, arm=arm, routing_key=key, chosen_by=chosen_by
        ),
        model=route.slug,
        version=target.number,
        arm=arm,
        split=route.split,
        outputs=answered.outputs,
        signature=answered.signature,
        pipeline=pipeline,
        non_finite=answered.non_finite,
        answers=answered.answers,
        answers_bytes=answered.answers_bytes,
    )


def check(call: Call) -> CheckedCall:
    """Do everything that `predict` does except run the version; loads it if it is not in memory."""
    target, arm, _, _ = _choose(call)
    serving = runtime.started()
    ends_at = time.monotonic() + call.within_s
    pipeline = complete(serving.pipeline(target, timeout_s=call.within_s))
    asked = read_request(call, pipeline, ends_at)
    signature, inputs, runs = asked.model_inputs(serving.executor.merged_rows(target))
    allows_missing = asked.takes_missing or serving.executor.allows_non_finite(target)
    return CheckedCall(
        model=call.route.slug,
        version=target.number,
        arm=arm,
        split=call.route.split,
        tensors=prepare(signature, inputs, allow_non_finite=allows_missing, online=True),
        signature=signature,
        runs=runs,
    )


def describe(by: Principal, model: str, version: int | None = None, alias: str | None = None) -> Description:
    """Describe a version's inputs and outputs; loads it if it is not in memory."""
    serving = runtime.started()
    route = serving.find(model, by.models)
    target = route.choose(version=version, alias=alias)
    check_approved(
        route.slug, target, may_ask_any=may_use_unapproved(by) or Right.READ in rights_of_scopes(by.scopes)
    )
    return Description(
        model=route.slug,
        versions=tuple(sorted(route.versions)),
        version=target.number,
        sha256=target.sha256,
        pipeline=complete(serving.pipeline(target)),
        is_ready=serving.executor.is_warm(target),
        platform=PLATFORM,
        merged_rows=serving.executor.merged_rows(target),
    )


def statistics(
    by: Principal, model: str | None = None, version: int | None = None
) -> list[tuple[str, int, Meters]]:
    """This process's meters for the versions that the caller may see."""
    meters = runtime.started().executor.meters()
    return [
        (route.slug, target.number, meters[target.version_id])
        for route in _routes(by, model)
        for target in _versions(route, version)
        if target.version_id in meters
    ]


def repository_index(by: Principal, only_ready: bool = False) -> list[tuple[str, int, str, str]]:
    """Every version that the caller may see: model, number, READY or UNAVAILABLE, and the reason."""
    executor = runtime.started().executor
    index = []
    for route in _routes(by, None):
        for target in _versions(route, None):
            if not target.is_approved and not may_use_unapproved(by):
                state, reason = "UNAVAILABLE", "It is not approved."
            elif executor.is_warm(target):
                state, reason = "READY", ""
            else:
                obstacle = executor.obstacle(target)
                state, reason = "UNAVAILABLE", obstacle.reason if obstacle else _NOT_LOADED
            if state == "READY" or not only_ready:
                index.append((route.slug, target.number, state, reason))
    return index


def load(by: Principal, model: str) -> None:
    """Load the version that answers, if it is not in memory."""
    serving = runtime.started()
    complete(serving.pipeline(serving.find(model, by.models).choose()))


def unload(by: Principal, model: str) -> None:
    """Unload versions that were loaded on demand; those of the current split stay."""
    serving = runtime.started()
    route = serving.find(model, by.models)
    if route.owners:
        raise Pinned(
            f"{model} is live, so its versions stay in memory. Stop the Model or change its split first."
        )
    for target in route.versions.values():
        serving.executor.unload(target)


def record_pulse(*, worker: str) -> None:
    Pulse.objects.update_or_create(worker=worker, defaults={"at": Now()})


def _choose(call: Call) -> tuple[Target, str, str | None, int]:
    """The version that answers, its arm, the routing key, and how the version was chosen."""
    route, request = call.route, call.request
    key = route.key_of(header=call.routing_key, fields=call.fields, tenant=request.by.tenant)
    target = call.fixed_target or route.fixed_target(version=request.version, alias=request.alias)
    if request.alias is not None or request.version is not None:
        chosen_by = request_id.BY_ALIAS if request.alias is not None else request_id.BY_VERSION
        arm = ""
    else:
        chosen_by = request_id.ONLY_ARM if target is not None else route.bucket_for(key)
        target = target or route.owner_of(chosen_by)
        arm = route.arms.get(target.version_id, "")
    assert target is not None  # noqa: S101 (a version or an alias was named, so it is fixed)
    return target, arm, key, chosen_by


def _routes(by: Principal, model: str | None) -> Iterator[Route]:
    if model is not None:
        yield runtime.started().find(model, by.models)
        return
    for route in runtime.started().table.routes.values():
        if by.models is None or route.model_id in by.models:
            yield route


def _versions(route: Route, number: int | None) -> list[Target]:
    if number is not None:
        return [route.choose(version=number)]
    return [route.versions[known] for known in sorted(route.versions)]
