"""Where messages lie: whoever takes one may be killed, and whatever lies there may be no message."""

import fcntl
import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.db import OperationalError
from kombu import Connection, Producer

from inference.doors.celery import queues
from inference.doors.celery.messages import read_message
from inference.doors.celery.queues import FolderQueue, RedisQueue
from inference.doors.celery.readers import QueueReader
from tests.support.private import PrivateRedis
from tests.support.processes import wait_until

QUEUE = "roundhouse.submit"


class Files:
    def __init__(self, folder):
        self.folder, self.messages = folder, folder / "messages"
        (folder / "control").mkdir()

    def box(self):
        return FolderQueue(self.folder, QUEUE, max_bytes=10_000)

    def connection(self):
        folders = {
            "data_folder_in": self.messages,
            "data_folder_out": self.messages,
            "control_folder": self.folder / "control",
        }
        return Connection(
            "filesystem://", transport_options={name: str(path) for name, path in folders.items()}
        )

    def put(self, raw):
        (self.messages / f"{uuid.uuid4()}.{QUEUE}.msg").write_bytes(raw)

    def take_time_back(self, monkeypatch):
        for path in (self.folder / "taken").iterdir():
            os.utime(path, (1, 1))


class InRedis:
    def __init__(self, url):
        self.url = url
        self.client = redis.Redis.from_url(url)
        self.client.flushdb()

    def box(self):
        return RedisQueue(self.url, QUEUE)

    def connection(self):
        return Connection(self.url)

    def put(self, raw):
        self.client.lpush(QUEUE, raw)

    def take_time_back(self, monkeypatch):
        monkeypatch.setattr(queues, "GIVE_BACK_S", 0)


@pytest.fixture
def private_redis(redis_server):
    return redis_server.url


@pytest.fixture
def files(tmp_path):
    found = Files(tmp_path)
    found.box()
    return found


@pytest.fixture(params=["files", "redis"])
def place(request):
    if request.param == "files":
        return request.getfixturevalue("files")
    return InRedis(request.getfixturevalue("private_redis"))


def publish(place, body, **more):
    with place.connection() as connection:
        Producer(connection).publish(body, exchange="", routing_key=QUEUE, serializer="json", **more)


def test_what_celery_writes_is_read(place):
    task_id = uuid.uuid4()
    publish(place, [[{"v": 1}], {}, {}], headers={"task": QUEUE, "id": str(task_id)})
    box = place.box()

    taken = box.take(1)
    box.done(taken)

    message = read_message(taken.raw, task=QUEUE, max_body_bytes=10_000)
    assert (message.task_id, message.envelope) == (task_id, {"v": 1})
    assert box.take(0.1) is None
    assert box.recover() == 0


def test_the_oldest_is_first(place):
    for number in range(3):
        publish(place, number)
        if isinstance(place, Files):  # their names count milliseconds
            threading.Event().wait(0.002)
    box = place.box()

    read_in_order = [box.take(1).raw for _ in range(3)]

    assert [text in raw for text, raw in zip([b"MA==", b"MQ==", b"Mg=="], read_in_order, strict=True)] == [
        True
    ] * 3


def test_what_a_killed_reader_had_comes_back_and_nothing_sooner(place, monkeypatch):
    place.put(b"precious")
    assert place.box().take(1).raw == b"precious"  # and this reader is never heard of again
    box = place.box()
    assert box.take(0.1) is None
    assert box.recover() == 0
    assert box.take(0.1) is None

    place.take_time_back(monkeypatch)
    assert box.recover() == 1

    assert box.take(1).raw == b"precious"


def test_what_is_put_back_is_taken_again(place):
    place.put(b"precious")
    box = place.box()

    box.put_back(box.take(1))

    assert box.take(1).raw == b"precious"


def test_two_readers_never_get_the_same(place):
    for number in range(50):
        place.put(b"%d" % number)
    found = []

    def take_all(_):
        box = place.box()
        while (taken := box.take(0.2)) is not None:
            found.append(taken.raw)
            box.done(taken)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(take_all, range(4)))

    assert sorted(found) == sorted(b"%d" % number for number in range(50))


