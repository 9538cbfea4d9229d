"""The review console in Chromium, by keyboard alone."""

import re
from contextlib import suppress
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.utils import timezone

from moderation.cases.models import Case
from moderation.review.models import Reviewer, Verdict
from moderation.review.taking import put_back, take, take_next
from moderation.rights import ModerationRole
from registry.access.policies import actor_from_user
from registry.kit.actors import Source
from tests.support.browser import chromium, open_page
from tests.support.cases import a_case, a_guideline, a_reviewer, decide
from tests.support.decision_rows import a_box, a_list_policy, a_png
from tests.support.factories import a_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGE = "/admin/moderation/review/"
SEEN = "() => new Promise((seen) => setTimeout(seen, 310))"  # a case is decided when it has been seen


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


@pytest.fixture
def visit(browser, live_server):
    """Opens the console as somebody; nothing may complain but of what the server refuses."""
    url = live_server.url.replace("localhost", "127.0.0.1")
    opened = []

    def visit(person, path=PAGE, **options):
        page, complaints = open_page(browser, **options)
        opened.append((page, complaints))
        client = Client()
        client.force_login(person)
        session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
        page.context.add_cookies([session])
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        return page

    yield visit
    for page, complaints in opened:
        page.context.close()
        refusals = ("422", "409", "404", "ERR_FAILED", "ERR_INTERNET_DISCONNECTED")
        assert [line for line in complaints if not any(one in line for one in refusals)] == []


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def rita():
    return a_person(ModerationRole.REVIEWER, username="rita")


def cases(policy, *texts, **more):
    """In the order in which they are taken."""
    found = [a_case(policy, f"{text} blockhead", **more) for text in texts]
    for place, case in enumerate(reversed(found), start=1):
        Case.objects.filter(pk=case.pk).update(weight=place)
    return found


def shows(page, text):
    page.locator("[data-case]", has_text=text).wait_for()
    page.evaluate(SEEN)


def test_two_cases_by_keyboard_alone(visit, policy, rita):
    a_guideline("spam", title="Advertising")
    a_guideline("slurs", title="Slurs")
    cases(policy, "one", "two", "three")
    page = visit(rita)

    page.keyboard.press("Enter")
    shows(page, "one")
    page.keyboard.press("r")
    shows(page, "two")
    page.keyboard.press("2")
    page.keyboard.press("r")
    shows(page, "three")

    assert list(Verdict.objects.order_by("pk").values_list("action__name", "codes", "reviewer_name")) == [
        ("remove", ["slurs"], "rita"), ("remove", ["spam"], "rita"),
    ]  # fmt: skip
    assert "Remove: Advertising. Next case: Slurs" in page.inner_text("[data-said]")


def test_a_key_that_is_pressed_twice_decides_one_case(visit, policy, rita):
    cases(policy, "one", "two")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")

    page.keyboard.press("a")
    page.locator("[data-case]", has_text="two").wait_for()
    page.keyboard.press("a")
    page.wait_for_load_state("networkidle")

    assert Verdict.objects.count() == 1


def test_undo_brings_the_case_back(visit, policy, rita):
    cases(policy, "one", "two")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")
    page.keyboard.press("a")
    shows(page, "two")
    bar = page.locator("[data-undo]")
    assert re.search(r"Allow[\s\S]*Undo \((10|9|8)\)", bar.inner_text())

    page.keyboard.press("Control+z")
    shows(page, "one")
    assert bar.is_hidden()
    page.keyboard.press("r")
    shows(page, "two")
    page.keyboard.press("u")
    shows(page, "one")

    assert list(Verdict.objects.values_list("status", flat=True)) == ["undone", "undone"]


def test_escalate_asks_for_a_note_and_goes_on(visit, policy, rita):
    case, _ = cases(policy, "one", "two")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")

    page.keyboard.press("e")
    page.keyboard.press("Enter")  # nothing is sent without a note
    assert page.evaluate("document.activeElement.id") == "rh-escalate-note"
    page.keyboard.type("I know them; he said so")
    page.keyboard.press("Enter")
    shows(page, "two")

    case.refresh_from_db()
    assert (case.is_escalated, case.note) == (True, "I know them; he said so")
    assert page.evaluate("document.activeElement.dataset.case") == page.get_attribute(
        "[data-case]", "data-case"
    )


