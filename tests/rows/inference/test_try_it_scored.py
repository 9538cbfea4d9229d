"""The panel "Try it" for models that recommend, rank, and read tables."""

import json

import pytest
from django.urls import reverse

from inference.serving import runtime
from registry.access.policies import Role
from tests.support.browser import chromium, open_page
from tests.support.factories import a_golden_set, a_person
from tests.support.scored_models import put_ranker, put_recommender, put_rent_model, put_table_classifier

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


@pytest.fixture
def opened(browser, live_server, client):
    """Opens the panel of a version; `expected`: what its page may complain about."""
    client.force_login(a_person(Role.OPERATOR, username="taster"))
    url = live_server.url.replace("localhost", "127.0.0.1")
    pages = []

    def go(version, *, expected="", **more):
        runtime.start()
        page, complaints = open_page(browser, **more)
        pages.append((page, complaints, expected))
        session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
        page.context.add_cookies([session])
        page.goto(f"{url}{reverse('admin:registry_version_change', args=[version.pk])}?tab=try")
        page.wait_for_load_state("networkidle")
        return page

    yield go
    runtime.stop()
    for page, complaints, expected in pages:
        page.context.close()
        assert [line for line in complaints if not expected or expected not in line] == []


def send(page, state="good"):
    """Sends the form, and waits for its answer."""
    with page.expect_response("**/try/"):
        page.click("#rh-try-it [type=submit]")
    page.wait_for_selector(f"#rh-try-answer[data-state={state}]")


def ranking(page, number=0):
    rows = page.locator(".rh-ranked").nth(number).locator("tbody tr")
    return [line.split() for line in rows.all_inner_texts()]


def curl_body(page):
    return json.loads(page.inner_text("#rh-try-curl").partition("-d '")[2].removesuffix("'"))


@pytest.mark.parametrize("put", [put_recommender, put_ranker, put_table_classifier, put_rent_model])
def test_every_example_is_answered(opened, tmp_path, put):
    page = opened(put(tmp_path))
    for form in page.locator("#rh-try-form option").evaluate_all(
        "options => options.map((one) => one.value)"
    ):
        page.select_option("#rh-try-form", form)
        send(page)


class TestRecommendation:
    def test_a_real_user_is_typed_and_items_come_in_their_places(self, opened, tmp_path):
        page = opened(put_recommender(tmp_path))
        assert page.input_value("#rh-try-body") == "ann"
        assert page.locator("[for=rh-try-body]").inner_text() == "User"

        page.fill("#rh-try-body", "ben")
        page.fill("#rh-try-top-k", "3")
        send(page)

        assert ranking(page) == [["1", "tea", "5.000"], ["2", "fig", "4.000"], ["3", "ham", "3.000"]]
        widths = page.locator(".rh-ranked .rh-bar > span").evaluate_all(
            "bars => bars.map((one) => one.style.width)"
        )
        assert widths == ["100%", "80%", "60%"]
        assert curl_body(page) == {"user": "ben", "top_k": 3}

    def test_several_users_are_told_apart(self, opened, tmp_path):
        page = opened(put_recommender(tmp_path, fallback_user="ben"))
        page.select_option("#rh-try-form", "users")
        assert page.is_hidden("#rh-try-top-k")
        page.fill("#rh-try-body", '{"users": ["ann", "<b>zoe</b>"], "exclude": ["jam"], "top_k": 1}')

        send(page)

        assert page.locator(".rh-answers-text").all_inner_texts() == ["ann", "<b>zoe</b>"]
        assert [ranking(page, number)[0][1] for number in (0, 1)] == ["egg", "tea"]
        assert "items of its fallback user" in page.inner_text(".rh-note")

    def test_an_unknown_user_is_refused_in_words(self, opened, tmp_path):
        page = opened(put_recommender(tmp_path), expected="404")
        page.fill("#rh-try-body", "zoe")

        send(page, "bad")

        assert "knows no user 'zoe'" in page.inner_text("#rh-try-answer [role=status]")

    @pytest.mark.parametrize(("theme", "size"), [("light", "wide"), ("dark", "phone")])
    def test_it_works_with_the_keyboard_alone(self, opened, tmp_path, theme, size):
        page = opened(put_recommender(tmp_path), theme=theme, size=size)
        page.focus("#rh-try-body")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#rh-try-answer[data-state=good]")

        assert len(ranking(page)) == 5
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


