"""Both versions answer the same picture on the page that compares them."""

import pytest
from django.urls import reverse

from inference.serving import runtime
from registry.access.policies import Role
from tests.support.factories import a_golden_set
from tests.support.picture_models import COLOURS, a_picture, in_base64, put_colours, put_patches

pytestmark = pytest.mark.django_db(transaction=True)
OBJECTS = a_picture((0, 0, 0), size=(128, 128), blue=(32, 64, 64, 96), red=(0, 0, 32, 20))


def url(version):
    return reverse("admin:registry_version_compare", args=[version.pk])


@pytest.fixture
def two_patches(tmp_path):
    put_patches(tmp_path)
    return put_patches(tmp_path, threshold=0.9)


def test_a_picture_can_be_dropped(client, operator, two_patches):
    page = client.get(url(two_patches)).text

    assert "Ask both versions" in page and "data-picture-drop" in page
    assert all(reverse("try-version", args=[one.pk]) in page for one in two_patches.model.versions.all())


def test_who_may_not_send_sees_nothing_of_it(client, signed_in, two_patches):
    signed_in(Role.VIEWER)

    assert "Ask both versions" not in client.get(url(two_patches)).text


@pytest.mark.browser
class TestInABrowser:
    @pytest.fixture
    def asked(self, visit):
        """The page once both versions have answered this picture."""

        def ask(version, picture=OBJECTS):
            runtime.start()
            page = visit(url(version))
            page.set_input_files(
                ".rh-drop input", {"name": "a.png", "mimeType": "image/png", "buffer": picture}
            )
            page.click("text=Ask both versions")
            page.wait_for_selector("text=Both versions answered.")
            return page

        yield ask
        runtime.stop()

    def objects(self, page, side):
        return page.locator(f"[data-side={side}] .rh-object:visible").all_inner_texts()

    def test_what_one_version_finds_alone_is_marked(self, asked, two_patches):
        page = asked(two_patches)

        assert page.inner_text("#rh-picture-differences p") == "1 object in both, 1 only in version 1."
        left, right = (self.objects(page, side) for side in ("left", "right"))
        assert [("only here" in line) for line in left] == [False, True]
        assert len(right) == 1 and "only here" not in right[0]
        (line,) = page.locator(".rh-box-alone .rh-box-line").all()
        assert [line.get_attribute(name) for name in ("x", "y", "width", "height")] == ["0", "0", "32", "32"]

    def test_a_picture_of_the_golden_set_is_one_click(self, visit, two_patches):
        box = {"label": "blue", "box": [32, 64, 64, 96]}
        rows = [
            {"inputs": {"image": in_base64(picture)}, "label": label}
            for picture, label in ((a_picture(), []), (OBJECTS, [box]))
        ]
        a_golden_set(two_patches.model, *rows, metric="map50")
        runtime.start()
        try:
            page = visit(url(two_patches))
            page.get_by_role("button", name="Picture of row 2").click()
            page.wait_for_selector("text=Both versions answered.")

            assert page.inner_text("[data-chosen]") == "Row 2 of the golden set"
            assert page.inner_text("#rh-picture-differences p") == "1 object in both, 1 only in version 1."
        finally:
            runtime.stop()

    def test_one_slider_is_for_both(self, asked, two_patches):
        page = asked(two_patches)

        page.locator(".rh-least input").fill("90")

        assert [len(self.objects(page, side)) for side in ("left", "right")] == [1, 1]

    def test_another_label_is_another_object(self, asked, tmp_path):
        put_patches(tmp_path)
        page = asked(put_patches(tmp_path, labels=["red", "green", "sky"]))

        assert (
            page.inner_text("#rh-picture-differences p")
            == "1 object in both, 1 only in version 1, 1 only in version 2."
        )

    def test_labels_that_differ_are_said(self, asked, tmp_path):
        put_colours(tmp_path)
        page = asked(put_colours(tmp_path, labels=COLOURS[::-1]), a_picture((255, 0, 0)))

        assert page.inner_text("#rh-picture-differences p") == "Version 1 says red, version 2 says blue."
        assert page.locator("[data-side=left] .rh-labels li").count() == 3

    def test_labels_that_only_one_has_are_marked(self, asked, tmp_path):
        put_colours(tmp_path)
        page = asked(put_colours(tmp_path, top_k=2), a_picture((0, 255, 0)))

        assert page.inner_text("#rh-picture-differences p") == "Both say green."
        (alone,) = page.locator("[data-side=left] .rh-labels li", has=page.locator(".rh-only-here")).all()
        assert alone.inner_text().startswith(("red", "blue"))
        assert page.locator("[data-side=right] .rh-only-here").count() == 0

    def test_a_picture_that_is_refused_is_refused_on_both_sides(self, visit, two_patches):
        runtime.start()
        try:
            page = visit(url(two_patches), expected=["422"])
            page.set_input_files(
                ".rh-drop input", {"name": "a.png", "mimeType": "image/png", "buffer": OBJECTS[:60]}
            )
            page.click("text=Ask both versions")
            page.wait_for_selector("text=At least one version did not answer.")

            said = [page.inner_text(f"[data-side={side}]") for side in ("left", "right")]
        finally:
            runtime.stop()

        assert said[0] == said[1] and said[0].startswith("The picture is")
