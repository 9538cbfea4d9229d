import re

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


def test_each_value_of_a_list_has_its_columns_title(events, client, operator):
    text = client.get(reverse("admin:registry_event_changelist")).text
    titles = re.findall(
        r'<th[^>]*scope="col">.*?</th>', text.partition("<thead>")[2].partition("</thead>")[0], re.S
    )
    row = text.partition('class="data-row')[2].partition("</tr>")[0]

    titles = [" ".join(re.sub(r"<[^>]+>|arrow_circle_\w+|cancel", " ", title).split()) for title in titles]
    assert re.findall(r'data-label="([^"]*)"', row) == titles


def test_the_first_link_of_a_page_skips_to_its_content(client, operator):
    body = client.get(reverse("admin:index")).text.partition("<body")[2]

    assert re.findall(r'<a [^>]*href="([^"]+)"', body)[0] == "#rh-main"
    assert (
        body.index('id="nav-sidebar"') < body.index('id="rh-main" tabindex="-1"') < body.index('id="content"')
    )
