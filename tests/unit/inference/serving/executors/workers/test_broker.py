"""Connections to a real Redis on a real loop: order, answers in pieces, and whoever waits when Redis is gone."""

import asyncio
import os
from types import SimpleNamespace

import pytest
import redis

from inference.serving.executors.workers import broker
from tests.support.batchers import shared_loop

pytestmark = pytest.mark.service
PATIENCE_S = 10
ALL_KINDS = (
    b"+OK\r\n:7\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*2\r\n$1\r\nk\r\n*1\r\n:-3\r\n*-1\r\n*0\r\n-ERR no\r\n"
)
MEANING = [b"OK", 7, b"a\r\nbc", b"", None, [b"k", [-3]], None, []]


@pytest.fixture
def on_loop(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()

    def run(steps, **more):
        async def with_connection():
            async with broker.connection(redis_server.url, **more) as connection:
                return await asyncio.wait_for(steps(connection), PATIENCE_S)

        return shared_loop().wait_for(with_connection())

    return run


def test_answers_come_in_the_order_of_the_commands(on_loop):
    async def steps(connection):
        sets = [("SET", f"k{number}", number) for number in range(100)]
        gets = [("GET", f"k{number}") for number in range(100)]
        await connection.ask(*sets)
        return await asyncio.gather(*(connection.ask(get) for get in gets))

    assert on_loop(steps) == [[b"%d" % number] for number in range(100)]


def test_large_value_comes_back_whole(on_loop):
    value = os.urandom(3 << 20)

    async def steps(connection):
        return await connection.ask(("SET", "large", value), ("GET", "large"), ("STRLEN", "large"))

    assert on_loop(steps) == [b"OK", value, len(value)]


def test_what_is_sent_in_a_turn_leaves_in_one_write(on_loop):
    async def steps(connection):
        writes = []
        write = connection._transport.writelines
        connection._transport = SimpleNamespace(
            writelines=lambda pieces: (writes.append(b"".join(pieces)), write(pieces)),
            abort=connection._transport.abort,
        )
        await asyncio.gather(*(connection.ask(("SET", f"k{number}", number)) for number in range(9)))
        return writes

    [written] = on_loop(steps)
    assert written.count(b"SET") == 9


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(ALL_KINDS)])
def test_answers_may_come_in_any_pieces(on_loop, size):
    async def steps(connection):
        answers = []
        connection._pending.extend((answers.append, 0.0) for _ in range(9))
        for at in range(0, len(ALL_KINDS), size):
            connection.data_received(ALL_KINDS[at : at + size])
        return answers

    *answers, refusal = on_loop(steps)
    assert answers == MEANING
    assert isinstance(refusal, redis.ResponseError)


@pytest.mark.parametrize("odd", [b"?x\r\n", b"$x\r\n", b"*\r\n", b":\r\n"])
def test_answer_that_makes_no_sense_ends_the_connection(on_loop, odd):
    async def steps(connection):
        answers = []
        connection._pending.append((answers.append, 0.0))
        connection.data_received(odd)
        return answers

    [answer] = on_loop(steps)
    assert isinstance(answer, redis.InvalidResponse)


def test_answer_to_nothing_ends_the_connection(on_loop):
    """Every later answer would be somebody else's."""

    async def steps(connection):
        connection.data_received(b"+OK\r\n")
        with pytest.raises(redis.InvalidResponse):
            await connection.ask(("PING",))

    on_loop(steps)


def test_command_that_redis_refuses_is_an_error_and_the_next_one_works(on_loop):
    async def steps(connection):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await connection.ask(("SET", "text", "x"), ("LPUSH", "text", 1))
        return await connection.ask(("GET", "text"))

    assert on_loop(steps) == [b"x"]


def test_as_many_are_taken_as_are_wanted(on_loop):
    async def steps(connection):
        await connection.ask(("RPUSH", "list", *range(6)))
        left = await connection.take("L", "list", most=3, wait_s=1)
        right = await connection.take("R", "list", most=1, wait_s=1)
        rest = await connection.take("R", "list", most=9, wait_s=1)
        none = await connection.take("R", "list", most=9, wait_s=0.01)
        return left, right, rest, none

    assert on_loop(steps, blocks_s=1) == ([b"0", b"1", b"2"], [b"5"], [b"4", b"3"], [])


def test_who_waits_is_told_when_redis_is_gone(on_loop, redis_server):
    async def steps(connection):
        await connection.ask(("PING",))
        waiting = [connection.ask(("BLPOP", f"k{number}", 5)) for number in range(3)]
        asyncio.get_running_loop().call_soon(redis_server.kill)
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(broker.BROKEN):
            await connection.ask(("PING",))
        return errors

    errors = on_loop(steps, blocks_s=5)
    redis_server.start()

    assert len(errors) == 3
    assert all(isinstance(error, broker.BROKEN) for error in errors)


def pause_and_ping(seconds):
    async def steps(connection):
        return await connection.ask(("CLIENT", "PAUSE", int(seconds * 1000)), ("PING",))

    return steps


def test_redis_that_hangs_is_given_up(on_loop, monkeypatch):
    monkeypatch.setattr(broker, "_TIMEOUT_S", 0.3)

    with pytest.raises(redis.TimeoutError):
        on_loop(pause_and_ping(1.0))


def test_with_more_patience_it_is_not(on_loop):
    """The control."""
    assert on_loop(pause_and_ping(1.0)) == [b"OK", b"PONG"]


def test_two_that_belong_together_break_together(redis_server):
    async def steps():
        async with broker.connections(redis_server.url, blocks_s=PATIENCE_S) as (sending, waiting):
            taking = asyncio.create_task(waiting.take("L", "nothing", most=1, wait_s=PATIENCE_S))
            sending.end(redis.ConnectionError("gone"))
            with pytest.raises(redis.ConnectionError):
                await asyncio.wait_for(taking, 2)

    shared_loop().wait_for(steps())


def test_no_connection_is_one_of_the_errors_that_are_expected():
    async def steps():
        async with broker.connection("redis://127.0.0.1:1/0"):
            pass

    with pytest.raises(broker.BROKEN):
        shared_loop().wait_for(steps())
