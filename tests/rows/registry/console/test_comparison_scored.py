"""Both versions answer the same users, candidates or rows on the page that compares them."""

import pytest
from django.urls import reverse

from inference.serving import runtime
from tests.support.factories import a_golden_set
from tests.support.scored_models import (
    LIKINGS,
    put_ranker,
    put_recommender,
    put_rent_model,
    put_table_classifier,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SWAPPED = LIKINGS[:, [0, 2, 1, 3, 4]]  # jam and egg


@pytest.fixture
def asked(visit):
    """The page once both versions have answered."""

    def ask(version, **more):
        runtime.start()
        page = visit(reverse("admin:registry_version_compare", args=[version.pk]), **more)
        page.click("text=Ask both versions")
        page.wait_for_selector("text=Both versions answered.")
        return page

    yield ask
    runtime.stop()


def lines(page, side, row=0):
    """The cells of a ranking, without its scores."""
    table = page.locator(f"[data-side={side}]").nth(row)
    return [" ".join(line.split()[:-1]) for line in table.locator("tbody tr").all_inner_texts()]


@pytest.mark.parametrize("size", ["wide", "phone"])
def test_items_that_moved_are_marked(asked, tmp_path, size):
    put_recommender(tmp_path)
    version = put_recommender(tmp_path, likings=SWAPPED)
    rows = [{"inputs": {"user": user}, "label": ["jam"]} for user in ("ann", "cleo")]
    a_golden_set(version.model, *rows, metric="ndcg")

    page = asked(version, size=size)

    assert page.locator("[data-item]").all_inner_texts() == ["ann", "cleo"]
    assert lines(page, "left") == ["1 jam ↑ 1", "2 egg ↓ 1", "3 ham", "4 fig", "5 tea"]
    assert lines(page, "right") == ["1 egg ↑ 1", "2 jam ↓ 1", "3 ham", "4 fig", "5 tea"]
    assert (
        page.locator("[data-side=right]").first.get_by_label("1 higher than in the other version").count()
        == 1
    )
    assert page.locator("[data-difference]").first.inner_text() == "5 in both, 2 at other places."
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_items_of_one_version_alone(asked, tmp_path):
    put_recommender(tmp_path, top_k=2)
    version = put_recommender(tmp_path, likings=LIKINGS[:, [0, 1, 3, 2, 4]], top_k=2)  # egg and ham

    page = asked(version)

    assert page.locator("[data-item]").all_inner_texts() == ["ann"]  # the first user: there is no golden set
    assert lines(page, "left") == ["1 jam", "2 egg only here"]
    assert lines(page, "right") == ["1 jam", "2 ham only here"]
    assert page.inner_text("[data-difference]") == "1 in both; 2 in one only."


def test_candidates_and_the_user(asked, tmp_path):
    put_ranker(tmp_path)
    version = put_ranker(tmp_path, price=1.0)
    inputs = {"user": {"age": 31}, "candidates": [{"price": 1}, {"price": 2}]}
    a_golden_set(version.model, {"inputs": inputs, "label": [1, 0]}, metric="auc")

    page = asked(version)

    assert page.inner_text("[data-item]") == "age: 31; 2 candidates"
    assert lines(page, "left") == ["1 0 price: 1 ↑ 1 26.9", "2 1 price: 2 ↓ 1 11.9"]
    assert lines(page, "right") == ["1 1 price: 2 ↑ 1 88.1", "2 0 price: 1 ↓ 1 73.1"]


def test_labels_and_numbers(asked, tmp_path):
    put_table_classifier(tmp_path)
    labels = put_table_classifier(tmp_path, age=-0.1)
    a_golden_set(labels.model, {"inputs": {"row": {"age": 40, "children": 1}}, "label": "yes"}, metric="auc")
    page = asked(labels)
    assert page.inner_text("[data-item]") == "age: 40, children: 1"
    assert page.inner_text("[data-side=left]").split() == ["yes", "73.1", "%", "no", "26.9", "%"]
    assert page.inner_text("[data-side=right]").split() == ["no", "73.1", "%", "yes", "26.9", "%"]


def test_numbers(asked, tmp_path):
    put_rent_model(tmp_path)
    rents = put_rent_model(tmp_path, room=510)
    a_golden_set(rents.model, {"inputs": {"row": [3, 2]}, "label": 1500}, metric="error")

    page = asked(rents)

    assert (page.inner_text("[data-side=left]"), page.inner_text("[data-side=right]")) == ("1,520", "1,550")
    assert page.inner_text("[data-difference]") == "30 more in version 2."
