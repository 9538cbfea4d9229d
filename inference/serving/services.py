"""What callers, operators and workers can ask of this process: predict, describe, load, statistics."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from django.db.models.functions import Now

from inference.engine.loop import complete
from inference.engine.meters import Meters
from inference.engine.requests import EngineRequest
from inference.errors import NotApproved, Pinned, WrongTask
from inference.measure.counts import ArmKey
from inference.pipelines.errors import InvalidItem
from inference.pipelines.pipeline import ItemPipeline, Pipeline
from inference.serving import request_id, runtime
from inference.serving.calls import Call, CheckedCall, Description, Inputs, Items, Prediction
from inference.serving.models import Pulse
from inference.serving.pipelines import answer_items, do_off_loop
from inference.serving.routes import Route, Target
from inference.tensors.prepare import check_outputs, prepare
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
    asked = _Asked(call, pipeline)

    def engine_request(inputs: Inputs, outputs: Sequence[str] | None = None) -> EngineRequest:
        return EngineRequest(
            inputs,
            started + call.within_s,
            call.priority,
            outputs=outputs,
            cancellation=call.request.cancellation,
        )

    outputs: Mapping[str, Any]
    if asked.body is None:
        answer = await serving.infer(target, engine_request(asked.inputs, call.outputs))
        outputs, non_finite, items = answer.outputs, answer.non_finite, None
    else:
        items = await answer_items(
            asked.items_pipeline,
            asked.body,
            lambda tensors: serving.infer(target, engine_request(tensors)),
            most_rows=serving.executor.merged_rows(target),
        )
        outputs = await do_off_loop(items.is_long, partial(asked.outputs_of, items.answers))
        non_finite = False
    call.request.took_s = time.monotonic() - started
    return Prediction(
        request_id=request_id.make(
            version_id=target.version_id, split=route.split, arm=arm, routing_key=key, chosen_by=chosen_by
        ),
        model=route.slug,
        version=target.number,
        arm=arm,
        split=route.split,
        outputs=outputs,
        signature=asked.signature,
        pipeline=pipeline,
        non_finite=non_finite,
        answers=items.answers if items is not None else None,
        answers_bytes=items.nbytes if items is not None else 0,
    )


class _Asked:
    """What a request asks of a version's pipeline: items, in words or as tensors, or the model's own tensors."""

    def __init__(self, call: Call, pipeline: Pipeline) -> None:
        _check_task(call, pipeline)
        self._pipeline, self._outputs = pipeline, call.outputs
        self.signature = pipeline.callers_signature
        self.body: Mapping[str, Any] | None = None
        self.inputs: Inputs = {}
        self._is_words = isinstance(call.inputs, Items)
        if isinstance(call.inputs, Items):
            self.body = call.inputs.body
            check_item_fields(pipeline, self.body)
            return
        self.inputs = call.inputs(self.signature) if callable(call.inputs) else call.inputs
        if isinstance(pipeline, ItemPipeline):
            if self.inputs.keys() <= {spec.name for spec in pipeline.items.inputs}:
                self.body = pipeline.body_of(prepare(pipeline.items, _items_of(self.inputs)))
            else:  # a caller who does the pre-processing
                self.signature = pipeline.signature
        check_outputs(self.signature, call.outputs)

    @property
    def items_pipeline(self) -> ItemPipeline[Any]:
        return cast("ItemPipeline[Any]", self._pipeline)

    def outputs_of(self, answers: Sequence[Any]) -> Mapping[str, Any]:
        """The answers as tensors, if the items were sent as tensors."""
        if self._is_words:
            return {}
        tensors = self.items_pipeline.tensors_of(answers)
        return tensors if self._outputs is None else {name: tensors[name] for name in self._outputs}


def _items_of(inputs: Inputs) -> Inputs:
    """One item in each row: clients of other servers send them with an axis of size one beside that of the rows."""
    return {
        name: value[:, 0]
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 1
        else value
        for name, value in inputs.items()
    }


def _check_task(call: Call, pipeline: Pipeline) -> None:
    if call.task not in {None, pipeline.task}:
        slug = call.route.slug
        raise WrongTask(
            f"The task of Model {slug} is {pipeline.task}, not {call.task}."
            f" Send the request to /api/v1/models/{slug}/predict, or name another Model."
        )


def check_item_fields(pipeline: Pipeline, body: Mapping[str, Any]) -> None:
    """Raise an error if the version does not answer requests with these fields."""
    known = pipeline.fields if isinstance(pipeline, ItemPipeline) else ()
    for name in body:
        if name not in known:
            listed = (
                f"only {', '.join(f'`{field}`' for field in known)}" if known else "tensors, such as `inputs`"
            )
            raise InvalidItem(f"This version's task is {pipeline.task}: it takes {listed}.", field=name)


def check(call: Call) -> CheckedCall:
    """Do everything that `predict` does except run the version; loads it if it is not in memory."""
    target, arm, _, _ = _choose(call)
    serving = runtime.started()
    pipeline = complete(serving.pipeline(target, timeout_s=call.within_s))
    asked = _Asked(call, pipeline)
    if asked.body is not None:
        groups = asked.items_pipeline.encode(asked.body).groups
        tensors, signature = asked.items_pipeline.prepare(groups[0].tensors), pipeline.signature
    else:
        tensors, signature = asked.inputs, asked.signature
    return CheckedCall(
        model=call.route.slug,
        version=target.number,
        arm=arm,
        split=call.route.split,
        tensors=prepare(
            signature, tensors, allow_non_finite=serving.executor.allows_non_finite(target), online=True
        ),
        signature=signature,
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