class TestRanking:
    def test_candidates_are_shown_with_their_features(self, opened, tmp_path):
        page = opened(put_ranker(tmp_path))
        example = json.loads(page.input_value("#rh-try-body"))
        assert set(example) == {"user", "candidates"}
        prices = [{"price": 2}, {"price": 0}, {"price": 1}]
        page.fill("#rh-try-body", json.dumps({"user": {"age": 31}, "candidates": prices}))

        send(page)

        assert ranking(page) == [
            ["1", "1", "price:", "0", "50.0", "%"],
            ["2", "2", "price:", "1", "26.9", "%"],
            ["3", "0", "price:", "2", "11.9", "%"],
        ]

    def test_the_best_of_many_are_shown(self, opened, tmp_path):
        page = opened(put_ranker(tmp_path))
        page.fill("#rh-try-body", json.dumps({"user": {"age": 3}, "candidates": [{"price": 1}] * 120}))

        send(page)

        assert len(ranking(page)) == 100
        assert page.inner_text(".rh-note") == "The best 100 of 120 are shown; the JSON has all."


class TestTables:
    def test_each_column_has_a_field(self, opened, tmp_path):
        page = opened(put_table_classifier(tmp_path))
        assert page.is_hidden("#rh-try-body")
        page.get_by_label("age", exact=True).fill("40")
        page.get_by_label("children", exact=True).fill("2")

        page.keyboard.press("Enter")
        page.wait_for_selector("#rh-try-answer[data-state=good]")

        assert page.inner_text(".rh-labels").split() == ["yes", "73.1", "%", "no", "26.9", "%"]
        assert curl_body(page) == {"row": {"age": 40, "children": 2}}

    def test_it_begins_with_the_first_row_of_the_golden_set(self, opened, tmp_path):
        version = put_table_classifier(tmp_path)
        row = {"inputs": {"row": {"age": 34, "children": 3}}, "label": "yes"}
        a_golden_set(version.model, row)

        page = opened(version)

        assert page.get_by_label("age", exact=True).input_value() == "34"
        assert page.get_by_label("children", exact=True).input_value() == "3"

    def test_an_empty_number_is_missing(self, opened, tmp_path):
        page = opened(put_table_classifier(tmp_path, defaults={"children": 1}), expected="422")
        page.get_by_label("children", exact=True).fill("")
        send(page)
        assert "children" not in curl_body(page)["row"]

        page.get_by_label("age", exact=True).fill("")
        send(page, "bad")

        assert "has no 'age'" in page.inner_text("#rh-try-answer [role=status]")

    def test_rows_are_typed_as_json_and_numbers_are_large(self, opened, tmp_path):
        page = opened(put_rent_model(tmp_path))
        page.select_option("#rh-try-form", "rows")
        page.fill("#rh-try-body", '{"rows": [[3, 2], {"rooms": 2, "floor": 0}]}')

        send(page)

        assert page.locator(".rh-answers-text").all_inner_texts() == ["[3,2]", "rooms: 2, floor: 0"]
        assert page.locator(".rh-computed").all_inner_texts() == ["1,520", "1,000"]

    def test_going_to_json_and_back_keeps_both(self, opened, tmp_path):
        page = opened(put_rent_model(tmp_path))
        page.get_by_label("rooms", exact=True).fill("4")
        page.select_option("#rh-try-form", "rows")
        page.select_option("#rh-try-form", "row")

        send(page)

        assert page.inner_text(".rh-computed") == "2,005"
