"""Room that is made, and room that somebody else's limit does not give."""

from __future__ import annotations

import os
import subprocess

from caches import Cache
from catalogue import NEWEST, proof
from ground import ORG, Ground, Skipped

MIB = 1 << 20
ID = f"{ORG}/wanted"


@proof(NEWEST)
def making_room(ground: Ground) -> None:
    """What the policy lets go makes room for what is fetched, the least recently used first; what only observes refuses."""
    disk = ground.disk(mib=100)
    cache = Cache(ground, disk.path / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 20, days=30 - number) for number in range(3)}
    wanted = cache.publish(ID, {"model.safetensors": os.urandom(24 * MIB), "config.json": b"{}"})
    text = "mode: %s\ncaches:\n  - {path: %s, min-age: 0s, min-free: 8MB, critical-free: 8MB}\n"
    observing = ground.policy(text % ("observe", cache.path), "observe.yaml")
    before = cache.tree()
    run = cache.janitor("fetch", ID, "--json", "--policy", observing)
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"observing: {run}")
    ground.check(all(cache.has(id, commit) for id, commit in models.items()), "a policy that observes removed something")
    ground.check(set(before) <= set(cache.tree()), "something is gone")
    acting = ground.policy(text % ("enforce", cache.path), "enforce.yaml")
    # Whether the Hub would give back what goes is asked where the policy says, too.
    with open(acting, "a") as file:
        file.write("repair: {endpoints: ['%s']}\n" % ground.servers.url)
    run = cache.janitor("fetch", ID, "--json", "--policy", acting, more={"HF_ENDPOINT": "http://127.0.0.1:9"})
    ground.equal(run.status, 0, f"exit of {run}")
    ground.check("to make room" in run.errors, f"what went is not told: {run.errors}")
    ground.check(not cache.is_whole(ID, wanted), lambda: f"what was wanted: {cache.is_whole(ID, wanted)}")
    here = [id for id, commit in models.items() if cache.has(id, commit)]
    ground.check(here and here == list(models)[-len(here) :] and len(here) < len(models), f"still here are {here}")
    ground.check(disk.free() >= 8_000_000, f"free in the end: {disk.free()}")


@proof(NEWEST)
def room_of_its_own_repo(ground: Ground) -> None:
    """Room for a new revision is not made of the old one: what there is stays until what is wanted is here; nor in vain."""
    disk = ground.disk(mib=300)
    cache = Cache(ground, disk.path / "hub")
    old = cache.model(ID, 120, days=30)
    last = cache.model(f"{ORG}/last", 1, days=1)
    ground.hub.repo("model", ID).commit({"model.safetensors": os.urandom(150 * MIB), "config.json": b"{}"})
    policy = ground.policy(
        f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, recent-use: 0s, min-free: 8MB, critical-free: 8MB, "
        "irreplaceable: evict}\n"
    )
    run = cache.janitor("fetch", ID, "--json", "--policy", policy)
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"the new revision: {run}")
    ground.check(not cache.is_whole(ID, old), lambda: f"the old revision: {cache.is_whole(ID, old)}")
    other = cache.publish(f"{ORG}/other", {"model.safetensors": os.urandom(400 * MIB)})
    run = cache.janitor("fetch", f"{ORG}/other", "--json", "--policy", policy)
    ground.equal(run.status, 73, f"what never fits: {run}")
    ground.check(not cache.is_whole(ID, old), lambda: f"something went in vain: {cache.is_whole(ID, old)}")
    ground.check(not cache.has(f"{ORG}/other", other), "what never fits is here")
    # It was read just now, to see that it is whole.
    cache.age(ID, 30)
    other = cache.publish(f"{ORG}/another", {"model.safetensors": os.urandom(150 * MIB)})
    run = cache.janitor("fetch", f"{ORG}/another", "--json", "--policy", policy)
    ground.equal(run.status, 0, f"another repo: {run}")
    ground.check(not cache.is_whole(f"{ORG}/another", other), "another repo is not whole")
    ground.check(not cache.has(ID, old) and not cache.is_whole(f"{ORG}/last", last), "what went for it")


@proof(NEWEST)
def quota(ground: Ground) -> None:
    """A quota that nobody can see beforehand: the code of a full disk, nothing left of it, nothing else touched."""
    disk = ground.disk("btrfs", mib=340)
    folder = disk.path / "limited"
    for command in (
        ["btrfs", "subvolume", "create", folder],
        ["btrfs", "quota", "enable", disk.path],
        ["btrfs", "qgroup", "limit", "40M", folder],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skipped(f"no quota here: {done.stderr.strip()}")
    cache = Cache(ground, folder / "hub")
    first = cache.publish(f"{ORG}/first", {"model.safetensors": os.urandom(10 * MIB), "config.json": b"{}"})
    cache.download(f"{ORG}/first")
    ground.hub.repo("model", ID).commit({"model.safetensors": os.urandom(60 * MIB), "config.json": b"{}"})
    policy = ground.policy("mode: observe\ncaches:\n  - {path: %s, critical-free: 0B}\n" % cache.path)
    run = cache.janitor("fetch", ID, "--json", "--policy", policy)
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"beyond the quota: {run}")
    ground.check(not list(cache.path.glob("**/*.incomplete")), "a partial download stays")
    ground.check(not cache.is_whole(f"{ORG}/first", first), lambda: f"the other: {cache.is_whole(f'{ORG}/first', first)}")
    small = cache.publish(f"{ORG}/small", {"model.safetensors": os.urandom(5 * MIB)})
    run = cache.janitor("fetch", f"{ORG}/small", "--policy", policy)
    ground.equal(run.status, 0, f"what fits: {run}")
    ground.check(not cache.is_whole(f"{ORG}/small", small), "what fits")
