"""Chromium for tests: the distribution's, quiet, with everything it complains about written down."""

import shutil
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

EXECUTABLE = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = {"wide": (1280, 800), "phone": (390, 844)}


@contextmanager
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        yield browser
        browser.close()


def open_page(browser, *, theme="light", size="wide", **more):
    """A page of its own context, and the list of what went wrong in it."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, **more)
    page = context.new_page()
    complaints = []
    page.on(
        "console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            complaints.append(request.url)
            if not request.url.startswith(("http://127.0.0.1", "data:", "blob:"))
            else None
        ),
    )
    return page, complaints


def log_in(page, url, user, password):
    page.goto(f"{url}/admin/")
    page.fill("[name=username]", user)
    page.fill("[name=password]", password)
    with page.expect_navigation():
        page.press("[name=password]", "Enter")
