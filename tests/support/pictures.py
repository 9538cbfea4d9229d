"""Take the pictures of the docs again, from the running demo: `make pictures`."""

import base64
import json
import re
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from tests.support import walk
from tests.support.browser import SIZES, chromium, log_in, open_page
from tests.support.processes import ROOT, paused, serving, wait_until

FOLDER = ROOT / "docs" / "pictures"
PICTURES = {
    "home": ("/admin/", "light", "wide"),
    "home-dark": ("/admin/", "dark", "wide"),
    "home-phone": ("/admin/", "light", "phone"),
    "model": ("/admin/registry/model/2/change/", "light", "wide"),  # demand
    "version": ("/admin/registry/version/2/change/", "light", "wide"),
    "workers": ("/admin/inference/enginereport/", "light", "wide"),
}
_PART, _PARTS = 8 << 20, 4
_VERDICTS = 36


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    with serving(folder, "--demo", WEB_PROCESSES=1) as demo, chromium() as browser:
        demo.wait_ready()
        for name, (path, theme, size) in PICTURES.items():
            with _visitor(browser, demo, theme, size) as page:
                page.goto(demo.url + path)
                _take_whole(page, name, size)
        with _visitor(browser, demo) as page:
            _take_boxes(page, demo.url, folder)
            _take_ranking(page, demo.url)
            _take_upload(page, demo.url, folder)
            _take_checks(page, demo.url, folder)
            _take_job(page, demo, folder)
            _take_two_people(browser, page, demo, folder)
        with _visitor(browser, demo, who="moderator") as page:
            _take_moderation(page, demo)
            _take_review(page, demo)
        with _visitor(browser, demo, who="lead") as page:
            _take_report_card(page, demo)


@contextmanager
def _visitor(browser, demo, theme="light", size="wide", who="operator"):
    page, _ = open_page(browser, theme=theme, size=size)
    log_in(page, demo.url, demo.credentials[f"{who}_user"], demo.credentials[f"{who}_password"])
    yield page
    page.context.close()


def _take_boxes(page, url, folder):
    """The shapes of the example's own request."""
    sample = json.loads((ROOT / "examples" / "shapes" / "sample.json").read_text())
    picture = folder / "shapes.jpg"
    picture.write_bytes(base64.b64decode(sample["image"]))
    walk.open_model(page, url, "shapes")
    walk.open_tab(page, "Try it")
    page.set_input_files("[data-picture-drop] input", picture)
    page.get_by_role("button", name="Send", exact=True).click()
    page.wait_for_selector("#rh-try-answer svg")
    page.mouse.move(0, 0)
    _take_part(page, "section[aria-labelledby=rh-try]", "boxes")


def _take_ranking(page, url):
    """Films for the user with whom the form begins."""
    walk.open_model(page, url, "picks")
    walk.open_tab(page, "Try it")
    page.get_by_role("button", name="Send", exact=True).click()
    page.wait_for_selector(".rh-ranked")
    page.mouse.move(0, 0)
    _take_part(page, "section[aria-labelledby=rh-try]", "ranking")


def _take_upload(page, url, folder):
    """Half-way: a part is held back for as long as the picture takes."""
    large = folder / "ripeness-large.onnx"
    large.write_bytes(bytes(_PARTS * _PART))
    held = f"**/uploads/*?offset={_PARTS // 2 * _PART}"
    page.route(held, lambda route: None)
    walk.choose_file(page, url, large, "Trained on the autumn harvest as well.")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_function("document.querySelector('.rh-progress progress').value >= 500")
    _take_whole(page, "upload")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_load_state("networkidle")
    page.unroute_all(behavior="ignoreErrors")


def _take_checks(page, url, folder):
    """A version that passes and is warned of, one that is refused, and the first beside the live one."""
    walk.put_golden_set(page, url, walk.write_golden_rows(folder / "golden.jsonl"), floor=0.95)

    walk.choose_file(
        page, url, walk.write_worse_model(folder / "without-hue.onnx"), "Without the hue sensor."
    )
    walk.send(page)
    walk.wait_checked(page)
    walk.open_tab(page, "Checks")
    _take_part(page, "#rh-checks", "checks")
    walk.compare(page)
    _take_whole(page, "compare", at_most=3000)

    walk.choose_file(page, url, walk.write_foreign_model(folder / "foreign.onnx"))
    walk.send(page)
    walk.wait_checked(page)
    walk.open_tab(page, "Checks")
    _take_part(page, "#rh-checks", "checks-failed")


def _take_job(page, demo, folder):
    """Half-way: the worker stands still for as long as the picture takes."""
    walk.order_job(page, demo.url, walk.write_harvest(folder / "harvest.csv"))
    page.wait_for_function("document.querySelector('#rh-job progress').value >= 300")
    (worker, *_) = demo.find(r"manage\.py worker|celery.* worker")
    with paused(worker, demo.data):
        page.reload()
        _take_whole(page, "job")
    page.wait_for_selector("#rh-job[data-open=no]", timeout=60_000)


