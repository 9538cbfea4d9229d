"""The combiner by itself: a simulated clock, no threads."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inference.engine.combiner import (
    RIDERS,
    Combiner,
    Priority,
    QueueLimits,
    RequestBatch,
    Ticket,
    TicketState,
)
from inference.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineStopped,
    Overloaded,
    RunFailed,
    SlotLost,
)
from inference.tensors.errors import InferenceError, RequestTooLarge

LIVE, BULK, SHADOW = Priority


class Desk:
    """A combiner, and what became of each ticket."""

    def __init__(self, limits=None, **settings):
        self.endings = {}
        self.combiner = Combiner(limits or QueueLimits(), self.end, **settings)

    def end(self, ticket, error):
        assert ticket not in self.endings, "ended twice"
        self.endings[ticket] = error

    def offer(self, key="k", rows=1, nbytes=8, deadline=100.0, priority=LIVE, now=0.0):
        ticket = Ticket(key, rows, nbytes, deadline, priority)
        self.combiner.offer(ticket, now)
        return ticket


def test_waiting_tickets_of_one_key_share_the_next_batch():
    desk = Desk()
    tickets = [desk.offer(), desk.offer(), desk.offer()]

    batch = desk.combiner.take(0.0)

    assert batch.tickets == tickets
    assert desk.combiner.complete(batch, 1.0) == tickets
    assert desk.combiner.waiting == desk.combiner.waiting_rows == desk.combiner.waiting_bytes == 0


def test_other_keys_wait_for_their_own_batch_and_take_turns():
    desk = Desk(max_batch_rows=2)
    popular = [desk.offer("a") for _ in range(4)]
    rare = desk.offer("b")

    order = []
    while batch := desk.combiner.take(0.0):
        order.append(batch.tickets)
        desk.combiner.complete(batch, 0.0)

    assert order == [popular[:2], [rare], popular[2:]]


def test_a_batch_stops_at_its_rows_and_bytes_and_a_bigger_request_runs_alone():
    desk = Desk(QueueLimits(max_batch_bytes=100, slots=9), max_batch_rows=8)
    rows = [desk.offer("rows", rows=5), desk.offer("rows", rows=4)]
    nbytes = [desk.offer("bytes", nbytes=60), desk.offer("bytes", nbytes=60)]
    big = desk.offer("big", rows=20)
    beside = desk.offer("big", rows=1)

    taken = [batch.tickets for batch in iter(lambda: desk.combiner.take(0.0), None)]

    assert sorted(taken, key=str) == sorted([[t] for t in (*rows, *nbytes, big, beside)], key=str)


def test_slots_bound_what_runs_at_once():
    desk = Desk(QueueLimits(slots=2), max_batch_rows=1)
    for _ in range(3):
        desk.offer()

    first, second = desk.combiner.take(0.0), desk.combiner.take(0.0)

    assert desk.combiner.take(0.0) is None
    desk.combiner.complete(first, 0.0)
    assert desk.combiner.take(0.0) is not None
    assert second.is_leased


@pytest.mark.parametrize(("rows", "nbytes"), [(257, 1), (1, (1 << 20) + 1)], ids=["rows", "bytes"])
def test_a_request_over_the_size_limit_is_refused_for_good(rows, nbytes):
    desk = Desk(QueueLimits(max_waiting_bytes=1 << 20))

    with pytest.raises(RequestTooLarge):
        desk.offer(rows=rows, nbytes=nbytes)


@pytest.mark.parametrize(
    "limits", [QueueLimits(max_waiting_rows=4), QueueLimits(max_waiting_bytes=32)], ids=["rows", "bytes"]
)
def test_overload_is_refused_at_the_door(limits):
    desk = Desk(limits)
    accepted = [desk.offer() for _ in range(4)]

    with pytest.raises(Overloaded):
        desk.offer()

    assert desk.combiner.take(0.0).tickets == accepted


def test_without_the_limit_overload_would_be_accepted():
    desk = Desk(QueueLimits(max_waiting_rows=10**9, max_waiting_bytes=10**9))

    for _ in range(5000):
        desk.offer()

    assert desk.combiner.waiting == 5000  # negative control: nothing else holds the line short


def test_lower_classes_are_refused_earlier():
    desk = Desk(QueueLimits(max_waiting_rows=8))

    room = {}
    for priority in (SHADOW, BULK, LIVE):
        with pytest.raises(Overloaded):
            while True:
                desk.offer(priority=priority)
        room[priority] = desk.combiner.waiting_rows

    assert room == {SHADOW: 2, BULK: 4, LIVE: 8}


def test_waiting_shadows_make_room_newest_first():
    desk = Desk(QueueLimits(max_waiting_rows=4, ceilings=(1.0, 1.0, 1.0)))
    shadows = [desk.offer(priority=SHADOW) for _ in range(4)]

    desk.offer(rows=2)

    assert set(desk.endings) == set(shadows[2:])
    assert all(isinstance(error, Overloaded) for error in desk.endings.values())


def test_no_shadow_is_shed_for_a_request_that_still_would_not_fit():
    desk = Desk(QueueLimits(max_waiting_rows=4))
    desk.offer(priority=SHADOW)
    desk.offer(rows=3)

    with pytest.raises(Overloaded):
        desk.offer(rows=2)

    assert not desk.endings


def test_live_leads_bulk_rides_along_and_shadows_run_alone():
    desk = Desk()
    shadow, bulk, live = (desk.offer(priority=priority) for priority in (SHADOW, BULK, LIVE))

    first = desk.combiner.take(0.0)
    desk.combiner.complete(first, 0.0)
    second = desk.combiner.take(0.0)

    assert first.tickets == [live, bulk]
    assert second.tickets == [shadow]


def test_bulk_leads_one_batch_in_every_eight_however_much_is_live():
    desk = Desk(QueueLimits(bulk_every=8), max_batch_rows=1)
    bulk = desk.offer("bulk", priority=BULK)

    leads = []
    for _ in range(8):
        desk.offer("live")
        batch = desk.combiner.take(0.0)
        leads.append(batch.tickets[0].priority)
        desk.combiner.complete(batch, 0.0)

    assert leads == [LIVE] * 7 + [BULK]
    assert bulk.state is TicketState.ENDED


def test_late_bulk_gives_its_place_to_other_bulk_and_not_to_live():
    desk = Desk(QueueLimits(bulk_every=2), max_batch_rows=1)
    waits = desk.offer("a", priority=BULK)
    desk.offer("a")
    desk.offer("b", priority=BULK, deadline=1.0)
    desk.combiner.complete(desk.combiner.take(0.0), 0.0)
    desk.offer("b", now=2.0)

    assert desk.combiner.take(2.0).tickets == [waits]


def test_without_the_floor_bulk_starves():
    desk = Desk(QueueLimits(bulk_every=10**9), max_batch_rows=1)
    bulk = desk.offer("bulk", priority=BULK)

    for _ in range(100):
        desk.offer("live")
        desk.combiner.complete(desk.combiner.take(0.0), 0.0)

    assert bulk.state is TicketState.WAITING  # negative control of the test above


def test_work_past_its_deadline_is_dropped_before_it_runs():
    desk = Desk()
    late, timely = desk.offer(deadline=1.0), desk.offer(deadline=9.0)

    batch = desk.combiner.take(1.0)

    assert batch.tickets == [timely]
    assert isinstance(desk.endings[late], DeadlineExceeded)


def test_work_past_its_deadline_is_never_dropped_after_it_ran():
    desk = Desk()
    ticket = desk.offer(deadline=1.0)
    batch = desk.combiner.take(0.5)

    assert desk.combiner.complete(batch, 1.4) == [ticket]


def test_a_dead_request_is_refused():
    with pytest.raises(DeadlineExceeded):
        Desk().offer(deadline=1.0, now=1.0)


def test_a_failed_batch_runs_again_singly_before_what_came_later():
    desk = Desk()
    first, poison, third = (desk.offer() for _ in range(3))
    batch = desk.combiner.take(0.0)
    later = desk.offer()

    desk.combiner.fail(batch, RunFailed(), 0.0)
    order = []
    while single := desk.combiner.take(0.0):
        order.append(single.tickets)
        if single.tickets == [poison]:
            desk.combiner.fail(single, RunFailed(), 0.0)
        else:
            desk.combiner.complete(single, 0.0)

    assert order == [[first], [poison], [third], [later]]
    assert list(desk.endings) == [poison]


def test_a_failed_batch_may_run_again_in_parts():
    desk = Desk()
    tickets = [desk.offer(priority=priority) for priority in (LIVE, LIVE, LIVE, BULK, BULK)]
    desk.combiner.fail(desk.combiner.take(0.0), RunFailed(), 0.0, parts=2)

    order = []
    while part := desk.combiner.take(0.0):
        order.append(part.tickets)
        desk.combiner.complete(part, 0.0)

    assert order == [tickets[:3], tickets[3:]]
    assert desk.combiner.waiting == desk.combiner.waiting_rows == desk.combiner.waiting_bytes == 0


def test_a_lease_that_ends_frees_the_slot_and_ends_its_tickets():
    desk = Desk(QueueLimits(lease_s=2.0))
    lost = desk.offer()
    batch = desk.combiner.take(0.0)
    waiting = desk.offer(now=1.0)

    assert desk.combiner.expire(1.9) == []
    assert desk.combiner.expire(2.0) == [batch]

    assert isinstance(desk.endings[lost], SlotLost)
    assert desk.combiner.take(2.0).tickets == [waiting]
    assert desk.combiner.complete(batch, 2.1) == []  # no one waits for the late answer
    desk.combiner.fail(batch, RunFailed(), 2.1)
    assert desk.combiner.take(2.1) is None


def test_a_lost_holder_ends_its_own_tickets_each_with_an_error_of_its_own():
    desk = Desk()
    tickets = [desk.offer(), desk.offer()]

    desk.combiner.lose(desk.combiner.take(0.0), SlotLost, 0.0)

    assert list(desk.endings) == tickets
    assert len({id(error) for error in desk.endings.values()}) == 2


def test_cancelling_takes_a_waiting_ticket_out_and_discards_a_running_one():
    desk = Desk()
    running = desk.offer()
    batch = desk.combiner.take(0.0)
    waiting = desk.offer()

    assert desk.combiner.cancel(running, Cancelled()) is True
    assert desk.combiner.cancel(waiting, Cancelled()) is True
    assert desk.combiner.cancel(waiting, Cancelled()) is False

    assert desk.combiner.complete(batch, 0.0) == []
    assert desk.combiner.waiting_bytes == 0
    assert desk.combiner.take(0.0) is None


def test_a_short_wait_counts_from_the_first_arrival_and_ends_with_a_full_batch():
    desk = Desk(max_batch_rows=2, wait_s=5.0)
    desk.offer(now=1.0)

    assert desk.combiner.take(5.9) is None
    assert desk.combiner.wakes_at() == 6.0
    desk.offer(now=5.9)
    full = desk.combiner.take(5.9)
    assert full.rows == 2

    desk.offer(now=6.0)
    desk.combiner.complete(full, 7.0)
    assert desk.combiner.take(11.9) is None
    assert desk.combiner.take(12.0).rows == 1


def test_a_closed_combiner_refuses_and_ends_what_waits_but_not_what_runs():
    desk = Desk()
    running = desk.offer()
    batch = desk.combiner.take(0.0)
    waiting = desk.offer()

    desk.combiner.close(EngineStopped)

    with pytest.raises(EngineStopped):
        desk.offer()
    assert list(desk.endings) == [waiting]
    assert desk.combiner.complete(batch, 0.0) == [running]


class CombinerMachine(RuleBasedStateMachine):
    """Any order of calls keeps the books straight: what was accepted ends once, and no limit is passed."""

    @initialize(
        slots=st.integers(1, 3),
        max_rows=st.integers(1, 6),
        wait_s=st.sampled_from([0.0, 1.0]),
        bulk_every=st.integers(1, 3),
    )
    def begin(self, slots, max_rows, wait_s, bulk_every):
        self.limits = QueueLimits(
            slots=slots,
            max_batch_bytes=40,
            max_request_rows=8,
            max_waiting_rows=12,
            max_waiting_bytes=100,
            bulk_every=bulk_every,
            lease_s=4.0,
        )
        self.now = 0.0
        self.batches: list[RequestBatch] = []
        self.accepted: dict[Ticket, str | InferenceError | None] = {}
        self.returned: set[Ticket] = set()
        self.without_bulk = 0
        self.combiner = Combiner(self.limits, self.end, max_batch_rows=max_rows, wait_s=wait_s)

    def end(self, ticket, error):
        assert self.accepted[ticket] is None, "ended twice"
        self.accepted[ticket] = error

    def ticket(self, key, rows, nbytes, patience, priority):
        return Ticket(key, rows, nbytes, self.now + patience, priority)

    tickets = {
        "key": st.sampled_from("ab"),
        "rows": st.integers(1, 9),
        "nbytes": st.integers(0, 30),
        "patience": st.integers(0, 9),
        "priority": st.sampled_from(Priority),
    }

    @rule(**tickets)
    def offer(self, **fields):
        ticket = self.ticket(**fields)
        self.accepted[ticket] = None
        try:
            self.combiner.offer(ticket, self.now)
        except InferenceError:
            del self.accepted[ticket]

    @rule()
    def take(self):
        self.check_batch(self.combiner.take(self.now))

    def check_batch(self, batch):
        if batch is None:
            return
        self.batches.append(batch)
        tickets = batch.tickets
        assert tickets and all(self.accepted[ticket] is None for ticket in tickets)
        assert len({ticket.key for ticket in tickets}) == 1
        assert all(ticket.deadline > self.now for ticket in tickets), "took expired work"
        assert batch.rows == sum(ticket.rows for ticket in tickets)
        assert len(tickets) == 1 or batch.rows <= self.combiner.max_batch_rows
        assert len(tickets) == 1 or sum(ticket.nbytes for ticket in tickets) <= self.limits.max_batch_bytes
        lead = tickets[0].priority
        assert {ticket.priority for ticket in tickets} <= set(RIDERS[lead])
        left = {
            ticket.priority
            for ticket, ending in self.accepted.items()
            if ending is None and ticket.state is TicketState.WAITING and ticket.deadline > self.now
        }
        if lead is SHADOW:
            assert not left & {LIVE, BULK}, "a shadow ran before a request that somebody waits for"
        self.without_bulk = self.without_bulk + 1 if BULK in left and lead is not BULK else 0
        assert self.without_bulk < max(self.limits.bulk_every, 1) or lead is BULK

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def complete(self, data):
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        for ticket in self.combiner.complete(batch, self.now):
            assert self.accepted[ticket] is None, "answered after it had ended"
            self.accepted[ticket] = "answered"

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), is_lost=st.booleans())
    def fail(self, data, is_lost):
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        if is_lost:
            self.combiner.lose(batch, SlotLost, self.now)
        else:
            self.combiner.fail(batch, RunFailed(), self.now, parts=data.draw(st.sampled_from([None, 2, 3])))
            self.returned.update(t for t in batch.tickets if t.state is TicketState.WAITING)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def cancel(self, data):
        ticket = data.draw(st.sampled_from(list(self.accepted)))
        had_ended = self.accepted[ticket] is not None
        assert self.combiner.cancel(ticket, Cancelled()) is not had_ended

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule()
    def expire(self):
        for batch in self.combiner.expire(self.now):
            assert batch.lease_until <= self.now
        assert all(batch.lease_until > self.now for batch in self.combiner.running)

    @rule(rows=st.integers(1, 6))
    def resize(self, rows):
        self.combiner.max_batch_rows = rows

    @invariant()
    def books_are_straight(self):
        if not hasattr(self, "combiner"):
            return
        open_tickets = [ticket for ticket, ending in self.accepted.items() if ending is None]
        waiting = [ticket for ticket in open_tickets if ticket.state is TicketState.WAITING]
        assert self.combiner.waiting == len(waiting)
        assert self.combiner.waiting_rows == sum(ticket.rows for ticket in waiting)
        assert self.combiner.waiting_bytes == sum(ticket.nbytes for ticket in waiting)
        # Only what a failed batch gave back may stand in line beyond the limits.
        first_time = [ticket for ticket in waiting if ticket not in self.returned]
        assert sum(ticket.rows for ticket in first_time) <= self.limits.max_waiting_rows
        assert sum(ticket.nbytes for ticket in first_time) <= self.limits.max_waiting_bytes
        assert len(self.combiner.running) <= self.limits.slots
        leased = {ticket for batch in self.combiner.running for ticket in batch.tickets}
        assert all(ticket in leased for ticket in open_tickets if ticket.state is TicketState.RUNNING)

    def teardown(self):
        if not hasattr(self, "combiner"):
            return
        self.now += 1000
        self.combiner.expire(self.now)
        assert all(ending is not None for ending in self.accepted.values()), "a request was forgotten"
        assert self.combiner.lease_ends_at() == math.inf


TestCombinerMachine = CombinerMachine.TestCase
TestCombinerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_the_machine_would_notice_a_ticket_that_is_forgotten(monkeypatch):
    """Negative control: a combiner that drops lost leases silently fails the machine's last check."""
    machine = CombinerMachine()
    machine.begin(slots=1, max_rows=2, wait_s=0.0, bulk_every=2)
    machine.offer(key="a", rows=1, nbytes=1, patience=9, priority=LIVE)
    machine.take()
    monkeypatch.setattr(Combiner, "lose", lambda self, batch, error, now: self.running.remove(batch))

    with pytest.raises(AssertionError, match="forgotten"):
        machine.teardown()
