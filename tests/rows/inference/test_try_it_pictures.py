"""The panel "Try it" of Models that read pictures: what its view takes, and what a person sees."""

import base64
import json
import os
import re
from io import BytesIO

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image, ImageOps

from inference.serving import runtime
from inference.try_it.views import MAX_BYTES, MAX_PICTURE_BYTES
from registry.access.policies import Role
from tests.support.browser import chromium, log_in, open_page
from tests.support.factories import PASSWORD, a_person
from tests.support.picture_models import a_picture, in_base64, put_colours, put_patches

pytestmark = pytest.mark.django_db
BLACK, FULL, HALF = (0, 0, 0), (32, 64, 64, 96), (0, 0, 32, 20)
OBJECTS = a_picture(BLACK, size=(128, 128), blue=FULL, red=HALF)


@pytest.fixture
def patches(transactional_db, tmp_path):
    version = put_patches(tmp_path)
    runtime.start()
    yield version
    runtime.stop()


@pytest.fixture
def ask(client, patches):
    client.force_login(a_person(Role.OPERATOR))

    def ask(body=OBJECTS, kind="image/png", *, query="", client=client, **headers):
        address = reverse("try-version", args=[patches.pk]) + query
        return client.generic("POST", address, body, kind, headers=headers)

    return ask


class TestAsking:
    def test_a_picture_is_the_body(self, ask):
        body = ask().json()

        assert {one["label"] for one in body["objects"]} == {"blue", "red"}
        assert (body["width"], body["height"], body["version"]) == (128, 128, 1)

    def test_options_are_in_the_address(self, ask):
        assert [one["label"] for one in ask(query="?threshold=0.9").json()["objects"]] == ["blue"]
        assert ask(query="?threshold=2").json()["code"] == "invalid_item"

    def test_a_check_runs_nothing(self, ask):
        assert ask(query="?threshold=0.9&dry_run=1").json()["valid"] is True
        assert not any(meters.batches for meters in runtime.started().executor.meters().values())

    def test_a_picture_may_be_larger_than_json(self, ask):
        file = BytesIO()
        Image.frombytes("RGB", (800, 800), os.urandom(800 * 800 * 3)).save(file, "PNG")
        large = file.getvalue()

        assert MAX_BYTES < len(large) < MAX_PICTURE_BYTES
        assert ask(large).status_code == 200
        assert ask(json.dumps({"image": in_base64(large)}), "application/json").status_code == 413

    def test_a_picture_that_is_too_large_is_not_read(self, ask):
        response = ask(bytes(MAX_PICTURE_BYTES + 1))

        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize(
        ("kind", "code"), [("image/svg+xml", "unsupported_picture"), ("text/html", "unsupported_media_type")]
    )
    def test_other_types_are_refused(self, ask, kind, code):
        assert ask(b"<svg xmlns='http://www.w3.org/2000/svg'/>", kind).json()["code"] == code


class TestWhoMayAsk:
    def test_a_session_with_the_right_and_its_token(self, ask, client, patches):
        checked = Client(enforce_csrf_checks=True)
        checked.force_login(a_person(Role.OPERATOR))
        page = checked.get(
            reverse("admin:registry_version_change", args=[patches.pk]), {"tab": "try"}
        ).content.decode()
        token, *_ = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', page)

        assert ask(client=checked).status_code == 403
        assert ask(client=checked, **{"X-CSRFToken": token}).status_code == 200
        client.force_login(a_person(Role.VIEWER))
        assert ask().status_code == 403
        client.logout()
        assert ask().status_code == 302


def turned() -> bytes:
    """A photo of 96 x 128 pixels that is stored on its side."""
    image = Image.open(BytesIO(a_picture(BLACK, size=(128, 96), blue=(64, 48, 96, 80))))
    exif = image.getexif()
    exif[0x0112] = 6
    file = BytesIO()
    image.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def animated() -> bytes:
    first, second = (Image.new("RGB", (64, 64), colour) for colour in ("red", "lime"))
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[second], duration=50, loop=0)
    return file.getvalue()


PUT = """(target, [event, field, name, type, base64]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (unit) => unit.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
    target.dispatchEvent(new globalThis[event[0]](event[1], { bubbles: true, cancelable: true, [field]: transfer }));
}"""

