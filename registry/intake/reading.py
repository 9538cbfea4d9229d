"""How many threads of this process may read uploads: a slow sender holds one for as long as it likes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from registry.intake.errors import UploadsBusy

_places = threading.BoundedSemaphore(settings.UPLOAD_THREADS)


@contextmanager
def reading_place() -> Iterator[None]:
    """Hold a place while a body is read; raise UploadsBusy at once when there is none."""
    if not _places.acquire(blocking=False):
        raise UploadsBusy(
            f"This process reads {settings.UPLOAD_THREADS} uploads at once, and does now. Send the part again in a second."
        )
    try:
        yield
    finally:
        _places.release()
