"""Names that want to be more than text."""

from __future__ import annotations

import os
from pathlib import Path

from browsing import PAGE, Sight, browser, open_port, watched, window
from caches import Cache
from catalogue import proof
from ground import ORG, Ground

NAMES = (
    "<img src=x onerror=window.pwned=1>",
    "<script>window.pwned=1<",
    "\"><svg onload=window.pwned=1>",
    "'-window.pwned=1-'",
    "${window.pwned=1}{{window.pwned=1}}",
    "javascript:window.pwned=1",
    "safe\u202egnp.exe",
    "line\u2028end\u0007\x1b[2J",
    "__proto__",
    "constructor",
)


def harmed(ground: Ground) -> tuple[Cache, Path]:
    """A cache in which every place that takes any name has a hostile one."""
    cache = Cache(ground, ground.place() / "cache")
    commit = cache.model(f"{ORG}/victim")
    folder = cache.folder(f"{ORG}/victim")
    for name in NAMES:
        (folder / "refs" / name).write_text(commit.id)
        # A file of the snapshot that leads nowhere is a finding; a partial download a leftover.
        (cache.snapshot(f"{ORG}/victim", commit) / f"{name}.safetensors").symlink_to("../../blobs/" + "0" * 64)
        partial = folder / "blobs" / f"{name}.incomplete"
        partial.write_bytes(b"x" * 5000)
        os.utime(partial, (1e9, 1e9))
        (cache.path / f"models--evil--{name}").mkdir()
    nested = folder / "refs" / "<"
    nested.mkdir()
    (nested / "script><script>window.pwned=1").write_text(commit.id)
    return cache, ground.policy(f"mode: observe\ncaches: [{{path: {cache.path}}}]\n")


def does_nothing(sight: Sight) -> None:
    page = sight.page
    sight.await_text("#finding-list", "onerror=window.pwned=1")
    page.get_by_role("button", name=f"model/{ORG}/victim").first.click()
    sight.await_text("#repo-detail", "onerror=window.pwned=1")
    sight.await_text("#repo-detail", "</script><script>window.pwned=1")
    for character in ("\\xe2\\x80\\xae", "\\xe2\\x80\\xa8", "\\x07", "\\x1b"):
        sight.check(character in sight.text("#repo-detail"), f"{character} is not shown")
    page.wait_for_timeout(300)
    sight.check(page.evaluate("window.pwned === undefined && ({}).polluted === undefined"), "a name was run")
    sight.check(page.locator("img, svg[onload], main script").count() == 0, "a name became an element")
    raw = page.evaluate("/[\\u202a-\\u202e\\u2066-\\u2069\\u2028\\u2029\\u0007\\u001b]/.test(document.body.innerText)")
    sight.check(not raw, "a control character is on the page as it is")
    attributes = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((e) => [...e.attributes]).filter((a) => a.name.startsWith('on')).length"
    )
    sight.check(attributes == 0, f"{attributes} attributes would run something")


@proof(PAGE)
def page_hostile(ground: Ground) -> None:
    """A hostile name of a ref, a file, a partial download or a folder does nothing, live and in a file."""
    cache, policy = harmed(ground)
    daemon = watched(ground, cache, policy)
    file = ground.base / "report.html"
    with browser(ground) as running, open_port(ground, daemon) as url:
        ground.equal(ground.janitor("report", "--html", file, more=daemon.more).status, 0, "report")
        for source, address in (("live", url), ("report", file.as_uri())):
            with window(ground, running, source) as sight:
                sight.goto(address)
                does_nothing(sight)
                sight.picture(f"hostile-{source}")
    daemon.stop()
