"""Decides which waiting requests run together and which are refused. It uses no threads, clock or I/O.

offer -> WAITING -> take -> RUNNING -> complete | fail | lose -> ENDED. `cancel` and `expire` end a request from
either state. Every accepted ticket ends exactly once: it is returned by `complete`, or passed to `on_end` with its
error. The caller serialises the calls and passes in the time.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Generic, TypeVar

from inference.engine.errors import DeadlineExceeded, EngineStopped, Overloaded, SlotLost
from inference.tensors.errors import InferenceError, RequestTooLarge


class Priority(IntEnum):
    """Live requests come from callers who wait, bulk from jobs, shadow from comparisons that no one waits for."""

    LIVE = 0
    BULK = 1
    SHADOW = 2


class TicketState(Enum):
    """Moves forward only, except that `fail` sends tickets back to run in smaller batches."""

    WAITING = 1
    RUNNING = 2
    ENDED = 3


WAITING, RUNNING, ENDED = TicketState  # looking up an enum member costs more than the rest of a comparison

# Which classes may join a batch, by the class that leads it. Shadow requests never share a batch with others: they would
# lengthen a run that callers wait for.
RIDERS = {
    Priority.LIVE: (Priority.LIVE, Priority.BULK),
    Priority.BULK: (Priority.BULK, Priority.LIVE),
    Priority.SHADOW: (Priority.SHADOW,),
}


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait and run. `ceilings`: the share of the waiting limits that each class may use."""

    slots: int = 1
    max_batch_bytes: int = 64 << 20
    max_request_rows: int = 256
    max_waiting_rows: int = 1024
    max_waiting_bytes: int = 256 << 20
    ceilings: tuple[float, float, float] = (1.0, 0.5, 0.25)
    bulk_every: int = 8  # bulk leads at least one in this many consecutive batches
    lease_s: float = 1.5


class Ticket:
    """One request as the combiner sees it. Tickets with an equal `key` may share a batch."""

    __slots__ = ("deadline", "key", "nbytes", "offered_at", "priority", "rows", "state")

    def __init__(
        self, key: Hashable, rows: int, nbytes: int, deadline: float, priority: Priority = Priority.LIVE
    ) -> None:
        self.key = key
        self.rows = rows
        self.nbytes = nbytes
        self.deadline = deadline
        self.priority = priority
        self.offered_at = 0.0
        self.state = WAITING


T = TypeVar("T", bound=Ticket)


class RequestBatch(Generic[T]):
    """Tickets that run together. They hold a slot until `lease_until`."""

    __slots__ = ("is_leased", "lease_until", "nbytes", "rows", "taken_at", "tickets")

    def __init__(self, tickets: list[T], rows: int, nbytes: int, taken_at: float, lease_until: float) -> None:
        self.tickets = tickets
        self.rows = rows
        self.nbytes = nbytes
        self.taken_at = taken_at
        self.lease_until = lease_until
        self.is_leased = True


