"""Rows that are inserted quickly are the rows that the slow way would have inserted."""

from datetime import timedelta

import pytest
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from inference.jobs.models import Chunk, Job
from registry.access.models import ApiKey
from registry.kit.inserts import insert_rows
from tests.support.factories import a_key, a_live_model

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def a_job(**more):
    """Texts with what a copied line would have to escape, JSON, ids, times, durations, empty columns."""
    model = a_live_model(100)
    job = Job(
        model=model, version=model.versions.get(), key=ApiKey.objects.first(), made_by='a\tb\\N\n"é\u2028', input_format="csv",
        output_format="jsonl", source="rows", chunk_rows=7, expires_at=timezone.now(), created_at=timezone.now(),
        served_at=timezone.now(), worked=timedelta(seconds=1.5), contract={"columns": {"x": ["a", 'b"\\']}}, is_gzipped=True,
    )  # fmt: skip
    for name, value in more.items():
        setattr(job, name, value)
    return job


def values_of(job):
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


def test_every_value_is_read_back_as_it_was_given():
    a_key("predict")
    jobs = [a_job(), a_job(on_done=[1, None, {"a": "\\."}], key=None)]

    insert_rows(jobs)

    for job in jobs:
        assert values_of(Job.objects.get(pk=job.pk)) == values_of(job)


def test_what_the_table_refuses_is_an_error_of_django_and_nothing_is_inserted():
    job = a_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows([job, a_job(pk=job.pk)])
    with pytest.raises((DataError, IntegrityError)), transaction.atomic():
        insert_rows([a_job(), a_job(status="failed")])

    assert not Job.objects.exists()


def test_nothing_is_no_row():
    insert_rows([])

    assert not Chunk.objects.exists()
