"""Asks a served Model over the Open Inference Protocol, with tensors in binary."""

import json
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection

import numpy as np

from inference.tensors.signature import DTYPES
from tests.real.inputs import Inputs
from tests.support.wire import in_binary, received

_PATIENCE_S = 60
_HEAD_LENGTH = "Inference-Header-Content-Length"
_DATATYPES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class Refused(AssertionError):
    """The server answered with an error."""


@dataclass(frozen=True)
class Caller:
    """A client with a key."""

    address: str  # host:port
    key: str

    def ask(self, model: str, inputs: Inputs, *, version: int | None = None) -> dict[str, np.ndarray]:
        """The outputs, in the order of the answer. Whoever is told to come again does, for a minute."""
        path, text, binary = _request(model, inputs, version)
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            status, headers, body = self._send("POST", path, text + binary, len(text))
            if status == 200:
                return received(headers, body)[1]
            if status != 503 or not json.loads(body)["retryable"] or time.monotonic() > give_up_at:
                raise Refused(f"{status}: {body.decode()}")
            time.sleep(0.2)

    def read(self, path: str):
        status, _, body = self._send("GET", path)
        if status != 200:
            raise Refused(f"{status}: {body.decode()}")
        return json.loads(body)

    def finds(self, model: str, version: int) -> bool:
        return self._send("GET", f"/v2/models/{model}/versions/{version}")[0] == 200

    def _send(self, method: str, path: str, body: bytes = b"", head_length: int | None = None):
        headers = {"Authorization": f"Bearer {self.key}", "X-Deadline-Ms": str(_PATIENCE_S * 1000)}
        if head_length is not None:
            headers |= {"Content-Type": "application/octet-stream", _HEAD_LENGTH: str(head_length)}
        with closing(HTTPConnection(self.address, timeout=2 * _PATIENCE_S)) as connection:
            # who is refused before the body was read finds the answer all the same
            with suppress(BrokenPipeError):
                connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        length = response.headers[_HEAD_LENGTH]  # servers spell it in their own way
        return response.status, {_HEAD_LENGTH: length} if length else {}, content


def _request(model: str, inputs: Inputs, version: int | None) -> tuple[str, bytes, bytes]:
    typed = {name: (_DATATYPES[array.dtype], array) for name, array in inputs.items()}
    head, binary = in_binary(typed, parameters={"binary_data_output": True})
    number = f"/versions/{version}" if version is not None else ""
    return f"/v2/models/{model}{number}/infer", json.dumps(head).encode(), binary
