"""Downloads over HTTP and from the version's page: who may, what is answered, what is kept."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from rest_framework.test import APIClient

from registry.access.models import ApiKey
from registry.access.policies import Role
from registry.access.services import revoke_key
from registry.catalogue import artifacts
from registry.record.models import AuditRecord
from tests.support.clients import by_key, client_with, signed_in
from tests.support.factories import a_key, a_model, a_person, a_version, an_actor

pytestmark = pytest.mark.django_db
CONTENT = b"not much of a model " * 100_000
ASK = "/api/v1/models/demand/versions/1/download"


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def version():
    return a_version(a_model("demand"), file=artifacts.store([CONTENT]))


def with_key(*scopes, **more):
    key, text = a_key(*scopes, **more)
    return by_key(text), key


def ask(client, path=ASK):
    answer = client.post(path)
    assert answer.status_code == 201, answer.content
    return answer.json()["url"].removeprefix("http://testserver")


@pytest.fixture
def url(version):
    return ask(client_with("registry.download"))


def take(url, method="get", **headers):
    """As somebody who has nothing but the link."""
    return getattr(APIClient(), method)(url, headers=headers)


def hang_up(answer):
    """Take a piece and go, the way by which the test client ends a request without closing the test's database."""
    next(answer._iterator)
    answer._iterator.close()


class TestAsking:
    def test_the_answer_says_all_there_is_to_know(self, version):
        answer = client_with("registry.download").post(ASK)

        told = answer.json()
        assert set(told) == {"url", "expires_at", "sha256", "size_bytes", "file_name"}
        assert told["url"].startswith("http://testserver/api/v1/downloads/")
        assert (told["sha256"], told["size_bytes"]) == (version.artifact.sha256, len(CONTENT))
        assert told["file_name"] == "demand-v1.onnx"
        assert answer["Cache-Control"] == "no-store"

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

    def test_accept_does_not_matter(self, url):
        assert take(url, Accept="nonsense").getvalue() == CONTENT

    def test_an_empty_file_is_a_file(self):
        a_version(a_model("empty"), file=artifacts.store([]))
        url = ask(client_with("registry.download"), ASK.replace("demand", "empty"))

        answer = take(url)

        assert (answer.status_code, answer.getvalue(), answer["Content-Length"]) == (200, b"", "0")

    def test_a_forged_link_is_refused(self, url):
        assert take(url[:-1] + ("A" if url[-1] != "A" else "B")).json()["code"] == "bad_link"

    def test_an_expired_link_is_refused(self, version, settings):
        settings.DOWNLOAD_LINK_S = 0
        answer = take(ask(client_with("registry.download")))

        assert (answer.status_code, answer.json()["code"]) == (403, "link_expired")

    def test_a_link_leads_to_its_own_version_where_two_models_share_a_file(self, version):
        a_version(a_model("twin"), file=artifacts.store([CONTENT]))
        url = ask(client_with("registry.download"), ASK.replace("demand", "twin"))

        answer = take(url)

        assert 'filename="twin-v1.onnx"' in answer["Content-Disposition"]
        hang_up(answer)

    @pytest.mark.parametrize(
        ("damage", "status", "code"),
        [
            (lambda path: path.unlink(), 404, "artifact_missing"),
            (lambda path: path.write_bytes(b"half"), 500, "artifact_damaged"),
            (lambda path: path.write_bytes(b"x" + CONTENT[1:]), 500, "artifact_damaged"),
        ],
        ids=["missing", "short", "other-bytes"],
    )
    def test_what_is_not_whole_is_a_problem_and_no_half_file(self, url, version, damage, status, code):
        damage(artifacts.path_of(version.artifact.sha256))

        answer = take(url)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert "/" not in answer.json()["detail"]


class TestRightsAtUse:
    """Each link worked before: what is taken away counts at once."""

    @pytest.mark.parametrize(
        "take_away",
        [
            lambda key: revoke_key(key=key, by=an_actor()),
            lambda key: ApiKey.objects.update(scopes=["registry.read", "registry.write", "predict"]),
            lambda key: key.only_models.set([a_model("elsewhere")]),
        ],
        ids=["revoked", "lost the scope", "lost the Model"],
    )
    def test_a_key(self, version, take_away):
        client, key = with_key("registry.download", models=[version.model_id])
        url = ask(client)
        assert take(url).getvalue() == CONTENT

        take_away(key)

        assert take(url).json()["code"] == "not_allowed"

    @pytest.mark.parametrize(
        "take_away",
        [lambda person: User.objects.update(is_active=False), lambda person: person.groups.clear()],
        ids=["deactivated", "lost the role"],
    )
    def test_a_person(self, version, take_away):
        person = a_person(Role.OPERATOR)
        url = ask(signed_in(person))
        assert take(url).getvalue() == CONTENT

        take_away(person)

        assert take(url).json()["code"] == "not_allowed"


