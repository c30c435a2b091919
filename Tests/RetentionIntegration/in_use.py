"""What is in use, by real processes: it never loses a file, and what is free to go goes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import weights
from caches import WEIGHTS, Cache, model_files
from catalogue import BOTH, proof
from ground import ORG, Ground, end
from hub_stand_in import Commit, Fault

HOLDING = "irreplaceable: evict, allow-empty: true"


def everything_goes(ground: Ground, cache: Cache, more: str = "") -> Path:
    """A policy by which every revision goes at once unless it is protected."""
    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, {HOLDING}{more}}}\n"
    return ground.policy(text + 'rules:\n  - {name: all, match: {repo: "*/*"}}\n')


def kept_by(ground: Ground, cache: Cache, id: str, policy: Path) -> list[str]:
    """Everything that keeps a repo's revisions, by `explain`."""
    run = ground.janitor("explain", id, "--policy", policy, "--json")
    ground.check(run.status == 0, f"exit of {run}")
    names: list[str] = []
    for item in run.json["items"]:
        for kept in item["kept_by"]:
            names.append(kept if isinstance(kept, str) else str(kept.get("by", kept)))
    return names


class Guarded:
    """A cache with a model that is free to go and some that are used; what is used must survive whole."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.cache = Cache(ground, ground.place() / "hub")
        self.free = self.cache.model(f"{ORG}/free", 1)
        self.used: dict[str, tuple[Commit, set[str], Callable[[], Any]]] = {}

    def use(self, id: str, keepers: str, stop: Callable[[], Any], commit: Commit) -> None:
        self.used[id] = (commit, set(keepers.split()), stop)

    def prove(self, *, rm: bool = True) -> None:
        """plan, explain, enforce and rm leave alone what is used; then, in use no more, rm takes it."""
        ground, cache = self.ground, self.cache
        policy = everything_goes(ground, cache)
        planned = ground.janitor("plan", "--policy", policy, "--json")
        taken = {action["repo"] for one in planned.json["caches"] for action in one["actions"]}
        ground.equal(taken, {f"model/{ORG}/free"}, f"planned to go: {planned}")
        for id, (_, keepers, _) in self.used.items():
            found = kept_by(ground, cache, id, policy)
            ground.check(keepers & set(found), f"{id} is to be kept by one of {sorted(keepers)}, explain says {found}")
        done = ground.janitor("enforce", "--policy", policy)
        ground.check(done.status in (0, 75), f"exit of {done}")
        ground.check(not cache.has(f"{ORG}/free", self.free), f"what nobody uses did not go: {done}")
        self.whole("after enforce")
        for id in self.used:
            if rm:
                run = cache.janitor("rm", id, "--yes")
                ground.equal(run.status, 75, f"exit of rm of what is used: {run}")
        self.whole("after rm")
        for id, (commit, _, stop) in self.used.items():
            stop()
            run = cache.janitor("rm", id, "--yes")
            ground.equal(run.status, 0, f"exit of rm of what is used no more: {run}")
            ground.check(not cache.has(id, commit), f"{id} is still there: {run}")
        cache.judge(gone=[(f"{ORG}/free", self.free)])

    def whole(self, when: str) -> None:
        for id, (commit, _, _) in self.used.items():
            wrong = self.cache.is_whole(id, commit)
            self.ground.check(not wrong, f"{when} {id} has lost {wrong}")
        self.ground.check(not self.cache.leftovers(), lambda: f"{when} left: {self.cache.leftovers()}")


@proof(*BOTH)
def open_and_mapped(ground: Ground) -> None:
    """A descriptor; a mapping whose descriptor is closed; both in another mount and PID namespace."""
    guarded = Guarded(ground)
    cache = guarded.cache
    for how in ("open", "map"):
        id = f"{ORG}/{how}"
        commit = cache.model(id)
        process = ground.script("use", how, cache.snapshot(id, commit) / WEIGHTS)
        guarded.use(id, "open recent-use", lambda process=process: end(process), commit)
        if ground.is_root:
            id = f"{ORG}/{how}-elsewhere"
            commit = cache.model(id)
            process = ground.start(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", ground.python,
                 ground.scripts / "script_use.py", how, cache.blob(id, commit)],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            ground.await_line(process)
            guarded.use(id, "open recent-use", lambda process=process: end(process), commit)
    if not ground.is_root:
        ground.note("other namespaces: not tried without root")
    for id, (commit, _, _) in guarded.used.items():  # the opening moved the access time; only the opening is to protect
        cache.age(id, 30)
    guarded.prove()


@proof()
def payload_in_use(ground: Ground) -> None:
    """Open is the payload in the shared store, by the name one repo has for it: neither repo's file may go."""
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

    from hub_stand_in import StoredFile, pseudo_random

    cache = Cache(ground, ground.place() / "hub")
    xet = pseudo_random("xet-in-use", 32).hex()
    content = weights.safetensors_file("shared", ["head.weight"])
    commits: dict[str, Commit] = {}
    for id in (f"{ORG}/one", f"{ORG}/two"):
        commits[id] = cache.publish(id, weights.sidecars(id) | {WEIGHTS: StoredFile(content, True, xet)})
        cache.download(id)
        blob = cache.blob(id, commits[id])
        publish_blob_to_shared_store(
            blob_path=str(blob), xet_hash=xet, cache_dir=str(cache.path), expected_size=len(content)
        )
        assert blob.is_symlink()
        cache.age(id, 30)
    payload = cache.path / "blobs" / xet[:2] / xet
    process = ground.script("use", "map", cache.snapshot(f"{ORG}/one", commits[f"{ORG}/one"]) / WEIGHTS)
    run = cache.janitor("rm", f"{ORG}/one", "--yes")
    ground.equal(run.status, 75, f"exit of rm while the payload is mapped: {run}")
    ground.check(not cache.is_whole(f"{ORG}/one", commits[f"{ORG}/one"]), "the mapped repo lost a file")
    end(process)
    run = cache.janitor("rm", f"{ORG}/one", "--yes")
    ground.equal(run.status, 0, f"exit of {run}")
    ground.check(payload.exists() and not cache.is_whole(f"{ORG}/two", commits[f"{ORG}/two"]), "the other repo lost its payload")
    lines = payload.with_name(f"{xet}.refs").read_text().splitlines()
    ground.equal([line for line in lines if (cache.path / line).is_symlink()], lines[-1:], "lines of the manifest that hold")
    run = cache.janitor("rm", f"{ORG}/two", "--yes")
    ground.equal(run.status, 0, f"exit of {run}")
    ground.check(not payload.exists(), "the payload is left although no repo links it")
    cache.judge()


