import uuid

import pytest

from inference.doors.celery import predictions
from inference.doors.celery.predictions import PREDICT
from tests.support.factories import a_key
from tests.support.sending import raw, signed


@pytest.fixture
def ask(monkeypatch):
    """The answer to a question, as it is stored for its sender."""
    stored = []
    monkeypatch.setattr(predictions, "_store_answer", lambda envelope, answer: stored.append(answer))
    key = a_key("predict")[1]

    def ask(**question):
        task_id = str(uuid.uuid4())
        predictions.receive(raw(signed(key, task_id, question, task=PREDICT), task_id, task=PREDICT))
        return stored.pop()

    return ask
