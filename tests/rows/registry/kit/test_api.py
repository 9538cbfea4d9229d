import threading
from base64 import b64encode
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from registry.access import services
from registry.access.models import ApiKey, Tenant
from registry.errors import BadIdempotencyKey
from registry.kit.api import etag_of, idempotency
from registry.kit.api.idempotency import read_key
from registry.kit.api.models import IdempotencyRecord
from registry.tasks import sweep_idempotency
from tests.support.clients import client_for, signed_in
from tests.support.factories import a_model, a_person, a_tenant
from tests.support.tables import cases
from tests.support.together import at_once

pytestmark = pytest.mark.django_db
TENANTS, KEYS = "/api/v1/tenants", "/api/v1/keys"


@pytest.fixture
def api():
    return client_for("admin")


@pytest.fixture
def acme():
    return a_tenant("acme")


class TestPaging:
    def pages(self, api, path):
        while path:
            page = api.get(path).json()
            yield page
            path = page["next"]

    def test_every_row_comes_once_although_rows_are_added(self, api):
        for number in range(25):
            a_tenant(f"t-{number:02}")

        seen = []
        for page in self.pages(api, f"{TENANTS}?page_size=10"):
            assert set(page) == {"next", "previous", "results"}
            seen += [row["slug"] for row in page["results"]]
            a_tenant()

        assert seen == [f"t-{number:02}" for number in reversed(range(25))]

    def test_a_page_is_bounded(self, api):
        Tenant.objects.bulk_create(Tenant(slug=f"t-{number}") for number in range(205))

        assert len(api.get(TENANTS).json()["results"]) == 50
        assert len(api.get(f"{TENANTS}?page_size=100000").json()["results"]) == 200

    def test_no_page_counts(self, api, django_assert_max_num_queries, acme):
        with django_assert_max_num_queries(5) as captured:
            api.get(TENANTS)

        assert not any("COUNT" in query["sql"].upper() for query in captured)

    @pytest.mark.parametrize("given", ["abc", "0", "-1", "1.5", "", "٣", "1_0", " 5", "+5"], ids=ascii)
    def test_a_page_size_that_is_no_number_is_refused(self, api, given, acme):
        answer = api.get(TENANTS, {"page_size": given})

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_page_size")
        assert "1 or more" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "given", ["1", "200", "007", "9" * 5_000], ids=["least", "most", "zeros", "endless"]
    )
    def test_a_page_size_that_is_a_number(self, api, given, acme):
        assert api.get(TENANTS, {"page_size": given}).status_code == 200

    @cases(
        "cursor",
        of_something_else="eD0x",  # x=1
        and_something_else="cD0xJng9MQ==",  # p=1&x=1
        as_we_write_none="bz0w",  # o=0
        backwards_five_times="cj01",  # r=5
        not_base64="nonsense",
        not_a_number="cD1ub3RhbnVtYmVy",  # p=notanumber
        nul="cD0lMDA=",  # p=%00
        negative_offset="bz0tMQ==",  # o=-1
    )
    def test_a_made_up_cursor_is_no_page(self, api, cursor, acme):
        assert api.get(f"{TENANTS}?cursor={cursor}").status_code == 404

    @pytest.mark.both
    def test_a_cursor_too_great_for_its_column_is_no_error_of_ours(self, api, acme):
        far = b64encode(b"p=" + b"9" * 30).decode()

        assert api.get(TENANTS, {"cursor": far}).status_code in {200, 404}  # as the database compares it


@cases(
    "query, status",
    known=("slug=acme", 200),
    none=("", 200),
    misspelt=("slgu=acme", 422),
    nul=("slug=a%00b", 422),
    lookup=("slug__contains=a", 422),
)
def test_filters_ignore_nothing(api, query, status, acme):
    assert api.get(f"{TENANTS}?{query}").status_code == status


