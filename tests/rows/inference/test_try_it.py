"""The panel "Try it" of a Model's and a version's page: what it shows, what it asks, and for whom."""

import html
import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inference.measure.selectors import arms_between
from inference.serving import request_id, runtime
from inference.serving.plans import session_options
from inference.try_it.views import MAX_BYTES
from registry.access.policies import Role
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model
from registry.traffic.services import stop_model
from tests.support.browser import chromium, log_in, open_page
from tests.support.factories import (
    PASSWORD,
    SIGNATURE,
    a_live_model,
    a_model,
    a_person,
    a_split,
    a_version,
    an_actor,
    an_uploaded_version,
)
from tests.support.live_models import import_live, put_example
from tests.support.onnx_models import identity
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db
SAMPLE = json.loads((ROOT / "examples" / "ripeness" / "sample.json").read_text())
TOO_LARGE = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [None, 3, 224, 224]}],
    "outputs": SIGNATURE["outputs"],
}
EVIL = "<img src=x onerror=window.__ran=1>"


@pytest.fixture
def sign_in(client):
    def sign_in(*roles, **more):
        client.force_login(a_person(*roles, **more))

    return sign_in


@pytest.fixture
def operator(sign_in):
    sign_in(Role.OPERATOR)


def _ask(client, row, body=SAMPLE, *, query="", content_type="application/json", **headers):
    address = reverse(f"try-{row._meta.model_name}", args=[row.pk]) + query
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic("POST", address, data, content_type, headers=headers)


def _page(client, row):
    return client.get(
        reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk]), {"tab": "try"}
    ).content.decode()


def _panel(client, row):
    """The panel alone, as words."""
    (panel,) = re.findall(
        r'<section class="rh-card" aria-labelledby="rh-try">.*?</section>', _page(client, row), re.S
    )
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", panel)).split())


@pytest.mark.usefixtures("operator")
class TestAsking:
    def test_the_model_answers_by_its_split(self, client, live):
        response = _ask(client, live.model)

        body = response.json()
        assert response.status_code == 200
        assert (body["model"], body["version"], body["arm"], body["split"]) == ("ripeness", 1, "a", 1)
        assert body["request_id"] == response["X-Request-ID"]
        assert len(body["outputs"]["probabilities"]) == len(SAMPLE["inputs"]["features"])

    def test_the_version_answers_by_its_number_and_the_routing_key_decides_as_for_callers(self, client, live):
        body = _ask(client, live).json()
        told = _ask(client, live.model, **{"X-Routing-Key": "anna"}).json()

        assert (body["version"], body["arm"]) == (1, "")
        assert request_id.read(told["request_id"]).key_hash == request_id.hash_of("anna")

    def test_null_is_a_missing_value_where_the_settings_say_so(self, client, live):
        gap = {"features": [0.2, None, 0.3]}
        before = _panel(client, live)
        refused = _ask(client, live, gap)
        catalogue.change_serving(
            version=live, changes={"allow_non_finite": True}, reason="gaps", by=an_actor()
        )
        runtime.started().refresh()

        assert "is a missing value" not in before
        assert "null in place of a decimal number is a missing value" in _panel(client, live)
        assert "allow_non_finite" in refused.json()["detail"]
        # The model makes NaN of NaN: it got there.
        assert _ask(client, live, gap).json()["code"] == "invalid_output"
        assert _ask(client, live, gap, query="?dry_run=1").json()["valid"] is True

    def test_a_check_runs_nothing(self, client, live):
        told = [_ask(client, row, query="?dry_run=1").json() for row in (live.model, live)]

        assert [(one["valid"], one["version"]) for one in told] == [(True, 1), (True, 1)]
        assert not any(meters.batches for meters in runtime.started().executor.meters().values())

    def test_what_is_sent_is_counted_and_what_is_checked_is_not(self, client, live):
        for row in (live.model, live.model, live):
            _ask(client, row)
        _ask(client, live.model, {"inputs": {}})
        _ask(client, live.model, query="?dry_run=1")
        runtime.stop()

        now = timezone.now()
        arms = arms_between(
            model_id=live.model_id, start=now - timedelta(minutes=5), end=now + timedelta(minutes=5)
        )

        assert [(arm.arm, arm.ok, arm.errors, arm.refused) for arm in arms] == [("", 1, 0, 0), ("a", 2, 0, 1)]

    def test_every_example_of_the_panel_is_answered(self, client, live):
        for row in (live.model, live):
            bodies = re.findall(r'data-body="([^"]*)"', _page(client, row))
            statuses = [_ask(client, row, html.unescape(body).encode()).status_code for body in bodies]
            assert statuses == [200] * 4


