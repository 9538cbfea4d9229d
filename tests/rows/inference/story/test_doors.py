"""The story over HTTP, on its page, and in a terminal: for whom, and for which ids."""

import hashlib
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from inference.serving import request_id
from inference.story.search import find_story
from inference.story.selectors import GONE, NOT_OURS, story_of
from registry.access.keys import ring
from registry.access.policies import Right, Role
from registry.errors import NotFound
from registry.traffic.services import stop_model
from tests.support.factories import a_key, a_model, a_person, an_actor

pytestmark = pytest.mark.django_db
EVIL = "<img src=x onerror=alert(1)>"


def _get(client, text, *scopes, **more):
    ring.clear()
    key = a_key(*(scopes or ("registry.read",)), **more)[1]
    return client.get(f"/api/v1/story/{text}", headers={"Authorization": f"Bearer {key}"})


def _forged(text):
    """Every way to come near a signed id."""
    swapped = "B" if text[20] != "B" else "C"
    return {
        "another version": text[:20] + swapped + text[21:],
        "truncated": text[:-4],
        "longer": text + "AAAA",
        "without padding": text.rstrip("="),
        "another MAC": text[:-8] + "AAAAAAA=",
        "not an id": "0123456789abcdef0123456789abcdef",
    }


class TestOverHttp:
    def test_a_key_that_reads_the_registry_is_told(self, client, predict, live):
        text = predict()

        answer = _get(client, text)

        told = answer.json()
        assert answer.status_code == 200
        assert (told["request_id"], told["model"], told["version"]) == (text, "ripeness", 1)
        assert [chapter["name"] for chapter in told["chapters"]] == [
            "answer", "split", "approval", "settings", "state", "changes",
        ]  # fmt: skip
        first = told["chapters"][0]
        assert first["facts"]["version"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["facts"]["answered"])
        assert first["links"][0]["url"].endswith(f"/admin/registry/model/{live.model_id}/change/")
        assert first["links"][0]["url"].startswith("http")

    def test_what_is_not_signed_here_is_unknown(self, client, predict, monkeypatch):
        text = predict()
        with monkeypatch.context() as elsewhere:
            other = hashlib.blake2b(key=b"another installation", digest_size=8)
            elsewhere.setattr(request_id, "_keyed", lambda: other)
            foreign = request_id.make(version_id=1, split=1, arm="a", routing_key=None)

        for name, wrong in {**_forged(text), "foreign": foreign}.items():
            refused = _get(client, wrong)
            assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), name
            assert refused.json()["detail"] == NOT_OURS, name
            assert NOT_OURS.startswith("This is not a request id of this installation.")

    def test_a_forged_id_reaches_no_row(self, predict, django_assert_num_queries):
        text = predict()

        with django_assert_num_queries(0), pytest.raises(NotFound):
            story_of(_forged(text)["another version"], an_actor())

    def test_a_model_that_is_out_of_reach_looks_like_an_unknown_id(self, client, predict):
        text = predict()
        other = a_model()

        hidden, unknown = (
            _get(client, each, "registry.read", models=[other.pk])
            for each in (text, _forged(text)["truncated"])
        )

        assert (hidden.status_code, hidden.json()["detail"]) == (404, NOT_OURS)
        assert (unknown.status_code, unknown.json()["detail"]) == (404, NOT_OURS)
        assert _get(client, text, "predict").status_code == 403

    def test_a_version_that_is_gone(self, client, predict):
        gone = request_id.make(version_id=10**6, split=1, arm="a", routing_key=None)

        assert _get(client, gone).json()["detail"] == GONE
        limited = _get(client, gone, "registry.read", models=[a_model().pk])
        assert limited.json()["detail"] == NOT_OURS