class Combiner(Generic[T]):
    """One version's state machine. `slots`, `max_batch_rows`, `max_batch_bytes` and `wait_s` may change between calls."""

    def __init__(
        self,
        limits: QueueLimits,
        on_end: Callable[[T, InferenceError], None],
        *,
        max_batch_rows: int = 32,
        wait_s: float = 0.0,
    ) -> None:
        self.limits = limits
        self.slots = limits.slots
        self.max_batch_rows = max_batch_rows
        self.max_batch_bytes = limits.max_batch_bytes
        self.wait_s = wait_s
        self.is_open = True
        self.running: list[RequestBatch[T]] = []
        self.waiting = 0
        self.waiting_rows = 0
        self.waiting_bytes = 0
        self._on_end = on_end
        self._room = [
            (share * limits.max_waiting_rows, share * limits.max_waiting_bytes) for share in limits.ceilings
        ]
        # Per class: key -> tickets in order of arrival. Ordered dicts, because a cancelled ticket must leave at once, from
        # the middle: if it stayed while a run hangs, its tensors would use memory that the limits do not count.
        self._lines: tuple[OrderedDict[Hashable, OrderedDict[T, None]], ...] = tuple(
            OrderedDict() for _ in Priority
        )
        self._shadow_rows = 0
        self._shadow_bytes = 0
        self._gathering_since = -math.inf
        self._bulk_passed_over = 0

    def offer(self, ticket: T, now: float) -> None:
        """Accept a ticket, or raise RequestTooLarge, Overloaded, DeadlineExceeded or EngineStopped."""
        self._admit(ticket, now)
        self._append(ticket, now)

    def take(self, now: float) -> RequestBatch[T] | None:
        """Return the next batch, with a slot for it; None if no slot is free or nothing is due."""
        if len(self.running) >= self.slots or (self.wait_s and now < self.ready_at()):
            return None
        while self.waiting:
            tickets, rows, nbytes = self._gather(now)
            if tickets:
                batch = RequestBatch(tickets, rows, nbytes, now, now + self.limits.lease_s)
                self.running.append(batch)
                return batch
        return None

    def complete(self, batch: RequestBatch[T], now: float) -> list[T]:
        """Free the slot; return the tickets that still wait for their result (none if the lease has ended)."""
        if not self._free(batch, now):
            return []
        answered = []
        for ticket in batch.tickets:
            if ticket.state is RUNNING:
                ticket.state = ENDED
                answered.append(ticket)
        return answered

    def fail(
        self, batch: RequestBatch[T], error: InferenceError, now: float, *, parts: int | None = None
    ) -> None:
        """Free the slot after an error. A batch of one ends with it; a larger one runs again, one by one or in `parts`.

        Its tickets go to the front and may exceed the waiting limits: they are already accepted, and refusing them
        would fail the neighbours of one bad input.
        """
        if not self._free(batch, now):
            return
        if len(batch.tickets) == 1:
            if batch.tickets[0].state is RUNNING:
                self._end(batch.tickets[0], error)
            return
        size = 1 if parts is None else -(-len(batch.tickets) // parts)
        keys = [
            object() for _ in batch.tickets[::size]
        ]  # equal to no other key, so no other ticket joins them
        for index, ticket in reversed(list(enumerate(batch.tickets))):
            if ticket.state is RUNNING:
                ticket.state = WAITING
                ticket.key = keys[index // size]
                line = self._lines[ticket.priority]
                group = line.setdefault(ticket.key, OrderedDict())
                group[ticket] = None
                group.move_to_end(ticket, last=False)
                line.move_to_end(ticket.key, last=False)
                self._count(ticket.priority, 1, ticket.rows, ticket.nbytes)

    def lose(self, batch: RequestBatch[T], error: Callable[[], InferenceError], now: float) -> None:
        """Free the slot of a run that was lost, and end each of its tickets with its own error."""
        if self._free(batch, now):
            for ticket in batch.tickets:
                if ticket.state is RUNNING:
                    self._end(ticket, error())

    def expire(self, now: float) -> list[RequestBatch[T]]:
        """End overdue leases, and tickets past their deadline; return the batches whose lease ended."""
        overdue = [batch for batch in self.running if batch.lease_until <= now]
        for batch in overdue:
            self.lose(batch, SlotLost, now)
        running = (ticket for batch in self.running for ticket in batch.tickets)
        for ticket in [ticket for ticket in (*self._all_waiting(), *running) if ticket.deadline <= now]:
            self.cancel(ticket, DeadlineExceeded())
        return overdue

    def cancel(self, ticket: T, error: InferenceError) -> bool:
        """End a ticket with this error; False if it has already ended. If it is running, only its result is dropped."""
        if ticket.state is ENDED:
            return False
        if ticket.state is WAITING:
            line = self._lines[ticket.priority]
            del line[ticket.key][ticket]
            if not line[ticket.key]:
                del line[ticket.key]
            self._count(ticket.priority, -1, -ticket.rows, -ticket.nbytes)
        self._end(ticket, error)
        return True

    def close(self, error: Callable[[], InferenceError] | None = None) -> None:
        """Refuse all further offers. With an error, also end every waiting ticket."""
        self.is_open = False
        if error is not None:
            for ticket in list(self._all_waiting()):
                self.cancel(ticket, error())

    def next_waiting(self) -> T | None:
        """The ticket at the front."""
        return next(self._all_waiting(), None)

    def ready_at(self) -> float:
        """When `take` returns a batch: `wait_s` after the first arrival or the freed slot."""
        if not self.wait_s or self.waiting_rows >= self.max_batch_rows or not self.is_open:
            return -math.inf
        return self._gathering_since + self.wait_s

    def next_deadline(self) -> float:
        """The earliest deadline of the tickets that have not ended."""
        running = (ticket for batch in self.running for ticket in batch.tickets if ticket.state is RUNNING)
        return min((ticket.deadline for ticket in (*self._all_waiting(), *running)), default=math.inf)

    def lease_ends_at(self) -> float:
        """When the next lease ends; infinite if no slot is held."""
        for batch in self.running:  # in the order of their leases, which are equally long
            return batch.lease_until
        return math.inf

    def wakes_at(self) -> float:
        """When to call again even if nothing happens: `expire` at a lease's end, or `take` after a wait."""
        if len(self.running) < self.slots and self.waiting:
            return self.ready_at()
        return self.lease_ends_at()

    def _admit(self, ticket: T, now: float) -> None:
        limits = self.limits
        if not self.is_open:
            raise EngineStopped
        if ticket.rows > limits.max_request_rows or ticket.nbytes > limits.max_waiting_bytes:
            raise RequestTooLarge
        if ticket.deadline <= now:
            raise DeadlineExceeded
        if self.waiting and not self._has_room(ticket) and not self._shed_shadows(ticket):
            raise Overloaded

    def _has_room(self, ticket: T, freed_rows: int = 0, freed_bytes: int = 0) -> bool:
        max_rows, max_bytes = self._room[ticket.priority]
        return (
            self.waiting_rows + ticket.rows - freed_rows <= max_rows
            and self.waiting_bytes + ticket.nbytes - freed_bytes <= max_bytes
        )

    def _shed_shadows(self, ticket: T) -> bool:
        """Make room by refusing waiting shadow tickets, newest first; none if that would not be enough."""
        shadow = Priority.SHADOW
        if ticket.priority is shadow or not self._has_room(ticket, self._shadow_rows, self._shadow_bytes):
            return False
        while not self._has_room(ticket):
            newest_group = next(reversed(self._lines[shadow].values()))
            self.cancel(next(reversed(newest_group)), Overloaded())
        return True

    def _append(self, ticket: T, now: float) -> None:
        if not self.waiting:
            self._gathering_since = now
        ticket.offered_at = now
        line = self._lines[ticket.priority]
        group = line.get(ticket.key)
        if group is None:
            line[ticket.key] = group = OrderedDict()
        group[ticket] = None
        self._count(ticket.priority, 1, ticket.rows, ticket.nbytes)

    def _gather(self, now: float) -> tuple[list[T], int, int]:
        """Take one batch's tickets off the lines, with their rows and bytes, and end those past their deadline.

        There may be no ticket left.
        """
        lead = self._leading_class()
        key = next(iter(self._lines[lead]))
        max_rows, max_bytes = self.max_batch_rows, self.max_batch_bytes
        tickets: list[T] = []
        rows = nbytes = 0
        for priority in RIDERS[lead]:
            line = self._lines[priority]
            group = line.get(key)
            if group is None:
                continue
            late: list[T] = []
            passed = passed_rows = passed_bytes = 0
            for ticket in group:
                if ticket.deadline <= now:
                    late.append(ticket)
                elif tickets and (rows + ticket.rows > max_rows or nbytes + ticket.nbytes > max_bytes):
                    break
                else:
                    ticket.state = RUNNING
                    tickets.append(ticket)
                    rows += ticket.rows
                    nbytes += ticket.nbytes
                passed += 1
                passed_rows += ticket.rows
                passed_bytes += ticket.nbytes
            if passed == len(group):
                del line[key]
            else:
                for _ in range(passed):
                    group.popitem(last=False)
                line.move_to_end(key)  # shapes take turns, so that a frequent one does not starve the others
            self._count(priority, -passed, -passed_rows, -passed_bytes)
            for ticket in late:
                self._end(ticket, DeadlineExceeded())
            if not tickets:  # none of the leading class; choose a new lead
                break
        if tickets:
            bulk_waits_on = bool(self._lines[Priority.BULK]) and lead is not Priority.BULK
            self._bulk_passed_over = self._bulk_passed_over + 1 if bulk_waits_on else 0
        return tickets, rows, nbytes

    def _leading_class(self) -> Priority:
        live, bulk, _ = self._lines
        if bulk and (not live or self._bulk_passed_over >= self.limits.bulk_every - 1):
            return Priority.BULK
        return Priority.LIVE if live else Priority.SHADOW

    def _all_waiting(self) -> Iterator[T]:
        for line in self._lines:
            for group in line.values():
                yield from group

    def _count(self, priority: Priority, tickets: int, rows: int, nbytes: int) -> None:
        self.waiting += tickets
        self.waiting_rows += rows
        self.waiting_bytes += nbytes
        if priority is Priority.SHADOW:
            self._shadow_rows += rows
            self._shadow_bytes += nbytes

    def _free(self, batch: RequestBatch[T], now: float) -> bool:
        """Free the slot once; False if its lease had ended and the slot is taken by another batch."""
        if not batch.is_leased:
            return False
        batch.is_leased = False
        self.running.remove(batch)
        self._gathering_since = now
        return True

    def _end(self, ticket: T, error: InferenceError) -> None:
        ticket.state = ENDED
        self._on_end(ticket, error)