@cases(
    "body, status",
    good=(b'{"slug": "acme"}', 201),
    deep_array=(b"[" * 100_000, 400),
    deep_object=(b'{"a":' * 100_000, 400),
    nan=(b'{"slug": NaN}', 400),
    not_utf_8=(b'{"slug": "\xff"}', 400),
    lone_surrogate=(b'{"slug": "\\ud800"}', 400),
    not_an_object=(b'"acme"', 422),
    an_array=(b"[]", 422),
    empty=(b"", 422),
    too_large=(b'{"slug": "' + b"x" * 2**20 + b'"}', 413),
)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k1"}], ids=["once", "repeatable"])
def test_bodies(api, body, status, headers):
    answer = api.post(TENANTS, data=body, content_type="application/json", headers=headers)

    assert answer.status_code == status
    assert status == 201 or answer["Content-Type"] == "application/problem+json"


class TestUnknownFields:
    def test_one_beside_a_missing_field_is_named(self, api):
        answer = api.post(f"/api/v1/models/{a_model('fruit').slug}/freeze", {"text": "audit"}, format="json")

        assert (answer.status_code, len(answer.json()["errors"])) == (422, 2)
        assert answer.json()["detail"].startswith("Field `text`: Unknown; this address takes `reason`")

    def test_alone_it_is_no_error(self, api):
        body = {"reason": "audit", "colour": "red"}

        answer = api.post(f"/api/v1/models/{a_model('fruit').slug}/freeze", body, format="json")

        assert answer.status_code == 200

    def test_only_the_first_few_are_named(self, api):
        body = {f"field-{number}": 1 for number in range(1_000)}

        answer = api.post(f"/api/v1/models/{a_model('fruit').slug}/freeze", body, format="json")

        assert len(answer.json()["errors"]) == 9


class TestPreconditions:
    def test_a_change_with_the_present_etag_is_made(self, api, acme):
        seen = api.get(f"{TENANTS}/acme")["ETag"]

        answer = api.patch(f"{TENANTS}/acme", {"title": "A"}, headers={"If-Match": seen})

        assert answer.status_code == 200
        assert answer["ETag"] == api.get(f"{TENANTS}/acme")["ETag"] != seen

    def test_a_change_with_an_old_etag_is_refused(self, api, acme):
        seen = api.get(f"{TENANTS}/acme")["ETag"]
        api.patch(f"{TENANTS}/acme", {"title": "A"})

        answer = api.patch(f"{TENANTS}/acme", {"title": "B"}, headers={"If-Match": seen})

        assert (answer.status_code, answer.json()["code"]) == (412, "stale_precondition")
        assert Tenant.objects.get().title == "A"

    @cases(
        "header, status",
        any=("*", 200),
        one_of=('"other", {tag}', 200),
        weak_never_matches=("W/{tag}", 412),
        other=('"other"', 412),
        unquoted=("{bare}", 412),
    )
    def test_forms_of_if_match(self, api, header, status):
        tag = etag_of(a_tenant("acme"))
        header = header.format(tag=tag, bare=tag.strip('"'))

        assert (
            api.patch(f"{TENANTS}/acme", {"title": "A"}, headers={"If-Match": header}).status_code == status
        )

    def test_what_is_known_is_not_sent_again(self, api, acme):
        tag = api.get(f"{TENANTS}/acme")["ETag"]

        same = api.get(f"{TENANTS}/acme", headers={"If-None-Match": f"W/{tag}"})
        assert (same.status_code, same.content) == (304, b"")
        assert api.get(f"{TENANTS}/acme", headers={"If-None-Match": '"x"'}).status_code == 200

    @pytest.mark.both
    @pytest.mark.django_db(transaction=True)
    def test_of_ten_changes_with_one_etag_one_is_made(self):
        tag = etag_of(a_tenant("acme"))
        clients = [signed_in(user) for user in [a_person("admin")] * 10]

        def change(client):
            return client.patch(f"{TENANTS}/acme", {"title": "new"}, headers={"If-Match": tag}).status_code

        assert sorted(at_once(partial(change, client) for client in clients)) == [200] + [412] * 9


