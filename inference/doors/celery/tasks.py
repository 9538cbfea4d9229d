"""Celery entry points of the door."""

from celery import shared_task

from inference.doors.celery import replies
from inference.jobs import dispatch


@shared_task(name=dispatch.REPLY_TO_SENDER)
def tell_sender(job_id: str) -> None:
    replies.reply(job_id)


@shared_task(name=dispatch.SWEEP_REPLIES)
def sweep_senders() -> None:
    replies.sweep_replies()
