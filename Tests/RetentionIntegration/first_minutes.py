"""The first five minutes: a policy of three lines, an owner without privileges, a cache that was there before."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from caches import WEIGHTS, Cache
from catalogue import BOTH, proof
from disks import MB, Disk
from ground import ORG, OWNER, Ground, Run

DAYS = 30


def full_disk(ground: Ground) -> tuple[Disk, Cache, dict[str, Any]]:
    """A cache of an ordinary user on a nearly full ext4 with relatime; everything in it is a month old."""
    disk = ground.disk("ext4", "relatime")
    cache = Cache(ground, disk.path / "hub", OWNER)
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 8) for number in range(4)}
    for number, id in enumerate(models):
        cache.age(id, DAYS - number)
    disk.backdate(DAYS * 86400, disk.path / "hub")
    disk.fill(leave=30 * MB)
    return disk, cache, models


def three_lines(ground: Ground, cache: Cache, min_free: int, more: str = "") -> Path:
    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-free: {min_free // 1000 + 1}kB{more}}}\n"
    return ground.policy(text, uid=OWNER)


def gone(cache: Cache, models: dict[str, Any]) -> list[str]:
    return [id for id, commit in models.items() if not cache.has(id, commit)]


def asked_by_us(ground: Ground) -> list[str]:
    """What the Hub was asked since its log was cleared; no client is at work then."""
    return [entry["path"] for entry in ground.servers.log.all() if entry["method"] == "HEAD"]


@proof(*BOTH)
def first_run(ground: Ground) -> None:
    """The Hub answers: it evicts, having asked for the largest weight file of just what goes."""
    disk, cache, models = full_disk(ground)
    # The implied target is 2 % of the filesystem above: with what is missing, two models.
    policy = three_lines(ground, cache, disk.free() + 4 * MB)
    ground.servers.log.clear()
    planned = ground.janitor("plan", "--policy", policy, "--json", uid=OWNER)
    ground.equal(planned.status, 0, f"exit of {planned}")
    ground.equal(asked_by_us(ground), [], "asked by plan, which asks nobody")
    unasked = {action["hub"] for each in planned.json["caches"] for action in each["actions"]}
    ground.equal(unasked, {"unasked"}, "what plan says of the Hub")
    done = ground.janitor("enforce", "--policy", policy, uid=OWNER)
    ground.equal(done.status, 0, f"exit of {done}")
    ground.equal(gone(cache, models), [f"{ORG}/m0", f"{ORG}/m1"], f"gone: {done}")
    asked = asked_by_us(ground)
    for id in (f"{ORG}/m0", f"{ORG}/m1"):
        wanted = f"/{id}/resolve/{models[id].id}/{WEIGHTS}"
        ground.check(wanted in asked, f"the Hub was not asked for {wanted}: {asked}")
    (disk.path / "ballast").unlink()
    cache.judge(gone=[(f"{ORG}/m0", models[f"{ORG}/m0"])])


def says_why(ground: Ground, run: Run, what: str) -> None:
    """One line tells the reason and the remedy."""
    ground.equal(run.status, 75, f"{what}: exit of {run}")
    lines = [line for line in run.errors.splitlines() if "irreplaceable: evict" in line and "Hub" in line]
    ground.check(len(lines) == 1, f"{what}: one line is to name the Hub and `irreplaceable: evict`: {run}")


@proof(*BOTH)
def hub_unreachable(ground: Ground) -> None:
    """The Hub is down, or offline is set: nothing goes, and one line says why and what to set; then it works."""
    disk, cache, models = full_disk(ground)
    policy = three_lines(ground, cache, disk.free() + 4 * MB)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        down = {"HF_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        says_why(ground, ground.janitor("enforce", "--policy", policy, uid=OWNER, more=down), "Hub down")
        ground.equal(gone(cache, models), [], "gone while the Hub is down")
        offline = {"HF_HUB_OFFLINE": "1"}
        says_why(ground, ground.janitor("enforce", "--policy", policy, uid=OWNER, more=offline), "HF_HUB_OFFLINE=1")
        ground.equal(gone(cache, models), [], "gone while offline")
        evict = three_lines(ground, cache, disk.free() + 4 * MB, ", irreplaceable: evict")
        done = ground.janitor("enforce", "--policy", evict, uid=OWNER, more=down | offline)
        ground.equal(done.status, 0, f"exit with `irreplaceable: evict`: {done}")
        ground.equal(gone(cache, models), [f"{ORG}/m0", f"{ORG}/m1"], "gone with `irreplaceable: evict`")


@proof()
def hub_has_it_no_longer(ground: Ground) -> None:
    """What the Hub deleted, changed or guards stays, and something else goes in its place."""
    disk, cache, models = full_disk(ground)
    from hub_stand_in import Fault

    del ground.hub.repos[("model", f"{ORG}/m0")]
    ground.servers.faults.add(Fault("status", path=f"/{ORG}/m1/resolve/*", status=403, headers={"X-Error-Code": "GatedRepo"}))
    policy = three_lines(ground, cache, disk.free() + MB)
    done = ground.janitor("enforce", "--policy", policy, uid=OWNER)
    ground.check(cache.has(f"{ORG}/m0", models[f"{ORG}/m0"]), f"removed although the Hub has it no more: {done}")
    ground.check(cache.has(f"{ORG}/m1", models[f"{ORG}/m1"]), f"removed although it is gated for us: {done}")
    ground.check(not cache.has(f"{ORG}/m2", models[f"{ORG}/m2"]), f"the next was not taken: {done}")
    ground.check(cache.has(f"{ORG}/m3", models[f"{ORG}/m3"]), f"the last went: {done}")


@proof()
def young_stays(ground: Ground) -> None:
    """The defaults protect what arrived within two hours and what was opened within two days, and say so."""
    disk = ground.disk("ext4", "relatime")
    cache = Cache(ground, disk.path / "hub", OWNER)
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 8) for number in range(4)}
    for id in (f"{ORG}/m0", f"{ORG}/m1", f"{ORG}/m2"):
        cache.age(id, DAYS)
    disk.backdate(DAYS * 86400, cache.folder(f"{ORG}/m0"))
    disk.backdate(DAYS * 86400, cache.folder(f"{ORG}/m1"))
    (cache.snapshot(f"{ORG}/m1", models[f"{ORG}/m1"]) / WEIGHTS).read_bytes()  # relatime: this read is recorded
    disk.fill(leave=30 * MB)
    policy = three_lines(ground, cache, disk.free() + 60 * MB)
    planned = ground.janitor("plan", "--policy", policy, "--json", uid=OWNER).json
    kept = {each["repo"]: each["by"] for one in planned["caches"] for each in one["kept"]}
    ground.equal(kept.get(f"model/{ORG}/m1"), "recent-use", "what keeps a model that was read today")
    ground.equal(kept.get(f"model/{ORG}/m2"), "min-age", "what keeps a model that arrived just now")
    done = ground.janitor("enforce", "--policy", policy, uid=OWNER)
    ground.equal(done.status, 75, f"exit of {done}")
    ground.equal(gone(cache, models), [f"{ORG}/m0"], f"gone: {done}")
    later = ground.janitor("plan", "--policy", policy, "--json", "--at", "+3h", uid=OWNER).json
    kept = {each["repo"]: each["by"] for one in later["caches"] for each in one["kept"]}
    ground.check(kept.get(f"model/{ORG}/m2") != "min-age", f"in three hours it is not young any more: {kept}")


@proof()
def wrong_policies(ground: Ground) -> None:
    """A file that does not say its mode, has a typo or is another's: 78, and nothing goes."""
    place = ground.place()
    cache = Cache(ground, place / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 1) for number in range(2)}
    for what, text in {
        "no mode": f"caches:\n  - {{path: {cache.path}, max-size: 1kB, min-age: 0s}}\n",
        "unknown key": f"mode: enforce\ncaches:\n  - {{path: {cache.path}, max-sise: 1kB, min-age: 0s}}\n",
        "not YAML": "mode: [enforce\n",
        "empty": "",
    }.items():
        policy = ground.policy(text)
        for command in ("plan", "enforce"):
            run = ground.janitor(command, "--policy", policy)
            if what == "empty":  # no rules, no floor: observe, and nothing to do
                ground.check(run.status in (0, 78), f"{what}: {run}")
            else:
                ground.equal(run.status, 78, f"{what}: exit of {run}")
                ground.check(what == "no mode" or "policy.yaml:" in run.errors, f"{what}: no position: {run}")
    policy = ground.policy(f"mode: enforce\ncaches:\n  - {{path: {cache.path}, max-size: 1kB, min-age: 0s}}\n")
    policy.chmod(0o666)
    ground.equal(ground.janitor("enforce", "--policy", policy).status, 78, "exit with a policy anybody may write")
    policy.chmod(0o600)
    if ground.is_root:
        os.chown(policy, OWNER, OWNER)
        ground.equal(ground.janitor("enforce", "--policy", policy).status, 78, "exit with another's policy")
    ground.equal(gone(cache, models), [], "gone by a policy that is wrong")