class TestTaskFiles:
    FILE = "/api/v1/models/tone/versions/1/files/tokenizer.json"

    @pytest.fixture(autouse=True)
    def version(self):
        return a_version(
            a_model("tone", task="text-classification"),
            task_config={"labels": ["a", "b"]},
            task_files={"tokenizer.json": artifacts.store([b'{"version": "1.0"}']).sha256},
        )

    def test_one_is_sent_as_an_attachment_and_adds_nothing_to_the_chain(self, version):
        client, before = client_with("registry.download"), AuditRecord.objects.count()

        answer = client.get(self.FILE)

        assert (answer.status_code, answer.getvalue()) == (200, b'{"version": "1.0"}')
        assert answer["Content-Disposition"] == 'attachment; filename="tokenizer.json"'
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["ETag"] == f'"{version.task_files["tokenizer.json"]}"'
        assert AuditRecord.objects.count() == before

    def test_what_sends_nothing(self, version):
        client = client_with("registry.download")

        head = client.head(self.FILE)
        unchanged = client.get(self.FILE, headers={"If-None-Match": head["ETag"]})
        behind = client.get(self.FILE, headers={"Range": "bytes=99-"})

        assert [head.status_code, unchanged.status_code, behind.status_code] == [200, 304, 416]

    def test_a_part(self):
        answer = client_with("registry.download").get(self.FILE, headers={"Range": "bytes=2-8"})

        assert (answer.status_code, answer.getvalue()) == (206, b"version")

    @pytest.mark.parametrize("name", ["vocab.txt", "..%2Ftokenizer.json", "%2e%2e"])
    def test_other_names_are_not_found(self, name):
        answer = client_with("registry.download").get(self.FILE.replace("tokenizer.json", name))

        assert answer.status_code == 404

    @pytest.mark.parametrize("scope", ["registry.read", "registry.write", "predict"])
    def test_who_may_not_download_gets_none(self, scope):
        assert client_with(scope).get(self.FILE).status_code == 403

    def test_a_key_of_other_models_gets_none(self):
        client, _ = with_key("registry.download", models=[a_model("elsewhere").pk])

        assert client.get(self.FILE).status_code == 404

    def test_a_missing_one_is_told(self, version):
        artifacts.path_of(version.task_files["tokenizer.json"]).unlink()

        assert client_with("registry.download").get(self.FILE).json()["code"] == "artifact_missing"


def held(version):
    """How many open files of this process are the version's."""
    path = os.fspath(artifacts.path_of(version.artifact.sha256))
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # one of them was for the listing
            found += os.readlink(descriptor) == path
    return found


class TestOpenFiles:
    @pytest.mark.parametrize(
        "way",
        [
            lambda url, _: take(url).getvalue(),
            lambda url, _: take(url, "head"),
            lambda url, _: hang_up(take(url)),
            lambda url, _: take(url, Range="bytes=99999999-"),
            lambda url, sha256: take(url, If_None_Match=f'"{sha256}"'),
        ],
        ids=["whole", "head", "broken off", "refused", "unchanged"],
    )
    def test_every_way_to_end_closes_the_file(self, url, version, way):
        way(url, version.artifact.sha256)

        assert held(version) == 0

    def test_an_answer_that_has_not_ended_holds_it(self, url, version):
        """The control of the test above."""
        answer = take(url)

        assert held(version) == 1
        hang_up(answer)
        assert held(version) == 0

    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [({}, 0, len(CONTENT)), ({"Range": "bytes=3-6"}, 3, 7)],
        ids=["whole", "a part"],
    )
    def test_a_server_that_sends_files_by_itself_is_told_which_part_of_which(
        self, url, version, asked, start, stop
    ):
        answer = take(url, **asked)

        path, part = answer.file_part
        assert path.read_bytes()[part.start : part.stop] == answer.getvalue() == CONTENT[start:stop]


class TestPage:
    def address(self, version, verb="change"):
        return reverse(f"admin:registry_version_{verb}", args=[version.pk])

    def test_the_button_leads_to_the_file(self, client, operator, version):
        shown = client.get(self.address(version), {"tab": "file"}).text
        answer = client.post(self.address(version, "download"))

        assert "Download file" in shown
        assert version.artifact.sha256 in shown
        assert (answer.status_code, client.get(answer["Location"]).getvalue()) == (302, CONTENT)
        assert AuditRecord.objects.get(action="make_download_link").source == "admin"

    def test_who_may_not_sees_no_button(self, client, viewer, version):
        assert "Download file" not in client.get(self.address(version), {"tab": "file"}).text

    def test_a_missing_file_is_told_on_the_page(self, client, operator, version):
        artifacts.path_of(version.artifact.sha256).unlink()

        answer = client.post(self.address(version, "download"), follow=True)

        assert answer.redirect_chain == [(f"{self.address(version)}?tab=file", 302)]
        assert "is not in the store" in answer.text
