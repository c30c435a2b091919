"""Content that is somewhere on this machine already is not fetched, and no file is believed for its name."""

from __future__ import annotations

import os
import shutil

import weights
from caches import WEIGHTS, Cache
from catalogue import NEWEST, proof
from ground import ORG, Ground

ONE, OTHER = f"{ORG}/one", f"{ORG}/other"


def repaired(ground: Ground, cache: Cache, id: str, policy: str | None = None) -> list[str]:
    arguments = ["--policy", ground.policy(policy)] if policy else []
    run = cache.janitor("repair", id, "--json", *arguments)
    ground.equal(run.status, 0, f"exit of {run}")
    return [action["outcome"] for one in run.json["caches"] for action in one["actions"]]


@proof(NEWEST)
def copies(ground: Ground) -> None:
    """Another repo of the cache, another cache of the policy: not one request; a wrong twin is not taken."""
    files = weights.sidecars("t") | {WEIGHTS: weights.safetensors_file("t", ["w"], 64, 1024)}
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ONE, files)
    ground.hub.rename("model", OTHER, ONE)
    for id in (ONE, OTHER):
        cache.download(id)
    blob = cache.blob(ONE, commit)
    blob.unlink()
    ground.servers.log.clear()
    ground.equal(repaired(ground, cache, ONE), ["copied"], "from another repo")
    ground.check(not ground.servers.log.all(), "the Hub was asked for what another repo has")
    ground.check(not cache.is_whole(ONE, commit) and not cache.is_whole(OTHER, commit), "content after a copy")
    ground.check(blob.stat().st_ino != cache.blob(OTHER, commit).stat().st_ino, "one inode for two repos")
    # The other cache's blob has the name and the length, and a wrong bit.
    far = Cache(ground, ground.base / "far")
    far.download(ONE)
    shutil.rmtree(cache.folder(OTHER))
    caches = "caches: [{path: %s}, {path: %s}]\n" % (cache.path, far.path)
    for wrong in (False, True):
        blob.unlink()
        if wrong:
            content = bytearray(far.blob(ONE, commit).read_bytes())
            content[-1] ^= 1
            far.blob(ONE, commit).write_bytes(content)
        ground.servers.log.clear()
        # Both caches are the policy's; the command names the one to repair.
        run = ground.janitor("repair", ONE, "--json", "--policy", ground.policy(caches)) if wrong else None
        if run is None:
            run = ground.janitor("repair", f"{cache.folder(ONE)}", "--json", "--policy", ground.policy(caches))
            ground.check(not ground.servers.log.all(), "the Hub was asked for what another cache has")
            ground.check('"copied"' in run.output, f"not copied: {run}")
        else:
            run = ground.janitor("repair", f"{cache.folder(ONE)}", "--json", "--policy", ground.policy(caches))
            ground.check('"fetched"' in run.output, f"a wrong twin was taken: {run}")
        ground.equal(run.status, 0, f"exit of {run}")
        ground.check(not cache.is_whole(ONE, commit), lambda: f"from another cache: {cache.is_whole(ONE, commit)}")
    cache.judge()


@proof(NEWEST)
def readability(ground: Ground) -> None:
    """What others may not read where it is, is not copied to where they may; and modes and groups are the siblings'."""
    files = {"config.json": b"{}", WEIGHTS: weights.safetensors_file("p", ["w"], 64, 1024)}
    cache, private = Cache(ground, ground.base / "hub"), Cache(ground, ground.base / "others" / "private")
    commit = cache.publish(ONE, files)
    cache.download(ONE)
    private.download(ONE)
    private.path.chmod(0o700)
    for path in cache.folder(ONE).rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o640)
            if ground.is_root:
                os.chown(path, -1, 4711)
    cache.blob(ONE, commit).unlink()
    policy = "caches: [{path: %s}, {path: %s}]\n" % (cache.path, private.path)
    os.umask(0o077)
    try:
        run = ground.janitor("repair", f"{cache.folder(ONE)}", "--json", "--policy", ground.policy(policy))
    finally:
        os.umask(0o022)
    ground.check('"fetched"' in run.output, f"copied from where others may not read: {run}")
    status = cache.blob(ONE, commit).stat()
    ground.equal(status.st_mode & 0o777, 0o640, "mode of the new blob")
    if ground.is_root:
        ground.equal(status.st_gid, 4711, "group of the new blob")
    # So it is where a folder above the other cache, or one on the way in it, is closed to others.
    private.path.chmod(0o755)
    for folder, mode in ((private.path.parent, 0o700), (private.folder(ONE), 0o750), (private.blob(ONE, commit).parent, 0o700)):
        was = folder.stat().st_mode & 0o7777
        cache.blob(ONE, commit).unlink()
        folder.chmod(mode)
        run = ground.janitor("repair", f"{cache.folder(ONE)}", "--json", "--policy", ground.policy(policy))
        folder.chmod(was)
        ground.check('"fetched"' in run.output, f"copied from behind {folder}: {run}")
    cache.blob(ONE, commit).unlink()
    run = ground.janitor("repair", f"{cache.folder(ONE)}", "--json", "--policy", ground.policy(policy))
    ground.check('"copied"' in run.output, f"not copied from where all may read: {run}")


