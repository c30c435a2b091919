"""Intents of operations that were really begun, changed by somebody before the next run finds them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Callable

from caches import Cache, model_files, outside_fingerprint
from catalogue import proof
from ground import ORG, Ground
from hostile import SENSIBLE, away
from hub_stand_in import Commit


def checksum(text: str) -> str:
    """FNV-1a of 64 bits, as the program's own."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def sealed(lines: list[str]) -> str:
    body = "".join(line + "\n" for line in lines)
    return body + f"end {checksum(body)}\n"


def decided(lines: list[str], decision: str) -> str:
    """An intent whose operation has decided; the operation's name is the last word of the first line."""
    name = lines[0].split()[-1]
    return sealed(lines) + f"\n{decision} {checksum(f'{name} {decision}')}\n"


def interrupt(ground: Ground, cache: Cache, id: str) -> tuple[Path, list[str]]:
    """Kills `rm` in the middle: its intent, and the lines of its body."""
    private = cache.folder(id) / ".hfjanitor"
    process = ground.start([ground.program, "rm", id, "--yes", "--cache", cache.path])
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        parked = [entry for entry in private.glob("*") if entry.is_dir() and any(entry.iterdir())] if private.is_dir() else []
        if parked and len(list(private.iterdir())) > 3:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    intents = list(private.glob("*.intent"))
    if len(intents) != 1:
        raise RuntimeError(f"rm was to be killed in the middle, its folder has {list(private.glob('*'))}")
    lines = intents[0].read_text().splitlines()
    body = lines[: next(number for number, line in enumerate(lines) if line.startswith("end "))]
    if sealed(body).splitlines()[-1] != lines[len(body)]:
        raise RuntimeError(f"the checksum of an intent is another one than this proof knows: {lines[len(body)]}")
    return intents[0], body


Change = Callable[[Cache, str, Path, list[str], Path], None]
CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    CHANGES[function.__name__.replace("_", "-")] = function
    return function


def identity(body: list[str], place: Path) -> str:
    """The words by which an intent knows a regular file."""
    kind = next(line.split()[1] for line in body if line.startswith("blob "))
    status = os.stat(place)
    return f"{kind} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


@change
def names_that_climb(cache: Cache, id: str, intent: Path, body: list[str], outside: Path) -> None:
    """Blobs, files and refs named `../../..` with the right identity of what is there; decided to be finished."""
    victim = outside / "victim"
    victim.write_bytes(b"victim")
    known = identity(body, victim)
    climbing = os.path.relpath(victim, intent.parent)
    forged: list[str] = []
    for line in body:
        words = line.split()
        if words[0] in ("blob", "file", "ref"):
            line = f"{words[0]} {known} {climbing}"
        forged.append(line)
    intent.write_text(decided(forged, "finish 0"))


@change
def another_repo(cache: Cache, id: str, intent: Path, body: list[str], outside: Path) -> None:
    """It says to be of the repo beside, whose blobs it knows rightly; decided to be finished."""
    sound = cache.path / f"models--{ORG}--sound"
    commit = next((sound / "snapshots").iterdir())
    forged = [line.replace(cache.folder(id).name, sound.name) for line in body if line.split()[0] not in ("blob", "file", "ref", "folder")]
    forged = [f"revision {commit.name} {commit.stat().st_ino}" if line.startswith("revision ") else line for line in forged]
    forged = [line for line in forged if not line.startswith("manifest ")]
    forged += [f"blob {identity(body, blob)} {blob.name}" for blob in sorted((sound / "blobs").iterdir())]
    intent.write_text(decided(forged, "finish 0"))


@change
def parked_things_are_links(cache: Cache, id: str, intent: Path, body: list[str], outside: Path) -> None:
    """The parked snapshot and the parked blobs are links to what is outside; decided to be finished."""
    (outside / "parked").mkdir()
    for entry in sorted(intent.parent.iterdir()):
        if entry == intent:
            continue
        if entry.is_dir():
            shutil.copytree(entry, outside / "parked" / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, outside / "parked" / entry.name)
        away(entry, outside / "parked" / entry.name)
    intent.write_text(decided(body, "finish 0"))


@change
def repo_folders_are_links(cache: Cache, id: str, intent: Path, body: list[str], outside: Path) -> None:
    """`blobs`, `snapshots` and `refs` have become links to folders outside; to be undone."""
    for name in ("blobs", "snapshots", "refs"):
        place = cache.folder(id) / name
        if place.is_dir():
            shutil.copytree(place, outside / name, symlinks=True)
        else:
            (outside / name).mkdir()
        away(place, outside / name)


@change
def torn_and_doubled(cache: Cache, id: str, intent: Path, body: list[str], outside: Path) -> None:
    """Decisions of both kinds, numbers out of range, torn lines."""
    text = decided(body, "undo") + decided(body, "finish 0 99 18446744073709551615").split("\n\n")[1] + "finish 0 0000\nundo"
    intent.write_text(text)


@change
def links_in_parked_snapshot(cache: Cache, id: str, intent: Path, body: list[str], outside: Path) -> None:
    """In the parked snapshot folders are links to outside, with files of the same names in them."""
    for entry in intent.parent.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            for inner in list(entry.iterdir()):
                if inner.is_dir() and not inner.is_symlink():
                    shutil.copytree(inner, outside / inner.name, symlinks=True)
                    away(inner, outside / inner.name)
    (outside / "kept").write_text("kept")
    intent.write_text(decided(body, "finish 0"))


@proof()
def forged_intents(ground: Ground) -> None:
    """Intents with right checksums that lie, and real ones around which things were replaced by links."""
    base = ground.place() / "forged"
    outside = base / "outside"
    outside.mkdir(parents=True)
    (outside / "canary").write_text("canary")
    cache = Cache(ground, base / "hub")
    sound = cache.model(f"{ORG}/sound")
    commits: dict[str, Commit] = {}
    for name, forge in CHANGES.items():
        id = f"{ORG}/{name}"
        commits[name] = cache.publish(id, model_files(id) | {"unet/config.json": name.encode()})
        cache.download(id)
        cache.age(id, 30)
        intent, body = interrupt(ground, cache, id)
        (outside / name).mkdir()
        forge(cache, id, intent, body, outside / name)
    before = outside_fingerprint(outside)
    policy = ground.policy(
        f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, irreplaceable: evict}}\n"
        "rules:\n  - {name: l, match: {state: [stale-partial, orphan, incomplete]}, older-than: 7d}\n"
    )
    for words in (
        ["plan", "--policy", policy], ["enforce", "--policy", policy],
        *(["rm", f"{ORG}/{name}", "--yes", "--cache", cache.path] for name in CHANGES), ["enforce", "--policy", policy],
    ):  # fmt: skip
        run = ground.janitor(*words, timeout=60, interrupt=30)
        now = outside_fingerprint(outside)
        ground.check(now == before, f"outside changed after {run}: {[p for p in {*before, *now} if now.get(p) != before.get(p)]}")
        ground.check(run.status in SENSIBLE, f"exit of {run}")
        wrong = cache.is_whole(f"{ORG}/sound", sound)
        if not ground.check(not wrong, f"the sound model lost {wrong} after {run}"):
            break
    ground.note(f"left in private folders: {len(cache.leftovers())}")