@pytest.mark.usefixtures("operator")
class TestRefusals:
    def test_a_wrong_request_is_refused_as_the_api_does(self, client, live):
        wrong, large = (
            _ask(client, live.model, body)
            for body in ({"inputs": {"features": [[1, 2]]}}, b" " * (MAX_BYTES + 1))
        )

        assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_dimension")
        assert wrong["Content-Type"] == "application/problem+json"
        assert wrong.json()["detail"].endswith(".")
        (error,) = wrong.json()["errors"]
        assert error["pointer"] == "#/inputs/features" and error["expected"]
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")

    def test_only_json_is_read(self, client, live):
        kinds = ("", "text/plain", "application/octet-stream", "multipart/form-data")

        assert [_ask(client, live.model, content_type=kind).status_code for kind in kinds] == [415] * 4

    def test_a_process_without_a_runtime_says_so(self, client):
        model = a_live_model(100)
        response = _ask(client, model)

        assert (response.status_code, response.json()["code"]) == (503, "stopping")
        assert response.json()["detail"] == "This process serves no predictions."


class TestWhoMayAsk:
    def test_who_reaches_other_models_finds_nothing_here(self, client, live, sign_in):
        sign_in(Role.OPERATOR, models=[a_model().pk])

        answers = [_ask(client, row) for row in (live.model, live)]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert not any("ripeness" in answer.content.decode() for answer in answers)
        sign_in(Role.OPERATOR, models=[live.model_id])
        assert [_ask(client, row).status_code for row in (live.model, live)] == [200, 200]

    def test_a_page_elsewhere_cannot_make_a_browser_ask(self, live):
        client = Client(enforce_csrf_checks=True)
        client.force_login(a_person(Role.OPERATOR))
        token, *_ = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', _page(client, live))

        refused, answered = _ask(client, live.model), _ask(client, live.model, **{"X-CSRFToken": token})

        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        assert answered.status_code == 200


class TestPanel:
    def test_an_operator_may_send_and_a_viewer_may_look(self, client, sign_in):
        model = a_live_model(100)

        for row in (model, model.versions.get()):
            sign_in(Role.OPERATOR)
            assert "Send" in _panel(client, row)
            sign_in(Role.VIEWER)
            assert "you need the operator" in _panel(client, row)
            assert "data-check" not in _page(client, row)

    def test_the_example_is_of_the_version_with_the_largest_share(self, client, operator):
        model = a_live_model(30, 70)

        assert "The example is for version 2" in _panel(client, model)
        assert "Sends to version 1 by its number" in _panel(client, model.versions.get(number=1))

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({}, "random for each request"),
            ({"key_source": "field", "key_field": EVIL}, f"taken from the field {EVIL}"),
            ({"key_source": "tenant"}, "You have no tenant"),
        ],
        ids=["random", "field", "tenant"],
    )
    def test_the_routing_key_is_explained(self, client, operator, settings, said):
        model = a_live_model(100)
        catalogue.edit_model(model=model, changes=settings, by=an_actor())

        assert EVIL not in _page(client, model)
        assert said in html.unescape(_page(client, model))
        assert "Routing key" not in _panel(client, model.versions.get())

    def test_a_stopped_model_says_what_callers_are_told(self, client, operator):
        model = a_live_model(100)
        stop_model(model=model, text=EVIL, by=an_actor())

        for row in (model, model.versions.get()):
            assert f"Message to callers: {EVIL}" in html.unescape(_page(client, row)).replace("<b>", "")
            assert EVIL not in _page(client, row)
            assert "Send" not in _panel(client, row)

    def test_without_a_live_version_there_is_nobody_to_ask(self, client, operator):
        model = a_model()

        assert "has no ready version" in _panel(client, model)
        version = a_version(model)
        assert "No version of" in _panel(client, model)
        assert reverse("admin:registry_version_change", args=[version.pk]) in _page(client, model)

    def test_a_version_that_is_not_ready_says_what_to_do(self, client, operator):
        by = an_actor()
        waiting, ready = an_uploaded_version(), a_version()
        checking = catalogue.start_check(version=an_uploaded_version(), by=by)
        failing = catalogue.start_check(version=an_uploaded_version(), by=by)
        failed = catalogue.fail_check(version=failing, failure="an operator is missing", by=by)
        archived = catalogue.archive_version(version=ready, reason="old", by=by)

        assert "is waiting for its check" in _panel(client, waiting)
        assert "is waiting for its check" in _panel(client, checking)
        assert "an operator is missing" in _panel(client, failed)
        assert "Unarchive it" in _panel(client, archived)

    def test_what_nobody_can_type_shows_the_signature(self, client, operator):
        by, model = an_actor(), a_model()
        version = catalogue.start_check(version=an_uploaded_version(model), by=by)
        version = catalogue.pass_check(version=version, signature=TOO_LARGE, by=by)
        a_split(model, 100)

        for row in (version, Model.objects.get(pk=model.pk)):
            assert "too large to type" in _panel(client, row)
            assert "any × 3 × 224 × 224" in _panel(client, row)


