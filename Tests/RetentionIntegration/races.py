"""Real clients of both versions in a loop against `enforce` and `rm` in a loop."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import weights
from caches import WEIGHTS, Cache, model_files
from catalogue import NEWEST, OLD, proof
from disks import allocated
from ground import ORG, Ground, Run, short
from hub_stand_in import Commit, StoredFile, pseudo_random

SECONDS = float(os.environ.get("HFJANITOR_RACE_SECONDS", "20"))
REPOS = 4
COMMITS = 6
ANCHOR = f"{ORG}/anchor"


@dataclass
class Happened:
    """What was done when, to be shown beside a failure."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.lines.append((time.time(), text))

    def around(self, start: float, end: float, margin: float = 4) -> str:
        near = [f"  {at:.3f} {text}" for at, text in self.lines if start - margin <= at <= end + margin]
        return "\n".join(near)


def publish_all(ground: Ground, cache: Cache) -> tuple[dict[str, list[Commit]], Path]:
    """Repos whose commits share most blobs, with each other and between repos, some through the shared store."""
    contents = [weights.safetensors_file(f"race {number}", ["w.weight"], 512, 1024) for number in range(3)]
    hashes = [pseudo_random(f"race xet {number}", 32).hex() for number in range(3)]
    commits: dict[str, list[Commit]] = {}
    for repo in range(REPOS):
        id = f"{ORG}/race{repo}"
        commits[id] = []
        for number in range(COMMITS):
            files: dict[str, Any] = dict(weights.sidecars(id))
            files["model.safetensors"] = StoredFile(contents[number % 3], True, hashes[number % 3])
            files["own.bin"] = pseudo_random(f"own {id} {number // 2}", 200_000)
            files["sub/README.md"] = f"# {number}\n".encode()
            commits[id].append(cache.publish(id, files, branch=f"c{number}", title=f"{id} {number}"))
        cache.publish(id, dict(commits[id][-1].files), branch="main", title="main")
    plan = {
        "repos": [
            {"id": id, "files": sorted(of[0].files), "revisions": ["main", *(f"c{n}" for n in range(COMMITS)), of[0].id, of[3].id]}
            for id, of in commits.items()
        ],
        "xet": {
            xet: f"{ground.servers.cdn_url}/x/{StoredFile(content, True).sha256}" for xet, content in zip(hashes, contents)
        },
    }  # fmt: skip
    path = ground.base / "race.json"
    path.write_text(json.dumps(plan))
    return commits, path


def start_clients(ground: Ground, cache: Cache, plan: Path, seconds: float) -> list[subprocess.Popen[Any]]:
    clients = []
    for number, environment in enumerate((NEWEST, NEWEST, OLD)):
        shared = environment == NEWEST
        clients.append(
            ground.script(
                "client", cache.path, seconds, f"seed {number}", int(shared), plan, python=ground.other_client(environment),
                more={"HF_HUB_DISABLE_XET": "0" if shared else "1", "HF_HUB_ETAG_TIMEOUT": "60", "HF_HUB_DOWNLOAD_TIMEOUT": "60"},
            )
        )  # fmt: skip
    return clients


def results(ground: Ground, clients: list[subprocess.Popen[Any]]) -> list[dict[str, Any]]:
    found = []
    for client in clients:
        output, _ = client.communicate(timeout=SECONDS + 120)
        found.append(json.loads(output.strip().splitlines()[-1]))
    return found


class Janitor(threading.Thread):
    """One order after another until the time is up; what runs then is interrupted."""

    def __init__(self, cache: Cache, deadline: float, orders: Callable[[], list[Any]], events: Happened) -> None:
        super().__init__(daemon=True)
        self.cache = cache
        self.ground = cache.ground
        self.left: dict[str, str] = {}
        self.deadline = deadline
        self.orders = orders
        self.events = events
        self.statuses: dict[str, int] = {}

    def run(self) -> None:
        while (left := self.deadline - time.monotonic()) > 0:
            words = self.orders()
            self.events.add(f"begin {' '.join(map(str, words[:2]))}")
            run: Run = self.ground.janitor(*words, timeout=90, interrupt=left + 2)
            self.events.add(f"end after {run.seconds:.1f} s {short(str(run), 700)}")
            for path in abandoned(self.cache):
                self.left.setdefault(path, f"{path} after {run}")
            key = f"{words[0]} {run.status}"
            self.statuses[key] = self.statuses.get(key, 0) + 1
            self.ground.check(run.status in (0, 66, 75) or run.seconds >= left, f"exit of {run}")


