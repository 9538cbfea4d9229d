"""What people type is shown, never run: thirty payloads in names, notes, labels and reasons, on every page, in Chromium."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse

from registry.access.services import create_tenant, issue_key
from registry.catalogue import services as catalogue
from registry.errors import RoundhouseError
from registry.kit.admin.tabs import TABS
from registry.traffic import services as traffic
from roundhouse.middleware import ContentSecurityMiddleware
from tests.support.browser import chromium, log_in, open_page
from tests.support.factories import PASSWORD, a_live_model, a_person, a_tenant, an_actor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MARK = "window.__ran=1"
PAYLOADS = [
    f"<script>{MARK}</script>", f"<SCRIPT SRC=data:,{MARK}></SCRIPT>", f"</script><script>{MARK}</script>",
    f"<img src=x onerror={MARK}>", f"<svg onload={MARK}>", f"<svg><script>{MARK}</script></svg>",
    f"<body onload={MARK}>", f"<iframe srcdoc='<script>parent.{MARK[7:]}</script>'>", f"<details open ontoggle={MARK}>",
    f"<input autofocus onfocus={MARK}>", f"<video><source onerror={MARK}>", f"<a href='javascript:{MARK}'>x</a>",
    f"[x](javascript:{MARK})", f"[x](JaVaScRiPt:{MARK})", f"[x](data:text/html,<script>{MARK}</script>)",
    f"![x](x\" onerror=\"{MARK})", f"javascript:{MARK}", f"\"><script>{MARK}</script>", f"' onmouseover='{MARK}' x='",
    f"{{{{ constructor.constructor('{MARK}')() }}}}", f"x-data x-init=\"{MARK}\"", f"<div x-data x-init=\"{MARK}\">",
    "{% debug %}", "${7*7}", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1,1)",
    "\u202egnp.exe", "\u2066evil\u2069",
]  # fmt: skip


def _plant(payload: str, number: int):
    """Everything that people may name or describe, with the payload in it where it is let in."""
    by = an_actor()
    model = a_live_model(100, slug=f"planted-{number}")
    for change in ({"title": payload}, {"notes": payload}, {"tags": [payload]}):
        _try(catalogue.edit_model, model=model, changes=change, by=by)
    _try(issue_key, name=payload, tenant=a_tenant(), scopes=["predict"], by=by)
    _try(create_tenant, slug=f"tenant-of-{number}", title=payload, by=by)
    _try(a_person, "viewer", username=payload)
    _try(traffic.freeze_model, model=model, reason=payload, by=by)
    _try(traffic.stop_model, model=model, text=payload, by=by)


def _try(plant, *arguments, **values):
    try:
        plant(*arguments, **values)
    except RoundhouseError as refusal:  # as good as an escape: what gets in is what is tested
        assert "Traceback" not in str(refusal)


def test_nothing_that_people_type_runs(live_server, admin_pages, runs_in_browser):
    for number, payload in enumerate(PAYLOADS):
        _plant(payload, number)

    assert runs_in_browser(live_server.url, admin_pages) == []


def test_without_the_guards_it_runs(live_server, runs_in_browser, monkeypatch):
    """Negative control: neither escaped nor under a content security policy, the same check sees it run."""
    monkeypatch.setattr("django.template.base.render_value_in_context", lambda value, context: str(value))
    monkeypatch.setattr(
        ContentSecurityMiddleware, "__call__", lambda self, request: self.get_response(request)
    )
    _plant(PAYLOADS[0], 0)

    assert runs_in_browser(live_server.url, lambda: ["/admin/"]) != []


@pytest.fixture
def admin_pages():
    def pages():
        for model in admin.site._registry:
            name = f"{model._meta.app_label}_{model._meta.model_name}"
            yield reverse(f"admin:{name}_changelist")
            first = model._default_manager.order_by("-pk").first()
            if first is not None:
                page = reverse(f"admin:{name}_change", args=[first.pk])
                yield page
                yield from (f"{page}?tab={tab.name}" for tab in TABS if tab.page == model._meta.model_name)
        yield "/admin/"

    return pages


@pytest.fixture
def runs_in_browser():
    """Open pages as a superuser; give back those on which a payload ran."""

    def check(url, pages):
        User.objects.filter(pk=a_person("admin", "operator", username="looker").pk).update(is_superuser=True)
        # Asked before the browser runs: its event loop keeps Django from the database in this thread.
        paths = list(pages())
        found = []
        with chromium() as browser:
            page, _ = open_page(browser)
            page.on("dialog", lambda dialog: (found.append(page.url), dialog.dismiss()))
            log_in(page, url, "looker", PASSWORD)
            for path in paths:
                page.goto(url + path)  # until everything is loaded, or has failed to
                if page.evaluate("window.__ran === 1"):
                    found.append(path)
        return found

    return check
