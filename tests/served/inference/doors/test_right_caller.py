"""Every answer reaches the caller that asked: thousands of different questions, a third of them abandoned."""

import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection

import grpc
import numpy as np
import pytest

from inference.doors.grpc.generated import open_inference_pb2 as pb
from tests.support.onnx_models import identity
from tests.support.processes import get, import_live, wait_until
from tests.support.wire import in_binary, received

REQUESTS, CALLERS = 10_000, 24
ABANDONED = 0.3
BUSY = {429, 503, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
PREDICT, INFER = "/api/v1/models/echo/predict", "/v2/models/echo/infer"


def question(number: int) -> np.ndarray:
    """One to three rows that no other number has; the model gives them back."""
    rows = 1 + number % 3
    return (np.arange(rows * 4, dtype=np.int64) + number * 1_000).reshape(rows, 4)


def strangers(answers: dict[int, np.ndarray]) -> list[int]:
    """The questions whose answers are not their own."""
    return [number for number, answer in answers.items() if not np.array_equal(answer, question(number))]


@dataclass
class Outcome:
    answers: dict[int, np.ndarray] = field(default_factory=dict)
    abandoned: int = 0
    wrong_names: list[int] = field(default_factory=list)


class Caller:
    """One thread's connections. It keeps them, as clients do, until it abandons a request on one."""

    def __init__(self, server, seed: int) -> None:
        self.server, self.chance, self.outcome = server, random.Random(seed), Outcome()
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=20)

    def ask_all(self, numbers) -> Outcome:
        with closing(self._connection):
            for number in numbers:
                ask = self.chance.choice([self._in_json, self._in_binary, self._over_grpc])
                ask(number, is_abandoned=self.chance.random() < ABANDONED)
        return self.outcome

    def _in_json(self, number, *, is_abandoned):
        body = json.dumps({"inputs": {"x": question(number).tolist()}}).encode()
        answer = self._exchange(PREDICT, body, {}, is_abandoned)
        if answer is not None:
            self.outcome.answers[number] = np.array(json.loads(answer[1])["outputs"]["y"], np.int64)

    def _in_binary(self, number, *, is_abandoned):
        text, binary = in_binary({"x": ("INT64", question(number))}, id=str(number))
        text["parameters"] = {"binary_data_output": True}
        header = json.dumps(text).encode()
        length = {"Inference-Header-Content-Length": str(len(header))}
        answer = self._exchange(INFER, header + binary, length, is_abandoned)
        if answer is not None:
            told, tensors = received(*answer)
            self._note(number, told["id"], tensors["y"])

    def _exchange(self, path, body, headers, is_abandoned):
        headers = {
            "Authorization": f"Bearer {self.server.key}",
            "Content-Type": "application/json",
            **headers,
        }
        while True:
            if is_abandoned and self.chance.random() < 0.3:
                return self._hang_up_inside(path, body, headers)
            self._connection.request("POST", path, body, headers)
            if is_abandoned:
                self._connection.close()
                self.outcome.abandoned += 1
                return None
            response = self._connection.getresponse()
            answer = response.read()
            if response.status not in BUSY:
                assert response.status == 200, answer
                return {name.title(): text for name, text in response.getheaders()}, answer

    def _hang_up_inside(self, path, body, headers):
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(
                "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body[:-1]
            )
        self.outcome.abandoned += 1

    def _over_grpc(self, number, *, is_abandoned):
        tensor = question(number)
        asked = pb.ModelInferRequest(model_name="echo", id=str(number), raw_input_contents=[tensor.tobytes()])
        asked.inputs.add(name="x", datatype="INT64", shape=tensor.shape)
        while True:
            call = self.server.infer.future(
                asked, timeout=20, metadata=[("authorization", f"Bearer {self.server.key}")]
            )
            if is_abandoned:
                return self._cancel(call)
            try:
                answer = call.result()
            except grpc.RpcError as error:
                assert error.code() in BUSY, error
                continue
            raw = np.frombuffer(answer.raw_output_contents[0], np.int64)
            return self._note(number, answer.id, raw.reshape(answer.outputs[0].shape))

    def _cancel(self, call):
        if self.chance.random() < 0.5:
            with suppress(grpc.FutureTimeoutError):
                call.exception(timeout=self.chance.random() / 500)  # so that some are under way
        call.cancel()
        self.outcome.abandoned += 1

    def _note(self, number, name, tensor):
        self.outcome.answers[number] = tensor
        if name != str(number):
            self.outcome.wrong_names.append(number)


@dataclass(frozen=True)
class Server:
    port: int
    key: str
    infer: object


@pytest.fixture(scope="module")
def server(embedded, tmp_path_factory):
    model = identity(tmp_path_factory.mktemp("echo") / "echo.onnx", "INT64")
    imported = import_live("echo", model, **embedded.variables)
    assert imported.returncode == 0, imported.stderr
    ready = f"{embedded.url}/v2/models/echo/ready"
    wait_until(lambda: get(ready, **embedded.authorization)[0] == 200, within_s=20, what="the echo")
    with grpc.insecure_channel(f"127.0.0.1:{embedded.grpc_port}") as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        yield Server(embedded.port, embedded.credentials["api_key"], infer)


def test_no_answer_reaches_another_caller(server):
    with ThreadPoolExecutor(CALLERS) as threads:
        callers = [Caller(server, seed) for seed in range(CALLERS)]
        outcomes = list(
            threads.map(lambda pair: pair[1].ask_all(range(pair[0], REQUESTS, CALLERS)), enumerate(callers))
        )

    answers = {number: answer for outcome in outcomes for number, answer in outcome.answers.items()}
    abandoned = sum(outcome.abandoned for outcome in outcomes)
    assert len(answers) + abandoned == REQUESTS
    assert abandoned > REQUESTS * ABANDONED * 0.9
    assert strangers(answers) == []
    assert [number for outcome in outcomes for number in outcome.wrong_names] == []


def test_two_answers_that_change_places_are_seen():
    """Negative control: what looks for strangers finds some."""
    answers = {number: question(number) for number in range(100)}
    answers[3], answers[6] = answers[6], answers[3]

    assert strangers(answers) == [3, 6]
