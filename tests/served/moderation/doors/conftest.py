import json

import pytest

from tests.support.processes import post, wait_until

# A policy of a new tenant, whose detectors are Models of the demo. Its labels are mapped, as none has a category's name.
_SET_UP = """
import json
from moderation.doors.categories.protocols import ForeignProtocol
from moderation.doors.categories.services import LabelMapping, add_category_mapping
from tests.support.detectors import a_policy
from tests.support.factories import a_key, a_tenant, an_actor

tenant = a_tenant("foreign-clients")
rules = [
    {"name": "rude", "kind": "detector", "detector": "tone", "labels": ["negative"], "code": "rude", "block": 0.5},
    {"name": "persons", "kind": "detector", "detector": "names", "labels": ["PER"], "code": "persons", "note": 0.5},
    {"name": "circles", "kind": "detector", "detector": "figures", "labels": ["circle"], "code": "circles",
     "review": 0.5},
]
a_policy({"rules": rules}, name="foreign-clients", tenant=tenant)
for protocol, detector, label, category in (
    ("openai", "tone", "negative", "harassment"), ("openai", "figures", "circle", "violence/graphic"),
    ("perspective", "tone", "negative", "TOXICITY"), ("perspective", "names", "PER", "IDENTITY_ATTACK"),
):
    mapping = LabelMapping(detector, label, category)
    add_category_mapping(protocol=ForeignProtocol(protocol), mapping=mapping, by=an_actor())
print(json.dumps(a_key("moderate", tenant=tenant)[1]))
"""


class ForeignClients:
    """A server, and a key of a tenant with a policy."""

    def __init__(self, served, key):
        self.served, self.url, self.key = served, served.url, key

    def post(self, path, body):
        return post(f"{self.url}{path}", body)

    def is_followed(self) -> bool:
        """Whether all web processes know the key, the policy and the mappings; there may be two."""
        body = {"comment": {"text": "Ada"}, "requestedAttributes": {"TOXICITY": {}, "IDENTITY_ATTACK": {}}}
        return all(self.post(f"/v1alpha1/comments:analyze?key={self.key}", body)[0] == 200 for _ in range(8))


@pytest.fixture(scope="session", params=["embedded", "production"])
def foreign(request):
    served = request.getfixturevalue(request.param)
    made = served.manage("shell", "--no-imports", "-c", _SET_UP)
    assert made.returncode == 0, made.stderr
    foreign = ForeignClients(served, json.loads(made.stdout.splitlines()[-1]))
    wait_until(foreign.is_followed, within_s=30, what="the policy is followed")
    return foreign
