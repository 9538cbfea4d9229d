"""The report card in Chromium, light and dark, wide and phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client

from moderation.cases.models import CaseSource
from moderation.quality.golden_sets import GoldenLabels, make_golden_set
from moderation.rights import ModerationRole
from registry.access.policies import Role
from registry.catalogue.models import Model
from tests.support.browser import chromium, open_page
from tests.support.cases import a_reviewer
from tests.support.factories import a_person, a_version, an_actor
from tests.support.judged import a_flagged, a_toxicity_policy, an_allowed, judge

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGE = "/admin/moderation/quality/"


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


def fill():
    policy = a_toxicity_policy()
    a_version(Model.objects.get(slug="toxicity"), task_config={"labels": ["safe", "toxic"]})
    rita, ann, zoe = (a_reviewer(username=name) for name in ("rita", "ann", "zoe"))
    for number in range(60):
        language = "de" if number % 4 == 0 else "en"
        decision, partner = (
            a_flagged(policy, text=f"text {number}", language=language),
            ann if number % 2 else zoe,
        )
        is_wrong = number % 3 == 0
        first = judge(decision, action="allow" if is_wrong else "remove", by=rita)
        judge(decision, action="remove", source=CaseSource.SECOND_REVIEW, about=first, by=partner)
        if is_wrong:
            judge(
                decision,
                action="allow" if number % 2 else "remove",
                source=CaseSource.DISAGREEMENT,
                about=first,
                by=zoe,
            )
        audit = an_allowed(policy, text=f"fine {number}", weight=20)
        judge(audit, action="remove" if number == 7 else "allow", source=CaseSource.AUDIT, by=ann)
    labels = GoldenLabels("toxic", "safe")
    make_golden_set(
        model=Model.objects.get(slug="toxicity"),
        code="toxic",
        labels=labels,
        metric="f1",
        reason="first",
        by=an_actor(),
    )


@pytest.mark.parametrize("size", ["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_read_it(browser, live_server, theme, size):
    fill()
    lead = a_person(ModerationRole.LEAD, Role.OPERATOR, username="lead")
    url = live_server.url.replace("localhost", "127.0.0.1")
    page, complaints = open_page(browser, theme=theme, size=size)
    client = Client()
    client.force_login(lead)
    session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
    page.context.add_cookies([session])
    found = []

    for path, text in {
        PAGE: "second reviews differ",
        f"{PAGE}golden-sets/toxicity/": "Rows, at most",
    }.items():
        assert page.goto(url + path).status == 200
        page.get_by_text(text).first.wait_for()
        for details in page.locator("details.rh-more").all():
            details.locator("summary").click()
        answer = Axe().run(page).response["violations"]
        found += [rule["help"] for rule in answer if rule["impact"] in {"serious", "critical"}]
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, path

    page.context.close()
    assert found == []
    assert complaints == []