def janitors(ground: Ground, cache: Cache, deadline: float, commits: dict[str, list[Commit]], events: Happened) -> list[Janitor]:
    """`rm` of something at random, and `enforce` of a tight policy, at the same time."""
    pick = random.Random("janitor")
    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, recent-use: 0s, irreplaceable: evict, "
    text += "max-size: 3MB, target-size: 1MB, allow-empty: true}\n"
    text += f"pins:\n  - {{repo: {ANCHOR}}}\nrules:\n  - {{name: leftovers, match: {{state: [stale-partial, orphan]}}}}\n"
    text += "  - {name: detached, match: {state: [detached, superseded]}}\n  - {name: room, when: pressure, order: oldest}\n"
    policy = ground.policy(text)

    def removal() -> list[Any]:
        id, of = pick.choice(sorted(commits.items()))
        target = pick.choice([id, f"{id}@{pick.choice(of).id}", f"{ANCHOR}@{anchor_old(ground).id}"])
        return ["rm", target, "--yes", "--cache", cache.path]

    return [
        Janitor(cache, deadline, removal, events),
        Janitor(cache, deadline, lambda: ["enforce", "--policy", policy], events),
    ]


def abandoned(cache: Cache) -> list[str]:
    """What is parked and belongs to no intent any more: nobody will ever look after it."""
    found: list[str] = []
    for folder in cache.path.glob("*/.hfjanitor"):
        names = sorted(entry.name for entry in folder.iterdir())
        operations = {name.removesuffix(".intent") for name in names if name.endswith(".intent")}
        found += [
            f"{folder.parent.name}/.hfjanitor/{name}" for name in names
            if not name.endswith(".intent") and re.split(r"[.+]", name)[0] not in operations
        ]  # fmt: skip
    return [path for path in found if (cache.path / path).exists()]


def anchor_old(ground: Ground) -> Commit:
    return next(iter(ground.hub.repo("model", ANCHOR).commits.values()))


class Sampler(threading.Thread):
    """Scans as clients do, again and again: the anchor, which no client writes, must be listed at any time."""

    def __init__(self, cache: Cache, deadline: float) -> None:
        super().__init__(daemon=True)
        self.cache = cache
        self.deadline = deadline
        self.samples = 0
        self.misses: list[str] = []

    def run(self) -> None:
        while time.monotonic() < self.deadline:
            seen: list[str] = []
            # One scan can meet a folder in the moment it goes, as with any deleter; not several in a row.
            for _ in range(4):
                self.samples += 1
                try:
                    scan = self.cache.scan()
                except Exception as error:  # noqa: BLE001  a scan that ends is a miss too
                    seen.append(f"{type(error).__name__}: {short(str(error), 600)}")
                else:
                    if f"model/{ANCHOR}" in scan.repos:
                        break
                    seen.append(f"not listed; warnings {[w for w in scan.warnings if 'anchor' in w]}")
                time.sleep(0.15)
            else:
                self.misses.append(f"{time.time():.3f} {seen}")
            time.sleep(0.05)


def store_faults(cache: Cache) -> list[str]:
    """References that no manifest has, and payloads without a manifest."""
    found: list[str] = []
    for link in cache.path.glob("*--*/blobs/*"):
        if not link.is_symlink():
            continue
        target = Path(os.path.normpath(link.parent / os.readlink(link)))
        manifest = target.with_name(target.name + ".refs")
        lines = manifest.read_text().splitlines() if manifest.exists() else []
        if str(link.relative_to(cache.path)) not in lines:
            found.append(f"{link.relative_to(cache.path)} is in no manifest")
        if not target.exists():
            found.append(f"{link.relative_to(cache.path)} leads nowhere")
    for payload in (cache.path / "blobs").glob("[0-9a-f][0-9a-f]/*"):
        if re.fullmatch("[0-9a-f]{64}", payload.name) and not payload.with_name(payload.name + ".refs").exists():
            found.append(f"{payload.name} has no manifest")
    return found


