"""Revisions with links, without, and with both: what is there stays, and what is new is as the client makes it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import weights
from caches import WEIGHTS, Cache
from catalogue import NEWEST, proof
from fetching import contents, fetched, same_layout
from ground import ORG, Ground

ID = f"{ORG}/styles"
PLAIN = {"HF_HUB_DISABLE_SYMLINKS": "1"}
FILES = weights.sidecars("s") | {
    WEIGHTS: weights.safetensors_file("s", ["w"], 64, 1024),
    "sub/deeper/notes.txt": b"notes\n",
    "empty.txt": b"",
}


def plain_download(cache: Cache, **more: Any) -> None:
    """The client's `snapshot_download` that makes no links; its settings are those of its start."""
    arguments = {"repo_id": ID, "cache_dir": str(cache.path)} | more
    done = subprocess.run(
        cache.client_command("snapshot_download", arguments), env=cache.ground.environment(None) | PLAIN, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"the client failed: {done.stderr}")


@proof(NEWEST)
def own_file_without_links(ground: Ground) -> None:
    """A file that was edited in a revision without links is neither fetched over nor repaired over; the rest comes."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, FILES)
    plain_download(cache)
    folder = cache.snapshot(ID, commit)
    mine, edited = folder / "config.json", b'{"mine": "longer than it was before, and all by hand"}' * 9
    mine.write_bytes(edited)
    (folder / WEIGHTS).unlink()
    run = fetched(ground, cache, ID, status=75)
    ground.equal((run.json["error_code"], [left["file"] for left in run.json["left"]]), ("in_use", ["config.json"]), f"what is told: {run}")
    ground.check("move it away" in run.errors, f"no remedy: {run}")
    ground.equal(mine.read_bytes(), edited, "the edited file after a fetch")
    ground.equal(cache.is_whole(ID, commit), ["config.json: other content"], "the rest after a fetch")
    ground.check(not (folder / WEIGHTS).is_symlink(), "a link in a revision without links")
    run = cache.janitor("repair", ID, "--json")
    ground.equal(mine.read_bytes(), edited, "the edited file after a repair")
    ground.check(run.status == 1 and "move it away" in run.output, f"a repair beside an edited file: {run}")
    # A file that is cut short by its own header is nobody's work.
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    cache.janitor("repair", ID, "--json")
    ground.equal(cache.is_whole(ID, commit), ["config.json: other content"], "what was cut short after a repair")
    mine.unlink()
    fetched(ground, cache, ID)
    ground.check(not cache.is_whole(ID, commit), lambda: f"in the end: {cache.is_whole(ID, commit)}")


@proof(NEWEST)
def stray_file(ground: Ground) -> None:
    """Files that the Hub does not have, or has with other bytes, do not make a revision one without links."""
    for number, (name, text) in enumerate(((".DS_Store", b"\0\0\0\1Bud1"), ("config.json", b"not the Hub's"))):
        cache = Cache(ground, ground.base / f"hub{number}")
        commit = cache.publish(ID, FILES)
        stray = cache.snapshot(ID, commit) / name
        stray.parent.mkdir(parents=True)
        stray.write_bytes(text)
        fetched(ground, cache, ID, status=75 if name in FILES else 0)
        ground.equal(stray.read_bytes(), text, f"{name}")
        ground.check((cache.snapshot(ID, commit) / WEIGHTS).is_symlink(), f"{name}: no links")
        ground.equal(cache.is_whole(ID, commit), [f"{name}: other content"] if name in FILES else [], f"{name}: the rest")
    # A file in a folder's place.
    cache = Cache(ground, ground.base / "hub-folder")
    commit = cache.publish(ID, FILES)
    stray = cache.snapshot(ID, commit) / "sub"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"mine")
    run = fetched(ground, cache, ID, status=75)
    ground.equal(stray.read_bytes(), b"mine", f"a file in a folder's place: {run}")
    ground.check(all(text.startswith("sub/") for text in cache.is_whole(ID, commit)), f"the rest: {cache.is_whole(ID, commit)}")


@proof(NEWEST)
def mixed(ground: Ground) -> None:
    """A revision with both: what is there is there, as for the client; what is missing gets a link, as from the client."""
    commit = Cache(ground, ground.base / "publish").publish(ID, FILES)
    theirs, ours = (Cache(ground, ground.base / side) for side in ("theirs", "ours"))
    for cache in (theirs, ours):
        cache.download(ID, allow_patterns=["*.json"])
        plain_download(cache, allow_patterns=[WEIGHTS])
    theirs.download(ID)
    ground.servers.log.clear()
    fetched(ground, ours, ID)
    same_layout(ground, ours, theirs, "mixed")
    ground.check(not [entry for entry in contents(ground) if WEIGHTS in entry["path"]], "what was there was fetched")
    ground.servers.log.clear()
    ours.download(ID)
    fetched(ground, ours, ID)
    ground.check(not contents(ground), lambda: f"again: {contents(ground)}")
    ground.check(not ours.is_whole(ID, commit), lambda: f"{ours.is_whole(ID, commit)}")


@proof(NEWEST)
def without_links(ground: Ground) -> None:
    """`HF_HUB_DISABLE_SYMLINKS`: entry by entry what the client leaves, also where another revision has the blobs, or links lead nowhere."""
    first = Cache(ground, ground.base / "publish").publish(ID, FILES)
    theirs, ours = (Cache(ground, ground.base / side) for side in ("theirs", "ours"))
    for cache in (theirs, ours):
        cache.download(ID)
    second = ground.hub.repo("model", ID).commit(FILES | {"config.json": b'{"second": true}'})
    plain_download(theirs)
    fetched(ground, ours, ID, more=PLAIN)
    same_layout(ground, ours, theirs, "beside blobs")
    for cache in (theirs, ours):
        cache.blob(ID, first).unlink()
    plain_download(theirs, revision=first.id)
    run = fetched(ground, ours, ID, "--revision", first.id, more=PLAIN)
    same_layout(ground, ours, theirs, f"a link to nothing: {run}")
    for cache in (theirs, ours):
        subprocess.run(["rm", "-r", cache.folder(ID)], check=True)
    plain_download(theirs)
    fetched(ground, ours, ID, more=PLAIN)
    same_layout(ground, ours, theirs, "from nothing")
    # What has no links goes on without, and is right for a client that would make some.
    for cache in (theirs, ours):
        (cache.snapshot(ID, second) / WEIGHTS).unlink()
    fetched(ground, ours, ID)
    ground.check(not (ours.snapshot(ID, second) / WEIGHTS).is_symlink(), "a link among files")
    ground.servers.log.clear()
    ours.download(ID)
    ground.check(not contents(ground), lambda: f"the client fetched again: {contents(ground)}")


@proof(NEWEST)
def known_wrong(ground: Ground) -> None:
    """What an earlier check found wrong is not taken for present because of its length."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, FILES)
    for links in (True, False):
        cache.download(ID) if links else plain_download(cache)
        file = cache.snapshot(ID, commit) / WEIGHTS
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.resolve().write_bytes(content)
        os.utime(file.resolve(), (1_700_000_000, 1_700_000_000))
        import time

        time.sleep(2.2)  # what changed a moment ago is not remembered
        ground.equal(cache.janitor("verify", "--depth", "digests").status, 1, "a check")
        run = fetched(ground, cache, ID)
        how = {entry["file"]: entry["how"] for entry in run.json["files"]}
        ground.equal(how[WEIGHTS], "fetched", f"what was known to be wrong, links {links}: {run}")
        ground.check(not cache.is_whole(ID, commit), lambda: f"links {links}: {cache.is_whole(ID, commit)}")
        subprocess.run(["rm", "-r", cache.folder(ID)], check=True)


