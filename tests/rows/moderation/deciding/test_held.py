"""Contents that a failure held are decided again by themselves."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.utils import timezone

from inference.serving import runtime
from moderation.deciding import examination, held
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.policies.models import Policy
from registry.catalogue.models import Model
from registry.record import leases
from registry.traffic import services as traffic
from tests.support.detectors import SEED_POLICY, a_policy, publish_content
from tests.support.factories import an_actor
from tests.support.picture_models import a_picture, in_base64

pytestmark = pytest.mark.both


@pytest.fixture
def outage(deciding):
    """Stops a detector; call it to end the outage."""
    model = Model.objects.get(slug="toxicity")
    traffic.stop_model(model=model, text="repairs", by=an_actor())
    runtime.started().refresh()

    def end():
        traffic.start_model(model=model, reason="repaired", by=an_actor())
        runtime.started().refresh()
        Decision.objects.filter(is_held=True).update(next_try_at=timezone.now())

    return end


def _current(content_id):
    return Decision.objects.filter(content_id=content_id).order_by("-received_at", "-decided_at").first()


def test_they_are_decided_when_the_detector_is_back(moderate, outage):
    picture = in_base64(a_picture((255, 255, 255)))
    for content_id, body in {
        "clean": {"text": "fine"},
        "toxic": {"text": "vile"},
        "picture": {"text": "fine", "image": picture},
    }.items():
        answer = moderate({**body, "content_id": content_id})
        assert answer["held"] is (content_id != "picture")
    outage()

    assert held.decide_held() == 2
    assert [_current(one).ruling for one in ("clean", "toxic", "picture")] == ["allow", "block", "block"]
    assert not Decision.objects.filter(is_held=True).exists()
    assert held.decide_held() == 0


def test_while_it_is_down_they_wait_longer_each_time(moderate, outage):
    moderate({"text": "fine", "content_id": "a"})
    pauses = []
    for _ in range(3):
        Decision.objects.update(next_try_at=timezone.now())

        assert held.decide_held() == 0
        pauses.append(Decision.objects.get().next_try_at - timezone.now())

    assert pauses[0] < pauses[1] < pauses[2]
    assert Decision.objects.get().tries == 3


def test_what_was_sent_anew_is_not_decided_again(moderate, outage):
    moderate({"text": "vile", "content_id": "a"})
    newer = moderate({"text": "fine", "content_id": "a"})
    outage()

    assert held.decide_held() == 1
    assert _current("a").redecides_id.hex == newer["request_id"]
    assert _current("a").ruling == "allow"


def test_the_newest_text_counts_even_if_an_older_one_is_decided_last(moderate, outage, deciding):
    moderate({"text": "vile", "content_id": "a"})
    outage()
    moderate({"text": "above", "content_id": "a"})
    held.decide_held()

    assert "above" in _current("a").content.text


def test_the_old_content_is_kept_once(moderate, outage):
    moderate({"text": "fine", "content_id": "a", "image": in_base64(a_picture((0, 0, 0)))})
    outage()
    held.decide_held()

    assert StoredContent.objects.count() == 1
    assert [picture.file for picture in StoredPicture.objects.all()] == [None]


def test_a_picture_is_fetched_once(moderate, outage, deciding, monkeypatch):
    """Whoever controls its address could put another picture there in the meantime."""
    files = iter([a_picture((255, 255, 255)), a_picture((0, 0, 0))])
    monkeypatch.setattr(examination, "read_item_url", lambda url, field: Mock(host="pictures.example"))
    monkeypatch.setattr(examination, "fetch_item", lambda url, field, most, end: next(files))
    for slug in ("nsfw", "contraband"):
        traffic.stop_model(model=Model.objects.get(slug=slug), text="repairs", by=an_actor())
    runtime.started().refresh()
    moderate({"text": "fine", "image_url": "https://pictures.example/x", "content_id": "a"})
    for slug in ("nsfw", "contraband"):
        traffic.start_model(model=Model.objects.get(slug=slug), reason="repaired", by=an_actor())
    outage()

    assert held.decide_held() == 1
    assert _current("a").codes == ["nsfw_content"]


def test_one_content_without_a_policy_holds_up_no_other(moderate, outage, deciding):
    a_policy(name="comments", context="comments")
    deciding.refresh()
    moderate({"text": "fine", "context": "comments", "content_id": "a"})
    moderate({"text": "fine", "content_id": "b"})
    outage()
    Policy.objects.filter(name="default").update(retired_at=timezone.now())
    deciding.refresh()

    assert held.decide_held() == 1
    assert (_current("a").ruling, _current("b").is_held) == ("allow", True)


def test_only_one_process_does_it(moderate, outage):
    moderate({"text": "fine"})
    outage()
    assert leases.claim("moderation.held", holder="another", for_s=60)

    assert held.decide_held() == 0


def test_after_two_days_it_is_a_persons(moderate, outage):
    moderate({"text": "fine"})
    Decision.objects.update(received_at=timezone.now() - timedelta(days=3), next_try_at=timezone.now())

    held.decide_held()

    decision = Decision.objects.get()
    assert (decision.ruling, decision.is_held, decision.next_try_at) == ("review", False, None)


def test_lists_of_many_contents_are_searched_in_one_thread(moderate, outage, deciding, monkeypatch):
    rule = {"name": "links", "kind": "patterns", "patterns": ["https?:"], "code": "link", "effect": "review"}
    publish_content(Policy.objects.get(), {"rules": [*SEED_POLICY["rules"], rule]})
    deciding.refresh()
    moderate([{"text": f"fine {number}"} for number in range(50)])
    outage()
    threads = Mock(side_effect=examination.off_loop)
    monkeypatch.setattr(examination, "off_loop", threads)

    assert held.decide_held() == 50
    assert threads.call_count == 2  # a few contents are tried first


def test_an_outage_leaves_no_more_open_cases_than_without_it(moderate, outage):
    """A hundred contents during an outage, and the same ones after it."""
    texts = ["fine", "vile", "mild", "nan", "above"] * 20
    contents = [{"text": text, "content_id": f"{number}"} for number, text in enumerate(texts)]
    during = [answer for part in (contents[:50], contents[50:]) for answer in moderate(part)["decisions"]]
    assert {answer["decision"] for answer in during} == {"review"}
    outage()

    assert held.decide_held() == 100

    open_cases = sum(_current(content["content_id"]).ruling == "review" for content in contents)
    again = [{**content, "content_id": f"again-{content['content_id']}"} for content in contents]
    without = [answer for part in (again[:50], again[50:]) for answer in moderate(part)["decisions"]]
    assert open_cases == sum(answer["decision"] == "review" for answer in without) == 20
