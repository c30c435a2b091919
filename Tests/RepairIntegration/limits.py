"""What is refused changes nothing, a run is never in its own way, and what cannot be proven to be free is not touched."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

import weights
from caches import WEIGHTS, Cache
from catalogue import NEWEST, proof
from disks import tool
from ground import ORG, OWNER, Ground
from hub_stand_in import Fault

ID, OTHER = f"{ORG}/limits", f"{ORG}/limits2"
SIDE = {"config.json": b"{}", "empty.txt": b""}


def model(seed: str) -> weights.Files:
    return SIDE | {WEIGHTS: weights.safetensors_file(seed, ["w"], 64, 1024)}


@proof(NEWEST)
def own_downloads(ground: Ground) -> None:
    """Two revisions of a repo, and another repo, each with something to fetch: one download at a time is enough for all."""
    cache = Cache(ground, ground.base / "hub")
    commits = []
    for id, seed in ((ID, "1"), (ID, "2"), (OTHER, "3")):
        commits.append((id, cache.publish(id, model(seed))))
        cache.download(id)
    for id, commit in commits:
        cache.blob(id, commit).unlink()
    run = cache.janitor("repair", "--json")
    outcomes = [(action["outcome"], action.get("reason")) for one in run.json["caches"] for action in one["actions"]]
    ground.equal((run.status, outcomes), (0, [("fetched", None)] * 3), f"what became of them: {run}")
    for id, commit in commits:
        ground.check(not cache.is_whole(id, commit), lambda: f"{id}: {cache.is_whole(id, commit)}")


@proof(NEWEST)
def refused(ground: Ground) -> None:
    """Without room or a free place, the ref stays where it was, and nothing says that the new revision is here."""
    cache = Cache(ground, ground.base / "hub")
    first = cache.publish(ID, model("1"))
    cache.download(ID)
    cache.publish(ID, model("2"))
    before = cache.tree()
    everything = "caches: [{path: %s, critical-free: 100%%}]\nmode: observe\n" % cache.path
    run = cache.janitor("fetch", ID, "--json", "--policy", ground.policy(everything))
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"no room: {run}")
    same = lambda: {path: text for path, text in cache.tree().items() if "/hfjanitor-" not in path}
    ground.equal(same(), before, "the cache after a refusal")
    # Somebody else's download.
    third = cache.publish(OTHER, {WEIGHTS: os.urandom(1 << 20)})
    fault = ground.servers.faults.add(Fault("hold", path=f"*/{third.files[WEIGHTS].sha256}", origin="cdn", method="GET", after=1 << 18))
    running = ground.start([ground.program, "fetch", OTHER, "--cache", cache.path], stderr=subprocess.DEVNULL)
    from together import wait_for

    wait_for(lambda: fault.held, "the other download")
    run = cache.janitor("fetch", ID, "--json")
    ground.equal((run.status, run.json["error_code"]), (75, "download_limit_reached"), f"no place: {run}")
    other = f"{cache.folder(OTHER).name}"
    ground.equal({k: v for k, v in same().items() if other not in k}, before, "the cache after another refusal")
    fault.released.set()
    ground.equal(running.wait(60), 0, "exit of the other download")
    ground.equal((cache.folder(ID) / "refs" / "main").read_text(), first.id, "what the ref names")
    # A fetch that fails on the way has not moved it either; the next one does.
    ground.servers.faults.add(Fault("status", path=f"*/{WEIGHTS}", status=404, headers={"X-Error-Code": "EntryNotFound"}))
    run = cache.janitor("fetch", ID, "--json")
    ground.equal((run.status, run.json["error_code"]), (66, "entry_not_found"), f"a file that is gone: {run}")
    ground.equal((cache.folder(ID) / "refs" / "main").read_text(), first.id, "what the ref names after a failure")
    ground.servers.faults.remove()
    run = cache.janitor("fetch", ID, "--json")
    ground.equal(run.status, 0, f"at last: {run}")
    ground.equal((cache.folder(ID) / "refs" / "main").read_text(), run.json["commit"], "what the ref names at last")


@proof(NEWEST)
def hostile_sizes(ground: Ground) -> None:
    """Sizes whose sum is more than any number there is: refused for want of room; and a partial of an empty file."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, SIDE)
    listed = [{"type": "file", "path": f"{n}.bin", "size": (1 << 63) - 1, "oid": f"{n}" * 40} for n in range(5)]
    ground.servers.faults.add(
        Fault("status", path="*/tree/*", origin="hub", status=200, body=json.dumps(listed).encode(), times=1)
    )
    run = cache.janitor("fetch", ID, "--json")
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"huge: {run}")
    ground.servers.faults.remove()
    blobs = cache.folder(ID) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / f"{commit.files['empty.txt'].etag}.0123abcd.incomplete").touch()
    run = cache.janitor("fetch", ID)
    ground.equal(run.status, 0, f"with a partial of an empty file: {run}")
    ground.check(not cache.is_whole(ID, commit), lambda: f"with a partial of an empty file: {cache.is_whole(ID, commit)}")