@proof(NEWEST)
def race(ground: Ground) -> None:
    """No client call fails because of us, no dangling link stays, no repo vanishes, the store's manifests hold."""
    place = ground.place()
    cache = Cache(ground, place / "hub")
    commits, plan = publish_all(ground, cache)
    first = cache.publish(ANCHOR, {"README.md": b"# 1\n", "config.json": b"{}", "a.safetensors": pseudo_random("a", 99)})
    cache.download(ANCHOR)
    second = cache.publish(ANCHOR, {"README.md": b"# 2\n", "config.json": b"{}", "a.safetensors": pseudo_random("a", 99)})
    cache.download(ANCHOR)
    assert anchor_old(ground).id == first.id
    events = Happened()
    deadline = time.monotonic() + SECONDS
    sampler = Sampler(cache, deadline)
    clients = start_clients(ground, cache, plan, SECONDS)
    sampler.start()
    at_work = janitors(ground, cache, deadline, commits, events)
    for janitor in at_work:
        janitor.start()
    found = results(ground, clients)
    for janitor in at_work:
        janitor.join()
    statuses = at_work[0].statuses | at_work[1].statuses
    sampler.join()
    calls = sum(each["calls"] for each in found)
    failures = [(each["client"], text) for each in found for text in each["failures"]]
    slowest = max((text for _, text in events.lines if text.startswith("end after")), key=lambda t: float(t.split()[2]), default="")
    ground.note(f"the slowest: {short(slowest, 500)}")
    ground.note(f"{calls} calls, {len(failures)} failed; {statuses}; {sampler.samples} scans; {allocated([cache.path])} bytes left")
    ground.check(calls > 10 and sum(statuses.values()) > 3, "too little happened")
    ground.check(any(key.endswith(" 0") for key in statuses), f"nothing was ever removed: {statuses}")
    if failures:
        control = Cache(ground, place / "control")
        alone = results(ground, start_clients(ground, control, plan, min(SECONDS, 20)))
        lost = sum(len(each["failures"]) for each in alone)
        ground.note(f"control without us: {sum(each['calls'] for each in alone)} calls, {lost} failed")
        for client, text in failures[:4]:
            times = [float(number) for number in re.search(r"at ([0-9.]+?)\.\.([0-9.]+)", text).groups()]  # type: ignore[union-attr]
            ground.failures.append(f"{client}: {text}\nmeanwhile:\n{events.around(times[0], times[1])}")
        ground.check(len(failures) <= 4, f"{len(failures)} calls failed in all, {lost} without us")
    ground.check(not sampler.misses, f"the anchor was not listed: {sampler.misses[:5]}")
    ground.check(not cache.dangling(), lambda: f"dangling in the end: {cache.dangling()}\n{events.around(0, 1e12)[-6000:]}")
    ground.check(not store_faults(cache), lambda: f"the store: {store_faults(cache)}")
    left = [
        f"{path} ({(cache.path / path).lstat().st_size} bytes, {(cache.path / path).lstat().st_nlink} names)"
        for path in cache.leftovers()
    ]
    ground.note(f"left in private folders after the last run: {left}")
    # What a run could not finish the next one does; nothing is busy now.
    quiet = ground.policy(f"mode: enforce\ncaches:\n  - {{path: {cache.path}, max-size: 1TB}}\n", "quiet.yaml")
    run = ground.janitor("enforce", "--policy", quiet)
    ground.equal(run.status, 0, f"exit of a pass with nothing to do: {run}")
    for text in [text for janitor in at_work for path, text in janitor.left.items() if (cache.path / path).exists()][:3]:
        ground.failures.append(f"left for ever, of no intent: {text}")
    ground.check(not cache.leftovers(), lambda: f"left in private folders: {left}, then {cache.leftovers()}; {run}")
    ground.check(not cache.is_whole(ANCHOR, second), lambda: f"the anchor lost {cache.is_whole(ANCHOR, second)}")
    for id in commits:
        for commit in ground.hub.repo("model", id).commits.values():
            cache.download(id, revision=commit.id)
    cache.judge(what="in the end")