# Of each box: its middle, and the colour of the picture's pixel there, as they are on the screen.
PLACES = """() => {
    const picture = document.querySelector(".rh-frame img, .rh-frame canvas").getBoundingClientRect();
    return [...document.querySelectorAll(".rh-box-line")].map((line) => {
        const { left, top, right, bottom } = line.getBoundingClientRect();
        return [left - picture.left, top - picture.top, right - picture.left, bottom - picture.top]
            .map((at, side) => at / (side % 2 ? picture.height : picture.width));
    });
}"""


@pytest.mark.browser
class TestInABrowser:
    @pytest.fixture
    def opened(self, live_server, transactional_db, tmp_path):
        versions = {"patches": put_patches(tmp_path), "colours": put_colours(tmp_path)}
        runtime.start()
        a_person(Role.OPERATOR, username="painter")
        url = live_server.url.replace("localhost", "127.0.0.1")
        with chromium() as browser:
            page, complaints = open_page(browser)
            log_in(page, url, "painter", PASSWORD)

            def open_(name="patches"):
                page.goto(
                    f"{url}{reverse('admin:registry_version_change', args=[versions[name].pk])}?tab=try"
                )
                page.wait_for_load_state("networkidle")
                return page

            yield open_
        runtime.stop()
        assert [line for line in complaints if "422" not in line] == []

    def drop(self, page, picture, name="a.png", kind="image/png"):
        part = ["DragEvent", "drop"], "dataTransfer", name, kind, base64.b64encode(picture).decode()
        page.locator(".rh-drop").evaluate(PUT, list(part))

    def send(self, page, state="good"):
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector(f"[data-state={state}]")
        return page.inner_text("#rh-try-answer [role=status] >> nth=0")

    def objects(self, page):
        return [line.split("\n")[0] for line in page.locator(".rh-object:visible").all_inner_texts()]

    @pytest.mark.parametrize("picture", [OBJECTS, turned()], ids=["upright", "turned"])
    def test_boxes_lie_on_what_they_mark(self, opened, picture):
        page = opened()

        self.drop(page, picture, kind=f"image/{Image.open(BytesIO(picture)).format.lower()}")
        self.send(page)
        page.wait_for_function("document.querySelector('.rh-frame img').naturalWidth")

        image = ImageOps.exif_transpose(Image.open(BytesIO(picture)))
        colours = []
        for left, top, right, bottom in page.evaluate(PLACES):
            x, y = left + (right - left) / 4, top + (bottom - top) / 4
            colours.append(image.convert("RGB").getpixel((x * image.width, y * image.height)))
            assert ((right - left) * image.width, (bottom - top) * image.height) == pytest.approx(
                (32, 32), abs=0.5
            )
        named = {"blue": 2, "red": 0}
        assert sorted(map(self.strongest, colours)) == sorted(named[label] for label in self.objects(page))
        assert page.evaluate("document.querySelector('.rh-frame img').naturalHeight") == image.height

    def strongest(self, colour):
        assert max(colour) > 200, colour
        return colour.index(max(colour))

    def test_the_example_is_shown_and_answered(self, opened):
        page = opened("colours")

        shown = page.inner_text(".rh-drop span")
        self.send(page)

        assert shown == "Example picture\n48 × 64 pixels, 1 KiB"
        assert page.locator(".rh-labels li").count() == 3

    def test_the_slider_hides_objects_without_asking_again(self, opened):
        page = opened()
        asked = []
        page.on("request", lambda request: asked.append(request.url) if "/try/" in request.url else None)
        self.drop(page, OBJECTS)
        self.send(page)

        before = self.objects(page)
        page.locator(".rh-least input").fill("90")

        assert (before, self.objects(page)) == (["blue", "red"], ["blue"])
        assert page.locator(".rh-box:visible").count() == 1
        assert page.inner_text(".rh-object-count") == "1 of 2 objects"
        assert page.inner_text(".rh-least output") == "90 %"
        assert len(asked) == 1

    def test_options_are_sent_and_in_the_command(self, opened):
        page = opened()
        self.drop(page, OBJECTS, "on the street.png")
        page.fill("#rh-try-threshold", "0.9")
        self.send(page)

        assert self.objects(page) == ["blue"]
        curl = page.inner_text("#rh-try-curl")
        assert "/versions/1/predict?threshold=0.9'" in curl
        assert "-H 'Content-Type: image/png'" in curl
        assert "--data-binary '@on the street.png'" in curl

    def test_a_check_says_that_the_picture_is_valid(self, opened):
        page = opened()

        page.click("[data-check]")
        page.wait_for_selector("[data-state=good]")

        assert "Valid for version 1." in page.inner_text("#rh-try-answer")

    @pytest.mark.parametrize(
        ("picture", "name", "kind", "said"),
        [
            (b"%PDF", "a.pdf", "application/pdf", "a.pdf is not a JPEG, PNG, WebP or GIF."),
            (bytes(MAX_PICTURE_BYTES + 1), "a.png", "image/png", "at most 10 MiB are accepted."),
        ],
        ids=["type", "size"],
    )
    def test_a_file_that_cannot_be_sent_is_refused_at_once(self, opened, picture, name, kind, said):
        page = opened()

        page.set_input_files(".rh-drop input", {"name": name, "mimeType": kind, "buffer": picture})

        page.wait_for_selector("[data-picture-drop] [role=alert]:visible")
        assert said in page.inner_text("[data-picture-drop] [role=alert]")
        assert "Example picture" in page.inner_text("[data-chosen]")
        self.drop(page, OBJECTS)
        assert page.is_hidden("[data-picture-drop] [role=alert]")

    def test_a_damaged_picture_is_refused_in_words(self, opened):
        page = opened()

        self.drop(page, OBJECTS[:60])
        said = self.send(page, "bad")

        assert "422" in said and "The picture is" in said
        assert page.locator(".rh-frame").count() == 0

    def test_of_an_animation_the_first_frame_is_shown(self, opened):
        page = opened()

        self.drop(page, animated(), "a.gif", "image/gif")
        self.send(page)

        assert page.inner_text(".rh-note") == "The picture has 2 frames; the model read the first."
        page.wait_for_function("document.querySelector('.rh-frame canvas').width === 64")
        pixel = (
            "[...document.querySelector('.rh-frame canvas').getContext('2d').getImageData(9, 9, 1, 1).data]"
        )
        assert page.evaluate(pixel) == [255, 0, 0, 255]

    def test_all_of_it_works_with_the_keyboard(self, opened):
        page = opened()
        self.drop(page, OBJECTS)

        page.focus(".rh-drop input")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("[data-state=good]")
        page.focus(".rh-least input")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")

        lit = page.locator(".rh-object.rh-lit")
        assert lit.get_attribute("aria-selected") == "true"
        assert lit.inner_text().startswith("red")
        x, y = (page.locator(".rh-box.rh-lit .rh-box-line").get_attribute(side) for side in "xy")
        assert (x, y) == ("0", "0")
        page.keyboard.press("Home")
        assert page.locator(".rh-object.rh-lit").inner_text().startswith("blue")

    def test_a_picture_can_be_pasted(self, opened):
        page = opened()

        part = ["ClipboardEvent", "paste"], "clipboardData", "shot.png", "image/png", in_base64(OBJECTS)
        page.locator("body").evaluate(PUT, list(part))

        page.wait_for_function("document.querySelector('[data-facts]').textContent.includes('128 × 128')")
        assert page.inner_text("[data-chosen]") == "shot.png"

    def test_each_of_several_pictures_has_its_own(self, opened):
        page = opened()
        page.select_option("#rh-try-form", "images")
        page.fill("#rh-try-body", json.dumps({"images": [in_base64(OBJECTS), in_base64(OBJECTS)]}))
        self.send(page)

        assert page.locator(".rh-frame img").count() == 2
        assert self.objects(page) == ["blue", "red"] * 2

    def test_tags_of_crowded_boxes_do_not_cover_each_other(self, opened):
        page = opened()
        cells = Image.new("RGB", (64, 64), "red")
        file = BytesIO()
        cells.save(file, "PNG")
        self.drop(page, file.getvalue())
        page.set_viewport_size({"width": 390, "height": 844})
        self.send(page)
        page.mouse.move(0, 0)  # off the picture: the tag of the box under it would be shown alone
        page.wait_for_selector(".rh-boxes:not([data-lit]) .rh-tag:visible")

        boxes = [tag.bounding_box() for tag in page.locator(".rh-tag:visible").all()]
        assert len(self.objects(page)) == 16 and 4 <= len(boxes) <= 16
        for at, one in enumerate(boxes):
            assert one["height"] == pytest.approx(18, abs=1)
            assert not any(self.overlap(one, other) for other in boxes[at + 1 :])

    def overlap(self, one, other):
        return all(
            one[at] + one[length] > other[at] + 0.5 and other[at] + other[length] > one[at] + 0.5
            for at, length in (("x", "width"), ("y", "height"))
        )
