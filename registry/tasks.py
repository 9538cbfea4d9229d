"""Gathers the rooms' tasks for Celery."""

from registry.intake import tasks as intake_tasks
from registry.kit.api import tasks as api_tasks
from registry.record import tasks as record_tasks

__all__ = ["api_tasks", "intake_tasks", "record_tasks"]