def _take_moderation(page, demo):
    """A draft beside its preview, and a decision with its evidence."""
    sample = json.loads((ROOT / "examples" / "contraband" / "sample.json").read_text())
    for number in range(40):
        words = ("you are an idiot", "the parcel arrived", "what a silly game", "work from home and earn")[
            number % 4
        ]
        walk.moderate(demo, text=f"{words}, number {number}", content_id=f"comment-{number}", language="en")
    walk.moderate(demo, image=sample["image"], content_id="picture-1")
    decided = walk.moderate(
        demo,
        title="To Ada Lovelace",
        text="You are an idiot, get lost. Free casino here!",
        content_id="comment-17",
    )
    page.set_viewport_size({"width": 1720, "height": 900})
    page.goto(f"{demo.url}/admin/moderation/policy/")
    page.get_by_role("link", name="default", exact=True).click()
    page.locator(".rh-rule summary").first.click()
    page.get_by_label("Block above, number").first.fill("0.98")
    page.get_by_role("button", name="Preview").click()
    page.locator("#rh-preview[data-open=no], #rh-preview .rh-preview-sentence").first.wait_for()
    _take_whole(page, "policy", width=1720, at_most=1400)
    page.goto(f"{demo.url}/admin/moderation/decision/{UUID(hex=decided['request_id'])}/change/")
    _take_whole(page, "decision", at_most=1400)


def _take_review(page, demo):
    """A case of the demo: two comments that say the same."""
    page.goto(f"{demo.url}/admin/moderation/case/?q=recipes-2")
    page.get_by_role("link", name=re.compile(r"^Case \d")).first.click()
    page.get_by_role("link", name="Review this case").click()
    page.locator("[data-case]").wait_for()
    _take_whole(page, "review", at_most=1200)


def _take_report_card(page, demo):
    """After enough verdicts: two of three comments are insults, the third is about a thing."""
    for number in range(_VERDICTS):
        whose = "plan" if number % 3 else "oven"
        walk.moderate(demo, text=f"The {number}th stupid {whose}, honestly.", language="en")
    page.goto(f"{demo.url}/admin/moderation/review/")
    page.keyboard.press("Enter")
    for number in range(_VERDICTS):
        case = page.locator("[data-case]").get_attribute("data-case")
        page.wait_for_timeout(400)  # a key that comes at once after a verdict is not taken
        page.keyboard.press("r" if number % 3 else "a")
        page.wait_for_function(
            "(before) => document.querySelector('[data-case]')?.dataset.case !== before", arg=case
        )
    wait_until(lambda: "%" in _report_card(page, demo), within_s=60, what="a report card")
    _take_whole(page, "report-card", at_most=1200)


def _report_card(page, demo):
    page.goto(f"{demo.url}/admin/moderation/quality/")
    return page.inner_text("main, #main, body")


def _take_two_people(browser, page, demo, folder):
    """A version is asked for, approved by somebody else, compared with the live one, and taken back."""
    newer = walk.write_newer_model(folder / "autumn.onnx")
    walk.choose_file(page, demo.url, newer, "With the autumn.", walk.OF_TWO)
    walk.send(page)
    walk.wait_checked(page)
    page.reload()
    walk.challenge(page, "10 % see the autumn")
    _take_whole(page, "split")
    walk.confirm(page, "Ask for share")
    with _visitor(browser, demo, who="approver") as approver:
        walk.open_request(approver, demo.url)
        _take_whole(approver, "request")
        walk.decide(approver, "Approve", "the numbers look fine")
    _ask_for_a_minute(demo)
    walk.open_model(page, demo.url, walk.OF_TWO)
    _take_whole(page, "a-b")
    during = page.evaluate(walk.NOW)
    walk.roll_back(page, demo.url, "autumn is over")
    _take_whole(page, "roll-back")
    walk.confirm(page, "Roll back")
    walk.open_model(page, demo.url, walk.OF_TWO)
    walk.live_at(page, during)
    _take_part(page, "#rh-splits", "live-at")
    page.get_by_role("link", name="Stop", exact=True).click()
    page.fill("[name=reason]", "The meter sends wrong hours; back at noon.")
    walk.confirm(page, "Stop")
    _take_whole(page, "stopped", at_most=420)


def _ask_for_a_minute(demo):
    """Both versions answer, until a minute of it is written down."""
    ends_at = time.time() // 60 * 60 + 65
    while time.time() < ends_at:
        walk.who_answers(demo, 400)


def _take_whole(page, name, size="wide", at_most=1000, width=0):
    _show_all(page, size, width)
    window = page.viewport_size
    clip = {"x": 0, "y": 0, "width": window["width"], "height": min(window["height"], at_most)}
    page.screenshot(path=FOLDER / f"{name}.png", clip=clip, animations="disabled")


def _take_part(page, selector, name):
    _show_all(page)
    page.locator(selector).screenshot(path=FOLDER / f"{name}.png", animations="disabled")


def _show_all(page, size="wide", wider=0):
    """Make the window as high as the page, so that nothing that sticks to its edge lies over the rest."""
    width, height = SIZES[size]
    width = wider or width
    page.wait_for_load_state("networkidle")
    page.set_viewport_size({"width": width, "height": height})
    needed = page.evaluate("Math.max(...[...document.querySelectorAll('*')].map((one) => one.scrollHeight))")
    page.set_viewport_size({"width": width, "height": max(height, needed)})
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
