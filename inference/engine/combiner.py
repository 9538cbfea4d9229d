"""Decides which waiting requests run together and which are turned away; knows no threads, clock or I/O.

offer -> WAITING -> take -> RUNNING -> complete | fail | lose -> ENDED. `cancel` and `expire` end a request from
either state. Every accepted ticket ends once: it comes back from `complete`, or goes to `on_end` with its error.
The caller serialises the calls and passes the time.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Generic, TypeVar

from inference.engine.errors import DeadlineExceeded, EngineStopped, Overloaded, SlotLost
from inference.tensors.errors import InferenceError, TooLarge


class Priority(IntEnum):
    """Live answers a person, bulk a job, shadow nobody."""

    LIVE = 0
    BULK = 1
    SHADOW = 2


class Standing(Enum):
    """Where a ticket is on its one-way street; only `fail` sends a ticket back, to run alone."""

    WAITING = 1
    RUNNING = 2
    ENDED = 3


WAITING, RUNNING, ENDED = Standing  # looking a member up in its class costs more than the rest of the test

# Who may join a batch led by a class. Nobody rides with a shadow nor a shadow with others: it would lengthen
# the run of requests that somebody waits for.
RIDERS = {
    Priority.LIVE: (Priority.LIVE, Priority.BULK),
    Priority.BULK: (Priority.BULK, Priority.LIVE),
    Priority.SHADOW: (Priority.SHADOW,),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait and what may run. `ceilings`: the share of the waiting room up to which each class is admitted."""

    slots: int = 1
    max_batch_bytes: int = 64 << 20
    max_request_rows: int = 256
    max_waiting_rows: int = 1024
    max_waiting_bytes: int = 256 << 20
    ceilings: tuple[float, float, float] = (1.0, 0.5, 0.25)
    bulk_every: int = 8  # of so many batches in a row, bulk leads at least one
    lease_s: float = 1.5


class Ticket:
    """One request as the combiner sees it. Tickets of equal `key` may share a batch."""

    __slots__ = ("deadline", "key", "nbytes", "offered_at", "priority", "rows", "standing")

    def __init__(
        self, key: Hashable, rows: int, nbytes: int, deadline: float, priority: Priority = Priority.LIVE
    ) -> None:
        self.key = key
        self.rows = rows
        self.nbytes = nbytes
        self.deadline = deadline
        self.priority = priority
        self.offered_at = 0.0
        self.standing = WAITING


T = TypeVar("T", bound=Ticket)


class Batch(Generic[T]):
    """Tickets that run together, and the slot they hold until `lease_until`."""

    __slots__ = ("is_leased", "lease_until", "nbytes", "rows", "taken_at", "tickets")

    def __init__(self, tickets: list[T], rows: int, nbytes: int, taken_at: float, lease_until: float) -> None:
        self.tickets = tickets
        self.rows = rows
        self.nbytes = nbytes
        self.taken_at = taken_at
        self.lease_until = lease_until
        self.is_leased = True


