"""Real clients beside the daemon: what it says is at every quiet moment what a fresh check finds."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from typing import Any

import weights
from caches import Cache
from catalogue import BOTH, proof
from daemon import PATIENCE, Daemon
from ground import ORG, Ground, end, short
from hub_stand_in import Commit, Fault


class Clients:
    """Starts clients in processes of their own."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.ground = cache.ground

    def begin(self, id: str, function: str = "snapshot_download", **arguments: Any) -> subprocess.Popen[Any]:
        given = {"repo_id": id, "cache_dir": str(self.cache.path)} | arguments
        given = {name: value for name, value in given.items() if value is not None}
        if function == "snapshot_download":
            given.setdefault("max_workers", 2)
        script = self.ground.scripts / "client_call.py"
        return self.ground.start(
            [self.ground.python, script, function, json.dumps(given)], stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def finish(self, client: subprocess.Popen[Any], what: str) -> bool:
        try:
            _, errors = client.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            end(client)
            return self.ground.check(False, f"{what}: the client hangs")
        return self.ground.check(client.returncode == 0, lambda: f"{what}: the client failed: {short(errors)}")

    def download(self, id: str, what: str, **arguments: Any) -> bool:
        return self.finish(self.begin(id, **arguments), what)

    def hold_at(self, commit: Commit, file: str, after: int) -> Fault:
        """Has the Hub stop in the middle of one file."""
        return self.ground.servers.faults.add(Fault("hold", origin="cdn", path=f"*/{commit.files[file].sha256}", after=after))

    def await_hold(self, fault: Fault, count: int = 1) -> bool:
        deadline = time.monotonic() + PATIENCE
        while fault.held < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.ground.check(fault.held >= count, "the client never came to the file that is held")

    def let_go(self, fault: Fault) -> None:
        self.ground.servers.faults.remove(fault.id)

    def kill_in(self, id: str, commit: Commit, file: str, after: int, daemon: Daemon, **arguments: Any) -> None:
        """Downloads, and kills the client in the middle of one file, after a while of silence from the daemon."""
        before = daemon.mark
        fault = self.hold_at(commit, file, after)
        client = self.begin(id, **arguments)
        if self.await_hold(fault):
            # Longer than a quiet period: nothing may be called broken that is on its way.
            time.sleep(3)
            of_repo = [event for event in daemon.events("finding", before) if event.get("repo", "").endswith("/" + id)]
            self.ground.check(not of_repo, lambda: f"a finding for a download under way: {of_repo}\n{daemon.told(before)}")
        client.send_signal(signal.SIGKILL)
        client.wait()
        self.let_go(fault)


def shard(number: int, count: int = 3) -> str:
    return weights.shard_name("model", number, count)


def model(id: str, shards: int = 3) -> weights.Files:
    return weights.sidecars(id) | weights.sharded(id, shards, rows=256, columns=512)


@proof(*BOTH)
def clients(ground: Ground) -> None:
    """Downloads whole, killed and resumed, in parts and in parallel, moved refs, deletions by the client: always the truth."""
    cache = Cache(ground, ground.place() / "hub")
    use = Clients(cache)
    daemon = Daemon(ground, cache.path)
    daemon.await_ready()
    expected: list[tuple[str, str]] = []

    def quiet(when: str, *arrived: tuple[str, Commit]) -> None:
        """Compares, and counts arrivals: each of these came once, and nothing else."""
        expected.extend((f"model/{id}", commit.id) for id, commit in arrived)
        daemon.until(lambda: len(daemon.arrivals()) >= len(expected), f"{when}: {len(expected)} arrivals in all")
        daemon.tells_the_truth(cache, when=when)
        ground.equal(sorted(daemon.arrivals()), sorted(expected), f"{when}: what arrived")

    whole = f"{ORG}/whole"
    commit = cache.publish(whole, model(whole))
    use.download(whole, "a whole download")
    quiet("after a whole download", (whole, commit))

    killed = f"{ORG}/killed"
    commit = cache.publish(killed, model(killed))
    use.kill_in(killed, commit, shard(2), 100_000, daemon)
    quiet("after a killed download")
    ground.check(any(each[0] == "missing-shard" for each in daemon.standing), lambda: f"killed, and {daemon.standing}")
    use.kill_in(killed, commit, shard(2), 200_000, daemon)
    quiet("after another killed one")
    use.download(killed, "a resumed download")
    quiet("after a resumed download", (killed, commit))
    # What a killed client of another version leaves is no part of the revision.
    of_revision = [each for each in daemon.standing if each[1].endswith(killed) and each[2]]
    ground.check(not of_revision, f"resumed, and {of_revision}")

    shared = f"{ORG}/shared"
    commit = cache.publish(shared, model(shared, 6))
    fault = use.hold_at(commit, shard(3, 6), 50_000)
    dying = use.begin(shared, allow_patterns=[f"*-0000{n}-*" for n in (2, 3)], max_workers=1)
    use.await_hold(fault)
    others = [
        use.begin(shared, allow_patterns=patterns)
        for patterns in (["*.json", "*-00001-*", "*-00004-*"], ["*-00004-*", "*-00005-*", "*-00001-*"])
    ]
    for other in others:
        use.finish(other, "one of several downloads of one repo")
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    use.let_go(fault)
    quiet("after several processes fetched parts of one repo, one of which was killed")
    both = [use.begin(shared), use.begin(shared)]
    for other in both:
        use.finish(other, "one of two downloads of all of it")
    quiet("after two processes fetched all of it", (shared, commit))

    subset = f"{ORG}/subset"
    commit = cache.publish(subset, model(subset))
    use.download(subset, "a subset without weights", allow_patterns=["*.json"])
    quiet("after a subset was fetched on purpose", (subset, commit))
    # The same revision grows, and arrives no second time.
    use.download(subset, "one file more", function="hf_hub_download", filename=shard(1))
    quiet("after one shard of it was fetched by name")
    use.download(subset, "the rest")
    quiet("after the rest of it")

    moved = cache.publish(whole, model(whole) | {"config.json": weights.as_json({"moved": True})})
    use.download(whole, "a ref that moved")
    quiet("after a ref moved", (whole, moved))

    folder = ground.base / "local"
    use.download(killed, "into a folder of its own", cache_dir=None, local_dir=str(folder))
    quiet("after a download into a folder")

    blob = cache.blob(shared, ground.hub.repo("model", shared).resolve("main"), shard(4, 6))  # type: ignore[arg-type]
    blob.unlink()
    quiet("after a blob was deleted")
    ground.check(any(each[0] == "dangling-link" for each in daemon.standing), lambda: f"a blob went, and {daemon.standing}")

    remove(ground, cache, "prune", whole)
    quiet("after detached revisions were pruned by the client")
    remove(ground, cache, "rm", subset)
    quiet("after the client removed a repo")
    use.download(subset, "once more")
    quiet("after it came back", (subset, commit))
    shutil.rmtree(cache.folder(killed))
    quiet("after a repo was deleted by hand")
    ground.check(not daemon.other_lines, f"it said {daemon.other_lines}")
    daemon.stop()
    ground.note(f"{daemon.mark} events, {len(expected)} arrivals")


def remove(ground: Ground, cache: Cache, how: str, id: str) -> None:
    """The client's own removal: its command where it has one, else what the older one's command calls."""
    if ground.is_newest:
        words = ["prune", "--yes"] if how == "prune" else ["rm", f"model/{id}", "--yes"]
        command = [ground.python, "-m", "huggingface_hub.cli.hf", "cache", *words, "--cache-dir", cache.path]
        done = subprocess.run(
            [str(word) for word in command], env=ground.environment(), capture_output=True, text=True, check=False
        )
        ground.check(done.returncode == 0, f"`hf cache {how}`: {short(done.stdout + done.stderr)}")
        return
    import huggingface_hub

    info = huggingface_hub.scan_cache_dir(cache.path)
    gone = [
        revision.commit_hash for repo in info.repos for revision in repo.revisions
        if (how == "rm" and repo.repo_id == id) or (how == "prune" and not revision.refs)
    ]  # fmt: skip
    ground.check(gone, f"nothing to remove for {how}")
    info.delete_revisions(*gone).execute()
