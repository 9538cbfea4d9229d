"""What people find to review in a demo: guidelines on its violations, and contents, a report and an appeal that are sent once."""

import base64
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from moderation.cases.models import Guideline
from moderation.deciding.models import Decision
from moderation.review.guidelines import GuidelineSettings, create_guideline
from registry.kit.actors import Actor
from roundhouse.env import ROOT

_EXAMPLES = ROOT / "examples"


def describe_violations(by: Actor) -> None:
    """Create the guidelines that are not there yet."""
    known = set(Guideline.objects.values_list("code", flat=True))
    described: Mapping[str, Any] = json.loads((_EXAMPLES / "guidelines.json").read_text())
    for code, values in described.items():
        if code not in known:
            create_guideline(code=code, values=GuidelineSettings(**values), by=by)


def contents_to_send() -> Iterator[tuple[str, bytes]]:
    """Path and body of each request, in order; none if they were sent before."""
    demo: Mapping[str, Any] = json.loads((_EXAMPLES / "contents.json").read_text())
    contents = [_with_picture(content) for content in demo["contents"]]
    if Decision.objects.filter(content_id=contents[0]["content_id"]).exists():
        return
    yield "/api/v1/moderate", json.dumps({"contents": contents}).encode()
    for path in ("reports", "appeals"):
        for body in demo[path]:
            yield f"/api/v1/{path}", json.dumps(body).encode()


def _with_picture(content: Mapping[str, Any]) -> dict[str, Any]:
    """`picture`: the archive, and the name in it."""
    fields = dict(content)
    if "picture" in fields:
        archive, name = fields.pop("picture")
        with zipfile.ZipFile(_EXAMPLES / archive) as file:
            fields["image"] = base64.b64encode(file.read(name)).decode()
    return fields
