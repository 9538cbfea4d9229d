"""Pictures of golden sets and of examples on pages: small ones made anew, never base64, and no script in them runs."""

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest
from django.urls import reverse
from PIL import Image
from playwright.sync_api import Error

from inference.pipelines.thumbnails import make_thumbnail
from inference.try_it import picture_views
from registry.access.models import ObjectScope
from registry.access.roles import Role
from registry.intake.checklist.services import end_line, end_run, start_line, start_run
from registry.intake.examples.services import add_examples
from registry.kit.compute_lock import compute_lock
from tests.support.browser import open_page
from tests.support.factories import (
    SIGNATURE,
    a_golden_result,
    a_golden_set,
    a_model,
    a_version,
    an_actor,
    an_uploaded_version,
)
from tests.support.picture_models import a_picture, in_base64
from tests.support.polyglots import OTHERS, PICTURES

pytestmark = pytest.mark.django_db
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, max-age=3600",
}
RED = a_picture(size=(900, 300))
CONFIG = {"labels": ["red", "green"]}


def rows_of(*pictures):
    return [{"inputs": {"image": in_base64(picture)}, "label": "red"} for picture in pictures]


def a_set(*pictures, slug="pictures"):
    model = a_model(slug, task="image-classification")
    return a_golden_set(model, *rows_of(*pictures))


def an_example(inputs, slug="pictures"):
    version = an_uploaded_version(a_model(slug, task="image-classification"), task_config=CONFIG)
    add_examples(
        version=version, examples=[{"inputs": inputs, "expected": {"label": ["red"]}}], by=an_actor()
    )
    return version


def of_row(golden_set, row=1):
    return reverse("golden-picture", args=[golden_set.pk, row])


def of_example(version, number=1):
    return reverse("example-picture", args=[version.pk, 1, number])


def test_a_row_s_picture(client, viewer):
    golden_set = a_set(a_picture((0, 255, 0)), RED)

    answer = client.get(of_row(golden_set, 2))

    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert {name: answer[name] for name in HEADERS} == HEADERS
    assert answer["Content-Disposition"] == f'attachment; filename="golden-set-{golden_set.pk}-row-2.png"'
    image = Image.open(BytesIO(answer.content))
    assert (image.size, image.convert("RGB").getpixel((5, 5))) == ((640, 213), (255, 0, 0))


def test_what_is_not_there(client, viewer):
    golden_set = a_set(RED)
    texts = a_golden_set(a_model("numbers"))

    for address in (
        of_row(golden_set, 0),
        of_row(golden_set, 2),
        of_row(texts),
        reverse("golden-picture", args=[999, 1]),
    ):
        assert client.get(address).status_code == 404
    assert client.post(of_row(golden_set)).status_code in {403, 405}


def test_who_may_not_see_the_model_sees_no_picture(client, viewer):
    golden_set, version = a_set(RED), an_example({"image": in_base64(RED)}, "examples")
    scope = ObjectScope.objects.create(user=viewer)
    scope.models.add(a_model("elsewhere"))

    assert client.get(of_row(golden_set)).status_code == 404
    assert client.get(of_example(version)).status_code == 404

    scope.models.add(golden_set.model, version.model)
    assert client.get(of_row(golden_set)).status_code == 200
    assert client.get(of_example(version)).status_code == 200


def test_who_is_not_logged_in_sees_no_picture(client):
    assert client.get(of_row(a_set(RED))).status_code == 302  # to the login


def test_other_pages_go_on_while_a_picture_is_made(client, viewer, monkeypatch):
    golden_set, held = a_set(RED), []

    def make(picture):
        held.append(compute_lock.is_mine)
        return make_thumbnail(picture)

    monkeypatch.setattr(picture_views, "make_thumbnail", make)
    with compute_lock.held():
        assert client.get(of_row(golden_set)).status_code == 200

    assert held == [False]


@pytest.mark.parametrize("inputs", [in_base64(RED), [in_base64(RED)]], ids=["one", "list"])
def test_an_example_s_picture(client, viewer, inputs):
    version = an_example({"image": inputs})

    answer = client.get(of_example(version))

    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert {name: answer[name] for name in HEADERS} == HEADERS
    assert client.get(of_example(version, 2)).status_code == 404
    page = client.get(f"{reverse('admin:registry_version_change', args=[version.pk])}?tab=checks").text
    assert of_example(version) in page and "iVBOR" not in page


