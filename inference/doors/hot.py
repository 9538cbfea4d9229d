"""The addresses of predictions, found without Django's long list of patterns: thousands are asked for each second."""

import re
from typing import NamedTuple

from inference.doors.http_door import HttpDoor
from inference.doors.oip.door import OIP
from inference.doors.rest.predicting import REST

_PREDICT = re.compile(r"/api/v1/models/([^/@]+)(?:/versions/([0-9]{1,18})|@([^/]+))?/predict")
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?")


class Address(NamedTuple):
    """Whom a prediction's address names, as texts; empty where it names none."""

    door: HttpDoor
    model: str
    version: str = ""
    alias: str = ""


def resolve(path: str) -> Address | None:
    """Find a prediction's address; everything else is Django's to find."""
    if found := _PREDICT.fullmatch(path):
        return Address(REST, found[1], found[2] or "", found[3] or "")
    if found := _INFER.fullmatch(path):
        return Address(OIP, found[1], found[2] or "")
    return None