def test_hold_hand_over_skip_and_pause(visit, policy, rita):
    sam = a_person(ModerationRole.REVIEWER, username="sam")
    held, handed, skipped, _ = cases(policy, "one", "two", "three", "four")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")

    page.keyboard.press("h")
    page.keyboard.press("Tab")
    page.keyboard.type("wait")
    page.keyboard.press("Enter")
    shows(page, "two")
    page.keyboard.press("o")
    page.keyboard.press("Tab")
    page.keyboard.type("you know")
    page.keyboard.press("Enter")
    shows(page, "three")
    page.keyboard.press("s")
    shows(page, "four")
    page.keyboard.press("p")
    page.get_by_text("1 case is on hold for you").wait_for()

    for case in (held, handed, skipped):
        case.refresh_from_db()
    assert held.assigned_to == rita
    assert held.on_hold_until > timezone.now() + timedelta(hours=23)
    assert handed.assigned_to == sam
    assert list(skipped.skipped_by.all()) == [rita]
    assert not Case.objects.filter(claimed_by=rita).exists()


def test_keys_do_nothing_while_one_types_or_holds_a_modifier(visit, policy, rita):
    cases(policy, "one", "two")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")

    page.keyboard.press("n")
    page.keyboard.type("arslu1")
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+r")
    page.keyboard.press("Shift+R")
    page.keyboard.press("?")
    page.locator("[data-dialog=help]").wait_for()
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    assert not Verdict.objects.exists()
    page.keyboard.press("r")
    shows(page, "two")

    assert Verdict.objects.get().note == "arslu1"


def test_a_violation_is_found_by_its_name(visit, policy, rita):
    for number in range(12):
        a_guideline(f"code-{number}", title=f"Violation {number}")
    a_guideline("fraud", title="Fraud with money", harm=1, guidance="Prizes that nobody won.")
    cases(policy, "one", "two")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")
    assert page.get_by_text("Fraud with money").is_hidden()

    page.keyboard.press("f")
    page.keyboard.type("money")
    page.keyboard.press("Enter")
    assert page.get_by_text("Prizes that nobody won.").is_visible()
    page.keyboard.press("r")
    shows(page, "two")

    assert Verdict.objects.get().codes == ["fraud"]


def test_blur_and_grey_are_remembered(visit, policy, rita):
    cases(policy, "one", evidence=(a_box(4, 5, 14, 15),), pictures=(a_png(),))
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")
    picture, look = page.locator("[data-picture] img"), "image => getComputedStyle(image).filter"
    assert picture.evaluate(look) == "none"
    assert page.locator("[data-box]").is_visible()

    page.keyboard.press("g")
    with page.expect_response("**/preferences/"):
        page.keyboard.press("b")
    assert picture.evaluate(look) == "grayscale(1) blur(28px)"
    page.keyboard.press("Space")
    assert picture.evaluate(look) == "grayscale(1)"
    page.keyboard.press("Space")
    picture.hover()
    assert picture.evaluate(look) == "grayscale(1)"

    page.reload()
    assert picture.evaluate(look) == "grayscale(1) blur(28px)"
    reviewer = Reviewer.objects.get()
    assert (reviewer.blurs, reviewer.greys) == (True, True)


