"""Bodies of golden sets may be larger than any other, and reach their view whole."""

from http.client import HTTPConnection

import pytest

from roundhouse.django_threads import MAX_BODY_BYTES

LENGTH = MAX_BODY_BYTES + 2**20
GOLDEN_SET = "/api/v1/models/ripeness/golden-set?metric=accuracy"
BLANK_LINE = b" " * (2**20 - 1) + b"\n"


@pytest.fixture
def send(embedded):
    connection = HTTPConnection("127.0.0.1", embedded.port, timeout=60)

    def send_to(path, method, body=()):
        connection.putrequest(method, path)
        connection.putheader("Authorization", f"Bearer {embedded.credentials['api_key']}")
        connection.putheader("Content-Length", str(LENGTH))
        connection.endheaders()
        for piece in body:
            connection.send(piece)
        answer = connection.getresponse()
        return answer.status, answer.read()

    yield send_to
    connection.close()


def test_a_golden_set_above_the_limit_of_others_is_read_to_its_end(send):
    assert LENGTH % len(BLANK_LINE) == 0

    status, said = send(GOLDEN_SET, "PUT", [BLANK_LINE] * (LENGTH // len(BLANK_LINE)))

    assert (status, b"The golden set is empty" in said) == (422, True)


@pytest.mark.parametrize("path", ["/api/v1/uploads", "/admin/registry/model/1/golden-set/"])
def test_other_addresses_refuse_it_unread(send, path):
    assert send(path, "POST")[0] == 413
