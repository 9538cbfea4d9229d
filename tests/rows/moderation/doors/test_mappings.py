"""Mapping labels of detectors to categories: the services, the API and the page."""

import json

import pytest
from django.test import Client

from moderation.doors.categories import table
from moderation.doors.categories.models import CategoryMapping
from moderation.doors.categories.protocols import ForeignProtocol
from moderation.doors.categories.services import (
    LabelMapping,
    add_category_mapping,
    mappings_of,
    remove_category_mapping,
    set_category_mappings,
)
from moderation.errors import InvalidMapping
from moderation.rights import ModerationRight
from registry.errors import NotAllowed
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.detectors import a_policy, put_seed_detectors
from tests.support.factories import a_key, a_model, a_person, an_actor

pytestmark = pytest.mark.django_db
OPENAI = ForeignProtocol.OPENAI
TOXIC = LabelMapping("toxicity", "toxic", "harassment")
ADDRESS = "/api/v1/category-mappings/openai"
PAGE = "/admin/moderation/categorymapping/"


@pytest.fixture
def models(db):
    a_model("toxicity", task="text-classification")
    a_model("nsfw", task="image-classification")


def _put(*mappings, by=None):
    return set_category_mappings(protocol=OPENAI, mappings=mappings, by=by or an_actor())


def _last_sentence():
    return describe(AuditRecord.objects.latest("seq"))


def test_setting_replaces_all_mappings_of_the_protocol(models):
    _put(TOXIC, LabelMapping("nsfw", "nsfw", "sexual"))
    other = LabelMapping("nsfw", "nsfw", "SEXUALLY_EXPLICIT")
    set_category_mappings(protocol=ForeignProtocol.PERSPECTIVE, mappings=[other], by=an_actor())

    _put(TOXIC, LabelMapping("nsfw", "nsfw"))

    assert mappings_of(OPENAI) == [LabelMapping("nsfw", "nsfw", ""), TOXIC]
    assert mappings_of(ForeignProtocol.PERSPECTIVE) == [other]
    assert _last_sentence() == (
        "mapped for OpenAI: nsfw: nsfw → no category; removed for OpenAI: nsfw: nsfw → sexual"
    )


def test_setting_the_same_records_nothing(models):
    _put(TOXIC)
    records = AuditRecord.objects.count()

    _put(TOXIC, TOXIC)

    assert AuditRecord.objects.count() == records
    assert mappings_of(OPENAI) == [TOXIC]


def test_adding_and_removing(models):
    hate = TOXIC._replace(category="hate")
    add_category_mapping(protocol=OPENAI, mapping=TOXIC, by=an_actor())
    add_category_mapping(protocol=OPENAI, mapping=hate, by=an_actor())
    remove_category_mapping(protocol=OPENAI, mapping=TOXIC, by=an_actor())

    assert mappings_of(OPENAI) == [hate]
    assert _last_sentence() == "removed for OpenAI: toxicity: toxic → harassment"


def test_a_label_counts_for_categories_or_for_none(models):
    none = TOXIC._replace(category="")
    for mapping in (TOXIC, TOXIC._replace(category="hate"), none):
        add_category_mapping(protocol=OPENAI, mapping=mapping, by=an_actor())
    assert mappings_of(OPENAI) == [none]

    add_category_mapping(protocol=OPENAI, mapping=TOXIC, by=an_actor())
    assert mappings_of(OPENAI) == [TOXIC]

    with pytest.raises(InvalidMapping, match="cannot count for a category and for none"):
        _put(TOXIC, none)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (TOXIC._replace(category="TOXICITY"), "category"),
        (TOXIC._replace(detector="gone"), "detector"),
        (TOXIC._replace(label=" "), "label"),
        (TOXIC._replace(label="a" * 201), "label"),
    ],
    ids=["category", "detector", "empty label", "long label"],
)
def test_wrong_mappings_are_refused(models, wrong, field):
    with pytest.raises(InvalidMapping) as caught:
        _put(TOXIC, wrong)

    assert caught.value.place == ("mappings", 1, field)
    assert mappings_of(OPENAI) == []


def test_too_many_mappings_are_refused(models):
    with pytest.raises(InvalidMapping, match="at most 1,000"):
        _put(*(TOXIC._replace(label=f"label {number}") for number in range(1_001)))


def test_what_is_not_mapped_cannot_be_removed(models):
    with pytest.raises(InvalidMapping, match="somebody else removed it"):
        remove_category_mapping(protocol=OPENAI, mapping=TOXIC, by=an_actor())


def test_only_those_who_edit_policies_may_map(models):
    reader = an_actor(ModerationRight.READ_POLICIES)
    for change in (
        lambda: _put(TOXIC, by=reader),
        lambda: add_category_mapping(protocol=OPENAI, mapping=TOXIC, by=reader),
        lambda: remove_category_mapping(protocol=OPENAI, mapping=TOXIC, by=reader),
    ):
        with pytest.raises(NotAllowed):
            change()


