"""Everything at once, for a long time: clients, kills, removals, corruption, policy edits, and a daemon that is killed."""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

import weights
from caches import Cache
from catalogue import NEWEST, OLD, proof
from clients import Clients
from daemon import PATIENCE, Daemon
from disks import MB
from ground import ORG, Ground, end
from hub_stand_in import Commit, Fault, pseudo_random

SECONDS = float(os.environ.get("HFJANITOR_SOAK_SECONDS", "40"))
ROUND = 15.0
"""Seconds of turmoil between two quiet moments."""
PEACEFUL, VIOLENT = 4, 4
"""Repos that only clients and the daemon change, where nothing may ever fail; and repos where everything happens."""
MOST_MEMORY, MOST_GROWTH = 100 * MB, 20 * MB
MOST_DESCRIPTORS = 64


@dataclass
class Numbers:
    """What was done and measured."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    samples: list[tuple[float, int, int, int, int]] = field(default_factory=list)
    """Time, process, memory, descriptors, watches."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.counts[what] += number


class Soak:
    """The stage, and who is on it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.cache = Cache(ground, ground.place() / "hub")
        self.numbers = Numbers()
        self.clients = Clients(self.cache)
        self.stage = threading.Lock()
        """Held while the policy is written, and from the end of a process until the next one has read it."""
        self.kept: dict[str, Commit] = {}
        self.peaceful: dict[str, list[Commit]] = {}
        self.violent: dict[str, list[Commit]] = {}
        self.fill()
        self.policy_path = ground.policy(self.policy(random.Random("first")))
        self.daemon = Daemon(ground, policy=self.policy_path)
        self.daemon.await_ready()

    def fill(self) -> None:
        """What must stay whatever happens: a pinned, a held and an opened model. And what is on the Hub."""
        ground, cache = self.ground, self.cache
        for name in ("pinned", "held", "open"):
            self.kept[name] = cache.model(f"{ORG}/{name}", 1, days=90)
        ground.equal(cache.janitor("hold", f"{ORG}/held", "--for", "1d").status, 0, "exit of hold")
        ground.script("use", "open", *(place for place in cache.folder(f"{ORG}/open").glob("blobs/*")))
        for kind, count, repos in (("calm", PEACEFUL, self.peaceful), ("wild", VIOLENT, self.violent)):
            for number in range(count):
                id = f"{ORG}/{kind}{number}"
                repos[id] = [
                    cache.publish(
                        id,
                        weights.sidecars(id) | weights.sharded(f"{id} {commit // 2}", 3, rows=128, columns=512)
                        | {"README.md": f"# {commit}\n".encode(), "extra.bin": pseudo_random(f"{id} {commit}", 200_000)},
                        branch=f"c{commit}", title=f"{id} {commit}",
                    )
                    for commit in range(4)
                ]  # fmt: skip
                cache.publish(id, dict(repos[id][-1].files), branch="main", title="main")
        plan = {"repos": [
            {"id": id, "files": sorted(of[0].files), "revisions": ["main", *(f"c{n}" for n in range(4)), of[1].id]}
            for id, of in self.peaceful.items()
        ], "xet": {}}  # fmt: skip
        self.plan = ground.base / "plan.json"
        self.plan.write_text(json.dumps(plan))

    def policy(self, pick: random.Random) -> str:
        """A good policy: what is pinned stays so in each."""
        size = pick.choice([3, 5, 8, 14])
        text = "mode: enforce\nannounce: 0s\nedit-grace: 5s\n"
        text += f"caches:\n  - {{path: {self.cache.path}, max-size: {size}MB, target-size: {size - 1}MB, min-age: 0s, "
        text += f"recent-use: 0s, irreplaceable: {pick.choice(['evict', 'keep'])}, allow-empty: true}}\n"
        text += f"pins:\n  - {{repo: {ORG}/pinned, reason: soak {pick.random()}}}\nrules:\n"
        text += "  - {name: leftovers, match: {state: [stale-partial, orphan]}, older-than: 5s}\n"
        text += "  - {name: broken, match: {state: incomplete}, older-than: 10s}\n"
        return text + f"  - {{name: room, when: pressure, order: {pick.choice(['lru', 'oldest', 'largest'])}}}\n"

    # The actors. Each does one thing and returns.

    def kill_client(self, pick: random.Random) -> None:
        """A download that dies at some moment, or does not."""
        id = pick.choice(sorted(self.violent))
        client = self.clients.begin(id, revision=pick.choice(["main", "c0", "c1", "c2"]))
        try:
            client.communicate(timeout=pick.uniform(0.6, 4))
            self.numbers.count("wild downloads that ended")
        except subprocess.TimeoutExpired:
            end(client)
            client.communicate()
            self.numbers.count("clients killed")

    def remove_by_client(self, pick: random.Random) -> None:
        """The client's own removal of revisions that are detached, or of a whole repo."""
        import huggingface_hub

        wild = set(self.violent)
        try:
            info = huggingface_hub.scan_cache_dir(self.cache.path)
            repos = [repo for repo in info.repos if repo.repo_id in wild]
            if not repos:
                return
            chosen = pick.choice(sorted(repos, key=lambda repo: repo.repo_id))
            is_prune = pick.random() < 0.5
            gone = [each.commit_hash for each in chosen.revisions if not is_prune or not each.refs]
            if gone:
                info.delete_revisions(*gone).execute()
                self.numbers.count("removals by the client")
        except OSError:  # it meets others that remove, which it is not made for
            self.numbers.count("removals by the client that met others")

    def corrupt(self, pick: random.Random) -> None:
        """Cuts, flips or litters."""
        places = [
            place for id in self.violent for place in self.cache.folder(id).glob("blobs/*")
            if place.is_file() and not place.name.endswith((".incomplete", ".lock"))
        ]  # fmt: skip
        if not places:
            return
        place = pick.choice(sorted(places))
        kind = pick.choice(["cut", "flip", "litter", "ref"])
        try:
            if kind == "cut":
                os.truncate(place, pick.randrange(place.stat().st_size))
            elif kind == "flip":
                with open(place, "r+b") as file:
                    at = pick.randrange(min(place.stat().st_size, 400))
                    file.seek(at)
                    byte = file.read(1)
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 1 << pick.randrange(8)]))
            elif kind == "litter":
                (place.parent / f"{pick.randrange(10)}.tmp").write_bytes(b"litter")
            else:
                for ref in sorted((place.parent.parent / "refs").glob("*"))[:1]:
                    ref.unlink()
        except (OSError, ValueError, IndexError):
            return
        self.numbers.count("corruptions")

    def load(self, pick: random.Random) -> None:
        """A loader: opens the files of a revision for a while."""
        snapshots = [place for id in self.peaceful for place in self.cache.folder(id).glob("snapshots/*")]
        if not snapshots:
            return
        snapshot = pick.choice(sorted(snapshots))
        files = [str(place) for place in snapshot.iterdir()]
        loader = self.ground.start(
            [self.ground.python, "-S", self.ground.scripts / "script_use.py", "open", *files], stderr=subprocess.DEVNULL
        )
        time.sleep(pick.uniform(0.3, 2))
        end(loader)
        self.numbers.count("loaders")

    def edit_policy(self, pick: random.Random) -> None:
        """A good edit three times of four; a bad one changes nothing."""
        text = self.policy(pick)
        if pick.random() < 0.25:
            text = pick.choice(["", text.replace("mode:", "mood:"), text[: len(text) // 2], "mode: [enforce", text + "\t- x\n"])
            self.numbers.count("bad policy edits")
        else:
            self.numbers.count("good policy edits")
        with self.stage:
            self.write_policy(text)

    def write_policy(self, text: str) -> None:
        temporary = self.policy_path.with_suffix(".new")
        temporary.write_text(text)
        temporary.chmod(0o600)
        temporary.rename(self.policy_path)

    def harass_daemon(self, pick: random.Random, *, may_end: bool) -> None:
        """Kills it, stops it in order, has it reload, or freezes it for a while."""
        how = pick.choice(["kill", "term", "hup", "freeze"] if may_end else ["hup", "freeze"])
        daemon = self.daemon
        ended = daemon.process.poll()
        if not self.ground.check(ended is None, lambda: f"the daemon ended with {ended}\n{daemon.told()}"):
            with self.stage:
                self.write_policy(self.policy(pick))
                daemon.start()
                daemon.await_ready()
            return
        if how == "freeze":
            daemon.signal(signal.SIGSTOP)
            time.sleep(pick.uniform(0.5, 2))
            daemon.signal(signal.SIGCONT)
        elif how == "hup":
            if daemon.events("daemon-ready", daemon.began):
                daemon.signal(signal.SIGHUP)
        else:
            # With a bad policy at its start it would rightly refuse.
            with self.stage:
                self.write_policy(self.policy(pick))
                if how == "kill":
                    daemon.kill()
                else:
                    daemon.stop()
                time.sleep(pick.uniform(0, 1))
                daemon.start()
                daemon.await_ready()
        self.numbers.count(f"daemon: {how}")

    # Measuring and judging.

    def sample(self) -> None:
        daemon = self.daemon
        try:
            row = (time.monotonic(), daemon.pid, daemon.rss, daemon.descriptors, daemon.inotify_watches)
        except (OSError, RuntimeError, KeyError):  # between two processes
            return
        with self.numbers.lock:
            self.numbers.samples.append(row)

    def look_at_kept(self) -> None:
        for name, commit in self.kept.items():
            wrong = self.cache.is_whole(f"{ORG}/{name}", commit)
            self.ground.check(not wrong, lambda: f"what is {name} lost {wrong}\n{self.daemon.told()}")

    def quiet(self, when: str) -> None:
        daemon, cache = self.daemon, self.cache
        self.write_policy(self.policy(random.Random(when)))
        daemon.await_ready()
        daemon.tells_the_truth(cache, when=when, patience=150)
        self.look_at_kept()
        calm = tuple(cache.folder(id).name for id in (*self.peaceful, *(f"{ORG}/{name}" for name in self.kept)))
        dangling = [text for text in cache.dangling() if text.startswith(calm)]
        self.ground.check(not dangling, lambda: f"{when}: dangling links: {dangling}\n{daemon.told()}")
        self.numbers.count("quiet moments")

    # The play.

    def turmoil(self, number: int, seconds: float, *, may_end: bool) -> None:
        deadline = time.monotonic() + seconds
        started = []
        for which, environment in enumerate((NEWEST, OLD)):
            started.append(self.ground.script(
                "client", self.cache.path, seconds, f"seed {number} {which}", 0, self.plan,
                python=self.ground.other_client(environment),
                more={"HF_HUB_ETAG_TIMEOUT": "60", "HF_HUB_DOWNLOAD_TIMEOUT": "60"},
            ))  # fmt: skip

        def repeat(act: Callable[[random.Random], None], pause: float, seed: str) -> None:
            pick = random.Random(f"{seed} {number}")
            try:
                while time.monotonic() + pause / 2 < deadline:
                    time.sleep(min(pick.uniform(0, 2 * pause), max(0, deadline - time.monotonic())))
                    act(pick)
            except Exception as error:  # noqa: BLE001  what an actor meets is a failure, and no end of the others
                self.ground.failures.append(f"{seed}: {type(error).__name__}: {error}")

        slow = self.ground.servers.faults.add(Fault("slow", origin="cdn", rate=2 * MB))
        actors: list[tuple[Callable[[random.Random], None], float, str]] = [
            (self.kill_client, 0.3, "kills"), (self.kill_client, 0.5, "more kills"), (self.remove_by_client, 2, "removals"),
            (self.corrupt, 0.7, "corruption"), (self.load, 1, "loads"), (self.edit_policy, 2.5, "edits"),
            (lambda pick: self.harass_daemon(pick, may_end=may_end), 4, "harassment"),
            (lambda _: self.sample(), 0.5, "samples"), (lambda _: self.look_at_kept(), 1, "a look"),
        ]  # fmt: skip
        threads = [threading.Thread(target=repeat, args=actor, daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
        for client in started:
            output, _ = client.communicate(timeout=seconds + PATIENCE)
            result = json.loads(output.strip().splitlines()[-1])
            self.numbers.count("calm downloads", result["calls"])
            for text in result["failures"][:3]:
                self.ground.failures.append(f"a client call failed, {result['client']}: {text}\n{self.daemon.told()}")
        for thread in threads:
            thread.join(PATIENCE)
        self.ground.servers.faults.remove(slow.id)

    def growth(self) -> str:
        """How the numbers of the last process went, from its first third to its last."""
        last = [row for row in self.numbers.samples if row[1] == self.numbers.samples[-1][1]]
        # Not before it has begun to work.
        settled = [row for row in last if row[0] > last[0][0] + 5] or last
        first, final = settled[: len(settled) // 3 or 1], settled[-(len(settled) // 3 or 1) :]
        # What leaks is there at the best moment too.
        for column, name, most in ((2, "memory", MOST_GROWTH), (3, "descriptors", 3)):
            grown = min(row[column] for row in final) - min(row[column] for row in first)
            if final[-1][0] - first[0][0] > 60:
                self.ground.check(grown <= most, f"{name} grew by {grown} in {final[-1][0] - first[0][0]:.0f} s: {last[::20]}")
        return (
            f"last process, {final[-1][0] - first[0][0]:.0f} s: memory {first[0][2] / MB:.1f} to {final[-1][2] / MB:.1f} MB, "
            f"descriptors {first[0][3]} to {final[-1][3]}, watches {first[0][4]} to {final[-1][4]}"
        )

    def play(self, seconds: float) -> None:
        began = time.monotonic()
        number = 0
        while (left := seconds - (time.monotonic() - began)) > 0:
            # The last process is left to live, so that growth can be seen.
            self.turmoil(number, min(ROUND, max(left, 5)), may_end=left > seconds * 0.5)
            self.quiet(f"quiet moment {number}")
            number += 1
        self.sample()
        ground, cache, daemon = self.ground, self.cache, self.daemon
        samples = self.numbers.samples
        ground.check(max(row[2] for row in samples) <= MOST_MEMORY, f"it took {max(row[2] for row in samples) / MB:.0f} MB")
        ground.check(max(row[3] for row in samples) <= MOST_DESCRIPTORS, f"it had {max(row[3] for row in samples)} descriptors")
        folders = sum(len(names) for _, names, _ in os.walk(cache.path)) + 2
        daemon.until(lambda: daemon.inotify_watches <= folders, f"{daemon.inotify_watches} watches for {folders} folders")
        ground.note(self.growth())
        ground.note(
            f"most: memory {max(row[2] for row in samples) / MB:.1f} MB, descriptors {max(row[3] for row in samples)}, "
            f"watches {max(row[4] for row in samples)}; {len({row[1] for row in samples})} processes"
        )
        ground.note(f"{dict(sorted(self.numbers.counts.items()))}")
        ground.note(f"{daemon.mark} events: {dict(collections.Counter(event['event'] for event in daemon.events()))}")
        daemon.until(lambda: not cache.leftovers(), f"private folders are empty in the end, there is {cache.leftovers()}")
        daemon.stop()
        ground.check(not daemon.other_lines, lambda: f"it said {daemon.other_lines[:20]}")
        for id, commits in self.peaceful.items():
            for commit in commits:
                cache.download(id, revision=commit.id)
                wrong = cache.is_whole(id, commit)
                ground.check(not wrong, f"{id} comes back with {wrong}")


@proof(NEWEST)
def soak(ground: Ground) -> None:
    """Clients, kills, removals, corruption, edits and a daemon that is killed, all at once."""
    Soak(ground).play(SECONDS)
