"""Trees made to hurt: whatever a cache holds, nothing outside of it changes and every command ends in order."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Callable

from caches import WEIGHTS, Cache, age_tree, model_files, outside_fingerprint
from catalogue import proof
from ground import ORG, Ground, short
from hub_stand_in import Commit

SENSIBLE = {0, 1, 64, 65, 66, 73, 74, 75, 77}
"""Exit codes that a hostile tree may lead to: never a signal, a hang, or 78, which is of the policy."""

Plant = Callable[[Path, Commit, Path], None]
PLANTS: dict[str, Plant] = {}


def plant(function: Plant) -> Plant:
    """Registers a change to one repo folder: of it, its commit, and the folder outside."""
    PLANTS[function.__name__.replace("_", "-")] = function
    return function


def away(place: Path, target: Path | str) -> None:
    """Replaces whatever is at a place with a link."""
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def private(repo: Path) -> Path:
    folder = repo / ".hfjanitor"
    folder.mkdir(exist_ok=True)
    return folder


def locks(repo: Path) -> Path:
    folder = repo.parent / ".locks" / repo.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@plant
def repo_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    shutil.copytree(repo, outside / "repo", symlinks=True)
    away(repo, outside / "repo")


@plant
def blobs_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    shutil.copytree(repo / "blobs", outside / "blobs")
    away(repo / "blobs", outside / "blobs")


@plant
def snapshots_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    shutil.copytree(repo / "snapshots", outside / "snapshots", symlinks=True)
    away(repo / "snapshots", outside / "snapshots")


@plant
def revision_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "revision").mkdir()
    (outside / "revision" / "config.json").write_text("{}")
    away(repo / "snapshots" / commit.id, outside / "revision")


@plant
def sub_folder_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "precious").mkdir()
    (outside / "precious" / WEIGHTS).write_bytes(b"mine")
    away(repo / "snapshots" / commit.id / "unet", outside / "precious")


@plant
def files_lead_outside(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "secret").write_bytes(b"secret")
    away(repo / "snapshots" / commit.id / WEIGHTS, "../../../../outside/secret")
    away(repo / "snapshots" / commit.id / "config.json", outside / "secret")


@plant
def blob_leads_outside(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "content").write_bytes(b"content")
    away(repo / "blobs" / commit.files[WEIGHTS].etag, outside / "content")


@plant
def blob_leads_into_another_repo(repo: Path, commit: Commit, outside: Path) -> None:
    other = repo.parent / f"models--{ORG}--sound" / "blobs"
    away(repo / "blobs" / commit.files[WEIGHTS].etag, f"../../models--{ORG}--sound/blobs/{next(other.iterdir()).name}")


@plant
def refs_lead_outside(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "ref").write_text(commit.id)
    away(repo / "refs" / "main", outside / "ref")
    away(repo / "refs" / "refs", outside)


@plant
def refs_with_odd_names(repo: Path, commit: Commit, outside: Path) -> None:
    refs = os.fsencode(repo / "refs")
    for name in (b"new\nline", b"\x1b[2Jclear", b"\xff\xfe", b"x" * 255, "‮gnp".encode(), b"..main", b"main.0123abcd.tmp", b"-rf", b"*"):
        with open(os.path.join(refs, name), "wb") as ref:
            ref.write(commit.id.encode())
    os.mkdir(os.path.join(refs, b"deep"))
    place = os.path.join(refs, b"deep")
    for _ in range(60):
        place = os.path.join(place, b"d")
        os.mkdir(place)
    with open(os.path.join(place, b"ref"), "wb") as ref:
        ref.write(commit.id.encode())
    (repo / "refs" / "huge").open("wb").truncate(1 << 34)
    os.mkfifo(repo / "refs" / "fifo")
    (repo / "refs" / "climbs").write_text("../../../../outside")


@plant
def private_folder_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "parked").mkdir()
    (outside / "parked" / "0123abcd.intent").write_text("{}")
    away(repo / ".hfjanitor", outside / "parked")


@plant
def private_folder_is_a_file(repo: Path, commit: Commit, outside: Path) -> None:
    (repo / ".hfjanitor").write_text("mine")


@plant
def intents_of_all_kinds(repo: Path, commit: Commit, outside: Path) -> None:
    folder = private(repo)
    (outside / "victim").write_bytes(b"victim")
    status = os.stat(outside / "victim")
    intent = {
        "operation": "../../../outside", "commit": "../../../../outside", "snapshot": str(outside), "path": str(outside / "victim"),
        "blobs": ["../../../outside/victim", str(outside / "victim")], "device": status.st_dev, "inode": status.st_ino,
    }  # fmt: skip
    (folder / "0123456789abcdef.intent").write_text(json.dumps(intent))
    (folder / "00000001.intent").write_text(json.dumps(intent))
    (folder / "00000002.intent").symlink_to(outside / "victim")
    os.mkfifo(folder / "00000003.intent")
    (folder / "00000004.intent").open("wb").truncate(1 << 34)
    (folder / "00000005.intent").mkdir()
    (folder / "00000006.intent").write_bytes(b"\0" * 4096)
    (folder / "00000007.intent").write_text("[" * 100_000)
    (folder / "00000008").symlink_to(outside)
    (folder / f"00000009.{commit.files[WEIGHTS].etag}").symlink_to(outside / "victim")
    (folder / "0000000a").mkdir()
    (folder / "0000000a" / "up").symlink_to("../../../../outside")
    os.link(repo / "blobs" / commit.files[WEIGHTS].etag, folder / f"0000000b.{commit.files[WEIGHTS].etag}")


@plant
def locks_lead_outside(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "lock").write_text("not a lock")
    (outside / "locks").mkdir()
    folder = locks(repo)
    etag = commit.files[WEIGHTS].etag
    away(folder / f"{etag}.lock", outside / "lock")
    away(folder / "blobs", outside / "locks")


@plant
def locks_are_no_files(repo: Path, commit: Commit, outside: Path) -> None:
    folder = locks(repo)
    for place, make in zip(sorted(folder.glob("*.lock")), (os.mkfifo, os.mkdir)):
        place.unlink()
        make(place)


@plant
def lock_folder_is_a_link(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "lock-folder").mkdir()
    away(repo.parent / ".locks" / repo.name, outside / "lock-folder")


@plant
def holds_of_all_kinds(repo: Path, commit: Commit, outside: Path) -> None:
    folder = locks(repo)
    (outside / "hold").write_text('{"commit": null, "until": "2999-01-01T00:00:00Z", "by": "me", "reason": "x"}')
    (folder / "00000001.hold").symlink_to(outside / "hold")
    os.mkfifo(folder / "00000002.hold")
    (folder / "00000003.hold").open("wb").truncate(1 << 34)
    (folder / "00000004.hold").mkdir()
    (folder / "00000005.hold").write_text("[" * 100_000)
    (folder / "00000006.hold").write_text('{"commit": "../..", "until": 1e999, "by": null}')
    (folder / "zzzz.hold").write_text("{}")


@plant
def manifests_lead_outside(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "tree.json").write_text('{"format_version": 1, "files": {}}')
    (outside / "absent").mkdir()
    away(repo / "trees" / f"{commit.id}.json", outside / "tree.json")
    away(repo / ".no_exist", outside / "absent")
    (outside / "absent" / commit.id).mkdir()
    (outside / "absent" / commit.id / "x").write_text("")


@plant
def no_exist_climbs(repo: Path, commit: Commit, outside: Path) -> None:
    (outside / "markers").mkdir()
    (outside / "markers" / "y").write_text("")
    away(repo / ".no_exist" / commit.id, outside / "markers")
    away(repo / "trees", outside / "markers")


@plant
def names_that_hurt(repo: Path, commit: Commit, outside: Path) -> None:
    snapshot = os.fsencode(repo / "snapshots" / commit.id)
    for name in (b"a\nb", b"\x1b]0;x\x07", b"\xff", b"n" * 255):
        os.symlink(os.fsencode(f"../../blobs/{commit.files[WEIGHTS].etag}"), os.path.join(snapshot, name))
    place = snapshot
    for _ in range(100):
        place = os.path.join(place, b"d" * 30)
        os.mkdir(place)


@plant
def blobs_of_odd_kinds(repo: Path, commit: Commit, outside: Path) -> None:
    blobs = repo / "blobs"
    os.mkfifo(blobs / ("11" * 32))
    (blobs / ("22" * 32)).mkdir()
    (blobs / ("22" * 32) / "inside").write_text("x")
    (blobs / ("33" * 32)).symlink_to("33" * 32)
    (outside / "partial").write_bytes(b"partial")
    (blobs / f"{'44' * 32}.0123abcd.incomplete").symlink_to(outside / "partial")
    (blobs / f"{'55' * 32}.0123abcd.incomplete").symlink_to("../../../../outside")
    os.mkfifo(blobs / f"{'66' * 32}.incomplete")


@plant
def store_is_foreign(repo: Path, commit: Commit, outside: Path) -> None:
    """A store whose manifests and payloads lead outside. It is the cache's, so every repo here lives with it."""
    store = repo.parent / "blobs"
    xet = "ab" * 32
    (store / "ab").mkdir(parents=True)
    (store / ".huggingface-shared-blobs").write_bytes(b"1\n")
    (outside / "payload").write_bytes(b"payload")
    (outside / "refs").write_text(f"{repo.name}/blobs/x\n")
    (store / "ab" / xet).symlink_to(outside / "payload")
    (store / "ab" / f"{xet}.refs").symlink_to(outside / "refs")
    (store / "ab" / f"{xet}.lock").symlink_to(outside / "refs")
    away(repo / "blobs" / commit.files[WEIGHTS].etag, f"../../blobs/ab/{xet}")
    climbing = "cd" * 32
    (store / "cd").symlink_to(outside)
    (outside / climbing).write_bytes(b"climbing")
    away(repo / "blobs" / commit.files["config.json"].etag, f"../../blobs/cd/{climbing}")
    third = "ef" * 32
    (store / "ef").mkdir()
    (store / "ef" / third).write_bytes(b"payload with a hostile manifest")
    (store / "ef" / f"{third}.refs").write_text(
        f"../../outside/payload\n/{outside}/payload\nmodels--a/blobs/../../../outside/payload\n" + "x" * 100_000
    )


