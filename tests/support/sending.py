"""A sender's side: the document's own code, and messages that no honest sender would write."""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from copy import deepcopy

from tests.support.processes import ROOT

SUBMIT = "roundhouse.submit"
ROWS = [{"x": [1, 2, 3, 4]}, {"x": [5, 6, 7, 8]}]


def documented(number):
    """The Python of docs/celery.md, by its place in the document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/celery.md").read_text(), re.DOTALL)[number]


def an_order(**more):
    return {"model": "fruit", "rows": deepcopy(ROWS), **more}


def signed(key_text, task_id, order, *, task=SUBMIT, **more):
    envelope = {**order, "v": 1, "key_id": key_text.split("_")[1], "sent_at": time.time(), **more}
    text = json.dumps(envelope, sort_keys=True, separators=(",", ":"))
    secret = hashlib.sha256(key_text.encode()).hexdigest().encode()
    signature = hmac.new(secret, f"{task}\n{task_id}\n{text}".encode(), "sha256").hexdigest()
    return {**envelope, "signature": signature}


def raw(envelope, task_id, *, task=SUBMIT, args=None, kwargs=None, embed=None, headers=(), **outer):
    """A message as kombu writes it."""
    body = json.dumps([[envelope] if args is None else args, kwargs or {}, embed or {}])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": str(task_id), **dict(headers)},
            "properties": {
                "correlation_id": str(task_id),
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": task},
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
            **outer,
        }
    ).encode()


def a_message(key_text, task_id=None, **more):
    task_id = task_id or uuid.uuid4()
    return raw(signed(key_text, task_id, an_order(**more)), task_id)