class TestRedis:
    @pytest.mark.parametrize("priority", [0, 3, 5, 9])
    def test_priorities(self, private_redis, priority):
        place = InRedis(private_redis)
        publish(place, "x", priority=priority)
        assert place.box().take(1) is not None

    def test_a_prefix_leads_elsewhere(self, private_redis):
        """As the document says: a sender with a prefix is not heard."""
        place = InRedis(private_redis)
        with Connection(private_redis, transport_options={"global_keyprefix": "shop:"}) as connection:
            Producer(connection).publish("x", exchange="", routing_key=QUEUE, serializer="json")
        assert place.box().take(1) is None

    def test_calls_reach_no_queue_of_ours(self, private_redis, settings):
        settings.REDIS_URL = private_redis
        place = InRedis(private_redis)
        queues.call_task("shop.scored", "chores", {}, task_id=uuid.uuid4())
        assert place.client.keys() == [b"chores"]  # ours is roundhouse:chores


class TestFiles:
    def test_a_file_that_is_being_written_is_left(self, files):
        path = files.messages / f"1.{QUEUE}.msg"
        box = files.box()
        with path.open("wb") as file:
            assert box.take(0.1) is None  # nothing in it yet
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"half")
            file.flush()
            assert box.take(0.1) is None
        assert box.take(1).raw == b"half"

    def test_of_a_huge_file_no_more_is_read_than_tells_that_it_is_huge(self, files):
        files.put(b"x" * 1_000_000)
        assert len(files.box().take(1).raw) == 10_001

    def test_links_pipes_folders_and_others_queues_are_left(self, files):
        messages = files.messages
        (messages / f"1.{QUEUE}.msg").symlink_to("/etc/hostname")
        os.mkfifo(messages / f"2.{QUEUE}.msg")
        (messages / f"3.{QUEUE}.msg").mkdir()
        (messages / "4.shop.msg").write_bytes(b"x")
        (messages / f"5.other.{QUEUE}.msg").write_bytes(b"x")

        assert files.box().take(0.1) is None
        assert len(list(messages.iterdir())) == 5


class TestReader:
    @pytest.fixture
    def read_all(self, place):
        """Read with this function until what was put there is dealt with."""
        readers = []

        def run(receive):
            readers.append(QueueReader("test", place.box, receive, threads=2).start())

        yield run
        for reader in readers:
            reader.stop(5)

    def test_no_message_ends_it(self, place, read_all):
        seen = []

        def receive(raw):
            seen.append(raw)
            if raw == b"bad":
                raise ZeroDivisionError

        for raw in (b"bad", b"good", b"bad", b"last"):
            place.put(raw)
        read_all(receive)

        wait_until(lambda: sorted(seen) == [b"bad", b"bad", b"good", b"last"], within_s=10, what="all four")
        wait_until(lambda: place.box().take(0.1) is None, within_s=5, what="nothing left")

    @pytest.mark.django_db(transaction=True)
    def test_while_the_database_is_away_the_message_stays(self, place, read_all, monkeypatch):
        tries = []

        def receive(raw):
            tries.append(raw)
            if len(tries) < 3:
                raise OperationalError("away")

        monkeypatch.setattr("inference.doors.celery.readers._PAUSES_S", (0.01,))
        place.put(b"precious")
        read_all(receive)

        wait_until(lambda: tries == [b"precious"] * 3, within_s=10, what="three tries")

    @pytest.mark.django_db(transaction=True)
    def test_at_the_end_it_is_left_to_another(self, place):
        waits = threading.Event()

        def receive(raw):
            waits.set()
            raise OperationalError("away")

        place.put(b"precious")
        reader = QueueReader("test", place.box, receive, threads=1).start()
        assert waits.wait(5)
        reader.stop(5)

        assert place.box().take(1).raw == b"precious"

    def test_a_broker_that_comes_back_is_read_again(self, private_redis, monkeypatch):
        monkeypatch.setattr("inference.doors.celery.readers._PAUSES_S", (0.05,))
        server = PrivateRedis().start()
        seen = []
        reader = QueueReader("test", lambda: RedisQueue(server.url, QUEUE), seen.append, threads=1).start()
        try:
            server.kill()
            server.start()
            redis.Redis.from_url(server.url).lpush(QUEUE, b"precious")
            wait_until(lambda: seen == [b"precious"], within_s=15, what="the message")
        finally:
            reader.stop(5)
            server.stop()
