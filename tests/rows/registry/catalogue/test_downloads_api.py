"""Downloads over HTTP and from the version's page: who may, what is answered, what is kept."""

import threading

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from registry.access.keys import ring
from registry.access.models import ApiKey
from registry.access.policies import Role
from registry.access.services import revoke_key
from registry.catalogue import artifacts, sending
from registry.catalogue.errors import DownloadsBusy
from registry.catalogue.sending import OpenArtifact
from registry.record.models import AuditRecord
from tests.support.factories import a_key, a_model, a_person, a_version, an_actor

pytestmark = pytest.mark.django_db
CONTENT = b"not much of a model " * 100_000
ASK = "/api/v1/models/demand/versions/1/download"


@pytest.fixture(autouse=True)
def fresh(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    ring.clear()
    yield
    ring.clear()


@pytest.fixture
def version():
    return a_version(a_model("demand"), file=artifacts.store([CONTENT]))


def with_key(*scopes, **more):
    client = APIClient()
    key, text = a_key(*scopes, **more)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client, key


def as_person(person):
    client = APIClient()
    client.force_login(person)
    return client


def ask(client, path=ASK):
    answer = client.post(path)
    assert answer.status_code == 201, answer.content
    return answer.json()["url"].removeprefix("http://testserver")


@pytest.fixture
def url(version):
    return ask(with_key("registry.download")[0])


def take(url, method="get", **headers):
    """As somebody who has nothing but the link."""
    return getattr(APIClient(), method)(url, headers=headers)


def hang_up(answer):
    """Take a piece and go, the way by which the test client ends a request without closing the test's database."""
    next(answer._iterator)
    answer._iterator.close()


class TestAsking:
    def test_the_answer_says_all_there_is_to_know(self, version):
        answer = with_key("registry.download")[0].post(ASK)

        told = answer.json()
        assert set(told) == {"url", "expires_at", "sha256", "size_bytes", "file_name"}
        assert told["url"].startswith("http://testserver/api/v1/downloads/")
        assert (told["sha256"], told["size_bytes"]) == (version.artifact.sha256, len(CONTENT))
        assert told["file_name"] == "demand-v1.onnx"
        assert answer["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", [ASK, "/api/v1/models/nothing/versions/1/download"])
    def test_another_model_is_answered_for_like_none(self, version, path):
        elsewhere = [a_model("elsewhere").pk]

        by_key = with_key("registry.download", models=elsewhere)[0].post(path)
        by_person = as_person(a_person(Role.OPERATOR, models=elsewhere)).post(path)

        assert (by_key.status_code, by_person.status_code) == (404, 404)
        assert by_key.json()["code"] == "not_found"

    def test_one_record_for_each_link_and_none_for_its_uses(self, version):
        client, key = with_key("registry.download")
        url = ask(client)
        for _ in range(3):
            assert take(url).getvalue() == CONTENT

        (record,) = AuditRecord.objects.filter(action="make_download_link")
        assert (record.key_id, record.source, record.object_label) == (key.pk, "api", "demand 1")


class TestTaking:
    def test_all_of_it_with_its_name_and_hash(self, url, version):
        answer = take(url)

        assert (answer.status_code, answer.getvalue()) == (200, CONTENT)
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Content-Disposition"] == 'attachment; filename="demand-v1.onnx"'
        assert answer["Content-Length"] == str(len(CONTENT))
        assert answer["ETag"] == f'"{version.artifact.sha256}"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Cache-Control"] == "private, no-store"
        assert answer["Accept-Ranges"] == "bytes"

    def test_head_says_what_get_would(self, url):
        whole, head = take(url), take(url, "head")
        hang_up(whole)

        assert (head.status_code, head.content) == (200, b"")
        same = ("Content-Type", "Content-Length", "Content-Disposition", "ETag", "Accept-Ranges")
        assert [head[name] for name in same] == [whole[name] for name in same]

    def test_a_lost_connection_is_gone_on_with(self, url):
        answer = take(url, Range="bytes=1500000-")

        assert (answer.status_code, answer.getvalue()) == (206, CONTENT[1_500_000:])
        assert answer["Content-Range"] == f"bytes 1500000-{len(CONTENT) - 1}/{len(CONTENT)}"
        assert answer["Content-Length"] == str(len(CONTENT) - 1_500_000)

    def test_a_range_behind_the_end_says_how_long_the_file_is(self, url):
        answer = take(url, Range=f"bytes={len(CONTENT)}-")

        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer["Content-Range"] == f"bytes */{len(CONTENT)}"

    def test_a_range_of_another_file_is_not_mixed_in(self, url, version):
        other = take(url, Range="bytes=5-9", If_Range='"another"')
        same = take(url, Range="bytes=5-9", If_Range=f'"{version.artifact.sha256}"')

        assert (other.status_code, other.getvalue()) == (200, CONTENT)
        assert (same.status_code, same.getvalue()) == (206, CONTENT[5:10])

    def test_who_has_it_gets_it_not_again(self, url, version):
        answer = take(url, If_None_Match=f'"{version.artifact.sha256}"')

        assert (answer.status_code, answer.content) == (304, b"")

    @pytest.mark.parametrize("accept", ["application/octet-stream", "text/html", "nonsense"])
    def test_accept_does_not_matter(self, url, accept):
        assert take(url, Accept=accept).getvalue() == CONTENT

    def test_an_empty_file_is_a_file(self):
        a_version(a_model("empty"), file=artifacts.store([]))
        url = ask(with_key("registry.download")[0], ASK.replace("demand", "empty"))

        answer = take(url)

        assert (answer.status_code, answer.getvalue(), answer["Content-Length"]) == (200, b"", "0")

    def test_a_forged_link_is_refused(self, url):
        assert take(url[:-1] + ("A" if url[-1] != "A" else "B")).json()["code"] == "bad_link"

    def test_an_expired_link_is_refused(self, version, settings):
        settings.DOWNLOAD_LINK_S = 0
        answer = take(ask(with_key("registry.download")[0]))

        assert (answer.status_code, answer.json()["code"]) == (403, "link_expired")

    def test_a_link_leads_to_its_own_version_where_two_models_share_a_file(self, version):
        a_version(a_model("twin"), file=artifacts.store([CONTENT]))
        url = ask(with_key("registry.download")[0], ASK.replace("demand", "twin"))

        answer = take(url)

        assert 'filename="twin-v1.onnx"' in answer["Content-Disposition"]
        hang_up(answer)

    @pytest.mark.parametrize(
        ("damage", "status", "code"),
        [
            (lambda path: path.unlink(), 404, "artifact_missing"),
            (lambda path: path.write_bytes(b"half"), 500, "artifact_damaged"),
        ],
        ids=["missing", "short"],
    )
    def test_what_is_not_whole_is_a_problem_and_no_half_file(self, url, version, damage, status, code):
        damage(artifacts.path_of(version.artifact.sha256))

        answer = take(url)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert "/" not in answer.json()["detail"]


class TestRightsAtUse:
    """Each link worked before: what is taken away counts at once."""

    def refused(self, url):
        answer = take(url)
        return (answer.status_code, answer.json()["code"]) == (403, "not_allowed")

    def works(self, url):
        answer = take(url)
        return answer.getvalue() == CONTENT

    def test_a_revoked_key(self, version):
        client, key = with_key("registry.download")
        url = ask(client)
        assert self.works(url)

        revoke_key(key=key, by=an_actor())

        assert self.refused(url)

    def test_a_key_that_lost_the_scope(self, version):
        client, key = with_key("registry.download")
        url = ask(client)

        ApiKey.objects.filter(pk=key.pk).update(scopes=["registry.read", "registry.write", "predict"])

        assert self.refused(url)

    def test_a_key_that_lost_the_model(self, version):
        client, key = with_key("registry.download", models=[version.model_id])
        url = ask(client)
        assert self.works(url)

        key.only_models.set([a_model("elsewhere")])

        assert self.refused(url)

    def test_a_person_who_was_deactivated(self, version):
        person = a_person(Role.OPERATOR)
        url = ask(as_person(person))
        assert self.works(url)

        type(person).objects.filter(pk=person.pk).update(is_active=False)

        assert self.refused(url)

    def test_a_person_who_lost_the_role(self, version):
        person = a_person(Role.OPERATOR)
        url = ask(as_person(person))

        person.groups.clear()

        assert self.refused(url)


class TestPlaces:
    @pytest.fixture(autouse=True)
    def one_place(self, monkeypatch):
        monkeypatch.setattr(sending, "_places", threading.BoundedSemaphore(1))

    def test_who_comes_while_all_are_taken_is_told_when_to_come_again(self, url, version):
        slow = OpenArtifact(version.artifact, range(len(CONTENT)), {})

        refused = take(url)
        slow.close()

        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused["Retry-After"] == "1"
        assert take(url).getvalue() == CONTENT

    @pytest.mark.parametrize("way", ["whole", "head", "broken off", "refused", "unchanged"])
    def test_every_way_to_end_gives_the_place_back(self, url, version, way):
        for _ in range(3):
            if way == "whole":
                assert take(url).getvalue() == CONTENT
            elif way == "head":
                assert take(url, "head").status_code == 200
            elif way == "broken off":
                hang_up(take(url))
            elif way == "refused":
                assert take(url, Range="bytes=99999999-").status_code == 416
            else:
                assert take(url, If_None_Match=f'"{version.artifact.sha256}"').status_code == 304

        OpenArtifact(version.artifact, range(1), {}).close()

    def test_a_file_that_is_open_holds_it(self, url, version):
        """The control of the test above."""
        answer = take(url)

        with pytest.raises(DownloadsBusy):
            OpenArtifact(version.artifact, range(1), {})
        hang_up(answer)


class TestPage:
    @pytest.fixture
    def pages(self, version):
        return (
            reverse("admin:registry_version_change", args=[version.pk]),
            reverse("admin:registry_version_download", args=[version.pk]),
        )

    def logged_in(self, client, *roles, **more):
        client.force_login(a_person(*roles, **more))
        return client

    def test_the_button_leads_to_the_file(self, client, version, pages):
        page, button = pages
        self.logged_in(client, Role.OPERATOR)

        shown = client.get(page).content.decode()
        answer = client.post(button)

        assert "Download the file" in shown
        assert version.artifact.sha256 in shown
        assert (answer.status_code, client.get(answer["Location"]).getvalue()) == (302, CONTENT)
        assert AuditRecord.objects.get(action="make_download_link").source == "admin"

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.ADMIN])
    def test_who_may_not_sees_none_and_is_refused(self, client, version, pages, role):
        page, button = pages
        self.logged_in(client, role)

        assert "Download the file" not in client.get(page).content.decode()
        assert client.post(button).status_code == 403
        assert not AuditRecord.objects.filter(action="make_download_link").exists()

    def test_a_missing_file_is_told_on_the_page(self, client, version, pages):
        page, button = pages
        self.logged_in(client, Role.OPERATOR)
        artifacts.path_of(version.artifact.sha256).unlink()

        answer = client.post(button, follow=True)

        assert answer.redirect_chain == [(page, 302)]
        assert "is not in the store" in answer.content.decode()
