"""One request on the loop: headers, a body within limits of time and memory, and a caller who may disconnect."""

import asyncio
import gc
import weakref
from contextlib import contextmanager

import pytest

from inference.doors.memory import MemoryHolding, RequestMemory
from inference.engine.errors import Overloaded
from inference.errors import BadBody, BodyTooSlow
from roundhouse import rsgi
from roundhouse.rsgi import (
    FIRST_S,
    LEAST_BYTES_PER_S,
    REFUSED_BYTES,
    SMALL_BYTES,
    FilePart,
    Headers,
    Visits,
    WebResponse,
    send,
)
from tests.support.loops import run_hurried
from tests.support.rsgi import CUT, Proto, a_scope
from tests.support.rsgi import Headers as Lines

LARGE = SMALL_BYTES + 1
BODY = b"x" * LARGE


class Here:
    """Requests of one loop; they end with the block."""

    def __init__(self):
        self.visits = Visits(asyncio.get_running_loop())
        self._visits = []

    def enter(self, proto=None, *headers):
        visit = self.visits.enter(a_scope("/", *headers, method="POST"), proto or Proto())
        self._visits.append(visit)
        return visit

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for visit in self._visits:
            visit.end()


def hurried(test):
    """Run a test on a loop whose clock jumps; it gets that loop's requests."""

    def run(self):
        async def on_loop():
            with Here() as here:
                await test(self, here)

        run_hurried(on_loop())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def now():
    return asyncio.get_running_loop().time()


def later(seconds, call, *arguments):
    asyncio.get_running_loop().call_later(seconds, call, *arguments)


async def taken(visit, length):
    return b"".join([part async for part in visit.parts(length, held=length)])