@proof(*BOTH)
def client_waits(ground: Ground) -> None:
    """The client waits on the lock of a blob that it will reuse for a new commit: it gets a file, not a dangling link."""
    cache = Cache(ground, ground.place() / "hub")
    files = model_files(f"{ORG}/waited", 2)
    old = cache.publish(f"{ORG}/waited", files)
    cache.download(f"{ORG}/waited")
    cache.age(f"{ORG}/waited", 30)
    blob = cache.blob(f"{ORG}/waited", old)
    lock = cache.path / ".locks" / cache.folder(f"{ORG}/waited").name / f"{blob.name}.lock"
    holder = ground.script("use", "lock", lock)
    new = cache.publish(f"{ORG}/waited", files | {"README.md": b"# newer\n"})
    client = ground.start(cache.client_command("snapshot_download", {"repo_id": f"{ORG}/waited", "cache_dir": str(cache.path)}))
    link = cache.snapshot(f"{ORG}/waited", new)
    wait_until(lambda: len(list(link.glob("*"))) >= len(new.files) - 1 if link.is_dir() else False)
    for command in (["rm", f"{ORG}/waited@{old.id}", "--yes"], ["rm", f"{ORG}/waited", "--yes"]):
        run = cache.janitor(*command)
        ground.equal(run.status, 75, f"exit while a lock is held and waited for: {run}")
    done = ground.janitor("enforce", "--policy", everything_goes(ground, cache))
    ground.check(done.status in (0, 75), f"exit of {done}")
    ground.check(blob.is_file(), "the blob that the client waits for is gone")
    end(holder)
    ground.equal(client.wait(60), 0, "exit of the client")
    ground.check(not cache.is_whole(f"{ORG}/waited", new), lambda: f"after waiting: {cache.is_whole(f'{ORG}/waited', new)}")
    ground.check(not cache.is_whole(f"{ORG}/waited", old), lambda: f"the old revision lost {cache.is_whole(f'{ORG}/waited', old)}")
    run = cache.janitor("rm", f"{ORG}/waited@{old.id}", "--yes")
    ground.equal(run.status, 0, f"exit of {run}")
    ground.check(not cache.is_whole(f"{ORG}/waited", new), lambda: f"the newer lost {cache.is_whole(f'{ORG}/waited', new)}")
    cache.judge()


