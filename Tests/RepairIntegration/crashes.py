"""Killed at every step, or with a disk that fills up: a partial download that can be gone on with, or the right file, and never
anything else under a blob's name."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import weights
from caches import Cache
from catalogue import NEWEST, proof
from ground import ORG, Ground
from hub_stand_in import Fault, git_blob_sha1

ID = f"{ORG}/crash"


def unproven(cache: Cache) -> list[str]:
    """Blobs whose content is not what their names say."""
    wrong: list[str] = []
    for blob in cache.path.glob("models--*/blobs/*"):
        if blob.name.endswith(".incomplete") or blob.name.startswith(".") or not blob.is_file():
            continue
        content = blob.read_bytes()
        if blob.name not in (hashlib.sha256(content).hexdigest(), git_blob_sha1(content)):
            wrong.append(str(blob))
    return wrong


def steps(ground: Ground, cache: Cache, work: str, kill_at: int) -> tuple[int, list[str]]:
    """One run that ends at a step; the exit code and the steps."""
    done = subprocess.run(
        [ground.program.with_name("RepairRun"), cache.path, str(kill_at), ground.servers.url, work, ID],
        capture_output=True, text=True, check=False, env=ground.environment(),
    )  # fmt: skip
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith(("step", "error"))]


def small(seed: str) -> weights.Files:
    return {"config.json": b'{"a": 1}', "sub/model.safetensors": weights.safetensors_file(seed, ["w"], 64, 1024)}


@proof(NEWEST)
def killed_while_fetching(ground: Ground) -> None:
    """At every step of a fetch: the next run ends right, the client agrees."""
    commit = ground.hub.repo("model", ID).commit(small("fetch"))
    whole = Cache(ground, ground.base / "whole")
    whole.path.mkdir(exist_ok=True)
    status, reached = steps(ground, whole, "fetch", 0)
    ground.equal(status, 0, f"exit of an undisturbed run, {reached}")
    seen: set[str] = set()
    for number, step in enumerate(reached, 1):
        if step == reached[number - 2] == "step partialGrown":
            continue
        seen.add(step)
        cache = Cache(ground, ground.base / f"at-{number}")
        cache.path.mkdir(exist_ok=True)
        status, _ = steps(ground, cache, "fetch", number)
        ground.equal(status, -signal.SIGKILL, f"exit at {step}")
        ground.check(not unproven(cache), lambda: f"killed at {number} {step}: {unproven(cache)}")
        before = cache.dangling()
        ground.check(not before, f"killed at {number} {step}: dangling {before}")
        run = cache.janitor("fetch", ID)
        ground.equal(run.status, 0, f"after {number} {step}: exit of {run}")
        wrong = cache.is_whole(ID, commit)
        ground.check(not wrong, f"after {number} {step}: {wrong}")
        left = [path for path in cache.tree() if path.endswith((".incomplete", ".new", ".tmp")) and "/trees/" not in path]
        ground.check(not left or step == "step partialMade" or "refWritten" in step, f"after {number} {step}: left {left}")
    ground.note(f"{len(reached)} steps, {sorted(seen)}")


@proof(NEWEST)
def killed_while_resuming(ground: Ground) -> None:
    """Killed around the taking over of what was left: it is taken over again, and only the rest is fetched."""
    commit = ground.hub.repo("model", ID).commit(small("resume"))
    file = commit.files["sub/model.safetensors"]

    def begun(name: str) -> Cache:
        cache = Cache(ground, ground.base / name)
        blobs = cache.folder(ID) / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{file.etag}.0123abcd.incomplete").write_bytes(file.content[:1000])
        return cache

    status, reached = steps(ground, begun("whole"), "fetch", 0)
    ground.equal(status, 0, f"exit of an undisturbed run, {reached}")
    ground.check("step partialAdopted" in reached, f"nothing was taken over: {reached}")
    for number, step in enumerate(reached, 1):
        if step not in ("step slotTaken", "step partialAdopted", "step partialWhole", "step partialSynced", "step modeSet"):
            continue
        cache = begun(f"at-{number}")
        status, _ = steps(ground, cache, "fetch", number)
        ground.equal(status, -signal.SIGKILL, f"exit at {step}")
        ground.check(not unproven(cache), lambda: f"killed at {number} {step}: {unproven(cache)}")
        ground.servers.log.clear()
        run = cache.janitor("fetch", ID)
        ground.equal(run.status, 0, f"after {number} {step}: exit of {run}")
        again = [entry for entry in ground.servers.log.all() if entry["origin"] == "cdn" and entry["range"] is None]
        ground.check(not again, f"after {number} {step}: fetched from the start {again}")
        ground.check(not cache.is_whole(ID, commit), lambda: f"after {number} {step}: {cache.is_whole(ID, commit)}")


@proof(NEWEST)
def killed_while_repairing(ground: Ground) -> None:
    """At every step of a repair of a wrong blob, a missing blob and a wrong link: nothing is worse than before, the next ends right."""
    commit = ground.hub.repo("model", ID).commit(small("repair") | {"b.safetensors": weights.safetensors_file("b", ["b"], 8, 64)})

    template = Cache(ground, ground.base / "template")
    template.download(ID)

    def broken(name: str) -> Cache:
        shutil.copytree(template.path, ground.base / name, symlinks=True)
        cache = Cache(ground, ground.base / name)
        blob = cache.blob(ID, commit, "sub/model.safetensors")
        content = bytearray(blob.read_bytes())
        content[-1] ^= 1
        blob.write_bytes(content)
        cache.blob(ID, commit, "b.safetensors").unlink()
        link = cache.snapshot(ID, commit) / "config.json"
        link.unlink()
        link.symlink_to("../../blobs/" + "0" * 40)
        return cache

    status, reached = steps(ground, broken("whole"), "repair", 0)
    ground.equal(status, 0, f"exit of an undisturbed run, {reached}")

    def killed(number: int, step: str) -> None:
        cache = broken(f"at-{number}")
        wrong = unproven(cache)
        status, _ = steps(ground, cache, "repair", number)
        ground.equal(status, -signal.SIGKILL, f"exit at {step}")
        ground.check(set(unproven(cache)) <= set(wrong), lambda: f"killed at {number} {step}: {unproven(cache)}")
        run = cache.janitor("verify", "--depth", "digests", "--repair")
        ground.equal(run.status, 0, f"after {number} {step}: exit of {run}")
        lost = cache.is_whole(ID, commit)
        ground.check(not lost, f"after {number} {step}: {lost}")

    kills = [
        (number, step) for number, step in enumerate(reached, 1) if not step == reached[number - 2] == "step partialGrown"
    ]
    # Each waits two seconds: a file that was just written is read twice, that much apart, before it counts as wrong.
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(killed, *kill) for kill in kills]:
            future.result()
    ground.note(f"{len(reached)} steps")


@proof(NEWEST)
def killed_at_random(ground: Ground) -> None:
    """Several files at once, killed at any moment, again and again: nothing unproven, nothing lost, in the end all of it."""
    files = {f"part-{number:02}.bin": os.urandom(200_000 + number) for number in range(60)}
    files |= {f"{number}.json": b'{"a": %d}' % number for number in range(20)}
    files |= {"large-a.safetensors": os.urandom(20 << 20), "large-b.safetensors": os.urandom(24 << 20)}
    commit = ground.hub.repo("model", ID).commit(files)
    cache = Cache(ground, ground.base / "hub")
    cache.path.mkdir(exist_ok=True)
    ground.servers.faults.add(Fault("slow", origin="cdn", method="GET", rate=20 << 20, times=None))
    chance = random.Random(ID)
    kills = 0
    longest = 0.5
    for _ in range(12):
        process = ground.start([ground.program, "fetch", ID, "--cache", cache.path])
        try:
            process.wait(chance.uniform(0.05, longest))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        # A machine that is busy gets nowhere in that time.
        if kills > 3 and not list(cache.path.glob("*/blobs/*")):
            longest *= 2
        ground.check(not unproven(cache), lambda: f"killed {kills} times: {unproven(cache)}")
        ground.check(not cache.dangling(), lambda: f"killed {kills} times: dangling {cache.dangling()}")
    ground.check(kills > 2, f"only {kills} runs were killed")
    ground.servers.faults.remove()
    whole = sum(len(content) for content in files.values())
    run = cache.janitor("fetch", ID, "--json")
    ground.equal(run.status, 0, f"exit in the end: {run.errors}")
    ground.check(run.json["bytes_fetched"] < whole, "the last run began anew")
    ground.check(not cache.is_whole(ID, commit), lambda: f"in the end: {cache.is_whole(ID, commit)}")
    left = [path for path in cache.path.glob("**/*.incomplete") if path.stat().st_size > 0]
    ground.check(not left, f"left: {left}")
    ground.note(f"{kills} kills, {run.json['bytes_fetched']} of {whole} bytes in the last run")


@proof(NEWEST)
def full_disk(ground: Ground) -> None:
    """Refused before the first byte; or, where the disk fills up meanwhile, ended with the same code and nothing left on it."""
    disk = ground.disk(mib=64)
    cache = Cache(ground, disk.path / "hub")
    cache.path.mkdir(exist_ok=True)
    ground.hub.repo("model", ID).commit({"model.safetensors": os.urandom(100 << 20)})
    none = ground.policy("caches:\n  - {path: %s, critical-free: 0B}\nmode: observe\n" % cache.path)
    run = cache.janitor("fetch", ID, "--json", "--policy", none)
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"no room: {run}")
    ground.check("need " in run.json["error_message"] and ", floor " in run.json["error_message"], f"the words of {run}")
    ground.check(not list(cache.path.glob("**/*.incomplete")), "something was begun")
    # A margin that promises too much: the disk is full in the middle.
    bold = ground.policy("caches:\n  - {path: %s, critical-free: 0B}\nrepair: {estimate-margin: 1.0}\nmode: observe\n" % cache.path, "bold.yaml")
    ground.hub.repo("model", ID).commit({"model.safetensors": os.urandom(40 << 20)})
    ground.servers.faults.add(Fault("slow", origin="cdn", method="GET", rate=30 << 20))
    process = ground.start([ground.program, "fetch", ID, "--json", "--policy", bold, "--cache", cache.path], stdout=-1, text=True)
    while not any(path.stat().st_size for path in cache.path.glob("**/*.incomplete")):
        if process.poll() is not None:
            break
    filler = disk.path / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            pass
    output, _ = process.communicate(timeout=120)
    filler.unlink(missing_ok=True)
    ground.equal(process.returncode, 73, f"exit in the middle: {output}")
    ground.check('"insufficient_disk"' in output, f"the code: {output}")
    ground.check(not list(cache.path.glob("**/*.incomplete")), "a partial download stays on a full disk")
    ground.servers.faults.remove()
    again = cache.janitor("fetch", ID, "--policy", bold)
    ground.equal(again.status, 0, f"with room again: {again}")
    # A floor that somebody else breaks meanwhile is for the daemon; what is asked for first is refused first.
    floor = ground.policy("caches:\n  - {path: %s, critical-free: 60MB}\nmode: observe\n" % cache.path, "floor.yaml")
    ground.hub.repo("model", ID).commit({"a.json": b"{}"})
    run = cache.janitor("fetch", ID, "--json", "--policy", floor)
    ground.equal((run.status, run.json["error_code"]), (73, "insufficient_disk"), f"below the floor: {run}")
