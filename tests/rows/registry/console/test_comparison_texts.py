"""Both versions answer the same texts on the page that compares them."""

import json

import pytest
from django.urls import reverse

from inference.serving import runtime
from registry.access.policies import Role
from tests.support.factories import a_golden_set, a_model, a_version, an_uploaded_version
from tests.support.live_models import put_example

pytestmark = pytest.mark.django_db(transaction=True)
TEXTS = {"task_config": {"labels": ["no", "yes"]}, "task_files": {"vocab.txt": "0" * 64}}
EVIL = "<script>alert(1)</script>"


def two_versions(task="text-classification"):
    model = a_model(task=task)
    a_version(model, **TEXTS)
    return a_version(model, **TEXTS)


def url(version):
    return reverse("admin:registry_version_compare", args=[version.pk])


def text_row(text, label="yes"):
    return {"inputs": {"text": text}, "label": label}


def test_texts_come_from_the_golden_set(client, operator):
    version = two_versions()
    a_golden_set(version.model, *(text_row(f"text {number} {EVIL}") for number in range(9)))

    page = client.get(url(version)).text

    assert page.count("data-item>") == 5 and "text 4" in page and "text 5" not in page
    assert EVIL not in page
    assert all(reverse("try-version", args=[one.pk]) in page for one in version.model.versions.all())


def test_without_one_the_task_has_an_example(client, operator):
    assert "The train was on time" in client.get(url(two_versions())).text


@pytest.mark.parametrize("how", ["tensors", "not ready", "may not send"])
def test_there_is_nothing_to_ask(client, signed_in, how):
    if how == "tensors":
        version = a_version(a_version().model)
    elif how == "not ready":
        version = an_uploaded_version(two_versions().model, **TEXTS)
    else:
        version = two_versions()
    signed_in(Role.VIEWER if how == "may not send" else Role.OPERATOR)

    answer = client.get(url(version))

    assert answer.status_code == 200 and "Ask both versions" not in answer.text


def answers_of(page, by_version):
    """Answer for the versions; what a version does not have an answer for is refused."""

    def answer(route):
        pk = int(route.request.url.rstrip("/").split("/")[-2])
        found = by_version.get(pk)
        status = 200 if found is not None else 403
        body = {"answers": found} if found is not None else {"detail": "The version was never approved."}
        asked.append(json.loads(route.request.post_data))
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    asked = []
    page.route("**/try/", answer)
    return asked


@pytest.mark.browser
class TestInABrowser:
    def cells(self, page, side):
        return [cell.strip() for cell in page.locator(f"[data-side={side}]").all_inner_texts()]

    def test_labels_have_bars(self, visit):
        version = two_versions()
        a_golden_set(version.model, text_row("Lovely!"), text_row("Awful."))
        left = version.model.versions.get(number=1)
        page = visit(url(version))
        scores = [{"labels": [{"label": "yes", "score": score}]} for score in (0.75, 0.25)]
        asked = answers_of(page, {left.pk: scores, version.pk: scores[::-1]})

        page.click("text=Ask both versions")
        page.wait_for_selector("text=Both versions answered.")

        assert [one["texts"] for one in asked] == [["Lovely!", "Awful."]] * 2
        assert self.cells(page, "left") == ["yes\n75.0 %", "yes\n25.0 %"]
        assert self.cells(page, "right") == ["yes\n25.0 %", "yes\n75.0 %"]
        assert "75%" in page.locator("[data-side=left] .rh-bar > span").first.get_attribute("style")

    def test_two_real_versions_answer(self, visit):
        """With another order of labels, the second one is wrong everywhere."""
        put_example("tone")
        labels = ["positive", "neutral", "negative"]
        swapped = put_example("tone", task_config={"labels": labels, "output": "logits", "max_tokens": 256})
        a_golden_set(swapped.model, text_row("The food was wonderful.", "positive"))
        runtime.start()
        try:
            page = visit(url(swapped))
            page.click("text=Ask both versions")
            page.wait_for_selector("text=Both versions answered.")
            first = {side: self.cells(page, side)[0].split("\n")[0] for side in ("left", "right")}
        finally:
            runtime.stop()

        assert first == {"left": "positive", "right": "negative"}

    def test_entities_are_marked_where_they_are_and_nothing_becomes_markup(self, visit):
        version = two_versions("entities")
        text = f"😀 Ada {EVIL}"
        a_golden_set(version.model, text_row(text, []), metric="span_f1")
        page = visit(url(version))
        found = [{"entities": [{"label": "PER", "start": 3, "end": 6, "score": 0.9}], "offset_unit": "utf16"}]
        asked = answers_of(page, {one.pk: found for one in version.model.versions.all()})

        page.click("text=Ask both versions")
        page.wait_for_selector("[data-side=right] mark")

        assert asked[0]["offset_unit"] == "utf16"
        assert page.locator("[data-side=left] mark").inner_text().startswith("Ada")
        assert EVIL in self.cells(page, "left")[0]

    def test_a_version_that_cannot_answer_says_why(self, visit):
        version = two_versions()
        page = visit(url(version), expected=["403"])
        answers_of(page, {version.pk: [{"labels": [{"label": "yes", "score": 1}]}]})

        page.click("text=Ask both versions")
        page.wait_for_selector("text=At least one version did not answer.")

        assert self.cells(page, "left") == ["The version was never approved."]
        assert self.cells(page, "right") == ["yes\n100.0 %"]