@proof(*BOTH)
def download_under_way(ground: Ground) -> None:
    """A throttled download: neither its partial nor its snapshot nor what it reuses may go; it ends well."""
    cache = Cache(ground, ground.place() / "hub")
    shared = model_files(f"{ORG}/arriving", 1)
    old = cache.publish(f"{ORG}/arriving", shared)
    cache.download(f"{ORG}/arriving")
    cache.age(f"{ORG}/arriving", 30)
    big = weights.safetensors_file("arriving-more", ["more.weight"], 512 * 24, 1024)
    new = cache.publish(f"{ORG}/arriving", shared | {"more.safetensors": big})
    free = cache.model(f"{ORG}/free")
    fault = Fault("slow", path=f"/*/{new.files['more.safetensors'].sha256}", origin="cdn", method="GET", rate=1_000_000)
    ground.servers.faults.add(fault)
    client = ground.start(cache.client_command("snapshot_download", {"repo_id": f"{ORG}/arriving", "cache_dir": str(cache.path)}))
    blobs = cache.folder(f"{ORG}/arriving") / "blobs"
    wait_until(lambda: any(blobs.glob("*.incomplete")) and fault.hits > 0)
    policy = everything_goes(ground, cache)
    done = ground.janitor("enforce", "--policy", policy)
    ground.check(done.status in (0, 75), f"exit of {done}")
    ground.check(not cache.has(f"{ORG}/free", free), f"what is free to go did not go: {done}")
    ground.check(client.poll() is None, "the download was over too early for this proof")
    ground.check(any(blobs.glob("*.incomplete")), "the live partial was removed")
    run = cache.janitor("rm", f"{ORG}/arriving", "--yes")
    ground.equal(run.status, 75, f"exit of rm while it arrives: {run}")
    run = cache.janitor("rm", f"{ORG}/arriving", "--yes", "--force", "--assume-unused")
    ground.equal(run.status, 75, f"exit of rm --force while it arrives: {run}")
    ground.servers.faults.remove(fault.id)
    fault.rate = 0
    ground.equal(client.wait(60), 0, "exit of the client")
    ground.check(not cache.is_whole(f"{ORG}/arriving", new), lambda: f"it arrived as {cache.is_whole(f'{ORG}/arriving', new)}")
    ground.check(not cache.is_whole(f"{ORG}/arriving", old), lambda: f"what it reuses: {cache.is_whole(f'{ORG}/arriving', old)}")
    cache.judge()


@proof()
def loader_between_shards(ground: Ground) -> None:
    """A loader opens one shard after another: those it has not reached yet stay too, by access times or by its name."""
    for options, keepers in (("relatime", {"recent-use"}), ("noatime", {"named-by-process"})):
        root = ground.disk("ext4", options).path if ground.is_root else ground.place() / options
        if options == "noatime" and not ground.is_root:
            ground.note("noatime: not tried without root")
            continue
        cache = Cache(ground, root / "hub")
        id = f"{ORG}/sharded-{options}"
        commit = cache.publish(id, weights.sidecars(id) | weights.sharded(id, 5))
        cache.download(id)
        cache.age(id, 30)
        free = cache.model(f"{ORG}/free-{options}")
        shards = [cache.snapshot(id, commit) / name for name in sorted(commit.files) if name.endswith(".safetensors")]
        go_on = ground.base / f"go-on-{options}"
        loader = ground.script("use", "shards", go_on, *shards)
        assert ground.await_line(loader).startswith("read ")
        policy = everything_goes(ground, cache)
        found = kept_by(ground, cache, id, policy)
        ground.check(keepers & set(found), f"{options}: to be kept by {sorted(keepers)}, explain says {found}")
        done = ground.janitor("enforce", "--policy", policy)
        go_on.touch()
        ground.check(loader.wait(60) == 0, f"{options}: the loader failed: {done}")
        ground.check(not cache.is_whole(id, commit), lambda: f"{options}: lost {cache.is_whole(id, commit)}: {done}")
        ground.check(not cache.has(f"{ORG}/free-{options}", free), f"{options}: what is free did not go: {done}")


