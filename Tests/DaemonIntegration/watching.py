"""Whatever happens to a cache and to the watching of it, it ends in the truth."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from caches import Cache
from catalogue import NEWEST, proof
from daemon import Daemon
from disks import MB, tool
from ground import OWNER, Ground, Skipped
from trees import SHARDS, Repo, Vandal, plant

MOST_MEMORY = 100 * MB


def bounded(daemon: Daemon) -> None:
    daemon.ground.note(f"peak memory {daemon.peak_rss / MB:.0f} MB, {daemon.mark} events")
    daemon.ground.check(daemon.peak_rss <= MOST_MEMORY, f"it took {daemon.peak_rss / MB:.0f} MB of memory")


@proof(NEWEST)
def stopped_and_continued(ground: Ground) -> None:
    """20,000 files change while the daemon is stopped, more than the kernel keeps events of."""
    cache = Cache(ground, ground.place() / "hub")
    vandal = Vandal(cache.path, plant(cache.path, 100), "stopped")
    daemon = Daemon(ground, cache.path)
    daemon.await_ready()
    daemon.tells_the_truth(cache, when="at the start")
    daemon.signal(signal.SIGSTOP)
    vandal.rage(20_000)
    daemon.signal(signal.SIGCONT)
    daemon.tells_the_truth(cache, when="after it was continued")
    ground.check(daemon.standing, "nothing was broken")
    bounded(daemon)
    daemon.stop()


@contextmanager
def queue_of(ground: Ground, events: int) -> Iterator[None]:
    """Instances made meanwhile keep so many events only. The limit is everybody's, so it is not for long."""
    ground.needs_root("lowers the limit of queued events")
    place = Path("/proc/sys/fs/inotify/max_queued_events")
    with open("/proc/sys/fs/inotify/max_queued_events") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            usual = place.read_text()
            place.write_text(str(events))
        except OSError as error:
            raise Skipped(f"the limit of queued events cannot be lowered: {error}") from error
        try:
            yield
        finally:
            place.write_text(usual)


@proof(NEWEST)
def small_queue(ground: Ground) -> None:
    """A queue of 16 events overflows all the time: always the truth."""
    cache = Cache(ground, ground.place() / "hub")
    vandal = Vandal(cache.path, plant(cache.path, 30), "queue")
    with queue_of(ground, 16):
        daemon = Daemon(ground, cache.path)
        daemon.await_ready()
    for turn in range(2):
        vandal.rage(2_000)
        daemon.tells_the_truth(cache, when=f"after storm {turn}")
    daemon.stop()


@proof(NEWEST)
def storm(ground: Ground) -> None:
    """A hundred thousand events while it watches: bounded memory, and the truth in the end."""
    cache = Cache(ground, ground.place() / "hub")
    vandal = Vandal(cache.path, plant(cache.path, 60), "storm")
    daemon = Daemon(ground, cache.path)
    daemon.await_ready()
    # Each file is at least an open, a change and a close.
    vandal.rage(40_000)
    daemon.tells_the_truth(cache, when="after the storm")
    bounded(daemon)
    daemon.stop()


# Limits.


def limited(limit: str, number: int) -> list[str]:
    """Runs a command in a user namespace of its own, with a limit of its own."""
    return ["unshare", "--user", "--map-root-user", "sh", "-c", f'echo {number} >/proc/sys/user/{limit}; exec "$@"', "sh"]


