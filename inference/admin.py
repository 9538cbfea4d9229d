"""Imports the admin pages of all subpackages, so that Django finds them."""

from inference.doors.celery import admin as celery_door_admin
from inference.jobs import admin as jobs_admin
from inference.serving.stewards import admin as workers_admin

__all__ = ["celery_door_admin", "jobs_admin", "workers_admin"]
