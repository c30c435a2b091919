"""What a fetch leaves when it ends badly, or when others clean up beside it: nothing that nobody needs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from caches import WEIGHTS, Cache
from catalogue import NEWEST, proof
from fetching import fetched
from ground import ORG, Ground
from hub_stand_in import Fault
from together import wait_for

MIB = 1 << 20
ID = f"{ORG}/leavings"


@proof(NEWEST)
def absent_cache(ground: Ground) -> None:
    """A fetch that fails before anything came takes the folders away that it made; one that does not keeps them."""
    home = ground.base / "new-home"
    home.mkdir()
    more = {"HF_HOME": str(home / "a" / "b")}
    run = ground.janitor("fetch", ID, "--json", more=more)
    ground.equal((run.status, run.json["error_code"]), (66, "repo_not_found"), f"{run}")
    ground.check("without a token" in run.errors and ID in run.errors, f"no remedy: {run}")
    ground.equal(list(home.rglob("*")), [], "what is left")
    ground.hub.repo("model", ID).commit({"config.json": b"{}"})
    run = ground.janitor("fetch", ID, "--json", more=more)
    ground.equal(run.status, 0, f"{run}")
    ground.check((Path(run.json["path"]) / "config.json").exists(), "the file")


@proof(NEWEST)
def failed_at_once(ground: Ground) -> None:
    """No repo folder and no empty partial download stays; and one that a killed run left goes."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, {WEIGHTS: os.urandom(2 * MIB), "config.json": b"{}"})
    everything = ground.policy("caches: [{path: %s, critical-free: 100%%}]\nmode: observe\n" % cache.path, "full.yaml")
    run = cache.janitor("fetch", ID, "--json", "--policy", everything)
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"no room: {run}")
    for words in ("need ", " free, floor "):
        ground.check(words in run.errors, f"'{words}' is not told: {run}")
    ground.check(not cache.folder(ID).exists(), "a repo folder after a refusal")
    ground.servers.faults.add(Fault("status", origin="cdn", status=404, times=None))
    run = cache.janitor("fetch", ID, "--json", "--include", WEIGHTS, more={"HF_ENDPOINT": ground.servers.url})
    ground.check(run.status == 69, f"no content: {run}")
    ground.equal(list(cache.path.glob("**/*.incomplete")), [], "partial downloads")
    ground.servers.faults.remove()
    blobs = cache.folder(ID) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / f"{commit.files[WEIGHTS].etag}.0123abcd.incomplete").touch()
    fetched(ground, cache, ID)
    ground.equal(list(cache.path.glob("**/*.incomplete")), [], "an empty partial download of a killed run")
    ground.check(not cache.is_whole(ID, commit), lambda: f"{cache.is_whole(ID, commit)}")


@proof(NEWEST)
def pruned_beside(ground: Ground) -> None:
    """`hf cache prune` during a fetch: noticed while it runs, begun again, and right; told where it goes on and on."""
    for always in (False, True):
        id = f"{ID}{always}"
        cache = Cache(ground, ground.base / f"hub{always}")
        commit = cache.publish(id, {WEIGHTS: os.urandom(24 * MIB)})
        ground.servers.faults.add(Fault("slow", origin="cdn", rate=6 * MIB, times=None))
        ground.servers.log.clear()
        running = ground.start(
            [ground.program, "fetch", id, "--json", "--cache", cache.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        partials = lambda: [path for path in cache.path.glob("**/*.incomplete") if path.stat().st_size > MIB]
        for _ in range(9 if always else 1):
            wait_for(lambda: partials() or running.poll() is not None, "a partial download")
            for path in partials():
                path.unlink()
            time.sleep(0.1)
        output, errors = running.communicate(timeout=60)
        ground.servers.faults.remove()
        sent = sum(entry["sent"] for entry in ground.servers.log.all() if entry["origin"] == "cdn")
        if always:
            ground.check(running.returncode == 69 and "prune" in errors, f"again and again: {running.returncode} {errors}")
        else:
            ground.equal(running.returncode, 0, f"once: {output} {errors}")
            ground.check(not cache.is_whole(id, commit), lambda: f"{cache.is_whole(id, commit)}")
        ground.check(sent < 44 * MIB, f"noticed only in the end: {sent} bytes were sent")
        ground.equal(list(cache.path.glob("**/*.incomplete")), [], "partial downloads")
