"""The daemon mends by itself what was whole once, as far as the policy says, and tells."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import weights
from caches import Cache
from catalogue import NEWEST, proof
from ground import ORG, Ground
from together import wait_for

ID = f"{ORG}/watched"
SHARD = "model-00002-of-00003.safetensors"


class Daemon:
    """A daemon on a cache; what it says is in `events`."""

    def __init__(self, ground: Ground, cache: Cache, policy: Path) -> None:
        self.log = (ground.base / "daemon.log").open("w+")
        self.process: subprocess.Popen[Any] = ground.start(
            [ground.program, "daemon", "--cache", cache.path, "--policy", policy], stderr=self.log
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        found = []
        for line in Path(self.log.name).read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        of_kind = lambda: [entry for entry in self.events if entry["event"] == event]
        try:
            wait_for(lambda: len(of_kind()) >= count, f"{count} × {event}", 60)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {Path(self.log.name).read_text()}") from error
        return of_kind()[count - 1]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def refetch(ground: Ground, cache: Cache, word: str, mode: str = "enforce") -> Path:
    text = "mode: %s\ncaches: [{path: %s}]\nrepair: {refetch: %s}\n" % (mode, cache.path, word)
    return ground.policy(text, f"{word}-{mode}.yaml")


@proof(NEWEST)
def daemon(ground: Ground) -> None:
    """A shard that goes is back, a wrong one is right; who fetches otherwise is waited for; what is never whole stays."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, weights.sidecars("d") | weights.sharded("d"))
    cache.download(ID)
    part = cache.publish(f"{ORG}/part", weights.sidecars("p") | weights.sharded("p"))
    cache.download(f"{ORG}/part", allow_patterns=["*.json", SHARD])
    running = Daemon(ground, cache, refetch(ground, cache, "missing"))
    running.wait_for("daemon-ready")
    wait_for(lambda: any(entry["event"] == "finding" for entry in running.events), "what the part lacks", 60)
    ground.servers.log.clear()
    cache.blob(ID, commit, SHARD).unlink()
    running.wait_for("finding")
    finished = running.wait_for("repaired")
    ground.equal((finished["repo"], finished["reason"]), (f"model/{ID}", "fetched"), "what was repaired")
    ground.check(SHARD in finished["message"], f"the words of {finished}")
    wait_for(lambda: not cache.is_whole(ID, commit), "the shard")
    running.wait_for("download-started")
    running.wait_for("download-finished")
    running.wait_for("finding-cleared")
    # The link alone, without a request.
    ground.servers.log.clear()
    (cache.snapshot(ID, commit) / SHARD).unlink()
    linked = running.wait_for("repaired", 2)
    ground.equal(linked["reason"], "relinked", "a link that went")
    ground.check(not ground.servers.log.all(), lambda: f"asked for a link: {ground.servers.log.all()}")
    # Corrupt is more than missing.
    blob = cache.blob(ID, commit, SHARD)
    wrong = blob.read_bytes()[:-20]
    blob.write_bytes(wrong)
    found = len([entry for entry in running.events if entry["event"] == "finding"])
    running.wait_for("finding", found)
    wait_for(lambda: any("size-mismatch" in entry.get("code", "") for entry in running.events), "the finding", 60)
    ground.equal(running.stop(), 0, "exit of the daemon")
    ground.check(blob.read_bytes() == wrong, "corrupt was fetched although only missing was allowed")
    ground.check(cache.is_whole(f"{ORG}/part", part), "what was never whole was fetched")
    observing = Daemon(ground, cache, refetch(ground, cache, "corrupt", "observe"))
    observing.wait_for("daemon-ready")
    observing.wait_for("finding")
    ground.equal(observing.stop(), 0, "exit of the daemon")
    ground.check(blob.read_bytes() == wrong, "a daemon that only observes repaired")
    # Over a restart it is still known that it was whole once.
    acting = Daemon(ground, cache, refetch(ground, cache, "corrupt"))
    mended = acting.wait_for("repaired")
    ground.equal(mended["reason"], "fetched", "a corrupt shard")
    wait_for(lambda: not cache.is_whole(ID, commit), "the shard")
    # What the Hub does not have any more is told once.
    del ground.hub.repos["model", ID]
    cache.blob(ID, commit, SHARD).unlink()
    failed = acting.wait_for("download-failed")
    ground.check(failed["code"] == "repo_not_found" and "hfjanitor repair" in failed["message"], f"the words of {failed}")
    ground.equal(acting.stop(), 0, "exit of the daemon")