def test_an_example_of_pixels_has_no_picture(client, viewer):
    version = an_example({"image": [[[[1, 2, 3]]]]})

    assert client.get(of_example(version)).status_code == 404
    page = client.get(f"{reverse('admin:registry_version_change', args=[version.pk])}?tab=checks").text
    assert "example-picture" not in page and ">none<" in page


def test_a_check_shows_its_wrong_rows_with_pictures(client, viewer):
    golden_set = a_set(RED)
    run = start_run(
        version_id=an_uploaded_version(golden_set.model, task_config=CONFIG).pk,
        runtime_version="1",
        by=an_actor(),
    )
    start_line(run=run, step="golden")
    wrong = {"row": 1, "expected": "red", "got": "2 green; missed: 1 red"}
    end_line(run=run, step="golden", state="passed", facts={"golden_set": 1, "wrong": [wrong]})
    end_run(run=run, signature=SIGNATURE, by=an_actor())

    page = client.get(f"{reverse('admin:registry_version_change', args=[run.version_id])}?tab=checks").text

    assert of_row(golden_set) in page and "2 green; missed: 1 red" in page


def test_two_versions_are_compared_with_pictures(client, viewer):
    golden_set = a_set(RED)
    left, right = (a_version(golden_set.model, task_config=CONFIG) for _ in range(2))
    a_golden_result(left, golden_set, 0, [{"row": 1, "expected": "red", "got": "green"}])
    a_golden_result(right, golden_set, 1)

    page = client.get(reverse("admin:registry_version_compare", args=[right.pk])).text

    assert of_row(golden_set) in page and "iVBOR" not in page


class Serve(BaseHTTPRequestHandler):
    """Serves one file as a page, as nobody should."""

    def __init__(self, content, *rest):
        self.content = content
        super().__init__(*rest)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_):
        pass


@pytest.mark.browser
class TestScripts:
    @pytest.mark.parametrize("content", [*PICTURES.values(), *OTHERS.values()], ids=[*PICTURES, *OTHERS])
    def test_the_control_runs_the_script(self, browser, content):
        server = HTTPServer(("127.0.0.1", 0), partial(Serve, content))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            page, _ = open_page(browser)
            page.goto(f"http://127.0.0.1:{server.server_port}/x.png")
            assert page.title() == "ran"
            page.context.close()
        finally:
            server.shutdown()
            server.server_close()

    @pytest.mark.django_db(transaction=True)
    def test_no_script_runs_from_our_addresses(self, visit, live_server):
        golden_set = a_set(*PICTURES.values())
        files = {**PICTURES, **OTHERS}
        version = an_example({"image": [in_base64(content) for content in files.values()]}, "examples")
        addresses = {of_row(golden_set, row): True for row in range(1, len(PICTURES) + 1)}
        addresses |= {
            of_example(version, number): number <= len(PICTURES) for number in range(1, len(files) + 1)
        }
        page = visit(reverse("admin:index"), expected=("422",))
        base = page.url.partition("/admin/")[0]

        ran, seen = [], 0
        for address, is_picture in addresses.items():
            if is_picture:
                with page.expect_download() as download, pytest.raises(Error, match="Download is starting"):
                    page.goto(base + address)
                assert download.value.suggested_filename.endswith((".png", ".jpg"))
            else:
                answer = page.goto(base + address)
                assert (answer.status, answer.headers["content-type"]) == (422, "text/plain; charset=utf-8")
                assert {name: answer.headers[name.lower()] for name in HEADERS} == HEADERS
            ran.append(page.title() == "ran")
            page.goto(base + reverse("admin:index"))
            width = page.evaluate(
                "url => new Promise(done => { const img = new Image(); img.onload = () => done(img.width);"
                " img.onerror = () => done(0); img.src = url; document.body.append(img) })",
                address,
            )
            assert (width > 0) == is_picture
            seen += is_picture
            ran.append(page.title() == "ran")

        assert not any(ran) and seen == 2 * len(PICTURES)


def test_roles_are_those_of_the_model(signed_in, client):
    golden_set = a_set(RED)

    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        signed_in(role)
        assert client.get(of_row(golden_set)).status_code == 200