class TestPage:
    @pytest.fixture
    def sign_in(self, client):
        def sign_in(*roles, **more):
            client.force_login(a_person(*roles, **more))

        return sign_in

    def page(self, client, text=""):
        return client.get(reverse("story"), {"id": text} if text else {})

    def test_without_an_id_it_says_where_ids_are(self, client, sign_in):
        sign_in(Role.VIEWER)

        shown = self.page(client).content.decode()

        assert reverse("story") == "/admin/story/"
        for place in ("X-Request-ID", "request_id", "x-request-id", "Try it"):
            assert place in shown
        assert 'name="id"' in shown

    def test_a_pasted_id_is_told_and_has_a_permalink(self, client, sign_in, predict):
        sign_in(Role.VIEWER)
        text = predict()

        answer = self.page(client, f'  "{text}"\n')

        shown = answer.content.decode()
        assert answer.status_code == 200
        assert "It was the only arm of split 1" in shown
        assert f'value="{text}"' in shown
        permalink = re.search(r'id="rh-story-link"[^>]*>([^<]+)<', shown)[1]
        assert client.get(permalink).content.decode().count("rh-card") == shown.count("rh-card") >= 7

    def test_what_people_typed_stays_text(self, client, sign_in, predict, live):
        sign_in(Role.OPERATOR)
        text = predict()
        stop_model(model=live.model, text=EVIL, by=an_actor())

        shown = [self.page(client, each).content.decode() for each in (text, EVIL)]

        assert not any(EVIL in page for page in shown)
        assert all("&lt;img src=x" in page for page in shown)

    def test_another_id_is_refused_with_the_way_to_the_records(self, client, sign_in, predict):
        sign_in(Role.OPERATOR)
        wrong = _forged(predict())["not an id"]

        answer = self.page(client, wrong)

        shown = answer.content.decode()
        assert answer.status_code == 404
        assert NOT_OURS in shown
        assert f"/admin/registry/auditrecord/?q={wrong}" in shown
        sign_in(Role.VIEWER)
        assert "auditrecord/?q=" not in self.page(client, wrong).content.decode()

    def test_only_for_people_who_may_see_the_model(self, client, sign_in, predict, live):
        text = predict()
        assert self.page(client, text)["Location"].startswith("/admin/login/")
        sign_in(models=[live.model_id])
        assert self.page(client, text).status_code == 403
        sign_in(Role.VIEWER, models=[a_model().pk])
        assert NOT_OURS in self.page(client, text).content.decode()
        sign_in(Role.VIEWER, models=[live.model_id])
        assert self.page(client, text).status_code == 200
        assert client.post(reverse("story")).status_code == 405

    def test_try_it_links_to_the_story_of_its_answers(self, client, sign_in, live):
        sign_in(Role.OPERATOR)

        address = reverse("admin:registry_model_change", args=[live.model_id])
        shown = client.get(address, {"tab": "try"}).content.decode()

        assert 'data-story="/admin/story/?id="' in shown


class TestSearch:
    @pytest.fixture
    def find(self, rf):
        def find(text, by=None):
            request = rf.get("/")
            request.actor = by or an_actor()
            return find_story(request, text)

        return find

    def test_a_signed_id_leads_to_its_story(self, find, predict):
        text = predict()

        (hit,) = find(text)

        assert hit.url == f"/admin/story/?id={text.replace('=', '%3D')}"
        for wrong in (*_forged(text).values(), "demand"):
            assert hit not in find(wrong), wrong

    def test_an_id_of_a_model_out_of_reach_is_not_found(self, find, predict, live):
        """Else the search would tell which ids are signed."""
        text = predict()

        assert find(text, an_actor(Right.READ, models=frozenset({a_model().pk}))) == []
        assert find(text, an_actor(Right.PREDICT)) == []
        assert find(text, an_actor(Right.READ, models=frozenset({live.model_id})))

    def test_the_id_of_a_refused_request_leads_to_what_it_tells(self, find):
        (hit,) = find("0123456789abcdef" * 2)

        assert (hit.url, hit.detail) == (
            f"/admin/story/?id={'0123456789abcdef' * 2}",
            "no answered prediction",
        )

    def test_other_texts_take_no_query(self, find, predict, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert find("demand") == []


class TestCommand:
    def tell(self, text):
        out = StringIO()
        call_command("story", text, stdout=out)
        return out.getvalue()

    def test_prints_the_story_for_a_terminal(self, predict, live):
        text = predict()
        stop_model(model=live.model, text="wrong labels", by=an_actor())

        told = self.tell(text)

        assert told.startswith("ripeness 1, 20")
        for part in ("ANSWER", "SPLIT", "APPROVAL", "SETTINGS", "STATE AT THAT MOMENT", "WHAT CHANGED SINCE"):
            assert f"\n{part}\n" in told
        assert "wrong labels" in told
        assert " UTC" in told
        assert "http://" in told

    def test_refuses_what_is_not_signed_here(self, predict):
        with pytest.raises(CommandError, match="not a request id of this installation"):
            self.tell(_forged(predict())["truncated"])