@proof(NEWEST)
def elsewhere(ground: Ground) -> None:
    """A repo folder that is a link is written to only where the policy's `also` says so; somebody's own file stays."""
    files = {"config.json": b"{}", WEIGHTS: weights.safetensors_file("l", ["w"], 64, 1024)}
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ONE, files)
    cache.download(ONE)
    target = ground.base / "disk2" / cache.folder(ONE).name
    target.parent.mkdir()
    shutil.move(cache.folder(ONE), target)
    cache.folder(ONE).symlink_to(target)
    cache.blob(ONE, commit).unlink()
    refused = cache.janitor("repair", "--json")
    ground.check(refused.status == 1 and "also" in refused.output, f"a linked folder: {refused}")
    ground.check(not cache.blob(ONE, commit).exists(), "a linked folder was written to")
    allowed = cache.janitor("repair", "--policy", ground.policy("caches: [{path: %s, also: [%s]}]\n" % (cache.path, target.parent)))
    ground.equal(allowed.status, 0, f"a listed linked folder: {allowed}")
    ground.check(not cache.is_whole(ONE, commit), lambda: f"a listed linked folder: {cache.is_whole(ONE, commit)}")
    mine = cache.snapshot(ONE, commit) / "config.json"
    mine.unlink()
    mine.write_bytes(b'{"mine": true}')
    also = ground.policy("caches: [{path: %s, also: [%s]}]\n" % (cache.path, target.parent))
    run = cache.janitor("repair", "--policy", also)
    ground.check(run.status == 1 and "move it away" in run.output, f"somebody's own file: {run}")
    ground.equal(mine.read_bytes(), b'{"mine": true}', "somebody's own file")


@proof(NEWEST)
def unreadable(ground: Ground) -> None:
    """Shared blocks need no room; and what the disk does not give back is fetched."""
    files = {"config.json": b"{}", WEIGHTS: os.urandom(1 << 20)}
    disk = ground.disk("btrfs", mib=200)
    near, far = Cache(ground, ground.base / "hub"), Cache(ground, disk.path / "far")
    commit = near.publish(ONE, files)
    ground.hub.rename("model", OTHER, ONE)
    for cache, id in ((near, ONE), (far, ONE), (far, OTHER)):
        cache.download(id)
    far.blob(ONE, commit).unlink()
    full = ground.policy("caches: [{path: %s, critical-free: 100%%}]\nmode: observe\n" % far.path, "full.yaml")
    run = ground.janitor("repair", ONE, "--json", "--policy", full)
    ground.check(run.status == 0 and '"copied"' in run.output, f"a clone on a full disk: {run}")
    disk.unmount()
    image = bytearray(disk.image.read_bytes())
    place = image.find(files[WEIGHTS][4096:8192])
    while place >= 0:
        image[place] ^= 1
        place = image.find(files[WEIGHTS][4096:8192])
    disk.image.write_bytes(image)
    disk.mount()
    near.blob(ONE, commit).unlink()
    both = ground.policy("caches: [{path: %s}, {path: %s}]\n" % (near.path, far.path), "both.yaml")
    run = ground.janitor("repair", f"{near.folder(ONE)}", "--json", "--policy", both)
    ground.check(run.status == 0 and '"fetched"' in run.output, f"beside a twin that cannot be read: {run}")
    ground.check(not near.is_whole(ONE, commit), lambda: f"beside a twin that cannot be read: {near.is_whole(ONE, commit)}")
