"""Asks a served Model over the Open Inference Protocol, with tensors in binary."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import numpy as np

from inference.engine.signature import DTYPES
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

    url: str
    key: str

    def ask(self, model: str, inputs: Inputs, *, version: int | None = None) -> dict[str, np.ndarray]:
        """The outputs, in the order of the answer. Whoever is told to come again does, for a minute."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._ask(model, inputs, version)
            except urllib.error.HTTPError as error:
                said = error.read().decode()
                if error.code != 503 or not json.loads(said)["retryable"] or time.monotonic() > give_up_at:
                    raise Refused(f"{error.code}: {said}") from None
                time.sleep(0.2)

    def read(self, path: str):
        request = urllib.request.Request(f"{self.url}{path}", headers=self._authorization)
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:
            return json.loads(response.read())

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def _ask(self, model: str, inputs: Inputs, version: int | None) -> dict[str, np.ndarray]:
        typed = {name: (_DATATYPES[array.dtype], array) for name, array in inputs.items()}
        head, binary = in_binary(typed, parameters={"binary_data_output": True})
        text = json.dumps(head).encode()
        number = f"/versions/{version}" if version is not None else ""
        request = urllib.request.Request(
            f"{self.url}/v2/models/{model}{number}/infer",
            data=text + binary,
            headers={
                **self._authorization,
                _HEAD_LENGTH: str(len(text)),
                "Content-Type": "application/octet-stream",
                "X-Deadline-Ms": str(_PATIENCE_S * 1000),
            },
        )
        with urllib.request.urlopen(request, timeout=2 * _PATIENCE_S) as response:
            headers = {_HEAD_LENGTH: response.headers[_HEAD_LENGTH]}  # servers spell it in their own way
            return received(headers, response.read())[1]