class Combiner(Generic[T]):
    """The state machine of one version. `slots`, `max_batch_rows`, `max_batch_bytes` and `wait_s` may change between calls."""

    def __init__(
        self,
        limits: Limits,
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
        self.running: list[Batch[T]] = []
        self.waiting = 0
        self.waiting_rows = 0
        self.waiting_bytes = 0
        self._on_end = on_end
        self._room = [
            (share * limits.max_waiting_rows, share * limits.max_waiting_bytes) for share in limits.ceilings
        ]
        # Per class: key -> tickets in order of arrival. Ordered dicts, because a caller that gives up must leave
        # at once, from the middle: left where it is, its tensors would escape the limits while a run hangs.
        self._lines: tuple[OrderedDict[Hashable, OrderedDict[T, None]], ...] = tuple(
            OrderedDict() for _ in Priority
        )
        self._shadow_rows = 0
        self._shadow_bytes = 0
        self._gathering_since = -math.inf
        self._bulk_passed_over = 0

    def offer(self, ticket: T, now: float) -> None:
        """Accept a ticket, or raise TooLarge, Overloaded, DeadlineExceeded or EngineStopped."""
        self._admit(ticket, now)
        self._append(ticket, now)

    def take(self, now: float) -> Batch[T] | None:
        """Give the next batch and a slot for it, or None when no slot is free or nothing is due to run."""
        if len(self.running) >= self.slots or (self.wait_s and now < self.ready_at()):
            return None
        while self.waiting:
            tickets, rows, nbytes = self._gather(now)
            if tickets:
                batch = Batch(tickets, rows, nbytes, now, now + self.limits.lease_s)
                self.running.append(batch)
                return batch
        return None

    def complete(self, batch: Batch[T], now: float) -> list[T]:
        """Free the slot; return the tickets that still want their result (none when the lease has ended)."""
        if not self._free(batch, now):
            return []
        wanted = []
        for ticket in batch.tickets:
            if ticket.standing is RUNNING:
                ticket.standing = ENDED
                wanted.append(ticket)
        return wanted

    def fail(self, batch: Batch[T], error: InferenceError, now: float, *, parts: int | None = None) -> None:
        """Free the slot after an error: a batch of one ends with it, a larger one goes back to run singly, or in so many
        parts.

        They go to the front and may exceed the waiting limits by the batch they came from: they are
        accepted already, and turning them away would fail the neighbours of one bad input.
        """
        if not self._free(batch, now):
            return
        if len(batch.tickets) == 1:
            if batch.tickets[0].standing is RUNNING:
                self._end(batch.tickets[0], error)
            return
        size = 1 if parts is None else -(-len(batch.tickets) // parts)
        keys = [object() for _ in batch.tickets[::size]]  # equal to no other: nobody else joins them
        for place, ticket in reversed(list(enumerate(batch.tickets))):
            if ticket.standing is RUNNING:
                ticket.standing = WAITING
                ticket.key = keys[place // size]
                line = self._lines[ticket.priority]
                group = line.setdefault(ticket.key, OrderedDict())
                group[ticket] = None
                group.move_to_end(ticket, last=False)
                line.move_to_end(ticket.key, last=False)
                self._count(ticket.priority, 1, ticket.rows, ticket.nbytes)

    def lose(self, batch: Batch[T], error: Callable[[], InferenceError], now: float) -> None:
        """Free the slot of a holder that is gone, and end what it held, each with an error of its own."""
        if self._free(batch, now):
            for ticket in batch.tickets:
                if ticket.standing is RUNNING:
                    self._end(ticket, error())

    def expire(self, now: float) -> list[Batch[T]]:
        """End overdue leases and tickets past their deadline; return the batches whose lease ended."""
        overdue = [batch for batch in self.running if batch.lease_until <= now]
        for batch in overdue:
            self.lose(batch, SlotLost, now)
        running = (ticket for batch in self.running for ticket in batch.tickets)
        for ticket in [ticket for ticket in (*self._all_waiting(), *running) if ticket.deadline <= now]:
            self.cancel(ticket, DeadlineExceeded())
        return overdue

    def cancel(self, ticket: T, error: InferenceError) -> bool:
        """End a ticket with this error; False if it has ended already. One that runs loses only its result."""
        if ticket.standing is ENDED:
            return False
        if ticket.standing is WAITING:
            line = self._lines[ticket.priority]
            del line[ticket.key][ticket]
            if not line[ticket.key]:
                del line[ticket.key]
            self._count(ticket.priority, -1, -ticket.rows, -ticket.nbytes)
        self._end(ticket, error)
        return True

    def close(self, error: Callable[[], InferenceError] | None = None) -> None:
        """Refuse every further offer; with an error, end all that waits."""
        self.is_open = False
        if error is not None:
            for ticket in list(self._all_waiting()):
                self.cancel(ticket, error())

    def next_waiting(self) -> T | None:
        """The ticket at the front: its owner is the one to call `take` when a slot falls free."""
        return next(self._all_waiting(), None)

    def ready_at(self) -> float:
        """From when on `take` gives a batch: the short wait counts from the first arrival or the freed slot."""
        if not self.wait_s or self.waiting_rows >= self.max_batch_rows or not self.is_open:
            return -math.inf
        return self._gathering_since + self.wait_s

    def next_deadline(self) -> float:
        """When the first request that has not ended wants to be gone."""
        running = (ticket for batch in self.running for ticket in batch.tickets if ticket.standing is RUNNING)
        return min((ticket.deadline for ticket in (*self._all_waiting(), *running)), default=math.inf)

    def lease_ends_at(self) -> float:
        """When the next lease runs out; infinite when no slot is held."""
        for batch in self.running:  # in order of their leases, which are equally long
            return batch.lease_until
        return math.inf

    def wakes_at(self) -> float:
        """When the driver must call again even if nothing happens: `expire` at a lease's end, `take` after a wait."""
        if len(self.running) < self.slots and self.waiting:
            return self.ready_at()
        return self.lease_ends_at()

    def _admit(self, ticket: T, now: float) -> None:
        limits = self.limits
        if not self.is_open:
            raise EngineStopped
        if ticket.rows > limits.max_request_rows or ticket.nbytes > limits.max_waiting_bytes:
            raise TooLarge
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
        """Make room by turning waiting shadows away, newest first, but none if that would not be enough."""
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
        """Take one batch's tickets off the lines, with their rows and bytes, dropping what is past its deadline; perhaps
        nothing is left."""
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
                    ticket.standing = RUNNING
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
                line.move_to_end(key)  # shapes take turns, so that a popular one does not starve the others
            self._count(priority, -passed, -passed_rows, -passed_bytes)
            for ticket in late:
                self._end(ticket, DeadlineExceeded())
            if not tickets:  # of the class that was to lead: who does is asked anew
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

    def _free(self, batch: Batch[T], now: float) -> bool:
        """Give the slot back once; False when its lease had ended and the slot is somebody else's."""
        if not batch.is_leased:
            return False
        batch.is_leased = False
        self.running.remove(batch)
        self._gathering_since = now
        return True

    def _end(self, ticket: T, error: InferenceError) -> None:
        ticket.standing = ENDED
        self._on_end(ticket, error)
