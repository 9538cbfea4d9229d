"""How much a Model is asked now: what somebody should know who is about to stop it."""

from datetime import timedelta

from inference.measure.counts import Counts
from inference.measure.selectors import MINUTE, models_between, written_until
from registry.catalogue.models import Model

_LATELY = timedelta(minutes=5)


def answered_per_second(model: Model) -> float:
    """Answers a second, over the last 5 minutes that all processes have written."""
    end = written_until()
    lately = Counts()
    for counts in models_between(model_ids=[model.pk], start=end - _LATELY, end=end, step=MINUTE).get(
        model.pk, []
    ):
        if counts is not None:
            lately.add_all(counts)
    return lately.ok / _LATELY.total_seconds()
