"""Take the pictures of the docs again, from the running demo: `make pictures`."""

import tempfile

from tests.browser import chromium, log_in, open_page
from tests.processes import ROOT, serving

PICTURES = {
    "home": ("/admin/", "light", "wide"),
    "home-dark": ("/admin/", "dark", "wide"),
    "home-phone": ("/admin/", "light", "phone"),
    "model": ("/admin/registry/model/1/change/", "light", "wide"),
    "version": ("/admin/registry/version/1/change/", "light", "wide"),
}


def main() -> None:
    folder = ROOT / "docs" / "pictures"
    with serving(tempfile.mkdtemp(), "--demo", WEB_PROCESSES=1) as demo, chromium() as browser:
        demo.wait_ready()
        for name, (path, theme, size) in PICTURES.items():
            page, _ = open_page(browser, theme=theme, size=size)
            log_in(page, demo.url, demo.credentials["admin_user"], demo.credentials["admin_password"])
            page.goto(demo.url + path)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    main()
