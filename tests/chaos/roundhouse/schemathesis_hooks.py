"""What schemathesis cannot read in the description: who sends, which objects exist, what a Model answers.

It runs in an environment of its own, with what it needs in the environment's variables.
"""

import json
import os
import random

import schemathesis

HERE = json.loads(os.environ["ROUNDHOUSE_TEST_SCHEMATHESIS"])
chance = random.Random(1)

ROW = [0.21, 0.79, 0.31]
TEXTS = ({"inputs": "good"}, {"inputs": ["good", "bad"], "parameters": {"top_k": 1}})
BODIES = ({"inputs": {"features": [ROW]}}, {"instances": [ROW, ROW]}, {"features": ROW}, {"data": ROW})
SERVED, CHANGED = (
    "ripeness",
    "demand",
)  # one Model answers throughout, the other is done all kinds of things to
KNOWN = {"version": 1, "number": 1, "alias": "champion", "name": "champion"}
FOR_KEYS = {"predictions", "reports", "appeals"}  # tags of what no session may do
NOWHERE = "http://127.0.0.1:9/hook"


@schemathesis.hook
def before_call(ctx, case, **kwargs):
    is_prediction = "predictions" in case.operation.tags
    _introduce(case, is_for_keys=not FOR_KEYS.isdisjoint(case.operation.tags))
    _name_what_exists(case, is_prediction)
    if case.operation.path.startswith("/hf/") and chance.random() < 0.5:
        case.body, case.media_type, case.query = chance.choice(TEXTS), "application/json", {}
        case.path_parameters["model"] = "tone"
        case.headers.pop("X-Deadline-Ms", None)
    elif is_prediction and case.method == "POST" and chance.random() < 0.5:
        case.body, case.media_type = chance.choice(BODIES), "application/json"
        case.query = {"dry_run": "true"} if chance.random() < 0.2 else {}
        case.headers.pop("X-Deadline-Ms", None)
    if isinstance(case.body, dict) and "url" in case.body:
        case.body = {**case.body, "url": NOWHERE}  # the product would call whatever address is made up
    if "Idempotency-Key" in case.headers and chance.random() < 0.9:
        case.headers["Idempotency-Key"] = f"try-{chance.getrandbits(64)}"


def _introduce(case, *, is_for_keys):
    """With a key or as a person in a browser; now and then as nobody."""
    case.headers = dict(case.headers or {})
    case.cookies = {}
    case.headers.pop("Authorization", None)
    if chance.random() < 0.03:
        return
    if is_for_keys or chance.random() < 0.4:
        case.headers["Authorization"] = f"Bearer {HERE['key']}"
    else:
        case.cookies = {"sessionid": HERE["session"], "csrftoken": HERE["token"]}
        case.headers["X-CSRFToken"] = HERE["token"]


def _name_what_exists(case, is_prediction):
    names = case.path_parameters or {}
    for name in ("slug", "model"):
        if name in names and "/tenants/" not in case.operation.path and chance.random() < 0.7:
            names[name] = SERVED if is_prediction or case.method == "GET" else CHANGED
    for name, known in KNOWN.items():
        if name in names and chance.random() < 0.7:
            names[name] = known
    if case.method != "GET":
        for name, spared in (("slug", SERVED), ("slug", "default"), ("id", "1")):
            if str(names.get(name)) == spared and not is_prediction:
                names[name] = "nobody"  # the key that asks and its tenant stay as they are
    case.path_parameters = names
