"""What the settings say about requests."""

from django.conf import settings

from inference.doors.oip.messages import Limits


def limits() -> Limits:
    return Limits(json_bytes=settings.PREDICT_JSON_BYTES, body_bytes=settings.PREDICT_BINARY_BYTES)
