"""The daemon's benchmarks: how soon it tells, what it costs while nothing happens, how it starts."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Iterable, Mapping

import caches
from cases import MB, Bench, many
from measuring import Failure
from results import Budget, Result

SETTLE = 1.0
"""Seconds of quiet before a repo is judged: by product, not by cost."""


class RunningDaemon:
    """A daemon that observes one cache, and when each of its events came."""

    def __init__(self, bench: Bench, root: Path, memory: Path) -> None:
        memory.mkdir(parents=True, exist_ok=True)
        command = [bench.program, "daemon", "--cache", root]
        environment = bench.laboratory.environment | {"XDG_STATE_HOME": str(memory), "HF_HUB_OFFLINE": "1"}
        self.events: list[tuple[float, dict[str, object]]] = []
        self.changed = threading.Condition()
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def __enter__(self) -> RunningDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            now = time.monotonic()
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self.changed:
                self.events.append((now, event))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait(self, what: str, limit: float, is_it: Callable[[dict[str, object]], bool], start: int = 0) -> float:
        """When the first such event came, from the event with the number `start` on."""
        end = time.monotonic() + limit
        with self.changed:
            while True:
                for moment, event in self.events[start:]:
                    if is_it(event):
                        return moment
                rest = end - time.monotonic()
                if rest <= 0 or self.process.poll() is not None:
                    said = "\n".join(json.dumps(event) for _, event in self.events[-5:])
                    raise Failure(f"the daemon never told: {what}\n{said}")
                self.changed.wait(min(rest, 1))

    def until_ready(self) -> float:
        """Seconds from its start to READY."""
        return self.wait("ready", 300, lambda event: event.get("event") == "daemon-ready") - self.begun

    def resident(self) -> int:
        return self.status("VmRSS") * 1024

    def peak(self) -> int:
        return self.status("VmHWM") * 1024

    def status(self, field: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise Failure(f"the kernel does not tell {field}")

    def switches(self) -> int:
        """How often any of its threads went to sleep."""
        count = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    count += int(line.split()[1])
        return count

    def processor_time(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def until_quiet(self, limit: float = 120) -> None:
        """Until it has used no processor time for three seconds."""
        end, quiet = time.monotonic() + limit, 0
        last = self.processor_time()
        while quiet < 3:
            if time.monotonic() > end:
                raise Failure("the daemon does not come to rest")
            time.sleep(1)
            now = self.processor_time()
            quiet = quiet + 1 if now - last <= 0.01 else 0
            last = now


def percentile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def clean_memory(bench: Bench, name: str) -> Path:
    folder = bench.folder / "states" / name
    subprocess.run(["rm", "-rf", folder], check=True)
    return folder


def benchmark_latency(bench: Bench) -> Result:
    """Links are broken in one repo after another, and mended again."""
    root, repos = many(bench, 3000)
    rounds = 60 if bench.is_quick else 300
    latencies: list[float] = []
    chosen = random.Random(20).sample(sorted(root.glob("models--*")), rounds)
    with RunningDaemon(bench, root, clean_memory(bench, "latency")) as daemon:
        daemon.until_ready()
        daemon.until_quiet()
        mark = len(daemon.events)
        broken: list[tuple[Path, Path, float]] = []
        try:
            for repo in chosen:
                blob = max(repo.glob("blobs/*"), key=lambda path: path.stat().st_size)
                aside = bench.folder / "work" / f"{repo.name}-{blob.name}"
                os.rename(blob, aside)
                broken.append((blob, aside, time.monotonic()))
                time.sleep(0.1)
            for blob, _, moment in broken:
                name = blob.parent.parent.name.removeprefix("models--").replace("--", "/")
                told = daemon.wait(
                    f"{name} is broken",
                    60,
                    lambda event, name=name: event.get("event") == "finding" and str(event.get("repo", "")).endswith("/" + name),
                    mark,
                )
                latencies.append(told - moment - SETTLE)
        finally:
            for blob, aside, _ in broken:
                os.rename(aside, blob)
    p50, p99 = statistics.median(latencies), percentile(latencies, 0.99)
    return Result(
        "latency",
        f"a broken link in one of {repos} repos to the line on standard error, after the second of quiet; {rounds} times",
        budgets=[Budget("p99 at most 1 s", p99, 1.0, "seconds")],
        notes=[f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {max(latencies) * 1000:.0f} ms"],
        values={"p50": p50, "p99": p99, "all": latencies},
    )


def benchmark_idle(bench: Bench) -> Result:
    root, repos = many(bench, 3000)
    seconds = 20 if bench.is_quick else 60
    with RunningDaemon(bench, root, clean_memory(bench, "idle")) as daemon:
        daemon.until_ready()
        daemon.until_quiet()
        switches, used = daemon.switches(), daemon.processor_time()
        time.sleep(seconds)
        switches, used = daemon.switches() - switches, daemon.processor_time() - used
        resident = daemon.resident()
    share = used / seconds
    return Result(
        "idle",
        f"a daemon that watches {repos} repos in which nothing happens, for {seconds} s",
        budgets=[
            Budget("at most 60 MB resident", resident, 60 * MB, "bytes"),
            Budget("at most 0.1 % of a processor", share * 100, 0.1, "%"),
        ],
        notes=[f"{switches * 60 / seconds:.0f} wake-ups a minute of all threads; {used * 1000:.0f} ms of processor time"],
        values={"wakeups_per_minute": switches * 60 / seconds, "processor_seconds": used},
    )


def benchmark_start(bench: Bench) -> Result:
    """Without a ledger and with one, beside a walk over the same tree."""
    result = Result("start", "from the start of the daemon to READY: inventory done, watches armed")
    for wanted in (3000, 10_000):
        if wanted > 3000 and bench.is_quick:
            continue
        root, repos = many(bench, wanted) if wanted == 3000 else (
            bench.cache(f"many-{wanted}", "many", wanted, room=wanted * 80_000),
            wanted,
        )
        memory = clean_memory(bench, "start")
        for which in ("first", "second"):
            with RunningDaemon(bench, root, memory) as daemon:
                seconds = daemon.until_ready()
                daemon.until_quiet(300)
                resident, peak = daemon.resident(), daemon.peak()
            result.notes.append(
                f"{repos} repos, {repos * caches.ENTRIES_PER_REPO} entries, {which} start: READY after {seconds:.2f} s; "
                f"{resident / 1e6:.0f} MB resident at rest, {peak / 1e6:.0f} MB at most"
            )
            result.values[f"{repos} {which}"] = {"ready": seconds, "resident": resident, "peak": peak}
            if repos == 3000:
                result.budgets.append(
                    Budget(f"{which} start, {repos} repos: at most 60 MB resident", resident, 60 * MB, "bytes")
                )
    return result


DAEMON_BENCHMARKS: Mapping[str, Callable[[Bench], Result]] = {
    "start": benchmark_start,
    "idle": benchmark_idle,
    "latency": benchmark_latency,
}