@proof(NEWEST, OLD)
def arrives_while_it_goes(ground: Ground) -> None:
    """Between parking and the end of `rm` a client fetches the same blob again: it gets it, and no copy is left parked."""
    import huggingface_hub

    cache = Cache(ground, ground.place() / "hub")
    for name in ("again", "another", "one-file"):
        id = f"{ORG}/{name}"
        files = model_files(id)
        old = cache.publish(id, files)
        cache.download(id)
        cache.age(id, 30)
        wanted = old if name == "again" else cache.publish(id, files | {"README.md": b"# newer\n"})
        blob = cache.blob(id, old)
        removal = ground.start(
            [ground.program, "rm", f"{id}@{old.id}", "--yes", "--cache", cache.path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        while blob.exists() and removal.poll() is None:
            time.sleep(0.002)
        parked = [path for path in cache.leftovers() if blob.name in path]
        ground.check(parked, f"{name}: nothing was parked when the blob was gone")
        if name == "one-file":
            huggingface_hub.hf_hub_download(id, WEIGHTS, cache_dir=cache.path)
        else:
            huggingface_hub.snapshot_download(id, revision=wanted.id, cache_dir=cache.path)
        output, _ = removal.communicate(timeout=60)
        state = f"{name}: rm = {removal.returncode}: {short(output)}"
        ground.note(state)
        ground.check(removal.returncode in (0, 75), f"exit, {state}")
        ground.check(blob.is_file(), f"the blob that a client fetched is gone, {state}")
        if name != "one-file":
            ground.check(not cache.is_whole(id, wanted), lambda: f"{cache.is_whole(id, wanted)}, {state}")
        mine = [path for path in abandoned(cache) if path.startswith(cache.folder(id).name + "/")]
        left = [f"{path} ({(cache.path / path).lstat().st_nlink} names)" for path in mine]
        ground.check(not left, f"left for ever: {left}, {state}")
        ground.check(not cache.dangling(), lambda: f"dangling {cache.dangling()}, {state}")


@proof(NEWEST)
def arrives_in_the_store_while_it_goes(ground: Ground) -> None:
    """As before, but the blob was a file of the repo, and comes back as a link to the shared store, or the other way."""
    import huggingface_hub
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store, try_link_from_shared_store

    cache = Cache(ground, ground.place() / "hub")
    for before, after in (("file", "link"), ("link", "file"), ("link", "link")):
        name = f"{before}-then-{after}"
        content = weights.safetensors_file(name, ["w.weight"], 512, 1024)
        xet = pseudo_random(f"xet {name}", 32).hex()
        files = {"README.md": b"# 1\n", WEIGHTS: StoredFile(content, True, xet)}
        donor, id = f"{ORG}/donor-{name}", f"{ORG}/{name}"
        cache.publish(donor, files)
        commit = cache.publish(id, files)
        for each in (donor, id):
            cache.download(each)
        store = {"xet_hash": xet, "cache_dir": str(cache.path), "expected_size": len(content)}
        blob = cache.blob(id, commit)
        publish_blob_to_shared_store(blob_path=str(cache.blob(donor, commit)), **store)
        if before == "link":
            blob.unlink()
            assert try_link_from_shared_store(blob_path=str(blob), **store)
        cache.age(id, 30)
        removal = ground.start(
            [ground.program, "rm", id, "--yes", "--cache", cache.path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        while os.path.lexists(blob) and removal.poll() is None:
            time.sleep(0.002)
        if after == "link":
            blob.parent.mkdir(exist_ok=True)
            try_link_from_shared_store(blob_path=str(blob), **store)
        huggingface_hub.snapshot_download(id, cache_dir=cache.path)
        output, _ = removal.communicate(timeout=60)
        state = f"{name}: rm = {removal.returncode}: {short(output)}"
        ground.note(state)
        ground.check(removal.returncode in (0, 75), f"exit, {state}")
        ground.check(not cache.is_whole(id, commit), lambda: f"{cache.is_whole(id, commit)}, {state}")
        mine = [path for path in abandoned(cache) if path.startswith(cache.folder(id).name + "/")]
        left = [f"{path} ({(cache.path / path).lstat().st_nlink} names)" for path in mine]
        ground.check(not left, f"left for ever: {left}, {state}")
        ground.check(not cache.dangling(), lambda: f"dangling {cache.dangling()}, {state}")
        ground.check(not store_faults(cache), lambda: f"the store: {store_faults(cache)}, {state}")
