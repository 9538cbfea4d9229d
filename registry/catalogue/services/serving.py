"""Serving settings: every change is a new revision."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from registry.access.policies import Right
from registry.catalogue.announce import lock_model, stamp
from registry.catalogue.models import ServingSettings, Version
from registry.catalogue.serving_settings import ServingValues, checked_values
from registry.catalogue.validation import checked_reason
from registry.errors import StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change


@transaction.atomic
def change_serving(
    *,
    version: Version,
    changes: Mapping[str, Any],
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> ServingSettings:
    """Write the next revision of a version's serving settings; what `changes` does not name stays."""
    by.check(Right.WRITE, model_id=version.model_id)
    why = checked_reason(reason)
    present = lock_model(version.model)
    old = version.serving_settings.get(is_current=True)
    if expected_revision is not None and old.revision != expected_revision:
        raise StaleState(f"The serving settings of {version} were changed since you read them; look again.")
    values = checked_values(ServingValues.from_json(old.values), changes)
    if not ServingSettings.objects.filter(pk=old.pk, is_current=True).update(is_current=False):
        raise StaleState(f"The serving settings of {version} were changed at the same moment; look again.")
    new = ServingSettings.objects.create(
        version=version,
        revision=old.revision + 1,
        values=values.to_json(),
        reason=why,
        made_by=by.name[:200],
    )
    stamp(present)
    changed = [name for name, value in new.values.items() if old.values.get(name) != value]
    record_change(
        action="change_serving",
        subject=version,
        before={name: old.values.get(name) for name in changed},
        after={"revision": new.revision, **{name: new.values[name] for name in changed}},
        reason=why,
        by=by,
    )
    return new
