"""What stands about a content reaches a receiver in order, whatever fails in between; the page's receiver keeps the newest."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.appeals.services import make_appeal
from moderation.reports.services import make_report
from moderation.rights import ModerationRight
from registry.record import channels, deliveries, events
from registry.record.deliveries import deliver, resend, sweep
from registry.record.fetcher import Fetcher
from registry.record.models import Delivery, Subscription
from tests.support.cases import a_case, a_reviewer, decide, finish
from tests.support.decision_rows import a_list_policy
from tests.support.factories import an_actor
from tests.support.internet import Internet
from tests.support.processes import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
PAGE = ROOT / "docs" / "moderation-clients.md"
DOWN, FINE = 503, 204


class FailingReceiver(Internet):
    """Answers as `failures` says, from then on with 204; `messages` are those that it took."""

    def __init__(self) -> None:
        self.failures: list[int] = []
        self.messages: list[dict] = []
        super().__init__(self._receive)

    def _receive(self, request: bytes) -> bytes:
        status = self.failures.pop(0) if self.failures else FINE
        if status == FINE:
            self.messages.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        return f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()

    @property
    def sequences(self) -> list[int]:
        return [message["data"]["details"]["sequence"] for message in self.messages]


@pytest.fixture
def receiver(monkeypatch):
    Subscription.objects.create(
        name="hook", url="http://public.example/", secret_salt="salt", kinds=["decision.final"]
    )
    receiver = FailingReceiver()
    fetcher = Fetcher(resolve=receiver.resolve, connect=receiver.connect)
    monkeypatch.setattr(channels, "default_fetcher", lambda: fetcher)
    yield receiver
    receiver.close()


@pytest.fixture
def started(monkeypatch):
    """The ids of deliveries whose task was started."""
    tasks: list[int] = []
    monkeypatch.setattr(events, "_start_task", tasks.append)
    return tasks


@pytest.fixture
def three_finals(transactional_db, receiver, started):
    """A content is removed, restored after an appeal, and removed again after a report."""
    policy = a_list_policy()
    case = a_case(policy, content_id="c1", author_id="ann")
    decision, by = case.items.get().decision, an_actor(ModerationRight.REPORT)
    finish(decide(case, "remove", a_reviewer()))
    finish(decide(make_appeal(decision=decision, by=by).case, "allow", a_reviewer()))
    finish(decide(make_report(decision=decision, by=by).case, "remove", a_reviewer()))


def _work(started):
    while started:
        deliver(started.pop(0))


def _let_time_pass():
    Delivery.objects.filter(status="waiting").update(due_at=timezone.now() - timedelta(seconds=1))


def _send_all(started):
    """Workers and the sweeper, until nothing is left to send."""
    _work(started)
    while Delivery.objects.filter(status="waiting").exists():
        _let_time_pass()
        assert sweep()
        _work(started)


def test_they_arrive_in_order_with_failures_in_between(three_finals, receiver, started):
    receiver.failures += [DOWN, DOWN, FINE, DOWN, FINE, DOWN]

    _send_all(started)

    assert receiver.sequences == [1, 2, 3]
    assert [message["data"]["details"]["effect"] for message in receiver.messages] == [
        "remove",
        "none",
        "remove",
    ]


def test_without_turns_they_do_not(three_finals, receiver, started, monkeypatch):
    monkeypatch.setattr(deliveries, "deliveries_before", Delivery.objects.none)
    receiver.failures += [DOWN]

    _send_all(started)

    assert receiver.sequences == [2, 3, 1]


@pytest.fixture
def receive(tmp_path, monkeypatch):
    """The receiver's function, as docs/moderation-clients.md prints it."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(re.search(r"```python test=receiver\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], names)
    yield names["receive"]
    names["kept"].close()


def test_the_pages_receiver_leaves_out_what_is_not_newer(three_finals, receiver, started, receive):
    _send_all(started)
    resend(Delivery.objects.order_by("pk")[0], by=an_actor())
    _send_all(started)

    assert receiver.sequences == [1, 2, 3, 1]
    assert [receive(message) for message in receiver.messages] == ["remove", "none", "remove", None]
    assert receive({**receiver.messages[2], "type": "test"}) is None
