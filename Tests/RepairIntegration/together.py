"""Several at once: one transfer, all succeed; a limit is a limit; what is running keeps what it has open."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import time
from typing import Any

import weights
from caches import WEIGHTS, Cache
from catalogue import BOTH, NEWEST, proof
from ground import ORG, Ground
from hub_stand_in import Fault

ID = f"{ORG}/together"


def content(ground: Ground, sha256: str) -> list[dict[str, Any]]:
    return [entry for entry in ground.servers.log.all() if entry["path"].endswith(sha256) and entry["method"] == "GET"]


def wait_for(condition: Any, what: str, limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.02)


@proof(*BOTH)
def six_at_once(ground: Ground) -> None:
    """Three of ours and three clients on one file: one transfer, six successes, whoever is first."""
    files = {WEIGHTS: os.urandom(3 << 20)}
    for first in ("own", "client"):
        cache = Cache(ground, ground.base / first)
        cache.path.mkdir(exist_ok=True)
        commit = cache.publish(ID, files | {"which.txt": first.encode()})
        sha256 = commit.files[WEIGHTS].sha256
        ground.servers.log.clear()
        fault = ground.servers.faults.add(Fault("hold", path=f"*/{sha256}", origin="cdn", method="GET", after=1 << 20))

        def ours() -> subprocess.Popen[Any]:
            return ground.start([ground.program, "fetch", ID, "--json", "--cache", cache.path], stdout=-1, stderr=-1, text=True)

        def theirs() -> subprocess.Popen[Any]:
            more = {"HF_HUB_DOWNLOAD_TIMEOUT": "600"}
            command = cache.client_command("snapshot_download", {"repo_id": ID, "cache_dir": str(cache.path), "max_workers": 2})
            return ground.start(command, more=more, stdout=-1, stderr=-1, text=True)

        processes = [ours() if first == "own" else theirs()]
        wait_for(lambda: fault.held, "the first transfer")
        processes += [ours(), theirs(), ours(), theirs(), theirs() if first == "own" else ours()]
        time.sleep(3)
        fault.released.set()
        for process in processes:
            output, errors = process.communicate(timeout=120)
            ground.equal(process.returncode, 0, f"{first} first: {process.args[:3]}: {output[-500:]} {errors[-500:]}")
        ground.equal(len(content(ground, sha256)), 1, f"{first} first: transfers")
        ground.check(not cache.is_whole(ID, commit), lambda: f"{first} first: {cache.is_whole(ID, commit)}")
        ground.servers.faults.remove()


@proof(NEWEST)
def limits(ground: Ground) -> None:
    """A second download of something else is refused with its code; one of the same joins."""
    cache = Cache(ground, ground.base / "hub")
    cache.path.mkdir(exist_ok=True)
    commit = cache.publish(ID, {WEIGHTS: os.urandom(3 << 20)})
    cache.publish(f"{ORG}/other", {WEIGHTS: os.urandom(1 << 20)})
    fault = ground.servers.faults.add(
        Fault("hold", path=f"*/{commit.files[WEIGHTS].sha256}", origin="cdn", method="GET", after=1 << 20)
    )
    first = ground.start([ground.program, "fetch", ID, "--cache", cache.path], stdout=-1, stderr=-1, text=True)
    wait_for(lambda: fault.held, "the first transfer")
    refused = cache.janitor("fetch", f"{ORG}/other", "--json")
    ground.equal((refused.status, refused.json["error_code"]), (75, "download_limit_reached"), f"a second one: {refused}")
    ground.check(ID in refused.json["error_message"], f"it is not said what runs: {refused}")
    two = ground.policy("caches: [{path: %s}]\nrepair: {max-concurrent-downloads: 2}\n" % cache.path)
    allowed = cache.janitor("fetch", f"{ORG}/other", "--policy", two)
    ground.equal(allowed.status, 0, f"with two allowed: {allowed}")
    # Interrupted, it leaves what it has; the next run fetches the rest and nothing twice.
    first.send_signal(signal.SIGINT)
    ground.equal(first.wait(60), 130, "exit of an interrupted run")
    partials = list(cache.folder(ID).glob("blobs/*.incomplete"))
    ground.equal([path.stat().st_size for path in partials], [1 << 20], "what an interrupted run left")
    ground.servers.faults.remove()
    ground.servers.log.clear()
    again = cache.janitor("fetch", ID, "--json")
    ground.equal((again.status, again.json["bytes_fetched"]), (0, 2 << 20), f"the rest: {again}")
    asked = content(ground, commit.files[WEIGHTS].sha256)
    ground.equal([(entry["range"], entry["sent"]) for entry in asked], [(f"bytes={1 << 20}-", 2 << 20)], "the ranges")


@proof(*BOTH)
def clients_partial(ground: Ground) -> None:
    """What a killed client left is gone on with; what it left wrong is not taken."""
    for flipped in (False, True):
        cache = Cache(ground, ground.base / f"hub-{flipped}")
        cache.path.mkdir(exist_ok=True)
        big = os.urandom(30 << 20)
        commit = cache.publish(ID, {WEIGHTS: big})
        sha256 = commit.files[WEIGHTS].sha256
        fault = ground.servers.faults.add(Fault("hold", path=f"*/{sha256}", origin="cdn", method="GET", after=25 << 20))
        process = ground.start(
            cache.client_command("snapshot_download", {"repo_id": ID, "cache_dir": str(cache.path)}),
            more={"HF_HUB_DOWNLOAD_TIMEOUT": "600"},
        )
        partials = lambda: [path for path in cache.folder(ID).glob("blobs/*.incomplete") if path.stat().st_size >= 10 << 20]
        wait_for(lambda: fault.held and partials(), "the client's partial")
        live = cache.janitor("fetch", ID, "--json", timeout=60, interrupt=2)
        ground.equal(live.status, 130, f"while the client is at it: {live}")
        process.kill()
        process.wait()
        (partial,) = partials()
        present = partial.stat().st_size
        if flipped:
            with partial.open("r+b") as file:
                file.seek(5)
                file.write(bytes([big[5] ^ 1]))
        ground.servers.faults.remove()
        ground.servers.log.clear()
        run = cache.janitor("fetch", ID, "--json")
        ground.equal(run.status, 0, f"after the client: {run}")
        asked = content(ground, sha256)
        expected = [(f"bytes={present}-", len(big) - present)] + ([(None, len(big))] if flipped else [])
        ground.equal([(entry["range"], entry["sent"]) for entry in asked], expected, "what was transferred")
        ground.check(not cache.is_whole(ID, commit), lambda: f"after the client: {cache.is_whole(ID, commit)}")
        ground.check(not list(cache.folder(ID).glob("blobs/*.incomplete")), "a partial is left")


@proof(NEWEST)
def readers(ground: Ground) -> None:
    """Who has the corrupt file mapped keeps its bytes; the right one appears by rename."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, weights.sidecars("r") | {WEIGHTS: weights.safetensors_file("r", ["w"], 64, 1024)})
    cache.download(ID)
    blob = cache.blob(ID, commit)
    wrong = bytearray(blob.read_bytes())
    wrong[-7] ^= 1
    blob.write_bytes(wrong)
    with blob.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        inode = os.fstat(file.fileno()).st_ino
        run = cache.janitor("verify", "--depth", "digests", "--repair", "--json")
        ground.equal(run.status, 0, f"exit of {run}")
        ground.check(bytes(mapped) == bytes(wrong) and file.read() == bytes(wrong), "a reader lost its bytes")
        ground.check(blob.stat().st_ino != inode, "the file was written in place")
        ground.equal(os.fstat(file.fileno()).st_nlink, 0, "names of the old file")
    ground.check(not cache.is_whole(ID, commit), lambda: f"not repaired: {cache.is_whole(ID, commit)}")
    ground.equal(json.loads(run.output)["summary"]["complete"], 1, "complete revisions")
