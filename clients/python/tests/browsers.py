"""A browser that looks at a board, and a page whose console, errors and requests are kept."""

import re
import shutil
from contextlib import contextmanager

from servers import wait_for

SECONDS = 15  # how long anything may take to be seen; nothing waits that long where it works
NAMES = ("chromium", "chromium-browser", "google-chrome")


def path():
    """Debian's Chromium or its like, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser():
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # As root its sandbox cannot be had; the pages it sees are ours.
        chromium = playwright.chromium.launch(executable_path=path(), args=["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"])
        yield chromium
        chromium.close()


def until(page, expression, *argument):
    """Until this expression, or function of one argument, holds in the page."""
    return wait_for(expression, lambda: page.evaluate(expression, *argument), SECONDS, 0.05)


class Watched:
    """A page of a board at this address."""

    def __init__(self, chromium, address, **options):
        self.context = chromium.new_context(viewport={"width": 1440, "height": 900}, **options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
        self.page, self.address = self.context.new_page(), address
        self.said, self.requests, self.responses, self.allowed = [], [], [], []
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", lambda message: self.said.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", lambda response: self.responses.append(response))

    def open(self, fragment="", ready=".funnel tbody tr"):
        """Goes there and waits for an element."""
        self.page.goto(self.address + fragment)
        self.page.wait_for_selector(ready)
        return self.page

    def settle(self):
        """Until every panel has its answer to what is asked now."""
        until(self.page, "!document.querySelector('.blanks') && document.querySelectorAll('.panel').length > 8")
        self.page.wait_for_selector("#chart-visitors canvas")

    def close(self):
        """The console must have been silent, but for what was allowed to be said."""
        self.context.close()
        said = [line for line in self.said if not any(re.search(pattern, line) for pattern in self.allowed)]
        assert not said, said
