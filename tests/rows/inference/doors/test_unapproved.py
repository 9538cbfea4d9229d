"""Who may ask a version that nobody approved: the same answer at every door, before anything is loaded."""

import os
import uuid

import grpc
import pytest
from rest_framework.test import APIClient

from inference.doors.celery import predictions
from inference.doors.celery.predictions import PREDICT, receive
from inference.doors.grpc import server as grpc_server
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.server import ListenAddress
from inference.engine.loop import EngineLoop
from inference.errors import NotApproved
from inference.jobs import services as jobs
from inference.jobs.services import SubmittedJob
from inference.serving import runtime, services
from registry.access.keys import KeyTable, admit
from registry.access.policies import Right, Role, actor_from_key
from registry.catalogue.services import move_alias
from registry.errors import NotAllowed
from tests.support.factories import a_key, a_person, a_split, an_actor
from tests.support.live_models import put_ready
from tests.support.onnx_models import CRASHES_AT, crashing_at
from tests.support.processes import family_of
from tests.support.sending import raw, signed

pytestmark = pytest.mark.django_db(transaction=True)
BODY = {"inputs": {"x": [[CRASHES_AT - 1]]}}
OIP = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1, 1], "data": [CRASHES_AT - 1]}]}


@pytest.fixture
def untried(tmp_path):
    """Version 2 of a live Model, which an alias names and nobody approved."""
    first = put_ready("demand", crashing_at(tmp_path / "1.onnx"))
    a_split(first.model, 100)
    second = put_ready("demand", crashing_at(tmp_path / "2.onnx", CRASHES_AT + 1))
    move_alias(model=first.model, name="next", version=second, reason="x", by=an_actor())
    runtime.start()
    yield second
    runtime.stop()


def _children():
    return [command for command in family_of(os.getpid()).values() if "trial_child" in command]


def _post(path, body, key):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    answer = client.post(path, body, format="json", HTTP_X_DEADLINE_MS="30000").json()
    return str(answer.get("code", "answered"))


def rest_by_number(key):
    return _post("/api/v1/models/demand/versions/2/predict", BODY, key)


def rest_by_alias(key):
    return _post("/api/v1/models/demand@next/predict", BODY, key)


def oip_by_number(key):
    return _post("/v2/models/demand/versions/2/infer", OIP, key)


def oip_by_alias(key):
    return _post("/v2/models/demand@next/infer", OIP, key)


def over_grpc(key):
    admit(key)
    loop = EngineLoop.in_thread()
    server = grpc_server.start(ListenAddress("127.0.0.1", 0), loop)
    message = pb.ModelInferRequest(model_name="demand", model_version="2")
    tensor = message.inputs.add(name="x", datatype="INT64", shape=[1, 1])
    tensor.contents.int64_contents.append(CRASHES_AT - 1)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            ask = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            ask(message, metadata=[("authorization", f"Bearer {key}")], timeout=30)
            return "answered"
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED
        return dict(error.trailing_metadata())["x-error-code"]
    finally:
        server.stop()
        loop.close()


def through_celery(key):
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions, "_store_answer", lambda _, answer: told.append(answer))
        task_id = str(uuid.uuid4())
        question = {"model": "demand", "version": 2, "within_s": 30, **BODY}
        receive(raw(signed(key, task_id, question, task=PREDICT), task_id, task=PREDICT))
    return told[0].get("code", "answered")


def as_a_job(key):
    principal = admit(key).principal
    order = SubmittedJob(model="demand", version=2, rows=[{"x": [CRASHES_AT - 1]}])
    try:
        jobs.accept(order, by=actor_from_key(principal), principal=principal)
    except NotAllowed as error:
        return error.code
    return "answered"


DOORS = [rest_by_number, rest_by_alias, oip_by_number, oip_by_alias, over_grpc, through_celery, as_a_job]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_key_needs_a_right_of_its_own(untried, door):
    refused = door(a_key("predict")[1])
    loaded = _children()

    answered = door(a_key("predict.unapproved")[1])

    assert (refused, loaded, answered) == ("not_approved", [], "answered")


def test_so_it_does_for_hugging_face_clients(untried):
    """This Model answers none of their tasks, which shows only once a version was chosen."""
    path, body = "/hf/models/demand/versions/2", {"inputs": "a"}

    assert _post(path, body, a_key("predict")[1]) == "not_approved"
    assert _post("/hf/models/demand@next", body, a_key("predict")[1]) == "not_approved"
    assert _post(path, body, a_key("predict.unapproved")[1]) == "wrong_task"


def test_what_is_approved_needs_none(untried):
    key = a_key("predict")[1]

    live = _post("/api/v1/models/demand/predict", BODY, key)
    a_split(untried.model, 100, versions=[untried])
    runtime.started().refresh()

    assert (live, rest_by_number(key)) == ("answered", "answered")
    assert _children() == []


@pytest.mark.parametrize(
    ("scope", "may"), [("predict", False), ("predict.unapproved", True), ("registry.read", True)]
)
def test_what_it_takes_is_told_to_those_who_may_ask_or_read(untried, scope, may):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {a_key(scope)[1]}")

    told = client.get("/api/v1/models/demand/versions/2/schema")
    described = client.get("/v2/models/demand/versions/2")

    assert [told.status_code, described.status_code] == ([200, 200] if may else [403, 403])


@pytest.mark.parametrize(
    ("scope", "state"), [("predict", "It is not approved."), ("predict.unapproved", "READY")]
)
def test_the_index_says_who_can_be_asked(untried, scope, state):
    key = a_key("predict.unapproved")[1]
    rest_by_number(key)
    asker, _ = a_key(scope)
    found = services.repository_index(KeyTable().still_valid([asker.pk])[asker.pk])

    (line,) = [line for line in found if line[1] == 2]

    assert state in line


def test_people_may_order_jobs_for_it_and_who_may_only_predict_may_not(untried):
    order = SubmittedJob(model="demand", version=2, rows=[{"x": [1]}])

    accepted = jobs.accept(order, by=an_actor(Right.PREDICT, Right.PREDICT_UNAPPROVED), principal=None)
    with pytest.raises(NotApproved, match="Version 2 of demand is not approved"):
        jobs.accept(order, by=an_actor(Right.PREDICT), principal=None)

    assert accepted.version.number == 2


def test_people_try_it_from_its_page(client, untried):
    client.force_login(a_person(Role.APPROVER))

    response = client.post(
        f"/admin/registry/version/{untried.pk}/try/", BODY, content_type="application/json",
        headers={"X-Deadline-Ms": "30000"},
    )  # fmt: skip

    assert (response.status_code, response.json()["version"]) == (200, 2)
    assert len(_children()) == 1
