"""What the record's tests make things with."""

import pytest
from django.db import transaction

from registry.kit.actors import Actor, Source
from registry.record.audit import AuditSubject, record_change

EVERY_RIGHT = frozenset({"manage_subscriptions", "read_record"})


@pytest.fixture
def by() -> Actor:
    return Actor(name="ada", source=Source.ADMIN, rights=EVERY_RIGHT, user_id=7, request_id="req-1")


@pytest.fixture
def add_record(by):
    def add(label: str = "fraud-score", **given):
        change = {
            "action": "set_split",
            "subject": AuditSubject("model", "1", label, model_slug=label),
            "before": {"shares": {"1": 10_000}},
            "after": {"shares": {"1": 9_000, "2": 1_000}},
            "reason": "try version 2",
            "by": by,
            **given,
        }
        with transaction.atomic():
            return record_change(**change)

    return add
