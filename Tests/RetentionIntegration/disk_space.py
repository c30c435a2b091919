"""Free space on real filesystems: what is promised, what is removed, what comes back."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

from caches import WEIGHTS, Cache, age_tree, model_files
from catalogue import BOTH, NEWEST, OLD, proof
from disks import MB, Disk, allocated
from ground import ORG, Ground, Run

MODEL_MIB = 12
PATIENCE = 20
"""Seconds that a pass may wait for freed bytes to appear when it knows that not all of them will."""

COUNT = 8

SLACK = {
    # A folder is one block. Folders that were emptied keep theirs, the program's own private folder may come, and lock
    # files and journal need none.
    "ext4": 24 * 4096,
    # Inodes come and go in chunks of 64 (32 KiB), B-tree blocks with them.
    "xfs": 8 * 32768,
    # Metadata is in nodes of 16 KiB that are merged and split, and the free space tree moves with every commit.
    "btrfs": 2 * (1 << 20),
}
"""How far the measured space may be from the predicted one, for one pass over a few repos."""


def actions_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [action for cache in plan["caches"] for action in cache["actions"]]


def policy_for(ground: Ground, *caches: tuple[Cache, str], rules: str = "", name: str = "policy.yaml") -> Path:
    lines = ["mode: enforce", "caches:"]
    for cache, keys in caches:
        lines.append(f"  - {{path: {cache.path}, min-age: 0s, {keys}}}")
    return ground.policy("\n".join(lines) + "\n" + rules, name)


def plan_then_enforce(ground: Ground, policy: Path, *more: Any) -> tuple[dict[str, Any], Run]:
    """The plan first; it must change nothing, and what is done must be what it said."""
    planned = ground.janitor("plan", "--policy", policy, "--json")
    ground.equal(planned.status, 0, f"exit of {planned}")
    return planned.json, ground.janitor("enforce", "--policy", policy, *more)


def floor(ground: Ground, kind: str, options: str) -> None:
    """Filled below min-free, enforced: between target-free and one item above it, the least recently used gone."""
    disk = ground.disk(kind, options)
    cache = Cache(ground, disk.path / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", MODEL_MIB, days=30 - number) for number in range(COUNT)}
    before = cache.scan()
    disk.fill(leave=30 * MB)
    free_before = disk.free()
    target = free_before + 30 * MB
    policy = policy_for(ground, (cache, f"min-free: {free_before + 10 * MB}, target-free: {target}"))
    tree_before = cache.tree()
    planned = ground.janitor("plan", "--policy", policy, "--json")
    ground.equal(planned.status, 0, f"exit of {planned}")
    ground.check(cache.tree() == tree_before, "plan changed the cache")
    actions = actions_of(planned.json)
    done = ground.janitor("enforce", "--policy", policy)
    free_after = disk.free()
    ground.equal(done.status, 0, f"exit of {done}")
    gone = [id for id, commit in models.items() if not cache.has(id, commit)]
    predicted = sum(action["bytes"] for action in actions)
    measured = free_after - free_before
    state = f"{kind} {options}: free {free_before} -> {free_after}, target {target}, predicted {predicted}; {done}"
    ground.check([a["repo"] for a in actions] == [f"model/{id}" for id in gone], lambda: f"planned {actions}, gone {gone}; {state}")
    ground.equal(gone, list(models)[: len(gone)], "the least recently used go first, gone are")
    ground.check(free_after >= target - SLACK[kind], lambda: f"target not reached: {state}")
    if actions:
        ground.check(
            free_after - actions[-1]["bytes"] < target + SLACK[kind], lambda: f"one more was removed than needed: {state}"
        )
    else:
        ground.failures.append(f"nothing planned: {planned}")
    ground.check(abs(measured - predicted) <= SLACK[kind], lambda: f"measured {measured}: {state}")
    ground.note(f"{kind} {options}: predicted {predicted}, measured {measured}, difference {measured - predicted}")
    again = ground.janitor("enforce", "--policy", policy)
    ground.equal(again.status, 0, f"exit of a second pass: {again}")
    ground.equal([id for id, commit in models.items() if not cache.has(id, commit)], gone, "gone after a second pass")
    (disk.path / "ballast").unlink()
    cache.judge(before, [(id, models[id]) for id in gone[:1]], what=f"{kind} {options}")


for kind, options, client in (
    ("ext4", "relatime", NEWEST), ("ext4", "noatime", OLD), ("xfs", "relatime", OLD), ("xfs", "noatime", NEWEST),
    ("btrfs", "relatime", NEWEST), ("btrfs", "noatime", OLD),
):  # fmt: skip
    proof(client, name=f"floor-{kind}-{options}", about=f"min-free to target-free on {kind}, {options}")(
        lambda ground, kind=kind, options=options: floor(ground, kind, options)
    )


def shared_bytes(ground: Ground, kind: str) -> None:
    """Hard links inside and outside, blobs of several revisions: bytes are counted when they come back, not before."""
    disk = ground.disk(kind)
    cache = Cache(ground, disk.path / "hub")
    files = model_files(f"{ORG}/two", MODEL_MIB) | {"second.safetensors": model_files(f"{ORG}/two/second", 3)[WEIGHTS]}
    old = cache.publish(f"{ORG}/two", files)
    cache.download(f"{ORG}/two")
    new = cache.publish(f"{ORG}/two", files | {"second.safetensors": model_files(f"{ORG}/two/newer", 3)[WEIGHTS]})
    cache.download(f"{ORG}/two")
    cache.age(f"{ORG}/two", 40)
    inside = cache.model(f"{ORG}/inside", MODEL_MIB, days=30)
    subprocess.run(["cp", "-al", cache.folder(f"{ORG}/inside"), cache.folder(f"{ORG}/twin")], check=True)
    outside = cache.model(f"{ORG}/outside", MODEL_MIB, days=20)
    subprocess.run(["cp", "-al", cache.folder(f"{ORG}/outside"), disk.path / "elsewhere"], check=True)
    cache.model(f"{ORG}/last", 1, days=1)

    def remove(*targets: str) -> tuple[int, int]:
        """Asks the plan what exactly these would give, removes them, and measures."""
        globs = ", ".join(f'"{target.partition("@")[0]}"' for target in targets)
        commits = ", ".join(f'"{target.partition("@")[2]}"' for target in targets if "@" in target)
        match = f"{{repo: [{globs}]" + (f", revision: [{commits}]" if commits else "") + "}"
        # What no ref names may be somebody's pinned commit: it goes by its last use alone.
        rules = f"rules:\n  - {{name: these, match: {match}, unused-for: 1s}}\n"
        policy = policy_for(ground, (cache, "irreplaceable: evict"), rules=rules)
        before = disk.free()
        planned, done = plan_then_enforce(ground, policy)
        ground.equal(done.status, 0, f"exit of {done}")
        actions = actions_of(planned)
        ground.check(not any(action["bytes_at_most"] for action in actions), lambda: f"bytes_at_most: {actions}")
        ground.check(actions, lambda: f"nothing planned for {targets}: {planned}")
        return sum(action["bytes"] for action in actions), disk.free() - before

    mib = 1 << 20
    for what, targets, least, most in (
        ("the older of two revisions", [f"{ORG}/two@{old.id}"], 3 * mib, 3 * mib),
        ("the newer, then the only one", [f"{ORG}/two@{new.id}"], (MODEL_MIB + 3) * mib, (MODEL_MIB + 3) * mib),
        ("hard-linked outside the cache", [f"{ORG}/outside"], 0, 0),
        ("hard-linked by another repo", [f"{ORG}/inside"], 0, 0),
        ("the last name of it", [f"{ORG}/twin"], MODEL_MIB * mib, MODEL_MIB * mib),
    ):
        predicted, measured = remove(*targets)
        state = f"{kind}, {what}: predicted {predicted}, measured {measured}"
        ground.note(state)
        ground.check(abs(predicted - measured) <= SLACK[kind], state)
        ground.check(least - SLACK[kind] <= measured <= most + SLACK[kind] + 65536, state)
    for id, commit in ((f"{ORG}/two", old), (f"{ORG}/two", new), (f"{ORG}/inside", inside), (f"{ORG}/outside", outside)):
        ground.check(not cache.has(id, commit), f"{id}@{commit.id} is still there")
    lost = [p for p in (disk.path / "elsewhere" / "snapshots").rglob("*") if p.is_symlink() and not p.exists()]
    ground.check(not lost, f"the copy outside lost {lost}")
    cache.judge()


for kind in ("ext4", "xfs"):
    proof(NEWEST, name=f"shared-bytes-{kind}", about=f"hard links and shared blobs on {kind}: predicted is measured")(
        lambda ground, kind=kind: shared_bytes(ground, kind)
    )


def reflinks(ground: Ground, kind: str) -> None:
    """Files whose extents another file shares: predictions are upper bounds and say so."""
    disk = ground.disk(kind)
    cache = Cache(ground, disk.path / "hub")
    shared = cache.model(f"{ORG}/shared", MODEL_MIB, days=30)
    plain = cache.model(f"{ORG}/plain", MODEL_MIB, days=20)
    cache.model(f"{ORG}/last", 1, days=1)
    copy = disk.path / "elsewhere"
    subprocess.run(["cp", "-a", "--reflink=always", cache.folder(f"{ORG}/shared"), copy], check=True)
    disk.free()  # what was written is on the disk now, and its extents are known
    rules = f'rules:\n  - {{name: these, match: {{repo: ["{ORG}/shared", "{ORG}/plain"]}}}}\n'
    policy = policy_for(ground, (cache, "irreplaceable: evict"), rules=rules)
    before = disk.free()
    planned = ground.janitor("plan", "--policy", policy, "--json")
    done = ground.janitor("enforce", "--policy", policy, interrupt=PATIENCE)
    measured = disk.free() - before
    ground.check(done.seconds < PATIENCE, f"after {PATIENCE} s it still waited for bytes that were only an upper bound: {done}")
    ground.check(done.status == 0 or done.seconds >= PATIENCE, f"exit of {done}")
    actions = {action["repo"]: action for action in actions_of(planned.json)}
    ground.equal(sorted(actions), [f"model/{ORG}/plain", f"model/{ORG}/shared"], "planned")
    predicted = sum(action["bytes"] for action in actions.values())
    state = f"{kind}: predicted {predicted}, measured {measured}: {actions}"
    ground.note(f"{kind}: predicted at most {predicted}, measured {measured}")
    if len(actions) == 2:
        ground.check(actions[f"model/{ORG}/shared"]["bytes_at_most"], f"an upper bound, but it does not say so: {state}")
        says = actions[f"model/{ORG}/plain"]["bytes_at_most"]
        # On btrfs small files are in the metadata, and what they give back cannot be said.
        ground.check(not says or kind == "btrfs", f"exact, but it says at most: {state}")
        ground.check(abs(measured - actions[f"model/{ORG}/plain"]["bytes"]) <= SLACK[kind] + 65536, state)
    ground.check(measured <= predicted + SLACK[kind], f"more came back than the upper bound: {state}")
    ground.check(not cache.has(f"{ORG}/shared", shared) and not cache.has(f"{ORG}/plain", plain), "still there")
    cache.judge()


for kind in ("xfs", "btrfs"):
    proof(NEWEST, name=f"reflinks-{kind}", about=f"reflinks on {kind}: an upper bound, marked so")(
        lambda ground, kind=kind: reflinks(ground, kind)
    )


@proof(*BOTH)
def max_size(ground: Ground) -> None:
    """A cap on the cache itself: down to target-size, not further."""
    place = ground.place()
    cache = Cache(ground, place / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 6, days=30 - number) for number in range(6)}
    size = allocated([cache.path])
    target = size - 8 * MB
    policy = policy_for(ground, (cache, f"max-size: {size - 4 * MB}, target-size: {target}"))
    planned, done = plan_then_enforce(ground, policy)
    ground.equal(done.status, 0, f"exit of {done}")
    gone = [id for id, commit in models.items() if not cache.has(id, commit)]
    ground.equal(gone, [f"{ORG}/m0", f"{ORG}/m1"], "gone")
    after = allocated([cache.path])
    predicted = sum(action["bytes"] for action in actions_of(planned))
    ground.check(after <= target, f"{after} bytes are left, target {target}: {done}")
    ground.check(abs(size - after - predicted) <= SLACK["ext4"], f"predicted {predicted}, measured {size - after}")
    # Nothing to do when it fits, whatever is free on the disk.
    roomy = policy_for(ground, (cache, f"max-size: {size * 2}"), name="roomy.yaml")
    again = ground.janitor("enforce", "--policy", roomy)
    ground.equal(again.status, 0, f"exit of {again}")
    ground.equal([id for id, commit in models.items() if not cache.has(id, commit)], gone, "gone by a policy that has room")
    cache.judge(gone=[(f"{ORG}/m0", models[f"{ORG}/m0"])])


@proof()
def two_caches(ground: Ground) -> None:
    """Two caches of one filesystem share one shortfall, and the least recently used of both goes first."""
    disk = ground.disk("ext4")
    caches = [Cache(ground, disk.path / name) for name in ("first", "second")]
    models: dict[tuple[int, str], Any] = {}
    for number in range(4):
        for which, cache in enumerate(caches):
            id = f"{ORG}/m{number}{'ab'[which]}"
            models[(which, id)] = cache.model(id, 8, days=30 - 2 * number - which)
    disk.fill(leave=30 * MB)
    free_before = disk.free()
    target = free_before + 20 * MB
    keys = f"min-free: {target - MB}, target-free: {target}"
    policy = policy_for(ground, *((cache, keys) for cache in caches))
    planned, done = plan_then_enforce(ground, policy)
    free_after = disk.free()
    ground.equal(done.status, 0, f"exit of {done}")
    shortfalls = {(cache["filesystem"], cache["shortfall_bytes"]) for cache in planned["caches"]}
    ground.check(len(shortfalls) == 1, f"one shortfall for both: {shortfalls}")
    gone = [id for (which, id), commit in models.items() if not caches[which].has(id, commit)]
    expected = sorted((id for _, id in models), key=list(id for _, id in models).index)[:3]
    ground.equal(gone, expected, f"gone, with free {free_before} -> {free_after}, target {target}")
    ground.check(free_after >= target - SLACK["ext4"], f"free {free_after}, target {target}: {done}")
    (disk.path / "ballast").unlink()
    for cache in caches:
        cache.judge()


@proof()
def free_order(ground: Ground) -> None:
    """`enforce --free SIZE` makes that much room above the floor; without a policy file only with --yes."""
    disk = ground.disk("ext4")
    cache = Cache(ground, disk.path / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 8, days=30 - number) for number in range(6)}
    disk.fill(leave=30 * MB)
    free_before = disk.free()
    observing = ground.policy(
        f"mode: observe\ncaches:\n  - {{path: {cache.path}, min-age: 0s, min-free: {free_before - 5 * MB}, "
        f"target-free: {free_before - 4 * MB}}}\n"
    )
    refused = ground.janitor("enforce", "--policy", observing, "--free", "20MB")
    ground.equal(refused.status, 78, f"exit in observe mode without --yes: {refused}")
    ground.check(all(cache.has(id, commit) for id, commit in models.items()), "observe mode removed something")
    done = ground.janitor("enforce", "--policy", observing, "--free", "20MB", "--yes")
    ground.equal(done.status, 0, f"exit of {done}")
    gained = disk.free() - free_before
    gone = [id for id, commit in models.items() if not cache.has(id, commit)]
    # 20 MB above the floor, which is 5 MB below what was free: 15 MB were missing, two models of 8 MiB.
    ground.equal(gone, [f"{ORG}/m0", f"{ORG}/m1"], f"gone, {gained} bytes gained: {done}")
    short = ground.janitor("enforce", "--policy", observing, "--free", "2GB", "--yes")
    ground.equal(short.status, 75, f"exit where there is not so much: {short}")
    ground.check(cache.has(f"{ORG}/m5", models[f"{ORG}/m5"]), "the last complete revision went")
    cache.judge()


@proof()
def order_and_leftovers(ground: Ground) -> None:
    """Without rules, stale partials and orphans go before any revision, and no more than needed."""
    disk = ground.disk("ext4")
    cache = Cache(ground, disk.path / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 8, days=30 - number) for number in range(3)}
    blobs = cache.folder(f"{ORG}/m2") / "blobs"
    partial = blobs / f"{'ab' * 32}.0123abcd.incomplete"
    orphan = blobs / ("cd" * 32)
    for leftover in (partial, orphan):
        leftover.write_bytes(os.urandom(6 * MB))
        age_tree(leftover, 3)
    disk.fill(leave=30 * MB)
    free_before = disk.free()
    for missing, expected in ((5, "the partial"), (5, "the orphan"), (5, "the oldest model")):
        free = disk.free()
        keys = f"min-free: {free + missing * MB - MB}, target-free: {free + missing * MB}"
        done = ground.janitor("enforce", "--policy", policy_for(ground, (cache, keys)))
        ground.equal(done.status, 0, f"exit when {expected} is to go: {done}")
        left = {
            "the partial": partial.exists(), "the orphan": orphan.exists(),
            "the oldest model": cache.has(f"{ORG}/m0", models[f"{ORG}/m0"]),
        }  # fmt: skip
        names = list(left)
        wanted = {name: names.index(name) > names.index(expected) for name in names}
        ground.equal(left, wanted, f"what is left when {expected} was to go")
    ground.check(disk.free() > free_before + 15 * MB, "less came back than was removed")
    ground.check(all(cache.has(id, models[id]) for id in (f"{ORG}/m1", f"{ORG}/m2")), "a younger model went")
    cache.judge()


def brim(ground: Ground, kind: str) -> None:
    """Not one byte is free, as after a download that died of it: there must be a way out."""
    disk = ground.disk(kind)
    cache = Cache(ground, disk.path / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 8, days=30 - number) for number in range(3)}
    disk.fill(leave=MB)
    try:
        with (disk.path / "rest").open("wb", buffering=0) as rest:
            while rest.write(bytes(4096)):
                os.fsync(rest.fileno())
    except OSError as error:
        assert error.errno == errno.ENOSPC
    left = disk.free()
    policy = policy_for(ground, (cache, "min-free: 5MB, target-free: 6MB"))
    done = ground.janitor("enforce", "--policy", policy)
    ground.equal(done.status, 0, f"exit with {left} bytes free: {done}")
    gone = [id for id, commit in models.items() if not cache.has(id, commit)]
    ground.equal(gone, [f"{ORG}/m0"], f"gone with {left} bytes free")
    ground.check(not cache.leftovers(), lambda: f"left: {cache.leftovers()}")
    (disk.path / "rest").unlink(missing_ok=True)
    (disk.path / "ballast").unlink()
    cache.judge()


for kind in ("ext4", "xfs"):
    proof(NEWEST, name=f"brim-{kind}", about=f"{kind} without one free byte: enforce makes room all the same")(
        lambda ground, kind=kind: brim(ground, kind)
    )
