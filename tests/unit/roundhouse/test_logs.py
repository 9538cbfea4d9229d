import io
import json
import logging

import pytest
import structlog

from roundhouse.logs import logging_config


@pytest.fixture
def lines():
    """Log lines written in a test, by the chain of the given format."""
    root, level, old = logging.getLogger(), logging.getLogger().level, logging.getLogger().handlers
    config = structlog.get_config()

    def capture(as_json):
        logging_config(as_json=as_json, level="INFO")
        stream = io.StringIO()
        root.handlers[0].setStream(stream)
        return lambda: stream.getvalue().splitlines()

    yield capture
    root.handlers = old
    root.setLevel(level)
    structlog.configure(**config)


SECRETS = {
    "key-in-text": ("said rh_abcd1234_SeCrEtSeCrEt", {}),
    "bearer": ("header Bearer SeCrEtSeCrEt", {}),
    "url-password": ("postgresql://me:SeCrEtSeCrEt@db/house", {}),
    "named-password": ("login", {"password": "SeCrEtSeCrEt"}),
    "named-token": ("x", {"access_token": "SeCrEtSeCrEt"}),
    "nested": ("x", {"headers": {"Authorization": "SeCrEtSeCrEt", "Cookie": "SeCrEtSeCrEt"}}),
    "in-list": ("x", {"urls": ["redis://:SeCrEtSeCrEt@r/0"]}),
}


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
@pytest.mark.parametrize(("text", "values"), SECRETS.values(), ids=SECRETS.keys())
def test_secret_is_masked(lines, as_json, text, values):
    written = lines(as_json)

    structlog.get_logger("t").info(text, **values)
    logging.getLogger("t").warning("%s %s", text, values.get("urls", ""))

    assert len(written()) == 2
    assert "SeCrEt" not in "".join(written())


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
@pytest.mark.parametrize("control", ["\n", "\r\n", "\x1b[2J", "\x00", "\u2028", "\x85"], ids=ascii)
def test_input_cannot_forge_a_line(lines, as_json, control):
    written = lines(as_json)

    logging.getLogger("t").warning("no model named %s", f"x{control}2026 [info] all is well")
    structlog.get_logger("t").info("named", value=f"x{control}y")

    assert len(written()) == 2
    assert not any(control in line for line in written())


def test_json_line_carries_request_id(lines):
    written = lines(as_json=True)

    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        logging.getLogger("t").warning("hello")

    line = json.loads(written()[0])
    assert (line["request_id"], line["event"], line["level"]) == ("r-1", "hello", "warning")


def test_exception_stays_one_json_line(lines):
    written = lines(as_json=True)

    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("t").exception("broke")

    assert len(written()) == 1
    assert "ValueError" in json.loads(written()[0])["exception"]