def needs_user_namespaces(ground: Ground) -> None:
    done = subprocess.run([*limited("max_inotify_watches", 1), "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skipped(f"no user namespaces: {done.stderr.strip()}")


def degraded(daemon: Daemon, code: str) -> list[dict[str, Any]]:
    return [event for event in daemon.events("watch-degraded", code=code) if event["level"] in ("warning", "err", "error")]


def under_limit(ground: Ground, limit: str, number: int, code: str, word: str) -> None:
    needs_user_namespaces(ground)
    cache = Cache(ground, ground.place() / "hub")
    vandal = Vandal(cache.path, plant(cache.path, 20), limit)
    daemon = Daemon(ground, cache.path, wrapper=limited(limit, number))
    daemon.await_ready()
    daemon.until(lambda: degraded(daemon, code), f"it says {code}")
    daemon.until(lambda: daemon.watch(cache.path) == word, f"its status says {word}")
    for turn in range(2):
        vandal.rage(300)
        daemon.tells_the_truth(cache, when=f"with {limit} = {number}, turn {turn}")
    ground.equal(len(degraded(daemon, code)), 1, f"times it says {code}\n{daemon.told()}\n")
    raised = ["nsenter", "--user", f"--target={daemon.pid}", "sh", "-c", f"echo 100000 >/proc/sys/user/{limit}"]
    tool(raised)
    daemon.until(lambda: daemon.watch(cache.path) == "inotify", "with the limit raised it watches again")
    vandal.rage(300)
    daemon.tells_the_truth(cache, when="with the limit raised")
    daemon.stop()


@proof(NEWEST)
def few_watches(ground: Ground) -> None:
    """Forty watches for twenty repos: the rest is polled, said once, and over when the limit is raised."""
    under_limit(ground, "max_inotify_watches", 40, "watch-limit", "mixed")


@proof(NEWEST)
def no_instance(ground: Ground) -> None:
    """No inotify at all: everything is polled, said once, and over when the limit is raised."""
    under_limit(ground, "max_inotify_instances", 0, "instance-limit", "polling")


# The root.


def cut_shard(repo: Repo, shard: int = 0) -> None:
    os.truncate(repo.blob(SHARDS[shard]), 100)


@proof(NEWEST)
def roots_that_go(ground: Ground) -> None:
    """The root is not there, appears, is replaced, removed, made again, closed and opened: always the truth."""
    place = ground.place()
    if ground.is_root:
        place = place / "owned"
        place.mkdir()
        os.chown(place, OWNER, OWNER)
    root = place / "hub"
    uid = OWNER if ground.is_root else None

    def tree(name: str, broken: int, count: int = 5, first: int = 0) -> Path:
        """A finished tree beside the root, with some repos whose first shard is cut short."""
        repos = plant(place / name, count, first)
        for repo in repos[:broken]:
            cut_shard(repo)
        if ground.is_root:
            subprocess.run(["chown", "-R", f"{OWNER}:{OWNER}", str(place / name)], check=True)
        return place / name

    cache = Cache(ground, place / "later", uid)
    cache.path.rmdir()
    cache.path = root
    daemon = Daemon(ground, root, uid=uid)
    daemon.await_ready()
    daemon.until(lambda: daemon.watch(root) == "absent", "its status says that there is no cache")
    tree("first", broken=2).rename(root)
    daemon.tells_the_truth(cache, when="after the root appeared")
    ground.check(len(daemon.standing) >= 2, lambda: f"two shards are cut: {daemon.standing}\n{daemon.told()}")

    other = tree("second", broken=1, count=4, first=2)
    root.rename(place / "away")
    other.rename(root)
    daemon.tells_the_truth(cache, when="after the root was replaced")

    shutil.rmtree(root)
    daemon.until(lambda: daemon.watch(root) == "absent", "it says that the root is gone")
    tree("third", broken=3).rename(root)
    daemon.tells_the_truth(cache, when="after the root was removed and made again")
    ground.equal(len(daemon.standing), 3, f"findings {daemon.standing}")

    root.chmod(0)
    if uid is not None:
        before = daemon.mark
        cut_shard(Repo(root, "repo-00004", plant(place / "names", 1)[0].files))
        daemon.until(
            lambda: "unreadable" in daemon.conditions(), "it says that it may not read the root"
        )
        root.chmod(0o755)
        daemon.tells_the_truth(cache, when="after it may read the root again")
        ground.equal(len(daemon.standing), 4, f"findings {daemon.standing}\n{daemon.told(before)}\n")
        daemon.until(lambda: "unreadable" not in daemon.conditions(), "it says that the root can be read")
    root.chmod(0o755)
    daemon.stop()


@proof(NEWEST)
def mounts_that_go(ground: Ground) -> None:
    """A cache on a disk of its own that is unmounted, mounted again, and mounted read-only."""
    disk = ground.disk("ext4", "relatime", 64)
    cache = Cache(ground, disk.path / "hub")
    repos = plant(cache.path, 6)
    cut_shard(repos[0])
    daemon = Daemon(ground, cache.path)
    daemon.await_ready()
    daemon.tells_the_truth(cache, when="at the start")
    descriptors = daemon.descriptors

    def unmount() -> bool:
        try:
            disk.unmount()
            return True
        except Exception:  # noqa: BLE001  busy for a moment, while it looks
            return False

    daemon.until(unmount, "the disk can be unmounted while it is watched")
    daemon.until(lambda: daemon.watch(cache.path) == "absent", "it says that the cache is gone")
    disk.mount()
    cut_shard(repos[1])
    daemon.tells_the_truth(cache, when="after it was mounted again")
    ground.equal(len(daemon.standing), 2, f"findings {daemon.standing}")

    tool(["mount", "-o", "remount,ro", str(disk.path)])
    daemon.until(lambda: daemon.watch(cache.path) == "read-only", "it says that the cache is read-only")
    daemon.tells_the_truth(cache, when="read-only")
    alarms = [event for event in daemon.events() if event["level"] in ("critical", "alert") or "read-only" in event["message"]]
    ground.check(not alarms, f"alarms for a read-only cache: {alarms}")
    tool(["mount", "-o", "remount,rw", str(disk.path)])
    cut_shard(repos[2])
    daemon.tells_the_truth(cache, when="writable again")
    daemon.until(lambda: daemon.watch(cache.path) == "inotify", "it says that the cache is watched")

    # Another filesystem over the cache, and away again.
    tool(["mount", "-t", "tmpfs", "tmpfs", str(cache.path)])
    cut_shard(plant(cache.path, 3, 20)[2])
    daemon.tells_the_truth(cache, when="with another filesystem over it")
    daemon.until(lambda: over(cache.path), "what was mounted over it can be unmounted")
    daemon.tells_the_truth(cache, when="with that away again")
    ground.equal(len(daemon.standing), 3, f"findings {daemon.standing}")
    ground.check(daemon.descriptors <= descriptors + 2, f"{daemon.descriptors} descriptors, {descriptors} at the start")
    daemon.stop()


def over(path: Path) -> bool:
    return subprocess.run(["umount", str(path)], capture_output=True, check=False).returncode == 0


@proof(NEWEST)
def shared_store(ground: Ground) -> None:
    """What breaks in the shared store is found in the repos that link to it."""
    import weights
    from caches import WEIGHTS
    from ground import ORG
    from hub_stand_in import StoredFile, pseudo_random
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store, try_link_from_shared_store

    cache = Cache(ground, ground.place() / "hub")
    content = weights.safetensors_file("store", ["w.weight"], 512, 1024)
    xet = pseudo_random("xet store", 32).hex()
    commits = {}
    for name in ("donor", "taker"):
        commits[name] = cache.publish(f"{ORG}/{name}", {"README.md": b"# 1\n", WEIGHTS: StoredFile(content, True, xet)})
        cache.download(f"{ORG}/{name}")
    daemon = Daemon(ground, cache.path)
    daemon.await_ready()
    store: dict[str, Any] = {"xet_hash": xet, "cache_dir": str(cache.path), "expected_size": len(content)}
    publish_blob_to_shared_store(blob_path=str(cache.blob(f"{ORG}/donor", commits["donor"])), **store)
    blob = cache.blob(f"{ORG}/taker", commits["taker"])
    blob.unlink()
    ground.check(try_link_from_shared_store(blob_path=str(blob), **store), "the client does not link to its store")
    daemon.tells_the_truth(cache, when="with a shared store")
    payload = blob.resolve()
    ground.check(payload.parent.parent == cache.path / "blobs", f"the payload is {payload}")
    for size in (1000, 0):
        payload.write_bytes(content[:size])
        daemon.tells_the_truth(cache, when=f"with a payload cut to {size}")
        found = {each[1] for each in daemon.standing}
        ground.check(f"model/{ORG}/taker" in found, f"cut to {size} bytes, and only {daemon.standing}")
    payload.write_bytes(content)
    daemon.tells_the_truth(cache, when="with the payload whole again")
    ground.check(not daemon.standing, f"whole again, and {daemon.standing}")
    payload.unlink()
    daemon.tells_the_truth(cache, when="without the payload")
    ground.check(any(each[0] == "dangling-link" for each in daemon.standing), f"no payload, and {daemon.standing}")
    daemon.stop()


class Remote:
    """A folder seen through FUSE, as a network filesystem: it tells of no changes, and hangs when its server is stopped."""

    def __init__(self, ground: Ground, folder: Path, name: str) -> None:
        ground.needs_root("mounts a filesystem of its own")
        if not os.access("/dev/fuse", os.W_OK):
            raise Skipped("there is no /dev/fuse")
        self.ground = ground
        self.folder = folder
        self.path = ground.base / name
        self.path.mkdir()
        self.mount()

    def mount(self) -> None:
        script = Path(__file__).resolve().parent / "fuse.py"
        self.server = self.ground.start([sys.executable, script, self.folder, self.path], stdout=subprocess.PIPE, text=True)
        self.ground.await_line(self.server)

    def die(self) -> None:
        """Whatever hangs in it fails then."""
        self.server.send_signal(signal.SIGCONT)
        self.server.kill()
        self.server.wait()

    def unmount(self) -> None:
        self.die()
        tool(["umount", "--lazy", str(self.path)])


@proof(NEWEST)
def hung_filesystem(ground: Ground) -> None:
    """A cache whose filesystem hangs is unresponsive; another one goes on; it stops in order, and starts beside a hung one."""
    here = Cache(ground, ground.place() / "here")
    there = Cache(ground, ground.base / "served" / "hub")
    mine, theirs = plant(here.path, 3), plant(there.path, 3)
    remote = Remote(ground, there.path.parent, "remote")
    far = Cache(ground, remote.path / "hub")
    try:
        daemon = Daemon(ground, here.path, far.path)
        daemon.await_ready()
        daemon.until(lambda: daemon.watch(far.path) == "polling", "it polls what tells of no changes")
        cut_shard(theirs[0])
        daemon.tells_the_truth(here, far, when="after a change that nothing told of")
        ground.check(daemon.standing, "a change that nothing told of was not seen")

        remote.server.send_signal(signal.SIGSTOP)
        daemon.until(lambda: daemon.watch(far.path) == "unresponsive", "it says that the cache hangs")
        before = daemon.mark
        cut_shard(mine[0])
        daemon.until(lambda: daemon.events("finding", before), "the other cache is watched while this one hangs")
        run = ground.janitor("status", "--json", timeout=30)
        ground.equal([each["watch"] for each in run.json["caches"]], ["inotify", "unresponsive"], f"watch by {run}")
        said = degraded(daemon, "unresponsive")
        ground.equal(len(said), 1, f"times it says so: {said}; times")
        cut_shard(theirs[1])
        remote.server.send_signal(signal.SIGCONT)
        daemon.until(lambda: daemon.watch(far.path) == "polling", "it says that the cache answers again")
        daemon.tells_the_truth(here, far, when="after it answered again")

        remote.server.send_signal(signal.SIGSTOP)
        daemon.until(lambda: daemon.watch(far.path) == "unresponsive", "it says that the cache hangs again")
        began = time.monotonic()
        daemon.stop()
        ground.note(f"stopped in {time.monotonic() - began:.1f} s while a call hung")
        before = daemon.mark
        daemon.start()
        daemon.await_event("daemon-ready", before)
        cut_shard(mine[1])
        daemon.until(lambda: daemon.events("finding", before, path=place_of(mine[1])), "it works although one cache hangs")
        # The server dies: whatever is asked fails at once, until it is mounted anew.
        remote.unmount()
        remote.mount()
        daemon.tells_the_truth(here, far, when="after the server came back as another one")
        daemon.stop()
    finally:
        remote.unmount()


def place_of(repo: Repo) -> str:
    """The path that a finding about its first shard's content has."""
    return str(repo.blob(SHARDS[0]).relative_to(repo.folder.parent))