def test_the_snapshot_follows_with_one_query(models, django_assert_num_queries):
    table.refresh()
    assert table.current().categories_of("openai", "nsfw", "nsfw") == ("sexual",)
    add_category_mapping(protocol=OPENAI, mapping=LabelMapping("nsfw", "nsfw"), by=an_actor())

    table.refresh()
    assert table.current().categories_of("openai", "nsfw", "nsfw") == ()
    with django_assert_num_queries(1):
        table.refresh()

    remove_category_mapping(protocol=OPENAI, mapping=LabelMapping("nsfw", "nsfw"), by=an_actor())
    table.refresh()
    assert table.current().categories_of("openai", "nsfw", "nsfw") == ("sexual",)


def test_a_removed_row_between_others_is_noticed(models):
    for category in ("hate", "harassment", "violence"):
        add_category_mapping(protocol=OPENAI, mapping=TOXIC._replace(category=category), by=an_actor())
    table.refresh()
    CategoryMapping.objects.filter(category="harassment").delete()

    table.refresh()

    assert set(table.current().categories_of("openai", "toxicity", "toxic")) == {"hate", "violence"}


class _Api:
    def __init__(self):
        self.client = Client()
        self.client.force_login(a_person("policy_editor"))

    def get(self):
        return self.client.get(ADDRESS)

    def put(self, *mappings, **headers):
        body = json.dumps({"mappings": [one._asdict() for one in mappings]})
        return self.client.put(ADDRESS, body, "application/json", headers=headers)


def test_a_tenants_key_reads_what_it_cannot_replace(models):
    _put(TOXIC)
    key = {"Authorization": f"Bearer {a_key('policies.write')[1]}"}
    body = json.dumps({"mappings": []})

    refused = Client().put(ADDRESS, body, "application/json", headers=key)

    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert "only people change them" in refused.json()["detail"]
    assert Client().get(ADDRESS, headers=key).json()["mappings"] == [TOXIC._asdict()]


def test_the_api_shows_and_replaces(models):
    api = _Api()
    assert api.put(TOXIC).json()["mappings"] == [TOXIC._asdict()]

    shown = api.get()

    assert shown.json()["protocol"] == "openai"
    assert shown.json()["categories"][0] == "harassment"
    assert shown.json()["mappings"] == [TOXIC._asdict()]
    assert api.put(**{"If-Match": '"older"'}).status_code == 412
    assert api.put(**{"If-Match": shown["ETag"]}).json()["mappings"] == []


def test_the_api_names_what_is_wrong(models):
    problem = _Api().put(TOXIC._replace(category="anger"))

    assert problem.status_code == 422
    assert problem.json()["code"] == "invalid_mapping"
    assert problem.json()["errors"][0]["pointer"] == "#/mappings/0/category"
    assert _Api().client.get("/api/v1/category-mappings/azure").status_code == 404


@pytest.fixture
def page(transactional_db, tmp_path, client):
    put_seed_detectors(tmp_path)
    a_policy()
    client.force_login(a_person("policy_editor"))
    return client


def test_the_page_offers_the_labels_of_the_policies_detectors(page):
    text = page.get(PAGE).content.decode()

    for label in ("toxic", "nsfw", "PER", "ID", "weapon", "drugs"):
        assert f'<td data-label="Label">{label}</td>' in text
    assert "B-PER" not in text
    assert "sexual<small>usual</small>" in text
    assert '<option value="personal-data">' in text


def test_the_page_maps_and_removes(page):
    fields = TOXIC._asdict()
    assert page.post(f"{PAGE}openai/add/", fields, follow=True).status_code == 200
    assert mappings_of(OPENAI) == [TOXIC]
    assert "Remove toxicity: toxic → harassment" in page.get(PAGE).content.decode()

    page.post(f"{PAGE}openai/remove/", fields)

    assert mappings_of(OPENAI) == []


def test_the_link_of_a_label_opens_the_form_for_it(page):
    text = page.get(PAGE).content.decode()
    assert "?protocol=openai&amp;detector=toxicity&amp;label=toxic#rh-openai-category" in text
    assert "<details open" not in text.replace(' class="rh-more"', "")

    text = page.get(f"{PAGE}?protocol=openai&detector=toxicity&label=toxic").content.decode()

    assert text.replace(' class="rh-more"', "").count("<details open") == 1
    assert 'value="toxic"' in text


def test_the_page_shows_what_is_wrong(page):
    answer = page.post(f"{PAGE}openai/add/", {**TOXIC._asdict(), "detector": "gone"})
    assert "There is no Model &#x27;gone&#x27;." in answer.content.decode()
    answer = page.post(f"{PAGE}openai/add/", {**TOXIC._asdict(), "label": ""})
    assert "This field is required." in answer.content.decode()
    assert page.post(f"{PAGE}azure/add/", TOXIC._asdict()).status_code == 404
    answer = page.post(f"{PAGE}openai/remove/", TOXIC._asdict(), follow=True)
    assert "somebody else removed it" in answer.content.decode()


def test_readers_see_the_page_without_its_forms(page):
    page.force_login(a_person("viewer"))

    assert "Map a label" not in page.get(PAGE).content.decode()
    assert page.post(f"{PAGE}openai/add/", TOXIC._asdict()).status_code == 403
    assert mappings_of(OPENAI) == []
