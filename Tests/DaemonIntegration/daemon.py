"""A real daemon process on a cache, what it says, and whether that is the truth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterable

from caches import Cache
from ground import Ground, Run, short

PATIENCE = 90.0
"""Seconds that anything may take on any machine; nothing waits that long for what comes."""

Event = dict[str, Any]
Thing = tuple[str, str, str, str, str]
"""A finding: code, repo, revision, path, blob; empty where it has none. One content that several revisions link to is one
thing, said once, of one of them, and may outlive that one: it has no revision here."""


class Daemon:
    """`hfjanitor daemon`, whose JSON lines are read as they come. It outlives its process: `start` again after `kill`."""

    def __init__(
        self, ground: Ground, *caches: Path, policy: Path | None = None, uid: int | None = None,
        wrapper: Iterable[Any] = (), more: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.ground = ground
        self.uid = uid
        self.more = more
        words = [ground.program, "daemon"]
        words += ["--policy", policy] if policy is not None else []
        for cache in caches:
            words += ["--cache", cache]
        self.words = [*wrapper, *words]
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._other: list[str] = []
        self.start()

    def start(self) -> None:
        """Begins a process; its lines follow those of the last one."""
        self.began = self.mark
        self.process = self.ground.start(self.words, self.uid, self.more, stderr=subprocess.PIPE, text=True, errors="replace")
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[Any]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                with self._lock:
                    self._other.append(line.rstrip())
                continue
            with self._lock:
                self._events.append(event)

    # What it said.

    @property
    def mark(self) -> int:
        """A place to look from."""
        with self._lock:
            return len(self._events)

    def events(self, kind: str | None = None, since: int = 0, **fields: Any) -> list[Event]:
        with self._lock:
            events = self._events[since:]
        wanted = fields | ({"event": kind} if kind else {})
        return [event for event in events if all(event.get(name) == value for name, value in wanted.items())]

    @property
    def other_lines(self) -> list[str]:
        """What it said that is no event: a crash says so here."""
        with self._lock:
            return list(self._other)

    def told(self, since: int = 0) -> str:
        lines = [
            f"  {event.get('time', '')[11:23]} {event.get('event')} {event.get('code', '')} {event.get('message', '')}"
            for event in self.events(since=since)
        ]
        return "\n".join([*lines[-60:], *self.other_lines[-20:]])

    @property
    def standing(self) -> set[Thing]:
        """The findings that hold by what this process said."""
        held: set[Thing] = set()
        for event in self.events(since=self.began):
            if event["event"] == "finding":
                held.add(thing_of(event))
            elif event["event"] == "finding-cleared":
                held.discard(thing_of(event))
        return held

    def arrivals(self, since: int = 0) -> list[tuple[str, str]]:
        return [(event["repo"], event["revision"]) for event in self.events("arrived", since)]

    # Waiting.

    def until(self, is_so: Callable[[], Any], what: str, patience: float = PATIENCE) -> bool:
        """Waits until something is so; else that is a failure. A daemon that ended is one too."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if is_so():
                return True
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        ended = "" if self.process.poll() is None else f" (the daemon ended with {self.process.returncode})"
        return self.ground.check(is_so(), lambda: f"{what}: never{ended}\n{self.told()}")

    def await_event(self, kind: str, since: int = 0, **fields: Any) -> Event | None:
        self.until(lambda: self.events(kind, since, **fields), f"event {kind} {fields or ''}")
        found = self.events(kind, since, **fields)
        return found[0] if found else None

    def await_ready(self) -> None:
        self.await_event("daemon-ready", self.began)

    # Signals and the end.

    @property
    def pid(self) -> int:
        """The program itself, where it runs below a wrapper."""
        pid = self.process.pid
        while Path(f"/proc/{pid}/comm").read_text().strip() != self.ground.program.name[:15]:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if not children:
                raise RuntimeError("the daemon's process is not there")
            pid = int(children[0])
        return pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)

    def stop(self) -> None:
        """Ends it as a service manager does; how it ends is checked."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.ground.check(False, f"does not stop\n{self.told()}")
            self.kill()
        self._reader.join(10)
        self.ground.equal(self.process.returncode, 0, f"the daemon's exit status\n{self.told()}\n")

    # Its numbers.

    @property
    def rss(self) -> int:
        """Bytes of memory that it has now."""
        return self._status("VmRSS") * 1024

    @property
    def peak_rss(self) -> int:
        return self._status("VmHWM") * 1024

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise KeyError(name)

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def inotify_watches(self) -> int:
        count = 0
        folder = Path(f"/proc/{self.pid}/fdinfo")
        for name in os.listdir(folder):
            try:
                count += (folder / name).read_text().count("inotify wd:")
            except OSError:
                continue
        return count

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # What others see.

    @property
    def status(self) -> dict[str, Any]:
        """What it says of itself in its status file."""
        home = Path((self.more or {}).get("XDG_STATE_HOME") or self.ground.home(self.uid) / "state")
        try:
            found: dict[str, Any] = json.loads((home / "hfjanitor" / "daemon.json").read_text())
        except FileNotFoundError:
            return {"caches": [], "conditions": []}
        return found

    def conditions(self) -> set[str]:
        """The codes of what it says is not as it should be."""
        return {each["code"] for each in self.status["conditions"]}

    def watch(self, cache: Path) -> str:
        """How it says that it watches a cache. Asks nothing of the cache, which may hang."""
        words = [str(entry["watch"]) for entry in self.status["caches"] if entry["path"] == str(cache)]
        return words[0] if words else "?"

    # The truth.

    def tells_the_truth(self, *caches: Cache, when: str, patience: float = PATIENCE) -> bool:
        """Whether what it holds for wrong comes to be, and stays, what a one-shot check finds now."""
        end = time.monotonic() + patience
        wrong = "never looked"
        calm = 0
        while time.monotonic() < end and self.process.poll() is None:
            before = self.mark
            wrong = self.untruth(*caches)
            calm = calm + 1 if not wrong and self.mark == before else 0
            if calm == 2:
                return True
            time.sleep(0.7)
        return self.ground.check(False, f"{when}: the daemon and `verify` disagree: {wrong}\n{self.told()}")

    def untruth(self, *caches: Cache) -> str:
        """In what its findings and those of a one-shot check differ."""
        said = self.standing
        found: set[Thing] = set()
        for cache in caches:
            found |= verified(cache, self.more)
        texts = [f"it says {each}, which is not so" for each in sorted(said - found)[:10]]
        texts += [f"it does not say {each}" for each in sorted(found - said)[:10]]
        return "; ".join(texts)


def thing(code: str, repo: str = "", revision: str = "", path: str = "", blob: str = "") -> Thing:
    is_content = "blobs" in path.split("/")[:2]
    return code, repo, "" if is_content else revision, path, blob


def thing_of(event: Event) -> Thing:
    return thing(*(event.get(name, "") for name in ("code", "repo", "revision", "path", "blob")))


def verified(cache: Cache, more: dict[str, str] | None = None) -> set[Thing]:
    """What a one-shot check finds, errors and warnings."""
    run = cache.janitor("verify", "--json", "--depth", "headers", more=more)
    if run.status not in (0, 1, 66, 75, 77):
        cache.ground.check(False, f"a check ended badly: {run}")
        return set()
    found: set[Thing] = set()

    def add(findings: Iterable[dict[str, Any]], repo: str, revision: str) -> None:
        for finding in findings:
            if finding["severity"] != "info":
                found.add(thing(finding["code"], repo, revision, finding.get("path", ""), finding.get("blob", "")))

    if not run.output.strip():
        return found
    for entry in run.json["caches"]:
        add(entry["findings"], "", "")
        for repo in entry["repos"]:
            add(repo["findings"], repo["id"], "")
            for revision in repo["revisions"]:
                add(revision["findings"], repo["id"], revision["commit"] or "")
    return found
