"""What each source of the registry finds, for whom, and with how many queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.access.policies import Role, actor_from_user
from registry.access.search import find_keys, find_people
from registry.console.search import find_models, find_requests, find_verbs, find_versions
from registry.kit.actors import Source
from registry.kit.admin.search import HITS_PER_SOURCE, SEARCH
from registry.record.models import AuditRecord
from registry.record.search import find_records
from registry.traffic import services
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_by(rf):
    def request(by=None):
        made = rf.get("/")
        made.actor = by or make.an_actor()
        return made

    return request


@pytest.fixture
def everyone(request_by):
    """A request by somebody who may do everything."""
    return request_by()


def titles(hits):
    return [hit.title for hit in hits]


class TestModelsAreFound:
    def test_by_name_title_and_tag_the_closest_name_first(self, everyone):
        make.a_model("fruit-demand")
        make.a_model("demand-hourly")
        make.a_model("demand")
        make.a_model("weather", title="Weather, for the demand")
        tagged = make.a_model("tagged")
        tagged.tags.create(name="demand")

        hits = find_models(everyone, "demand")

        assert titles(hits) == ["demand", "demand-hourly", "fruit-demand", "tagged", "weather"]
        assert hits[3].url == reverse("admin:registry_model_change", args=[tagged.pk])

    def test_within_the_scope_only(self, request_by):
        seen, _unseen = make.a_model("demand-a"), make.a_model("demand-b")

        hits = find_models(request_by(make.an_actor("read_registry", models=frozenset({seen.pk}))), "demand")

        assert titles(hits) == ["demand-a"]

    def test_by_a_text_with_wildcards_as_it_is(self, everyone):
        make.a_model("demand")

        assert find_models(everyone, "%") == []


class TestVersionsAreFound:
    @pytest.fixture
    def model(self):
        model = make.a_model("demand")
        for _ in range(3):
            make.a_version(model)
        return model

    @pytest.mark.parametrize("text", ["demand 3", "demand v3", "demand@3", "Demand V3", "dem 3", "v3"])
    def test_by_model_and_number(self, everyone, model, text):
        assert titles(find_versions(everyone, text)) == ["demand v3"]

    def test_by_the_beginning_of_the_files_hash(self, everyone, model):
        version = model.versions.get(number=2)

        hits = find_versions(everyone, version.artifact.sha256[:10].upper())

        assert reverse("admin:registry_version_change", args=[version.pk]) in [hit.url for hit in hits]

    @pytest.mark.parametrize(
        "text", ["demand", "3", "demand 4", "abc", "demand 99999999999999999999", "v 3 x"]
    )
    def test_by_nothing_else(self, everyone, model, text):
        assert find_versions(everyone, text) == []

    def test_within_the_scope_only(self, request_by, model):
        assert find_versions(request_by(make.an_actor("read_registry", models=frozenset())), "demand 3") == []


class TestVerbsAreFound:
    @pytest.fixture
    def model(self):
        return make.a_live_model(100, slug="demand")

    @pytest.mark.parametrize("text", ["stop demand", "demand stop", "STOP dem", "sto demand"])
    def test_by_words_of_the_verb_and_of_the_model(self, everyone, model, text):
        hits = find_verbs(everyone, text)

        assert titles(hits) == ["Stop: demand"]
        assert hits[0].url == reverse("admin:registry_model_stop", args=[model.pk])

    def test_if_the_state_of_the_model_allows_them(self, everyone, model):
        impossible = find_verbs(everyone, "roll back demand")
        version = make.a_version(model)
        services.set_split(model=model, arms={version: 10_000}, reason="because", by=make.an_actor())
        possible = find_verbs(everyone, "roll back demand")

        assert [(hit.title, hit.detail) for hit in impossible] == [("Roll back: demand", "not possible now")]
        assert [hit.url for hit in possible] == [reverse("admin:registry_model_roll_back", args=[model.pk])]

    def test_if_the_person_has_the_right(self, request_by, model):
        assert find_verbs(request_by(make.an_actor("read_registry")), "stop demand") == []

    @pytest.mark.parametrize("text", ["demand", "s", "weather"])
    def test_not_without_a_word_of_the_verb(self, everyone, model, text):
        assert find_verbs(everyone, text) == []


class TestApprovalRequestsAreFound:
    @pytest.fixture
    def row(self):
        model = make.a_live_model(100, slug="demand")
        version = make.a_version(model)
        services.set_approval_rule(model=model, needed=True, reason="because", by=make.an_actor())
        return services.ask_for_split(
            model=model, arms={version: 10_000}, comment="because", by=make.an_actor()
        )

    def test_by_number_and_by_model_while_they_are_open(self, everyone, row):
        for text in (f"request {row.pk}", f"#{row.pk}", str(row.pk), "demand"):
            assert titles(find_requests(everyone, text)) == [f"Request {row.pk} for demand"], text

    def test_within_the_scope_only(self, request_by, row):
        assert find_requests(request_by(make.an_actor("read_registry", models=frozenset())), "demand") == []


class TestPeopleAndKeysAreFound:
    def test_by_those_who_manage_them(self, request_by, everyone):
        person = make.a_person(Role.VIEWER, username="oksana", email="ok@example.com")
        key, _ = make.a_key("predict")

        assert [hit.url for hit in find_people(everyone, "ok@ex")] == [
            reverse("admin:auth_user_change", args=[person.pk])
        ]
        assert titles(find_keys(everyone, key.name.upper())) == [key.name]
        assert titles(find_keys(everyone, f"rh_{key.prefix}_secret")) == [key.name]
        for find, text in ((find_people, "oksana"), (find_keys, key.name)):
            assert find(request_by(make.an_actor("read_registry")), text) == []


class TestAuditRecordsAreFound:
    def test_by_request_id_and_number(self, rf, request_by, everyone):
        by = actor_from_user(make.a_person(Role.OPERATOR), Source.ADMIN, request_id="0123456789abcdef")
        model = make.a_live_model(100, slug="demand")
        services.stop_model(model=model, text="wrong answers", by=by)
        record = AuditRecord.objects.get(request_id="0123456789abcdef")

        assert [hit.url for hit in find_records(everyone, "0123456789abcdef")] == [
            reverse("admin:registry_auditrecord_change", args=[record.pk])
        ]
        assert len(find_records(everyone, f"#{record.seq}")) == 1
        assert find_records(everyone, "0123456789") == []
        assert find_records(everyone, "#999999999999999999999") == []
        assert find_records(request_by(make.an_actor("read_registry")), "0123456789abcdef") == []
        assert (
            find_records(request_by(make.an_actor("read_record", models=frozenset())), f"#{record.seq}") == []
        )


@pytest.mark.parametrize("text", ["demand", "stop", "demand v1", "123456", "split"])
def test_a_search_takes_few_queries_and_finds_few_however_many_there_are(everyone, text):
    for number in range(12):
        make.a_live_model(100, slug=f"demand-{number}")
    everyone.user = make.a_person(Role.ADMIN)
    everyone.user.has_perm("anything")

    for name, source in SEARCH.items():
        with CaptureQueriesContext(connection) as queries:
            hits = source.find(everyone, text)

        assert len(hits) <= HITS_PER_SOURCE * 3
        assert len(queries) <= (20 if name == "verbs" else 1), (name, [query["sql"] for query in queries])
