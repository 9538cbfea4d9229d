"""Rows written past the services, as a shell would write them."""

from django.db import IntegrityError, transaction


def passes(row) -> bool:
    """Whether the database takes this row."""
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return False
    return True
