"""A headless browser, what it complains about, and the port that leads it to a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from caches import Cache
from daemon import Daemon
from ground import Ground, Skipped

PAGE = "page"
"""The environment with what drives the browser."""

PATIENCE = 60_000
"""Milliseconds that anything may take on any machine; nothing waits that long for what comes."""


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name, path="/usr/bin:/usr/local/bin:/snap/bin")
        if path:
            return path
    raise Skipped("no chromium; on Debian and Ubuntu: apt-get install chromium")


class Sight:
    """One page in one browser window. What the browser complains of is a failure."""

    def __init__(self, ground: Ground, page: Any, what: str) -> None:
        self.ground = ground
        self.page = page
        self.what = what
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self._complain(message) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.fail(f"an error of the page: {error}"))
        page.on("dialog", lambda dialog: (self.fail(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))

    def _complain(self, message: Any) -> None:
        # That the daemon refuses something is what the browser has to say of every refusal.
        if not message.text.startswith("Failed to load resource: the server responded with a status of 4"):
            self.fail(f"the console says: {message.text}")

    def fail(self, text: str) -> None:
        self.ground.failures.append(f"{self.what}: {text}")

    def check(self, holds: Any, text: str) -> bool:
        if not holds:
            self.fail(text)
        return bool(holds)

    def goto(self, url: str) -> None:
        """Goes there and waits until it is drawn; an error of the page's own is told sooner than that it never is."""
        before = len(self.ground.failures)
        self.page.goto(url)
        if len(self.ground.failures) == before:
            self.page.wait_for_selector("#repo-table tbody tr")

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())

    def await_text(self, selector: str, text: str) -> None:
        """Waits until something says so."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector).first).to_contain_text(text, timeout=PATIENCE)

    def focused(self) -> str:
        """The id of what has the focus, else its text."""
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))

    def is_accessible(self, when: str) -> None:
        """Whether the rules of axe-core find nothing: names, roles, labels, contrast, order."""
        from axe_playwright_python.sync_playwright import Axe

        for violation in Axe().run(self.page).response["violations"]:
            places = [" ".join(node["target"]) for node in violation["nodes"][:5]]
            self.fail(f"{when}: {violation['id']}: {violation['help']}: {places}")

    def picture(self, name: str) -> None:
        """Keeps a picture where somebody wants to look at it: in the folder that HFJANITOR_PAGE_PICTURES names."""
        folder = os.environ.get("HFJANITOR_PAGE_PICTURES")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@contextmanager
def browser(ground: Ground) -> Iterator[Any]:
    path = chromium()
    from playwright.sync_api import sync_playwright

    # A home that it may write to; as root it has no sandbox of its own.
    environment = ground.environment(more={"XDG_CACHE_HOME": str(ground.home(None) / "cache")})
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if ground.is_root else [], env=environment
        )
        try:
            yield running
        finally:
            running.close()


@contextmanager
def window(ground: Ground, running: Any, what: str, scheme: str = "light", width: int = 1200, height: int = 900) -> Iterator[Sight]:
    context = running.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    try:
        yield Sight(ground, context.new_page(), what)
    finally:
        context.close()


def watched(ground: Ground, cache: Cache, policy: Path) -> Daemon:
    """A daemon that is ready, with a control socket of its own; `more` of it is what commands need to find that."""
    daemon = Daemon(ground, cache.path, policy=policy, more={"HFJANITOR_SOCKET": str(ground.base / "control.sock")})
    daemon.await_ready()
    return daemon


@contextmanager
def open_port(ground: Ground, daemon: Daemon) -> Iterator[str]:
    """`hfjanitor open`: its URL."""
    process = ground.start([ground.program, "open", "--no-browser"], more=daemon.more, stdout=subprocess.PIPE, text=True)
    try:
        yield ground.await_line(process)
    finally:
        process.terminate()
        process.wait(30)
