"""The editor of a policy's draft in Chromium, and the blurred pictures of a decision."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse

from moderation.deciding.findings import Findings
from moderation.deciding.models import PolicyPreview
from moderation.deciding.previews import run_preview
from moderation.policies import services
from moderation.policies.models import Policy
from moderation.policies.rules import read_rules
from moderation.rights import ModerationRole
from registry.access.policies import Role
from tests.support.browser import chromium, open_page
from tests.support.decision_rows import LISTED, OTHER, a_box, a_decision, a_list_policy, a_png
from tests.support.factories import a_person, an_actor
from tests.support.text_models import put_names

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BOXES = """() => {
    const picture = document.querySelector("[data-picture] img").getBoundingClientRect();
    return [...document.querySelectorAll("[data-box]")].map((box) => {
        const { left, top, width, height } = box.getBoundingClientRect();
        const corner = [(left - picture.left) / picture.width, (top - picture.top) / picture.height];
        return [...corner, width / picture.width, height / picture.height];
    });
}"""


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


@pytest.fixture
def visit(browser, live_server, client):
    """Opens pages as an editor; nothing may complain but of what the server refuses."""
    client.force_login(a_person(ModerationRole.POLICY_EDITOR, Role.VIEWER))
    url = live_server.url.replace("localhost", "127.0.0.1")
    session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
    opened = []

    def visit(path, **options):
        page, complaints = open_page(browser, **options)
        opened.append((page, complaints))
        page.context.add_cookies([session])
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        return page

    yield visit
    for page, complaints in opened:
        page.context.close()
        assert [line for line in complaints if "422" not in line and "409" not in line] == []


@pytest.fixture
def edit(visit):
    def edit(policy, **options):
        return visit(reverse("admin:moderation_policy_change", args=[policy.pk]), **options)

    return edit


def saved(page, policy, says="Saved at"):
    page.get_by_role("button", name="Save draft").click()
    page.locator("[data-said]", has_text=says).wait_for()
    return Policy.objects.get(pk=policy.pk).draft


def card(page, name):
    return page.locator(".rh-rule", has=page.locator("[data-title]", has_text=name))


class TestCards:
    def test_a_detector_is_added(self, edit, tmp_path):
        put_names(tmp_path)
        policy = a_list_policy()
        page = edit(policy)

        page.get_by_role("button", name="Add detector").click()
        rule = page.locator(".rh-rule").nth(1)
        rule.get_by_label("Name", exact=True).fill("people")
        rule.get_by_label("Violation").fill("sensitive_info")
        rule.get_by_label("Detector", exact=True).select_option("names")
        rule.get_by_label("PER").check()
        rule.get_by_label("Block above", exact=True).first.check()
        rule.get_by_label("Block above, number").fill("0.95")
        draft = saved(page, policy)

        assert draft["rules"][0] == LISTED
        assert draft["rules"][1] == {
            "kind": "detector", "name": "people", "code": "sensitive_info", "detector": "names", "labels": ["PER"],
            "review": 0.7, "block": 0.95, "reads": ["text", "title"],
        }  # fmt: skip

    def test_sliders_and_numbers_agree(self, edit, tmp_path):
        put_names(tmp_path)
        rule = {"name": "people", "kind": "detector", "code": "names", "detector": "names", "review": 0.5}
        page = edit(a_list_policy(rule))

        slider = page.get_by_label("Review above", exact=True).nth(1)
        slider.focus()
        page.keyboard.press("ArrowRight")

        assert page.get_by_label("Review above, number").input_value() == "0.51"
        assert "review above 0.51" in page.inner_text("[data-sentence]")

    def test_nothing_changes_without_a_change(self, edit, tmp_path):
        put_names(tmp_path)
        detector = {"name": "people", "kind": "detector", "code": "names", "detector": "names", "note": 0.5,
                    "labels": ["PER"], "reads": ["title"], "languages": ["de", "en"]}  # fmt: skip
        hashes = {
            "name": "known",
            "kind": "hashes",
            "code": "known",
            "effect": "block",
            "hashes": ["sha256:" + "0" * 64],
        }
        policy = a_list_policy(LISTED, OTHER, detector, hashes)
        page = edit(policy)

        assert saved(page, policy) == policy.current.content

    def test_how_people_review_is_kept(self, edit):
        """It has no field in the editor."""
        policy = a_list_policy(review={"audit_share": 0.01})
        page = edit(policy)
        page.locator(".rh-rule").first.get_by_label("Violation").fill("insults")

        assert saved(page, policy)["review"] == {"audit_share": 0.01}

    def test_duplicate_move_remove_and_undo(self, edit):
        policy = a_list_policy(LISTED, OTHER)
        page = edit(policy)
        names = lambda: page.locator("[data-title]").all_inner_texts()  # noqa: E731

        page.get_by_role("button", name="Duplicate: listed").click()
        assert names() == ["listed", "listed-2", "other"]
        page.get_by_role("button", name="Move down: listed", exact=True).press("Enter")
        assert names() == ["listed-2", "listed", "other"]
        page.get_by_role("button", name="Remove: other").press("Space")
        assert names() == ["listed-2", "listed"]
        assert page.evaluate("document.activeElement.textContent") == "Undo removal"
        page.keyboard.press("Enter")
        assert names() == ["listed-2", "listed", "other"]

        draft = saved(page, policy)
        assert [rule["name"] for rule in draft["rules"]] == ["listed-2", "listed", "other"]

    def test_entries_come_from_a_file(self, edit):
        policy = a_list_policy()
        page = edit(policy)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Add from a text file").click()
        lines = "rogue\r\n\nblockhead\nнегодяй\n".encode()
        chooser.value.set_files({"name": "words.txt", "mimeType": "text/plain", "buffer": lines})
        page.locator("[data-said]", has_text="2 entries added").wait_for()

        assert page.inner_text("[data-count]") == "3 entries."
        assert saved(page, policy)["rules"][0]["entries"] == ["blockhead", "rogue", "негодяй"]

    def test_a_label_that_the_live_version_lacks(self, edit, tmp_path):
        put_names(tmp_path)
        rule = {"name": "people", "kind": "detector", "code": "names", "detector": "names", "note": 0.5}

        page = edit(a_list_policy({**rule, "labels": ["PER", "PRE"]}))

        assert "has no label “PRE”" in page.inner_text("[data-warned]")


class TestRefusals:
    def test_a_wrong_field_is_shown_and_the_rest_is_kept(self, edit):
        policy = a_list_policy(LISTED, OTHER)
        page = edit(policy)
        card(page, "other").locator("summary").click()
        field = card(page, "other").locator("[data-field=patterns]")
        field.locator("textarea").fill("(a")
        page.get_by_role("button", name="Save draft").click()

        field.locator("[data-problem]", has_text="entry 1").wait_for()
        assert field.locator("textarea").get_attribute("aria-invalid") == "true"
        assert field.locator("textarea").input_value() == "(a"
        field.locator("textarea").fill("a{3}")
        assert saved(page, policy)["rules"][1]["patterns"] == ["a{3}"]

    def test_somebody_else_was_first(self, edit):
        policy = a_list_policy()
        page = edit(policy)
        services.save_draft(policy=policy, content={"rules": [OTHER]}, expected=None, by=an_actor())
        page.locator("textarea[data-value]").fill("mine")
        page.get_by_role("button", name="Save draft").click()

        page.locator("[data-refused]", has_text="tester saved this draft in the meantime").wait_for()
        assert page.locator("textarea[data-value]").input_value() == "mine"
        assert Policy.objects.get().draft == {"rules": [OTHER]}


def test_a_preview_appears_beside_the_editor(edit):
    """It saves first, waits for a worker, and follows it."""
    policy = a_list_policy()
    (rule,) = read_rules(policy.current.content).list_rules
    searched = Findings(["text"], matches={rule.digest: []}, looked_at={rule.digest: ["text"]})
    a_decision(policy, text="call 123456789", findings=searched)
    page = edit(policy)

    page.get_by_role("button", name="Add patterns").click()
    rule = page.locator(".rh-rule").nth(1)
    rule.get_by_label("Name", exact=True).fill("numbers")
    rule.get_by_label("Violation").fill("numbers")
    rule.locator("textarea").fill(r"\d{9}")
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("Waiting for a worker").wait_for()
    run_preview(PolicyPreview.objects.get().pk)
    page.locator(".rh-preview-sentence").wait_for()

    assert "allow → review" in page.inner_text("#rh-preview")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="allow to review, sample 1").click()
    opened.value.wait_for_load_state()  # a new page is told of before its document has come
    assert "With the previewed draft: review" in opened.value.content()


def test_rules_are_pasted_as_json(edit):
    policy = a_list_policy()
    page = edit(policy)
    page.locator("[data-json] > summary").click()
    page.wait_for_function("document.querySelector('#rh-policy-json').value")
    content = json.loads(page.locator("#rh-policy-json").input_value())
    assert content == {"rules": [LISTED]}

    page.locator("#rh-policy-json").fill(json.dumps({"rules": [OTHER], "default_language": "en"}))
    page.get_by_role("button", name="Put into the editor").click()

    assert saved(page, policy) == {"rules": [OTHER], "default_language": "en"}


@pytest.mark.parametrize("size", ["wide", "phone"])
def test_the_editor_is_accessible(edit, size, tmp_path):
    put_names(tmp_path)
    rule = {"name": "people", "kind": "detector", "code": "names", "detector": "names", "note": 0.5}
    page = edit(a_list_policy(LISTED, OTHER, rule), size=size)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")

    found = Axe().run(page).response["violations"]
    assert [one["help"] for one in found if one["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


class TestPicturesOfDecisions:
    @pytest.mark.parametrize("size", [(400, 200), (48, 24)], ids=["large", "small"])
    def test_they_are_blurred_until_somebody_looks(self, visit, size):
        decision = a_decision(
            a_list_policy(), "block", evidence=(a_box(10, 5, 30, 15),), pictures=(a_png(*size),)
        )
        address = reverse("admin:moderation_decision_change", args=[decision.pk])
        page = visit(address)

        assert page.locator("[data-picture]").get_attribute("data-blurred") == ""
        assert page.locator("[data-box]").is_hidden()
        page.get_by_role("button", name="Show picture").click()
        ((left, top, width, height),) = page.evaluate(BOXES)
        assert (left, top, width, height) == pytest.approx(
            (10 / size[0], 5 / size[1], 20 / size[0], 10 / size[1]), abs=0.005
        )

        page.get_by_label("Blur pictures").uncheck()
        page.reload()
        page.locator("[data-box]").wait_for()
        assert page.locator("[data-picture]").get_attribute("data-blurred") is None