@proof()
def named_by_process(ground: Ground) -> None:
    """A server that names the model on its command line and holds no file of it."""
    guarded = Guarded(ground)
    cache = guarded.cache
    for id, arguments in (
        (f"{ORG}/by-argument", ["--model", f"{ORG}/by-argument"]),
        (f"{ORG}/by-value", [f"--model={ORG}/by-value"]),
        (f"{ORG}/by-path", [str(cache.folder(f"{ORG}/by-path") / "snapshots")]),
    ):
        commit = cache.model(id)
        process = ground.start(
            [ground.python, "-c", "import sys, time; print('ready', flush=True); time.sleep(600)", *arguments],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        ground.await_line(process)
        guarded.use(id, "named-by-process", lambda process=process: end(process), commit)
    guarded.prove(rm=False)  # rm does not ask for names


@proof()
def holds(ground: Ground) -> None:
    """`hold --for`, `hold -- CMD`, and after `release`, the end of CMD, or its death, nothing holds any more."""
    guarded = Guarded(ground)
    cache = guarded.cache
    timed = cache.model(f"{ORG}/timed")
    run = cache.janitor("hold", f"{ORG}/timed", "--for", "1h")
    ground.equal(run.status, 0, f"exit of {run}")

    def release() -> None:
        released = cache.janitor("release", f"{ORG}/timed")
        ground.equal(released.status, 0, f"exit of {released}")

    guarded.use(f"{ORG}/timed", "hold", release, timed)
    commanded = cache.model(f"{ORG}/commanded")
    sleeper = ground.start([ground.program, "hold", f"{ORG}/commanded", "--cache", cache.path, "--", "sleep", "600"])
    wait_until(lambda: comm(sleeper.pid) == "sleep")
    guarded.use(f"{ORG}/commanded", "hold", lambda: end(sleeper), commanded)
    # The lock is inherited: it is gone with the last process that has it, not with the first.
    inherited = cache.model(f"{ORG}/inherited")
    server = ground.start(
        [ground.program, "hold", f"{ORG}/inherited", "--cache", cache.path, "--", "sh", "-c", "sleep 600 & exit 7"]
    )
    ground.equal(server.wait(30), 7, "exit code of CMD")
    guarded.use(f"{ORG}/inherited", "hold", lambda: end_session(server.pid), inherited)
    guarded.prove()
    left = [str(path.name) for path in (cache.path / ".locks").rglob("*.hold")]
    ground.note(f"hold files left: {left}")
    # --force overrides a hold.
    forced = cache.model(f"{ORG}/forced")
    ground.equal(cache.janitor("hold", f"{ORG}/forced").status, 0, "exit of hold")
    ground.equal(cache.janitor("rm", f"{ORG}/forced", "--yes").status, 75, "exit of rm of what is held")
    ground.equal(cache.janitor("rm", f"{ORG}/forced", "--yes", "--force").status, 0, "exit of rm --force of what is held")
    ground.check(not cache.has(f"{ORG}/forced", forced), "rm --force left it")


@proof()
def pins(ground: Ground) -> None:
    """A pin keeps; rm refuses what is pinned, and with --force takes it."""
    cache = Cache(ground, ground.place() / "hub")
    pinned, free = cache.model("meta-llama/pinned"), cache.model(f"{ORG}/free")
    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, {HOLDING}}}\n"
    text += "pins:\n  - {repo: meta-llama/*, revision: main, reason: production}\n"
    policy = ground.policy(text + 'rules:\n  - {name: all, match: {repo: "*/*"}}\n')
    done = ground.janitor("enforce", "--policy", policy)
    ground.check(cache.has("meta-llama/pinned", pinned), f"a pinned revision went: {done}")
    ground.check(not cache.has(f"{ORG}/free", free), f"what is free did not go: {done}")
    run = ground.janitor("rm", "meta-llama/pinned", "--yes", "--policy", policy)
    ground.equal(run.status, 75, f"exit of rm of what is pinned: {run}")
    explained = kept_by(ground, cache, "meta-llama/pinned", policy)
    ground.check("pin" in explained, f"explain says {explained}")
    run = ground.janitor("rm", "meta-llama/pinned", "--yes", "--force", "--policy", policy)
    ground.equal(run.status, 0, f"exit of rm --force of what is pinned: {run}")
    ground.check(not cache.has("meta-llama/pinned", pinned), "rm --force left it")


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def end_session(leader: int) -> None:
    """Ends what a finished leader left in its own process group, and waits until the kernel has let go of it."""
    os.killpg(leader, signal.SIGKILL)
    wait_until(lambda: not group_lives(leader))


def group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if group == str(leader) and state != "Z":  # a zombie holds nothing
            return True
    return False


def wait_until(holds: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("what was waited for did not come")
        time.sleep(0.05)
