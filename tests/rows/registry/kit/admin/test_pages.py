import pytest
from django.urls import reverse

from registry.kit.admin import pages
from registry.kit.admin.pages import NoCountPaginator
from registry.record.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def events():
    Event.objects.bulk_create(
        Event(kind="test", object_kind="x", object_label="x", summary=str(n), model_slug="fruit")
        for n in range(7)
    )
    return Event.objects.all()


def test_a_short_list_is_counted(events):
    paginator = NoCountPaginator(events, 3)

    assert (paginator.count, paginator.num_pages, paginator.is_cut) == (7, 3, False)
    assert len(paginator.page(3).object_list) == 1


def test_a_long_one_is_cut(events, monkeypatch):
    monkeypatch.setattr(pages, "COUNT_AT_MOST", 5)
    paginator = NoCountPaginator(events, 3)

    assert (paginator.count, paginator.num_pages, paginator.is_cut) == (5, 2, True)


def test_the_header_of_a_cut_list_says_so(events, monkeypatch, client, operator):
    address = reverse("admin:registry_event_changelist")
    assert "7 results (" in client.get(address, {"model_slug": "fruit"}).text

    monkeypatch.setattr(pages, "COUNT_AT_MOST", 5)

    assert "at least 5 results (" in client.get(address, {"model_slug": "fruit"}).text


@pytest.mark.both
def test_the_database_stops_counting_at_the_limit(events, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(pages, "COUNT_AT_MOST", 5)

    with django_assert_num_queries(1) as queries:
        NoCountPaginator(events, 3).count  # noqa: B018

    assert "LIMIT 5" in queries[0]["sql"]


def test_a_plain_list_works_too():
    assert NoCountPaginator([1, 2, 3], 2).num_pages == 2
