"""The ledger on the very disk that is full: every command must end in order, and room can be made."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

from caches import Cache
from catalogue import NEWEST, proof
from disks import MB, Disk
from ground import ORG, Ground

KIB = 1024
AMOUNTS = (0, 8 * KIB, 16 * KIB, 24 * KIB, 32 * KIB, 40 * KIB, 52 * KIB, 64 * KIB, 200 * KIB)
"""Bytes left free. A page of a mapping that finds no block shows only in a narrow range, another one on each filesystem."""


def fill_but(disk: Disk, leave: int) -> int:
    """Takes all space but so much, and tells what statvfs says then.

    What is to be left is taken first and given back in the end: cutting a file short needs room on some filesystems.
    """
    spare, ballast = disk.path / "spare", disk.path / "ballast"
    with spare.open("wb", buffering=0) as file:
        file.write(bytes(leave))
        os.fsync(file.fileno())
    with ballast.open("ab", buffering=0) as file:
        for size in (MB, 64 * KIB, 4 * KIB, KIB):
            try:
                while file.write(bytes(size)):
                    pass
                os.fsync(file.fileno())
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    spare.unlink()
    return disk.free()


def make_room(disk: Disk) -> None:
    for name in ("spare", "ballast"):
        (disk.path / name).unlink(missing_ok=True)
    disk.free()


def daemon_begins_and_ends(ground: Ground, policy: Path, cache: Cache, more: dict[str, str], what: str) -> None:
    process = ground.start(
        [ground.program, "daemon", "--policy", policy, "--cache", cache.path], None, more,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if '"daemon-ready"' in line:
            # Another process beside it, then the end.
            ground.equal(cache.janitor("verify", more=more).status, 0, f"{what}: verify beside a daemon")
            process.send_signal(signal.SIGTERM)
    ground.equal(process.wait(60), 0, f"{what}: the daemon's exit status\n{told}\n")


def full(ground: Ground, kind: str, block: int | None, has_ledger: bool) -> None:
    """With or without a ledger from better times: nobody is ended by a signal, and enforce makes room."""
    disk = ground.disk(kind, mib=120, block=block)
    cache = Cache(ground, disk.path / "hub")
    state = disk.path / "state"
    more = {"XDG_STATE_HOME": str(state)}
    whole = cache.model(f"{ORG}/whole", 1, days=1)
    keys = "min-age: 0s, recent-use: 0s, irreplaceable: evict"
    pins = f'pins:\n  - {{repo: "{ORG}/whole"}}\n  - {{repo: "{ORG}/named*"}}\n'
    watching = ground.policy(f"mode: observe\ncaches:\n  - {{path: {cache.path}}}\n", "watching.yaml")
    for number, leave in enumerate(AMOUNTS):
        make_room(disk)
        old = cache.model(f"{ORG}/old{number}", 2, days=60)
        named = cache.model(f"{ORG}/named{number}", 1, days=50)
        if has_ledger:
            ground.equal(cache.janitor("verify", "--depth", "digests", more=more).status, 0, "verify with room")
        else:
            subprocess.run(["rm", "-rf", state], check=True)
        free = fill_but(disk, leave)
        what = f"{kind}, {leave} bytes left, {free} by statvfs"
        # A full btrfs shows more than a megabyte as free.
        floor = f"min-free: {free + MB}, target-free: {free + MB + MB // 2}"
        policy = ground.policy(
            f"mode: enforce\nedit-grace: 0s\nannounce: 0s\ncaches:\n  - {{path: {cache.path}, {floor}, {keys}}}\n{pins}"
        )
        for arguments, allowed in (
            (("ls",), (0,)), (("verify", "--depth", "digests", "--fresh"), (0,)), (("ready", f"{ORG}/whole"), (0,)),
            (("plan", "--policy", policy), (0,)), (("status", "--policy", policy), (0, 1)),
            (("doctor", "--policy", policy), (0, 1)),
        ):  # fmt: skip
            run = cache.janitor(*arguments, more=more)
            ground.check(run.status in allowed, lambda run=run: f"{what}: {run}")
        daemon_begins_and_ends(ground, watching, cache, more, what)
        done = cache.janitor("enforce", "--policy", policy, more=more)
        after = disk.free()
        ground.check(done.status == 0 and after > free, lambda: f"{what}: {after} bytes are free after {done}")
        ground.check(not cache.has(f"{ORG}/old{number}", old), f"{what}: the oldest is still there")
        fill_but(disk, leave)
        run = cache.janitor("rm", f"{ORG}/named{number}", "--yes", more=more)
        ground.check(run.status == 0 and not cache.has(f"{ORG}/named{number}", named), lambda: f"{what}: {run}")
        ground.check(cache.has(f"{ORG}/whole", whole), f"{what}: a pinned one is gone")
    make_room(disk)
    cache.judge()


def fills_while_running(ground: Ground, kind: str, block: int | None) -> None:
    """A daemon shares the ledger while there is room; then the disk fills up beside it."""
    disk = ground.disk(kind, mib=120, block=block)
    cache = Cache(ground, disk.path / "hub")
    more = {"XDG_STATE_HOME": str(disk.path / "state"), "XDG_RUNTIME_DIR": str(ground.base / "run")}
    (ground.base / "run").mkdir(mode=0o700)
    cache.model(f"{ORG}/whole", 1, days=1)
    policy = ground.policy(f"mode: observe\ncaches:\n  - {{path: {cache.path}}}\n")
    process = ground.start(
        [ground.program, "daemon", "--policy", policy, "--cache", cache.path], None, more,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    assert process.stderr is not None
    while '"daemon-ready"' not in process.stderr.readline() and process.poll() is None:
        pass
    mapped = Path(f"/proc/{process.pid}/maps")
    ground.check("ledger.sqlite-shm" in mapped.read_text(), "the daemon does not share the ledger while there is room")
    fill_but(disk, 16 * KIB)
    # It looks at what came, and reads and writes the ledger for it.
    for depth in ("headers", "digests"):
        run = cache.janitor("verify", "--depth", depth, more=more)
        ground.equal(run.status, 0, f"{run}")
    make_room(disk)
    cache.model(f"{ORG}/other", 1, days=1)
    fill_but(disk, 16 * KIB)
    run = cache.janitor("ready", f"{ORG}/other", more=more)
    ground.equal(run.status, 0, f"{run}")
    ground.check(process.poll() is None, f"the daemon ended with {process.poll()}")
    process.send_signal(signal.SIGTERM)
    told = process.stderr.read()
    ground.equal(process.wait(60), 0, f"the daemon's exit status\n{told}\n")
    make_room(disk)
    cache.judge()


for kind, block in (("ext4", 1024), ("btrfs", None)):
    proof(NEWEST, name=f"ledger-room-{kind}", about=f"a ledger on a full {kind}: no command dies of it, enforce makes room")(
        lambda ground, kind=kind, block=block: full(ground, kind, block, has_ledger=True)
    )
    proof(NEWEST, name=f"no-ledger-room-{kind}", about=f"a full {kind} on which no ledger can be made")(
        lambda ground, kind=kind, block=block: full(ground, kind, block, has_ledger=False)
    )
    proof(NEWEST, name=f"ledger-room-daemon-{kind}", about=f"a {kind} that fills up while a daemon shares the ledger on it")(
        lambda ground, kind=kind, block=block: fills_while_running(ground, kind, block)
    )