@cases(
    "header, key",
    none=(None, None),
    quoted=('"8e03"', "8e03"),
    bare=("8e03", "8e03"),
    escapes=(r'"a \"b\" \\"', r'a "b" \ '.strip()),
    spaces_around=(' "a" ', "a"),
    longest=("x" * 255, "x" * 255),
)
def test_keys_that_are_read(header, key):
    assert read_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "x" * 256, 'a"b', '"open', "a b", "é", '"tab\t"', '"a" "b"'])
def test_keys_that_are_refused(header):
    with pytest.raises(BadIdempotencyKey):
        read_key(header)


class TestIdempotency:
    def post(self, api, slug="acme", key='"k1"', **more):
        return api.post(TENANTS, {"slug": slug, **more}, headers={"Idempotency-Key": key})

    def test_a_repeated_request_gets_the_first_answer(self, api):
        first, second = self.post(api), self.post(api)

        assert Tenant.objects.count() == 1
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert (first["Location"], first["ETag"]) == (second["Location"], second["ETag"])
        assert "Idempotency-Replayed" not in first
        assert second["Idempotency-Replayed"] == "true"

    def test_without_a_key_the_second_request_is_another_one(self, api):
        api.post(TENANTS, {"slug": "acme"})

        assert api.post(TENANTS, {"slug": "acme"}).status_code == 409

    def test_the_same_key_with_another_body_is_refused(self, api):
        self.post(api)

        answer = self.post(api, slug="other")

        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
        assert Tenant.objects.count() == 1

    def test_the_same_key_at_another_address_is_refused(self, api):
        self.post(api)

        assert api.post(KEYS, {"slug": "acme"}, headers={"Idempotency-Key": "k1"}).status_code == 422

    def test_another_caller_has_other_keys(self, api):
        self.post(api)

        answer = self.post(client_for("admin"), slug="other")

        assert answer.status_code == 201

    def test_a_refusal_is_kept_too(self, api):
        first = self.post(api, slug="A!")
        second = self.post(api, slug="A!")

        assert (first.status_code, second.status_code) == (422, 422)
        assert second["Idempotency-Replayed"] == "true"
        assert second["Content-Type"] == "application/problem+json"
        assert first.json()["detail"] == second.json()["detail"]

    def test_what_may_succeed_later_is_not_kept(self, api, acme):
        assert self.post(api).status_code == 409
        Tenant.objects.all().delete()

        assert self.post(api).status_code == 201

    def test_after_an_error_of_ours_the_key_is_free(self, api, monkeypatch):
        monkeypatch.setattr(services, "create_tenant", lambda **_: 1 / 0)
        assert self.post(api).status_code == 500
        monkeypatch.undo()

        assert self.post(api).status_code == 201

    def test_a_bad_key_is_refused(self, api):
        assert self.post(api, key='"').json()["code"] == "bad_idempotency_key"

    def test_who_may_not_create_gets_no_record(self):
        assert self.post(client_for("viewer")).status_code == 403
        assert not IdempotencyRecord.objects.exists()

    def test_a_secret_is_not_kept(self, api, acme):
        terms = {"name": "ci", "tenant": "acme", "scopes": ["predict"]}

        first = api.post(KEYS, terms, headers={"Idempotency-Key": "k1"})
        second = api.post(KEYS, terms, headers={"Idempotency-Key": "k1"})

        assert first.json()["key"].startswith("rh_")
        assert second.json() == {**first.json(), "key": None}
        assert first.json()["key"] not in IdempotencyRecord.objects.get().body
        assert ApiKey.objects.count() == 1

    def test_while_the_first_runs_the_second_is_told_to_wait(self, api, monkeypatch):
        inner = []
        real = services.create_tenant

        def create_tenant(**given):
            inner.append(self.post(api))
            return real(**given)

        monkeypatch.setattr(services, "create_tenant", create_tenant)
        assert self.post(api).status_code == 201

        (second,) = inner
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
        assert second["Retry-After"] == "1"
        assert Tenant.objects.count() == 1

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_crash_leaves_nothing_but_a_lease(self, api, monkeypatch, moment):
        real = services.create_tenant

        def crash(**given):
            if moment == "after":
                real(**given)
            raise SystemExit

        monkeypatch.setattr(services, "create_tenant", crash)
        with pytest.raises(SystemExit):
            self.post(api)
        monkeypatch.undo()

        assert not Tenant.objects.exists()
        left = IdempotencyRecord.objects.get().leased_until - timezone.now()
        assert timedelta(0) < left <= idempotency.LEASE == timedelta(seconds=60)
        assert self.post(api).status_code == 409, "the lease holds"
        IdempotencyRecord.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
        assert self.post(api).status_code == 201
        assert Tenant.objects.count() == 1

    def test_who_lost_the_lease_loses_the_work(self, api, monkeypatch):
        real = services.create_tenant

        def overtaken(**given):
            IdempotencyRecord.objects.update(runner="somebody else")
            return real(**given)

        monkeypatch.setattr(services, "create_tenant", overtaken)

        assert self.post(api).status_code == 409
        assert not Tenant.objects.exists()

    def test_after_a_day_the_key_is_new(self, api):
        self.post(api)
        IdempotencyRecord.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert self.post(api, slug="other").status_code == 201

    def test_the_sweep_deletes_what_has_expired(self, api):
        self.post(api)
        self.post(api, slug="other", key="k2")
        IdempotencyRecord.objects.filter(key="k1").update(expires_at=timezone.now() - timedelta(seconds=1))

        sweep_idempotency()

        assert [record.key for record in IdempotencyRecord.objects.all()] == ["k2"]

    @pytest.mark.both
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("turns", [3, pytest.param(20, marks=pytest.mark.long)])
    def test_of_twenty_at_once_one_makes_it_and_all_hear_the_same(self, turns):
        clients = [signed_in(user) for user in [a_person("admin")] * 20]

        for turn in range(turns):
            is_made = threading.Event()

            def post(client, turn=turn, is_made=is_made):
                answer = self.post(client, slug=f"t-{turn}", key=f"k-{turn}")
                if answer.status_code == 409:
                    assert answer.json()["code"] == "idempotency_in_flight"
                    assert is_made.wait(60)
                    answer = self.post(client, slug=f"t-{turn}", key=f"k-{turn}")
                is_made.set()
                return answer

            answers = at_once(partial(post, client) for client in clients)

            assert {answer.status_code for answer in answers} == {201}
            assert len({answer.content for answer in answers}) == 1
            assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
        assert Tenant.objects.count() == turns

    @pytest.mark.both
    @pytest.mark.django_db(transaction=True)
    def test_without_keys_more_than_one_tries(self):
        """The control: the test above would notice."""
        clients = [signed_in(user) for user in [a_person("admin")] * 10]

        answers = at_once(partial(client.post, TENANTS, {"slug": "acme"}) for client in clients)

        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


def test_an_action_without_a_line_in_rights_is_denied(api, monkeypatch):
    from registry.access.api import TenantsView

    assert api.get(TENANTS).status_code == 200
    monkeypatch.setattr(TenantsView, "rights", {})

    assert api.get(TENANTS).status_code == 403


def test_the_description_names_the_headers():
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]

    def headers(path, method):
        parameters = paths[path][method].get("parameters", [])
        return {given["name"] for given in parameters if given["in"] == "header"}

    assert "Idempotency-Key" in headers(TENANTS, "post")
    assert "If-Match" in headers(f"{TENANTS}/{{slug}}", "patch")
    assert not headers(TENANTS, "get")