class TestHeaders:
    def test_they_have_wsgi_names(self):
        headers = Headers(Lines(("Content-Type", "a/b"), ("Content-Length", "5"), ("X-Routing-Key", "anna")))

        given = {"CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "5", "HTTP_X_ROUTING_KEY": "anna"}
        assert dict(headers.items()) == given
        assert {name: headers.get(name) for name in given} == given

    def test_missing_and_empty_differ(self):
        headers = Headers(Lines(("X-Empty", "")))

        assert (headers.get("HTTP_X_EMPTY"), headers.get("HTTP_X_EMPTY", "default")) == ("", "")
        assert (headers.get("HTTP_X_NONE"), headers.get("HTTP_X_NONE", "default")) == (None, "default")

    def test_a_value_that_is_not_ascii_is_empty(self):
        headers = Headers(Lines(("X-Routing-Key", "\u00e9"), ("X-Other", "1")))

        assert headers.get("HTTP_X_ROUTING_KEY", "default") == ""
        assert dict(headers.items()) == {"HTTP_X_ROUTING_KEY": "", "HTTP_X_OTHER": "1"}

    def test_names_with_underscores_are_dropped(self):
        headers = Headers(Lines(("X_Forwarded_Proto", "https"), ("X-Forwarded_For", "1.1.1.1"), ("X-A", "1")))

        assert dict(headers.items()) == {"HTTP_X_A": "1"}
        assert headers.get("HTTP_X_FORWARDED_PROTO") is None
        assert headers.get("HTTP_X_FORWARDED_FOR") is None

    @pytest.mark.parametrize(
        ("name", "wsgi_name", "joined"),
        [("X-Deadline-Ms", "HTTP_X_DEADLINE_MS", "5,6"), ("Cookie", "HTTP_COOKIE", "5; 6")],
        ids=["others", "cookies"],
    )
    def test_repeated_headers_are_joined(self, name, wsgi_name, joined):
        headers = Headers(Lines((name, "5"), ("X-A", "1"), (name.lower(), "6")))

        assert headers.get(wsgi_name) == joined
        assert dict(headers.items())[wsgi_name] == joined


class TestSmallBodies:
    @hurried
    async def test_they_arrive_in_one_piece(self, here):
        visit = here.enter(Proto(b"ab", b"c"))

        assert await visit.receive(3) == b"abc"
        assert await visit.drain()

    @hurried
    async def test_an_empty_one_is_not_awaited(self, here):
        assert await here.enter(Proto(is_whole=False)).receive(0) == b""

    @hurried
    async def test_a_cut_body_is_the_callers_error(self, here):
        visit = here.enter(Proto(b"ab", CUT))

        with pytest.raises(BadBody, match="connection was lost"):
            await visit.receive(3)
        assert not await visit.drain()

    @hurried
    async def test_one_shorter_than_announced_is_refused(self, here):
        with pytest.raises(BadBody, match="ended 2 bytes before"):
            await here.enter(Proto(b"a")).receive(3)

    @hurried
    async def test_one_that_does_not_arrive_is_given_up(self, here):
        visit = here.enter(Proto(b"a", is_whole=False))

        with pytest.raises(BodyTooSlow):
            await visit.receive(LEAST_BYTES_PER_S)

        assert FIRST_S + 1 <= now() < FIRST_S + 1.1
        assert asyncio.current_task().cancelling() == 0  # an answer can still be made
        assert not await visit.drain()

    @hurried
    async def test_one_that_arrives_just_in_time_is_accepted(self, here):
        proto = Proto(is_whole=False)
        later(FIRST_S + 0.9, lambda: proto.feed(b"x" * LEAST_BYTES_PER_S, is_whole=True))

        assert len(await here.enter(proto).receive(LEAST_BYTES_PER_S)) == LEAST_BYTES_PER_S

    @hurried
    async def test_another_cancellation_does_not_count_as_a_slow_caller(self, here):
        waiting = asyncio.ensure_future(here.enter(Proto(is_whole=False)).receive(3))
        later(1.0, waiting.cancel)

        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert now() < FIRST_S


class TestLargeBodies:
    @hurried
    async def test_they_arrive_in_parts_or_whole(self, here):
        assert [part async for part in here.enter(Proto(b"ab", b"c")).parts(3, held=3)] == [b"ab", b"c"]
        assert await here.enter(Proto(BODY[:9], BODY[9:])).receive(LARGE) == BODY

    @hurried
    async def test_a_cut_body_is_the_callers_error(self, here):
        visit = here.enter(Proto(BODY[:-7], CUT, is_whole=False))

        with pytest.raises(BadBody, match="ended 7 bytes before"):
            await visit.receive(LARGE)
        assert not await visit.drain()

    @hurried
    async def test_one_is_given_up_if_its_sender_stops(self, here):
        proto = Proto(BODY[: 3 * LEAST_BYTES_PER_S], is_whole=False)

        with pytest.raises(BodyTooSlow):
            await here.enter(proto).receive(LARGE)

        assert FIRST_S + 3 <= now() < FIRST_S + 3.1
        assert asyncio.current_task().cancelling() == 0

    @hurried
    async def test_a_sender_at_the_minimum_rate_may_take_long(self, here):
        proto, parts = Proto(is_whole=False), 60
        for second in range(1, parts + 1):
            later(second, lambda last=second == parts: proto.feed(b"x" * LEAST_BYTES_PER_S, is_whole=last))

        assert len(await here.enter(proto).receive(parts * LEAST_BYTES_PER_S)) == parts * LEAST_BYTES_PER_S
        assert now() >= parts

    @hurried
    async def test_a_sender_at_half_the_rate_is_ended(self, here):
        proto, parts = Proto(is_whole=False), 60
        for second in range(1, parts + 1):
            later(
                2 * second, lambda last=second == parts: proto.feed(b"x" * LEAST_BYTES_PER_S, is_whole=last)
            )

        with pytest.raises(BodyTooSlow):
            await here.enter(proto).receive(parts * LEAST_BYTES_PER_S)
        assert now() < 2 * FIRST_S + 2

    @hurried
    async def test_above_the_share_of_bodies_nothing_is_read(self, here):
        with a_memory(longest_body=LARGE):
            first, second = here.enter(Proto(BODY)), Proto(*[BODY[:1000]] * 3)
            await first.receive(LARGE)

            waiting = asyncio.ensure_future(taken(here.enter(second), 3000))
            await passing(1.0)
            assert (waiting.done(), second.taken) == (False, 0)

            first.end()
            assert len(await waiting) == 3000

    @hurried
    async def test_within_the_share_everything_is_read(self, here):
        """Negative control: nothing but the memory held it up."""
        first, second = here.enter(Proto(BODY)), Proto(*[BODY[:1000]] * 3)
        await first.receive(LARGE)

        assert len(await taken(here.enter(second), 3000)) == 3000

    @hurried
    async def test_one_that_waits_too_long_is_refused_unread(self, here):
        with a_memory(longest_body=3000) as memory:
            first, second = here.enter(Proto(*[BODY[:1000]] * 3)), Proto(*[BODY[:1000]] * 3)
            assert len(await taken(first, 3000)) == 3000

            with pytest.raises(Overloaded):
                await taken(here.enter(second), 3000)

            assert FIRST_S <= now() < FIRST_S + 0.1
            assert (second.taken, memory.held) == (0, 3000)

    @hurried
    async def test_many_large_ones_are_all_read_in_the_end(self, here):
        """None holds a part of its own while it waits: they would wait for each other."""
        with a_memory(longest_body=3000) as memory:

            async def take_and_leave():
                visit = here.enter(Proto(*[BODY[:1000]] * 3))
                assert len(await taken(visit, 3000)) == 3000
                await passing(0.1)
                visit.end()

            await asyncio.gather(*[take_and_leave() for _ in range(20)])

        assert memory.held == 0

    @hurried
    async def test_a_slow_one_ends_if_another_waits_for_its_memory(self, here):
        with a_memory(longest_body=LARGE):
            visit = here.enter(dripping(LARGE))
            slow = asyncio.ensure_future(visit.receive(LARGE))
            slow.add_done_callback(lambda _: visit.end())
            await passing(FIRST_S)

            assert len(await taken(here.enter(Proto(BODY)), LARGE)) == LARGE
            assert FIRST_S < now() < FIRST_S + 1
            with pytest.raises(BodyTooSlow, match="Other requests are waiting"):
                await slow

    @hurried
    async def test_a_slow_one_may_continue_if_none_waits(self, here):
        """Negative control."""
        with a_memory(longest_body=LARGE):
            assert len(await here.enter(dripping(LARGE)).receive(LARGE)) == LARGE
            assert now() > FIRST_S + 1


def dripping(length, seconds=12):
    """Sends its body in so many seconds."""
    proto, sizes = Proto(is_whole=False), [length // seconds] * (seconds - 1)
    for second, size in enumerate([*sizes, length - sum(sizes)], 1):
        later(second, lambda size=size, last=second == seconds: proto.feed(b"x" * size, is_whole=last))
    return proto


@contextmanager
def a_memory(*, longest_body):
    """Requests that enter in the block share a memory in which bodies have so much room."""
    memory = RequestMemory(longest_body * 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsgi, "memory", memory)
        yield memory


class TestMemoryForParsing:
    """What a body will take once it is parsed is waited for as bodies are."""

    @hurried
    async def test_it_waits_until_another_request_ends(self, here):
        with a_memory(longest_body=1000) as memory:
            first, second = here.enter(), here.enter()
            await first.hold(memory.limit)

            waiting = asyncio.ensure_future(second.hold(1000))
            await passing(1.0)
            assert not waiting.done()

            first.end()
            await waiting
            assert memory.held == 1000

    @hurried
    async def test_memory_released_by_a_thread_is_noticed(self, here):
        with a_memory(longest_body=1000) as memory:
            elsewhere = MemoryHolding(memory)
            elsewhere.add(memory.limit)
            waiting = asyncio.ensure_future(here.enter().hold(1000))
            await passing(1.0)

            elsewhere.end()  # nobody tells the loop
            await waiting
            assert memory.held == 1000

    @hurried
    async def test_it_is_given_up_after_some_seconds_and_the_connection_stays(self, here):
        with a_memory(longest_body=1000) as memory:
            first, second = here.enter(), here.enter(Proto(b"abc"))
            await second.receive(3)
            await first.hold(memory.limit - 3)

            with pytest.raises(Overloaded, match="that requests may use in this process"):
                await second.hold(1000)

            assert 5.0 <= now() < 5.1
            assert await second.drain()

    @hurried
    async def test_a_small_body_is_counted_too(self, here):
        with a_memory(longest_body=1000) as memory:
            first = here.enter(Proto(BODY[:1000]))
            await first.receive(1000)

            assert memory.held == 1000
            first.end()
            first.end()
            assert memory.held == 0


async def passing(seconds):
    over = asyncio.Event()
    later(seconds, over.set)
    await over.wait()


class TestRefusedBodies:
    """A small one is taken, so that its connection can be used again."""

    @hurried
    async def test_a_small_one_is_read(self, here):
        proto = Proto(b"abc")

        assert await here.enter(proto, ("Content-Length", "3")).drain()
        assert proto.taken == 3

    @hurried
    async def test_without_a_body_nothing_is_read(self, here):
        assert await here.enter().drain()

    @hurried
    async def test_one_that_cannot_be_read_quickly_is_left(self, here):
        lengths = (str(REFUSED_BYTES + 1), "9" * 5000, "-1", "many")
        lines = [("Content-Length", length) for length in lengths] + [("Transfer-Encoding", "chunked")]
        for line in lines:
            proto = Proto(b"abc")

            assert not await here.enter(proto, line).drain(), line
            assert proto.taken == 0

    @hurried
    async def test_one_that_does_not_arrive_ends_the_connection(self, here):
        for proto in (Proto(b"a", CUT), Proto(b"a", is_whole=False)):
            assert not await here.enter(proto, ("Content-Length", "3")).drain()


class TestDisconnectedCallers:
    @hurried
    async def test_the_request_is_cancelled(self, here):
        visit = here.enter(proto := Proto(b""))
        visit.may_be_withdrawn, gone = True, asyncio.Event()
        visit.bind(gone.set)

        await proto.is_watched.wait()
        assert (now() >= 0.1, gone.is_set()) == (True, False)
        proto.hang_up()
        await gone.wait()

    @hurried
    async def test_a_checked_request_leaves_no_reference(self, here):
        gc.disable()
        try:
            visit = here.visits.enter(a_scope("/"), proto := Proto(b""))
            visit.may_be_withdrawn, kept = True, weakref.ref(visit)
            await proto.is_watched.wait()

            visit.end()
            del visit
            await passing(1.0)
            assert kept() is None
        finally:
            gc.enable()

    @hurried
    async def test_the_caller_of_a_quick_answer_is_not_checked(self, here):
        visit = here.enter(proto := Proto(b""))
        visit.may_be_withdrawn = True
        later(0.09, visit.end)

        await passing(1.0)
        assert not proto.is_watched.is_set()

    @hurried
    async def test_the_caller_is_not_checked_if_nothing_can_be_cancelled(self, here):
        here.enter(proto := Proto(b""))

        await passing(1.0)
        assert not proto.is_watched.is_set()

    @hurried
    async def test_checking_ends_with_the_last_request(self, here):
        visit = here.enter(proto := Proto(b""))
        visit.may_be_withdrawn = True
        await proto.is_watched.wait()

        visit.end()
        await passing(1.0)

        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not here.visits._is_checking


def test_responses_are_sent_as_bytes_or_as_part_of_a_file(tmp_path):
    proto = Proto()

    send(proto, WebResponse(200, [("A", "1")], b"abc"))
    send(proto, WebResponse(206, [], FilePart(tmp_path / "file", range(3, 9))))

    assert proto.answers == [(200, [("A", "1")], b"abc"), (206, [], (str(tmp_path / "file"), 3, 9))]