@proof(NEWEST)
def third_user(ground: Ground) -> None:
    """Root puts nothing into the folder of a user who is not the cache's owner."""
    ground.needs_root("another user's repo")
    for owner in (None, OWNER):
        cache = Cache(ground, ground.base / f"hub-{owner}", owner)
        commit = cache.publish(ID, model("1"))
        cache.download(ID)
        cache.blob(ID, commit).unlink()
        for path in (cache.folder(ID), *cache.folder(ID).rglob("*")):
            os.chown(path, OWNER + 1, OWNER + 1, follow_symlinks=False)
        before = {k: v for k, v in cache.tree().items() if not k.startswith(".locks")}
        for words in (["fetch", ID, "--json"], ["repair", ID, "--json"]):
            run = cache.janitor(*words)
            ground.check(run.status in ((77,) if "fetch" in words else (1, 77)), f"exit of {run}")
            ground.equal({k: v for k, v in cache.tree().items() if not k.startswith(".locks")}, before, f"after {run}")


@proof(NEWEST)
def unseen_writer(ground: Ground) -> None:
    """A partial whose writer this user cannot see, where no lease tells, is not taken over."""
    ground.needs_root("a filesystem without leases, and another user's process")
    disk = ground.disk(mib=64)
    parts = {name: disk.path / name for name in ("lower", "upper", "work", "merged")}
    for path in parts.values():
        path.mkdir()
    options = ",".join(f"{name}dir={parts[name]}" for name in ("lower", "upper", "work"))
    tool(["mount", "-t", "overlay", "-o", options, "overlay", str(parts["merged"])])
    try:
        cache = Cache(ground, parts["merged"] / "hub", OWNER)
        content = os.urandom(1 << 20)
        commit = cache.publish(ID, {WEIGHTS: content})
        blobs = cache.folder(ID) / "blobs"
        blobs.mkdir(parents=True)
        partial = blobs / f"{hashlib.sha256(content).hexdigest()}.incomplete"
        partial.write_bytes(content[:1000])
        for path in (cache.folder(ID), blobs, partial):
            os.chown(path, OWNER, OWNER)
        # A lease on overlayfs does not see who has the file open below it.
        with (parts["upper"] / partial.relative_to(parts["merged"])).open("r+b") as writer:
            policy = ground.policy("caches: [{path: %s, critical-free: 0B}]\nmode: observe\n" % cache.path, uid=OWNER)
            run = ground.janitor("fetch", ID, "--policy", policy, uid=OWNER)
            ground.equal(run.status, 0, f"exit of {run}")
            writer.write(bytes(2000))
            writer.flush()
            ground.check(partial.exists(), "the partial of a process that could not be seen was taken")
            ground.check(not cache.is_whole(ID, commit), lambda: f"after the writer: {cache.is_whole(ID, commit)}")
    finally:
        tool(["umount", "--lazy", str(parts["merged"])])