@pytest.mark.browser
class TestInABrowser:
    """Typed, sent, read; and whatever is told stays text."""

    @pytest.fixture
    def echo(self, transactional_db, tmp_path):
        """A Model that gives back what it is told, with a title that would rather be a picture."""
        path = identity(tmp_path / "echo.onnx", "BYTES", ("rows",))
        version = import_live(slug="echo", title=EVIL, path=path, options=session_options())
        runtime.start()
        yield version
        runtime.stop()

    @pytest.fixture
    def opened(self, live_server, echo):
        a_person(Role.OPERATOR, username="typist")
        addresses = {
            "model": reverse("admin:registry_model_change", args=[echo.model_id]),
            "version": reverse("admin:registry_version_change", args=[echo.pk]),
        }
        url = live_server.url.replace("localhost", "127.0.0.1")
        with chromium() as browser:
            page, complaints = open_page(browser)
            log_in(page, url, "typist", PASSWORD)

            def open_(name):
                page.goto(f"{url}{addresses[name]}?tab=try")
                page.wait_for_load_state("networkidle")
                return page

            yield open_, complaints

    @pytest.mark.parametrize("name", ["model", "version"])
    def test_typing_and_ctrl_enter_shows_the_answer(self, opened, name):
        open_, complaints = opened
        page = open_(name)
        shown = page.input_value("#rh-try-body")

        page.fill(
            "#rh-try-body", json.dumps({"inputs": {"x": [EVIL, "</pre><script>window.__ran=1</script>"]}})
        )
        page.press("#rh-try-body", "Control+Enter")
        page.wait_for_selector("[data-state=good]")

        assert json.loads(shown) == {"inputs": {"x": ["text"]}}
        assert "Version 1 answered." in page.inner_text("#rh-try-answer [role=status]")
        assert json.loads(page.inner_text("#rh-try-answer pre"))["outputs"]["y"][0] == EVIL
        assert EVIL in page.inner_text("#rh-try-curl")
        assert page.evaluate("window.__ran") is None
        assert complaints == []

    def test_a_check_and_a_refusal_are_sentences(self, opened):
        open_, _ = opened
        page = open_("model")

        page.click("[data-check]")
        page.wait_for_selector("[data-state=good]")
        checked = page.inner_text("#rh-try-answer [role=status]")
        page.fill("#rh-try-body", json.dumps({"inputs": {EVIL: ["a"]}}))
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("[data-state=bad]")
        refused = page.inner_text("#rh-try-answer")

        assert "Valid for version 1." in checked
        assert "422" in refused
        assert "Input 'x' is missing" in refused
        assert "inputs → x" in refused
        assert page.is_hidden("#rh-try-answer pre")
        assert page.evaluate("window.__ran") is None

    def test_each_form_keeps_what_was_typed_and_curl_follows(self, opened):
        open_, _ = opened
        page = open_("model")

        page.fill("#rh-try-body", '{"inputs": {"x": ["it\'s 1.0"]}}')
        page.select_option("#rh-try-form", "instances")
        page.fill("#rh-try-key", "anna's")
        other = page.input_value("#rh-try-body")
        page.select_option("#rh-try-form", "inputs")

        assert json.loads(other) == {"instances": ["text"]}
        assert page.input_value("#rh-try-body") == '{"inputs": {"x": ["it\'s 1.0"]}}'
        curl = page.inner_text("#rh-try-curl")
        assert "-H 'X-Routing-Key: anna'\\''s'" in curl
        assert '-d \'{"inputs": {"x": ["it\'\\\'\'s 1.0"]}}\'' in curl

    def test_a_key_that_no_header_carries_is_refused_on_the_page(self, opened):
        open_, _ = opened
        page = open_("model")

        page.fill("#rh-try-key", "kündin")
        page.press("#rh-try-key", "Enter")

        assert "only unaccented letters" in page.inner_text("#rh-try-answer [role=status]")

    def test_an_ended_session_says_to_log_in_again(self, opened):
        open_, _ = opened
        page = open_("model")

        page.context.clear_cookies(name="sessionid")
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("[data-state=bad]")

        assert "Your session has ended" in page.inner_text("#rh-try-answer [role=status]")


