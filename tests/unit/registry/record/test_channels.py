import base64
import re

import pytest

from registry.record.channels import new_salt, secret_of, signed_headers
from tests.support.processes import ROOT
from tests.support.tables import cases

BODY = b'{"type":"test"}'
PAGE = ROOT / "docs" / "events.md"


def _signed(secret: str, **changed):
    given = {"secret": secret, "message_id": "msg_1", "timestamp": 1_700_000_000, "body": BODY}
    return signed_headers(**given | changed)


def test_the_example_of_the_specification():
    """The pair that Standard Webhooks publishes for implementers."""
    headers = signed_headers(
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_has_32_bytes_and_its_salt_does_not_tell_it(settings):
    salt = new_salt()
    secret = secret_of(salt)

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret_of(salt) == secret
    settings.SECRET_KEY = "another key, without which the database tells nothing"
    assert secret_of(salt) != secret


@pytest.fixture
def verify():
    """The receiver's function, as docs/events.md prints it."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    names: dict[str, object] = {}
    exec(code, names)
    return names["verify"]


def test_the_documented_lines_accept_what_we_sign(verify):
    secret = secret_of("salt")

    assert verify(secret, _signed(secret), BODY, now=1_700_000_100)


@cases(
    "changed, body, now",
    other_body=({}, b"{}", 1_700_000_000),
    other_id=({"webhook-id": "msg_2"}, BODY, 1_700_000_000),
    other_time=({"webhook-timestamp": "1700000001"}, BODY, 1_700_000_000),
    other_signature=({"webhook-signature": "v1,AAAA"}, BODY, 1_700_000_000),
    replayed_later=({}, BODY, 1_700_000_400),
)
def test_the_documented_lines_refuse_everything_else(verify, changed, body, now):
    secret = secret_of("salt")

    assert not verify(secret, {**_signed(secret), **changed}, body, now=now)
