"""What the page shows: whole, in the dark, on a phone, from a file; by keyboard; and with thousands of repos."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import trees
from browsing import PAGE, Sight, browser, open_port, watched, window
from caches import Cache, model_files
from catalogue import proof
from ground import ORG, Ground

SECTIONS = ("space", "map", "repos", "findings", "plan", "reclaimable", "history")


def furnished(ground: Ground) -> tuple[Cache, Path]:
    """A cache with something of everything, and a policy that has something to say of it."""
    cache = Cache(ground, ground.place() / "cache")
    for name, mib, days in (("assistant", 6, 2), ("translator", 3, 40), ("embedder", 1, 120), ("classifier", 2, 50)):
        cache.model(f"{ORG}/{name}", mib, days)
    cache.publish(f"{ORG}/assistant", model_files("second", 5))
    cache.download(f"{ORG}/assistant")
    broken = cache.publish(f"{ORG}/broken", trees.weights.sidecars("b") | trees.weights.sharded("b", 3, rows=200))
    cache.download(f"{ORG}/broken")
    (cache.snapshot(f"{ORG}/broken", broken) / "model-00002-of-00003.safetensors").unlink()
    partial = cache.folder(f"{ORG}/translator") / "blobs" / f"{'ab' * 32}.incomplete"
    partial.write_bytes(b"x" * 400_000)
    os.utime(partial, (time.time() - 9 * 86400,) * 2)
    space = os.statvfs(cache.path)
    floor = space.f_bavail * space.f_frsize + 5_000_000
    policy = ground.policy(
        "mode: observe\ncontrol: {allow-fetch: true}\n"
        f"caches: [{{path: {cache.path}, min-free: {floor}, recent-use: 0s, min-age: 0s}}]\n"
        f"pins: [{{repo: {ORG}/classifier, reason: production}}]\n"
        "rules:\n  - {name: broken downloads, match: {state: stale-partial}, older-than: 1d}\n"
        "  - {name: unused, match: {type: model}, unused-for: 30d}\n  - {name: make room, when: pressure, order: lru}\n"
    )
    return cache, policy


def shows_everything(sight: Sight, *, is_live: bool) -> None:
    page = sight.page
    for name in SECTIONS + (("transfers",) if is_live else ()):
        sight.check(page.locator(f"section#{name} h2").is_visible(), f"there is no section {name}")
    sight.await_text("#repo-table", f"model/{ORG}/assistant")
    sight.await_text("#finding-list", "missing-shard")
    sight.await_text("#finding-list", "Repair fetches what is missing")
    sight.await_text("#plan-text", "unused")
    sight.await_text("#plan-text", "pin")
    sight.await_text("#reclaimable-text", "stale-partial")
    sight.await_text("#space-caches", "below the floor")
    sight.check("complete" in sight.text("#map-legend"), "the colours have no words")
    page.get_by_label("last use").check()
    sight.check("within a week" in sight.text("#map-legend"), "the colours of last use have no words")
    page.get_by_label("state", exact=True).check()
    colours = page.evaluate(
        "(() => { const c = document.getElementById('map-canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const s = new Set();"
        " for (let i = 0; i < d.length; i += 400) s.add(d[i] + ',' + d[i+1] + ',' + d[i+2]); return s.size; })()"
    )
    sight.check(colours >= 3, f"the map has {colours} colours")
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    sight.check(overflow <= 0, f"the page is {overflow} pixels too wide")
    actions = page.get_by_role("button", name="Repair").count()
    sight.check((actions > 0) == is_live, f"{actions} buttons repair")


@proof(PAGE)
def page_looks(ground: Ground) -> None:
    """Every part is there, labelled, and fits: light, dark, on a phone, and from a file without any network."""
    cache, policy = furnished(ground)
    daemon = watched(ground, cache, policy)
    file = ground.base / "report.html"
    with browser(ground) as running, open_port(ground, daemon) as url:
        written = ground.janitor("report", "--html", file, more=daemon.more)
        ground.equal(written.status, 0, f"report: {written}")
        for name, scheme, width in (("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 360)):
            for source, address in (("live", url), ("report", file.as_uri())):
                with window(ground, running, f"{source}, {name}", scheme, width) as sight:
                    sight.goto(address)
                    shows_everything(sight, is_live=source == "live")
                    sight.picture(f"{source}-{name}")
                    sight.is_accessible("at first")
                    sight.page.get_by_role("button", name=f"model/{ORG}/assistant").first.click()
                    sight.await_text("#repo-detail", "Revisions")
                    sight.is_accessible("with a repo")
                    sight.picture(f"{source}-{name}-repo")
                    origin = url if source == "live" else address
                    strangers = [each for each in sight.asked if not each.startswith((origin, "data:"))]
                    sight.check(not strangers, f"asks others: {strangers}")
    daemon.stop()


@proof(PAGE)
def page_keyboard(ground: Ground) -> None:
    """Everything can be reached and done without a mouse, and the focus never gets lost."""
    cache, policy = furnished(ground)
    daemon = watched(ground, cache, policy)
    with browser(ground) as running, open_port(ground, daemon) as url, window(ground, running, "keyboard") as sight:
        sight.goto(url)
        press = sight.page.keyboard.press
        press("Tab")
        sight.check(sight.focused() == "Skip to content", f"first comes {sight.focused()!r}")
        press("Enter")
        sight.check(sight.focused() == "main", f"the skip link leads to {sight.focused()!r}")
        for _ in range(60):
            press("Tab")
            if sight.focused() == "map-canvas":
                break
        sight.check(sight.focused() == "map-canvas", "Tab does not come to the map")
        first = sight.text("#map-here")
        sight.check(f"{ORG}/" in first and " MB" in first, f"the map says {first!r}")
        press("End")
        sight.check(name_in(sight) != first.split(":")[0], "End stays where it was")
        press("Home")
        sight.check(name_in(sight) == first.split(":")[0], "Home does not come back")
        press("ArrowRight")
        second = sight.text("#map-here")
        sight.check(second.split(":")[0] != first.split(":")[0], "an arrow leads nowhere")
        press("Enter")
        sight.check(sight.focused() == "repo-detail", f"Enter leads to {sight.focused()!r}")
        sight.check(second.split(":")[0] in sight.text("#repo-detail"), "Enter shows another repo")
        opener = sight.page.locator("#repo-detail [data-key=delete]")
        opener.focus()
        press("Enter")
        sight.page.wait_for_selector("dialog#delete[open]")
        sight.check(sight.focused() == "delete-no", f"the dialog begins at {sight.focused()!r}")
        sight.await_text("#delete-text", "This frees")
        sight.is_accessible("the dialog")
        press("Escape")
        sight.check(sight.page.locator("dialog#delete[open]").count() == 0, "Escape does not close the dialog")
        sight.check("Delete" in sight.focused(), f"after the dialog comes {sight.focused()!r}")
        press("Escape")
        sight.check(sight.page.locator("#repo-detail").is_hidden(), "Escape does not close the repo")
        sight.check(sight.focused().startswith("model/"), f"after the repo comes {sight.focused()!r}")
        # What is drawn anew meanwhile does not take the focus away.
        (cache.folder(f"{ORG}/embedder") / "refs" / "other").write_text("0" * 40)
        sight.page.wait_for_timeout(2500)
        sight.check(sight.focused().startswith("model/"), f"drawing anew leads to {sight.focused()!r}")
        sort = sight.page.get_by_role("button", name="Size", exact=False).first
        sort.focus()
        press("Enter")
        sight.check(sight.page.locator("th[aria-sort=ascending]").count() >= 1, "Enter does not sort")
    daemon.stop()


@proof(PAGE)
def page_many(ground: Ground) -> None:
    """Three thousand repos are drawn, found and shown; how long that takes is noted."""
    root = ground.base / "many"
    trees.plant(root, 3000)
    for number in range(0, 3000, 300):
        (root / f"models--many--repo-{number:05}" / "blobs" / trees.FILES[trees.SHARDS[0]].etag).unlink()
    file = ground.base / "report.html"
    written = ground.janitor("report", "--html", file, "--cache", root)
    ground.equal(written.status, 0, f"report: {written}")
    ground.note(f"report --html of 3,000 repos: {written.seconds:.2f} s, {file.stat().st_size / 1e6:.1f} MB")
    with browser(ground) as running, window(ground, running, "3,000 repos") as sight:
        times: list[float] = []
        for _ in range(3):
            sight.goto(file.as_uri())
            times.append(loaded(sight))
        ground.note(f"drawn after {min(times):.0f} to {max(times):.0f} ms")
        sight.check(sight.text("#repo-count") == "3,000 repos", f"counts {sight.text('#repo-count')!r}")
        rows = sight.page.locator("#repo-table tbody tr").count()
        sight.check(rows <= 100, f"{rows} rows at once")
        sight.page.locator("#repo-filter").fill("repo-02345")
        sight.await_text("#repo-count", "1 of 3,000 repos")
        sight.page.locator("#repo-filter").fill("")
        sight.page.locator("#repo-state").select_option("partial")
        sight.await_text("#repo-count", "10 of 3,000 repos")
        sight.page.locator("#repo-state").select_option("")
        sight.page.locator("#repo-table [data-key=more]").click()
        sight.check(sight.page.locator("#repo-table tbody tr").count() == 2 * rows, "no more rows come")
        sight.picture("many")


def name_in(sight: Sight) -> str:
    """What the map is at: how long ago it was used goes on."""
    return sight.text("#map-here").split(":")[0]


def loaded(sight: Any) -> float:
    """Milliseconds from the request to the last of it being drawn."""
    return float(sight.page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