@proof()
def hostile_repos(ground: Ground) -> None:
    """Links, names, intents, holds, locks and manifests that lead out of the cache or are not what they seem."""
    base = ground.place() / "hostile"
    outside = base / "outside"
    outside.mkdir(parents=True)
    (outside / "canary").write_text("canary")
    cache = Cache(ground, base / "hub")
    sound = cache.model(f"{ORG}/sound", days=1)
    commits: dict[str, Commit] = {}
    for name in PLANTS:
        id = f"{ORG}/{name}"
        commits[name] = cache.publish(id, model_files(id) | {"unet/config.json": id.encode()})
        cache.download(id)
    for name, change in PLANTS.items():
        elsewhere = outside / name
        elsewhere.mkdir()
        # Plants write "../../../../outside" for what is really one folder deeper: both are watched.
        change(cache.folder(f"{ORG}/{name}"), commits[name], elsewhere)
    age_tree(base, 30)
    cache.age(f"{ORG}/sound", 1)
    before = outside_fingerprint(outside)

    def safe(*words: object) -> None:
        run = ground.janitor(*words, timeout=60)
        now = outside_fingerprint(outside)
        if not ground.check(now == before, f"outside changed after {run}: {[p for p in before if now.get(p) != before[p]]}"):
            before.clear()
            before.update(now)
        ground.check(run.status in SENSIBLE, f"exit of {run}")
        raw = (run.output + run.errors).replace("\n", "")
        ground.check("\x1b" not in raw and "\u202e" not in raw, f"raw control characters in {short(run.output)!r}")
        wrong = cache.is_whole(f"{ORG}/sound", sound)
        ground.check(not wrong, f"the sound model lost {wrong} after {run}")

    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, irreplaceable: evict}}\n"
    policy = ground.policy(text + f"rules:\n  - {{name: all, match: {{repo: {ORG}/*}}, unused-for: 7d}}\n")
    leftovers = ground.policy(
        text + "rules:\n  - {name: l, match: {state: [stale-partial, orphan, incomplete]}, older-than: 7d}\n", "leftovers.yaml"
    )
    safe("plan", "--policy", policy)
    safe("plan", "--policy", policy, "--json")
    safe("explain", f"{ORG}/sound", "--policy", policy)
    safe("enforce", "--policy", leftovers)
    for name in PLANTS:
        safe("rm", f"{ORG}/{name}", "--yes", "--cache", cache.path)
    safe("enforce", "--policy", policy)
    left = sorted(name for name in PLANTS if cache.has(f"{ORG}/{name}", commits[name]))
    ground.note(f"left after everything: {left}")
    run = cache.janitor("rm", f"{ORG}/sound", "--yes")
    ground.check(run.status == 0 and not cache.has(f"{ORG}/sound", sound), f"the sound model does not go: {run}")