@proof(NEWEST)
def offline_and_here(ground: Ground) -> None:
    """Offline, what is here is enough; what is not is named, and nothing is changed."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, FILES)
    offline = {"HF_HUB_OFFLINE": "1"}
    fetched(ground, cache, ID, "--include", "*.json")
    before = cache.tree()
    ground.servers.log.clear()
    run = fetched(ground, cache, ID, "--include", "*.json", more=offline)
    ground.equal(run.json["commit"], commit.id, "the commit")
    run = fetched(ground, cache, ID, status=69, more=offline)
    ground.equal(run.json["error_code"], "offline", f"the code: {run}")
    ground.check(WEIGHTS in run.errors and "config.json" not in run.errors, f"what is missing: {run}")
    run = fetched(ground, cache, ID, "--revision", "v9", status=69, more=offline)
    ground.check("v9" in run.errors, f"a ref that is not here: {run}")
    ground.check(not ground.servers.log.all(), "the Hub was asked")
    ground.equal(cache.tree(), before, "the cache")
    fetched(ground, cache, ID)
    run = fetched(ground, cache, ID, "--revision", commit.id, more=offline)
    ground.equal({entry["how"] for entry in run.json["files"]}, {"present"}, "how")
    # A lost link is no reason to ask.
    (cache.snapshot(ID, commit) / WEIGHTS).unlink()
    fetched(ground, cache, ID, more=offline)
    ground.check(not cache.is_whole(ID, commit), lambda: f"after a lost link: {cache.is_whole(ID, commit)}")


@proof(NEWEST)
def refs_in_the_way(ground: Ground) -> None:
    """A ref that is a file where another needs a folder, and the reverse: the files come, and the ref is told."""
    for first, second in (("a", "a/b"), ("a/b", "a")):
        cache = Cache(ground, ground.base / f"hub-{len(first)}")
        repo = ground.hub.repo("model", ID)
        commit = repo.commit(FILES | {"order.txt": first.encode()}, tags=[first, second])
        fetched(ground, cache, ID, "--revision", first)
        ref = cache.folder(ID) / "refs" / first
        ground.equal(ref.read_text(), commit.id, f"{first}")
        run = fetched(ground, cache, ID, "--revision", second)
        ground.check(run.json["warnings"] and "refs" in run.errors, f"{second} after {first}: {run}")
        ground.equal(ref.read_text(), commit.id, f"{first} after {second}")
        ground.check(not cache.is_whole(ID, commit), lambda: f"{second}: {cache.is_whole(ID, commit)}")


@proof(NEWEST)
def second_user(ground: Ground) -> None:
    """In a cache for all, what another user fetched is present; what is missing from it is named, and nothing is put there."""
    ground.needs_root("two users")
    cache = Cache(ground, ground.base / "hub")
    cache.path.chmod(0o2777)
    commit = cache.publish(ID, FILES)
    cache.download(ID, allow_patterns=["*.json", WEIGHTS])
    policy = ground.policy("mode: observe\n", uid=47111)
    words = ["fetch", ID, "--json", "--cache", cache.path, "--policy", policy]
    before = cache.tree()
    run = ground.janitor(*words, "--include", "*.json", uid=47111)
    ground.equal(run.status, 0, f"what is there: {run}")
    ground.equal({entry["how"] for entry in json.loads(run.output)["files"]}, {"present"}, "how")
    run = ground.janitor(*words, uid=47111)
    ground.equal(run.status, 77, f"what is not there: {run}")
    ground.check("notes.txt" in run.errors and "config.json" not in run.errors, f"what is missing: {run}")
    ground.equal(cache.tree(), before, "the cache")
    ground.check(cache.is_whole(ID, commit), "something came")
