"""Django's streamed responses, completed before they are sent."""

import asyncio
import time
from contextlib import closing

import pytest
from django.http import StreamingHttpResponse

from registry.console.golden_set import MAX_PAGE_ZIP_BYTES
from registry.intake.examples.rows import MAX_SET_BYTES
from roundhouse.django_threads import MAX_BODY_BYTES, DjangoThreads, max_body_bytes
from roundhouse.rsgi import MAX_PIECE_BYTES
from roundhouse.spool import Spool


@pytest.fixture
def threads():
    with (
        closing(asyncio.new_event_loop()) as loop,
        closing(Spool(loop)) as spool,
        closing(DjangoThreads(spool)) as threads,
    ):
        yield threads


def test_many_small_pieces_take_linear_time(threads):
    """Each added to bytes would copy all that were before it: minutes for what takes a tenth of a second."""
    response = StreamingHttpResponse(b"x" for _ in range(MAX_PIECE_BYTES))
    began_s = time.thread_time()

    body = threads._body(response)

    assert body == b"x" * MAX_PIECE_BYTES
    assert time.thread_time() - began_s < 10


def test_a_long_stream_goes_to_a_file(threads):
    lines = [f"line {number}\n".encode() for number in range(MAX_PIECE_BYTES // 8)]

    path, part = threads._body(StreamingHttpResponse(iter(lines)))

    assert path.read_bytes() == b"".join(lines)
    assert part == range(len(b"".join(lines)))


def test_a_form_has_room_for_the_largest_zip_and_its_fields_and_not_for_much_more():
    assert MAX_PAGE_ZIP_BYTES < MAX_BODY_BYTES < 70 * 2**20


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/api/v1/models/figures/golden-set", MAX_SET_BYTES),
        ("/api/v1/models/figures/golden-results", MAX_BODY_BYTES),
        ("/api/v1/models/figures/golden-set/more", MAX_BODY_BYTES),
        ("/api/v1/models/a/b/golden-set", MAX_BODY_BYTES),
        ("/admin/registry/model/1/golden-set/", MAX_BODY_BYTES),
        ("/api/v1/jobs", MAX_BODY_BYTES),
    ],
)
def test_only_the_address_of_golden_sets_takes_larger_bodies(path, most):
    assert max_body_bytes(path) == most