def test_two_reviewers_get_two_cases_and_the_later_verdict_is_told(visit, policy, rita):
    sam = a_person(ModerationRole.REVIEWER, username="sam")
    first, _, _ = cases(policy, "one", "two", "three")
    ritas, sams = visit(rita), visit(sam)
    ritas.keyboard.press("Enter")
    shows(ritas, "one")
    sams.keyboard.press("Enter")
    shows(sams, "two")

    Case.objects.filter(pk=first.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    decide(first, "remove", a_reviewer(username="tom"))
    ritas.keyboard.press("a")

    ritas.locator("[data-problem]", has_text="tom decided this case first: Remove (slurs)").wait_for()
    shows(ritas, "three")
    assert Verdict.objects.get().reviewer_name == "tom"


def test_nothing_is_lost_while_the_server_is_away(visit, policy, rita):
    cases(policy, "one", "two")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")

    page.context.set_offline(True)
    page.keyboard.press("r")
    page.locator("[data-problem]", has_text="Not confirmed: the server is not responding").wait_for()
    assert "one blockhead" in page.inner_text("[data-case]")
    page.context.set_offline(False)
    page.keyboard.press("r")
    shows(page, "two")

    assert page.locator("[data-problem]").is_hidden()
    assert Verdict.objects.count() == 1


def test_a_session_that_has_ended(visit, policy, rita):
    cases(policy, "one")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")

    page.context.clear_cookies(name="sessionid")
    page.keyboard.press("r")

    link = page.get_by_role("link", name="Log in")
    link.wait_for()
    assert "/admin/login/?next=/admin/moderation/review/" in link.get_attribute("href")
    assert not Verdict.objects.exists()


def test_the_content_goes_when_the_time_is_over(visit, policy, rita):
    (case,) = cases(policy, "one")
    page = visit(rita)
    page.clock.install()
    page.reload()
    page.keyboard.press("Enter")
    page.locator("[data-case]").wait_for()

    page.clock.run_for(301_000)

    page.get_by_text("This case timed out").wait_for()
    assert "blockhead" not in page.content()
    assert page.evaluate("document.activeElement.textContent") == "Next case"
    page.keyboard.press("Enter")
    page.locator(f"[data-case='{case.pk}']").wait_for()


def test_the_case_is_kept_while_one_reads(visit, policy, rita):
    cases(policy, "one")
    page = visit(rita)
    page.clock.install()
    page.reload()
    page.keyboard.press("Enter")
    page.locator("[data-case]").wait_for()
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/keep/" in request.url else None)

    page.clock.run_for(40_000)
    page.mouse.move(10, 10)
    page.clock.run_for(19_000)
    with page.expect_response("**/keep/") as kept:
        page.clock.run_for(2_000)
    assert kept.value.status == 200

    page.clock.run_for(180_000)  # nobody moves
    assert len(sent) == 1


def test_a_case_is_opened_by_its_address(visit, policy, rita):
    _, second = cases(policy, "one", "two")

    page = visit(rita, f"{PAGE}?case={second.pk}")

    shows(page, "two")


def test_an_address_opens_its_case_once(visit, policy, rita):
    _, second = cases(policy, "one", "two")
    page = visit(rita, f"{PAGE}?case={second.pk}")
    shows(page, "two")

    page.wait_for_url(f"**{PAGE}")
    page.keyboard.press("p")
    page.get_by_role("heading", name="Waiting cases").wait_for()
    page.reload()

    page.get_by_role("heading", name="Waiting cases").wait_for()
    assert not Case.objects.filter(claimed_by=rita).exists()


def test_an_address_does_not_replace_the_open_case(visit, policy, rita):
    first, second = cases(policy, "one", "two")
    take(case=first, by=actor_from_user(rita, Source.ADMIN))

    page = visit(rita, f"{PAGE}?case={second.pk}")

    shows(page, "one")
    page.locator("[data-problem]", has_text=f"Case {second.pk} was not opened").wait_for()


def test_a_case_that_another_person_has_by_now_goes(visit, policy, rita):
    (first,) = cases(policy, "one")
    page = visit(rita)
    page.keyboard.press("Enter")
    shows(page, "one")
    put_back(case=first, by=actor_from_user(rita, Source.ADMIN))
    take(case=first, by=a_reviewer())

    page.keyboard.press("s")

    page.get_by_role("heading", name="Case closed").wait_for()
    assert "blockhead" not in page.content()


def test_a_digit_starts_a_queue(visit, policy, rita):
    cases(policy, "one")
    page = visit(rita)

    page.keyboard.press("1")

    page.get_by_role("heading", name="No cases waiting in “Appeals”").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Waiting cases").wait_for()
    assert take_next(queue=None, by=a_reviewer()) is not None


@pytest.mark.parametrize("size", ["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible(visit, policy, rita, theme, size):
    a_guideline(guidance="Only words against people.", harm=3)
    a_guideline("spam")
    cases(policy, "one", evidence=(a_box(4, 5, 14, 15),), pictures=(a_png(),), author_id="ann", thread="t")
    page = visit(rita, theme=theme, size=size)
    found = serious(page)

    page.keyboard.press("Enter")
    shows(page, "one")
    found += serious(page)
    page.keyboard.press("h")
    found += serious(page)
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.locator("[data-empty]").wait_for()
    found += serious(page)

    assert found == []
    width, view = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= view


def serious(page):
    with suppress(TimeoutError):
        page.wait_for_load_state("networkidle")
    return [
        f"{rule['help']}: {node['html'][:200]}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
