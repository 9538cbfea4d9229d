"""Logging: JSON in production, readable text elsewhere. One event is one line, without secrets."""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

# API keys (rh_<prefix>_<secret>), bearer tokens and passwords in URLs, anywhere in a string.
_SECRET_TEXT = re.compile(r"(rh_[a-z0-9]{8}_)[A-Za-z0-9_-]+|((?i:bearer) )\S+|(://[^/\s:@]*:)[^/\s@]+(?=@)")
_SECRET_NAME = re.compile(r"password|passwd|secret|token|authorization|api_?key|cookie", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _redact_text(text: str) -> str:
    return _SECRET_TEXT.sub(
        lambda match: next(group for group in match.groups() if group) + "[redacted]", text
    )


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _redact_text(value)
    if isinstance(value, dict):
        return {
            key: "[redacted]" if _SECRET_NAME.search(str(key)) else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values whose name suggests a secret, and secrets inside any string."""
    cleaned: EventDict = _clean(dict(event))
    return cleaned


def escape_control(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters in text lines, so that input cannot forge a line. JSON escapes them anyway."""
    return {
        key: _CONTROL.sub(lambda match: ascii(match[0])[1:-1], value)
        if isinstance(value, str) and key != "exception"
        else value
        for key, value in event.items()
    }


def _drop_internal(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event


def logging_config(*, as_json: bool, level: str) -> None:
    """Send structlog's and the standard library's lines through the same processors to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    tail: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if as_json
        else [escape_control, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[_drop_internal, redact, *tail]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Celery writes two lines for every chore, several per second.
    celery = ("celery.worker.strategy", "celery.app.trace", "celery.worker.consumer.connection")
    for noisy in ("kombu", "amqp", "boto3", "botocore", "urllib3", "django.utils.autoreload", *celery):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