@pytest.mark.browser
class TestWordsInABrowser:
    """A text is typed as it is; answers are bars, or marks in the text."""

    @pytest.fixture
    def sent(self, live_server, transactional_db):
        """What the panel shows for a text that is sent to one of the examples."""
        versions = {name: put_example(name) for name in ("tone", "names")}
        runtime.start()
        a_person(Role.OPERATOR, username="typist")
        url = live_server.url.replace("localhost", "127.0.0.1")
        with chromium() as browser:
            page, complaints = open_page(browser)
            log_in(page, url, "typist", PASSWORD)

            def send(name, text, form="text"):
                page.goto(
                    f"{url}{reverse('admin:registry_model_change', args=[versions[name].model_id])}?tab=try"
                )
                page.select_option("#rh-try-form", form)
                page.fill("#rh-try-body", text)
                page.press("#rh-try-body", "Control+Enter")
                page.wait_for_selector("[data-state=good]")
                assert complaints == []
                return page

            yield send
        runtime.stop()

    def test_labels_are_bars(self, sent):
        page = sent("tone", 'The "food" was wonderful\nand the staff were kind.')

        lines = page.locator(".rh-labels li")
        assert lines.count() == 3
        assert lines.nth(0).inner_text().split("\n")[0] == "positive"
        assert page.locator(".rh-labels .rh-bar > span").nth(0).bounding_box()["width"] > 100

    def test_each_of_several_texts_has_its_own(self, sent):
        page = sent("tone", json.dumps({"texts": ["wonderful", "terrible"]}), form="texts")

        assert page.locator(".rh-answers-text").all_inner_texts() == ["wonderful", "terrible"]
        assert page.locator(".rh-labels").count() == 2

    @pytest.mark.parametrize("unit", ["codepoint", "utf16", "byte"])
    def test_entities_are_marked_where_they_are(self, sent, unit):
        text = f"{EVIL} 😀 Ada Lovelace lives in London."
        page = sent("names", json.dumps({"texts": [text], "offset_unit": unit}), form="texts")

        marks = page.locator("mark.rh-entity")
        people = [mark for mark in marks.all_inner_texts() if "PER" in mark]
        assert any(mark.startswith("Ada Lovelace") for mark in people)
        assert EVIL.split()[0] in page.inner_text(".rh-marked-text")
        assert page.evaluate("window.__ran") is None

    def test_a_text_that_was_cut_is_told(self, sent):
        page = sent("tone", "wonderful " * 500)

        assert "The model read 256 of 502 tokens" in page.inner_text(".rh-answers")