@proof()
def hostile_roots(ground: Ground) -> None:
    """The shared store or the lock folder of a cache is a link to elsewhere; the root is a file, or full of rubbish."""
    base = ground.place() / "roots"
    outside = base / "outside"
    (outside / "locks").mkdir(parents=True)
    (outside / "store").mkdir()
    (outside / "store" / ".huggingface-shared-blobs").write_bytes(b"1\n")
    (outside / "store" / "aa").mkdir()
    (outside / "store" / "aa" / ("aa" * 32)).write_bytes(b"payload")
    cases = {"locks": (".locks", outside / "locks"), "store": ("blobs", outside / "store")}
    for name, (entry, target) in cases.items():
        cache = Cache(ground, base / name / "hub")
        commit = cache.model(f"{ORG}/model")
        away(cache.path / entry, target)
        age_tree(cache.path, 30)
        before = outside_fingerprint(outside)
        text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, max-size: 1kB, {EVICT}}}\n"
        policy = ground.policy(text, f"{name}.yaml")
        for words in (
            ["plan", "--policy", policy], ["hold", f"{ORG}/model", "--cache", cache.path, "--for", "1s"],
            ["rm", f"{ORG}/model", "--yes", "--cache", cache.path], ["enforce", "--policy", policy],
        ):  # fmt: skip
            run = ground.janitor(*words, timeout=60)
            ground.check(run.status in SENSIBLE, f"{name}: exit of {run}")
            ground.equal(outside_fingerprint(outside), before, f"{name}: outside after {run}")
        ground.note(f"{name}: the model is {'there' if cache.has(f'{ORG}/model', commit) else 'gone'}")
    file = base / "file"
    file.write_text("not a cache")
    for words in (["rm", f"{ORG}/model", "--yes"], ["plan"], ["enforce", "--yes"]):
        run = ground.janitor(*words, "--cache", file, timeout=60)
        ground.check(run.status in {64, 65, 66, 74, 75, 77, 78}, f"a file as a cache: exit of {run}")
    ground.equal(file.read_text(), "not a cache", "the file that is no cache")


EVICT = "irreplaceable: evict, allow-empty: true"
