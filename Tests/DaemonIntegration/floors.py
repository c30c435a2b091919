"""A small disk that a slow download would fill, beside older models."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from caches import Cache, model_files
from catalogue import NEWEST, OLD, proof
from clients import Clients
from daemon import Daemon
from disks import MB, MIB, Disk
from ground import ORG, Ground, short
from hub_stand_in import Commit, Fault, pseudo_random

DISK = 300
"""MiB of the disk."""
FLOOR, TARGET = 40, 50
"""MB."""


def policy(ground: Ground, cache: Cache, irreplaceable: str = "evict", pins: str = "[]") -> Path:
    return ground.policy(
        "mode: enforce\n"
        f"caches:\n  - {{path: {cache.path}, min-free: {FLOOR}MB, target-free: {TARGET}MB, min-age: 0s, recent-use: 0s, "
        f"critical-free: 1MB, irreplaceable: {irreplaceable}}}\npins: {pins}\n"
    )


def slow(ground: Ground, commit: Commit, rate: int) -> list[Fault]:
    """Has every large file of a commit come at so many bytes a second."""
    return [
        ground.servers.faults.add(Fault("slow", origin="cdn", path=f"*/{file.sha256}", rate=rate))
        for file in commit.files.values() if file.large
    ]  # fmt: skip


def newcomer(cache: Cache, id: str, mib: int, shards: int = 1) -> Commit:
    """A large model on the Hub."""
    if shards == 1:
        files: dict[str, Any] = model_files(id, 1)
        files["extra.bin"] = pseudo_random(id, mib * MIB)
        return cache.publish(id, files)
    files = model_files(id, 1)
    for number in range(shards):
        files[f"part-{number}.bin"] = pseudo_random(f"{id} {number}", mib * MIB // shards)
    return cache.publish(id, files)


def filled(ground: Ground, irreplaceable: str, free: int) -> tuple[Disk, Cache, dict[str, Commit], Daemon, Any]:
    """Older models that use up a disk but for `free` MB: free ones, a pinned one, a held one, one that a process has open."""
    disk = ground.disk("ext4", "relatime", DISK)
    cache = Cache(ground, disk.path / "hub")
    models = {
        name: cache.model(f"{ORG}/{name}", 25, days)
        for name, days in (("oldest", 90), ("pinned", 85), ("held", 80), ("open", 75), ("older", 70), ("old", 20))
    }
    run = cache.janitor("hold", f"{ORG}/held", "--for", "1d")
    ground.equal(run.status, 0, f"exit of {run}")
    use = ground.script("use", "open", cache.blob(f"{ORG}/open", models["open"]))
    for name, days in (("held", 80), ("open", 75)):
        cache.age(f"{ORG}/{name}", days)
    disk.fill(free * MB)
    daemon = Daemon(ground, policy=policy(ground, cache, irreplaceable, f"[{{repo: {ORG}/pinned}}]"))
    daemon.await_ready()
    return disk, cache, models, daemon, use


def room_is_made(ground: Ground, irreplaceable: str, rate: int, **how: Any) -> None:
    disk, cache, models, daemon, use = filled(ground, irreplaceable, 60)
    clients = Clients(cache)
    id = f"{ORG}/new"
    commit = newcomer(cache, id, 60, **how)
    faults = slow(ground, commit, rate)
    lowest = disk_free(disk)
    client = clients.begin(id, max_workers=4)
    while client.poll() is None:
        lowest = min(lowest, disk_free(disk))
        time.sleep(0.1)
    for fault in faults:
        clients.let_go(fault)
    clients.finish(client, "the download for which room had to be made")
    ground.note(f"lowest free while downloading: {lowest / MB:.1f} MB")
    ground.check(not cache.is_whole(id, commit), lambda: f"the download is not whole: {cache.is_whole(id, commit)}")
    daemon.await_event("arrived", repo=f"model/{id}")
    daemon.await_event("floor-breached")

    def holds() -> bool:
        said = [event["event"] for event in daemon.events() if event["event"] in ("floor-held", "floor-breached")]
        return disk_free(disk) >= FLOOR * MB and said[-1] == "floor-held"

    daemon.until(holds, "the floor holds in the end, and it says so")
    removed = [event["repo"] for event in daemon.events("removed")]
    ground.check(f"model/{ORG}/oldest" in removed, f"removed {removed}")
    ground.check(set(removed) <= {f"model/{ORG}/{name}" for name in ("oldest", "older", "old")}, f"removed {removed}")
    for name in ("pinned", "held", "open", *({"older", "old"} - {each.rpartition("/")[2] for each in removed})):
        wrong = cache.is_whole(f"{ORG}/{name}", models[name])
        ground.check(not wrong, f"{name} has lost {wrong}")
    # Room was made before it was needed: with less than the file's own size to spare the client warns, with none it fails.
    ground.check(lowest > 0, "the disk was full")
    daemon.tells_the_truth(cache, when="after room was made")
    ground.check(not cache.leftovers(), lambda: f"left in private folders: {cache.leftovers()}")
    ground.check(not daemon.events("floor-unreachable"), lambda: f"an alarm though there was enough\n{daemon.told()}")
    daemon.stop()
    use.kill()


@proof(NEWEST, OLD)
def room_for_a_download(ground: Ground) -> None:
    """A slow download that would fill the disk succeeds: older models go in time, what is pinned, held or open stays."""
    room_is_made(ground, "evict", rate=6 * MB)


@proof(NEWEST)
def room_for_many_shards(ground: Ground) -> None:
    """The same for a model in many files, whose Hub still has what goes."""
    room_is_made(ground, "keep", rate=2 * MB, shards=10)


@proof(NEWEST)
def no_room_to_make(ground: Ground) -> None:
    """With nothing to free there is one clear alarm and no loop, and it is over once the client gave up."""
    disk = ground.disk("ext4", "relatime", 130)
    cache = Cache(ground, disk.path / "hub")
    pinned = cache.model(f"{ORG}/pinned", 40, 90)
    disk.fill(60 * MB)
    daemon = Daemon(ground, policy=policy(ground, cache, pins=f"[{{repo: {ORG}/pinned}}]"))
    daemon.await_ready()
    clients = Clients(cache)
    id = f"{ORG}/new"
    commit = newcomer(cache, id, 80)
    faults = slow(ground, commit, 4 * MB)
    client = clients.begin(id)
    daemon.await_event("floor-unreachable")
    alarmed = daemon.mark
    cpu, began = daemon.cpu_seconds, time.monotonic()
    _, errors = client.communicate(timeout=120)
    for fault in faults:
        clients.let_go(fault)
    is_full = client.returncode != 0 and "No space left" in errors
    ground.check(is_full, f"the client was to run out of space: {short(errors)}")
    time.sleep(max(0, 25 - (time.monotonic() - began)))
    alarms = daemon.events("floor-unreachable")
    ground.equal(len(alarms), 1, f"alarms\n{daemon.told()}\n")
    ground.check(len(daemon.events("floor-breached")) <= 2, lambda: f"breached again and again\n{daemon.told()}")
    text = alarms[0]["message"]
    ground.check(re.search(r"[0-9.]+ [MG]B", text), f"no bytes in the alarm: {text}")
    ground.check("pin" in text and "hfjanitor plan" in text, f"what blocks, and the command: {text}")
    ground.check(alarms[0]["bytes"] > 0, f"{alarms[0]}")
    ground.check(len(daemon.events(since=alarmed)) < 12, lambda: f"it does not stop talking\n{daemon.told()}")
    spent = daemon.cpu_seconds - cpu
    ground.note(f"{spent:.2f} s of processor in {time.monotonic() - began:.0f} s")
    ground.check(spent < 8, f"it took {spent:.1f} s of processor while there was nothing to do")
    ground.check(not daemon.events("removed"), "something was removed")
    ground.check(not cache.is_whole(f"{ORG}/pinned", pinned), "the pinned model lost something")
    # What a client left behind counts until somebody removes it.
    for partial in cache.folder(id).glob("blobs/*.incomplete"):
        partial.unlink()
    daemon.await_event("floor-held", alarmed)
    alarms_open = {"floor-unreachable", "floor-breached"}
    daemon.until(lambda: not alarms_open & daemon.conditions(), f"no alarm in its status: {daemon.conditions()}")
    run = ground.janitor("status", "--json")
    ground.check(not [each for each in run.json["conditions"] if each["code"] in alarms_open], f"still open: {run}")
    daemon.tells_the_truth(cache, when="after the client gave up")
    daemon.stop()


def disk_free(disk: Disk) -> int:
    status = os.statvfs(disk.path)
    return status.f_bavail * status.f_frsize


@proof(NEWEST)
def what_is_open_for_a_moment(ground: Ground) -> None:
    """Nobody is called for what is only being read at that moment; for what stays open somebody is."""
    disk = ground.disk("ext4", "relatime", DISK)
    cache = Cache(ground, disk.path / "hub")
    # The last of a cache never goes.
    cache.model(f"{ORG}/other", 1, 20)
    models = {name: cache.model(f"{ORG}/{name}", 40, 90) for name in ("read", "served")}
    uses = {}
    for name, commit in models.items():
        uses[name] = ground.script("use", "open", cache.blob(f"{ORG}/{name}", commit))
        cache.age(f"{ORG}/{name}", 90)
    disk.fill(20 * MB)
    daemon = Daemon(ground, policy=policy(ground, cache))
    daemon.await_ready()
    daemon.await_event("floor-breached")
    uses["read"].kill()
    daemon.await_event("removed", repo=f"model/{ORG}/read")
    daemon.await_event("floor-held")
    ground.check(not daemon.events("floor-unreachable"), lambda: f"an alarm for nothing\n{daemon.told()}")
    held = daemon.mark
    (disk.path / "more").write_bytes(bytes(30 * MB))
    daemon.await_event("floor-unreachable", held)
    alarms = daemon.events("floor-unreachable")
    ground.check(alarms and "open" in alarms[0]["reason"], f"{alarms}")
    uses["served"].kill()
    daemon.stop()
