"""What the daemon answers over its socket while several ask at once, with the commands that ask it."""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping

from cases import Bench, many
from daemon import RunningDaemon, clean_memory, percentile
from measuring import Failure
from results import Budget, Result

READERS = 4
PATHS = ("/api/models/list", "/api/status")


class Connection:
    """A connection that is kept, with as little of a client as possible: its own time counts too."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.rest = b""

    def ask(self, path: str) -> bytes:
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = self.rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.more()
        head = data[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            raise Failure(f"{path}: {head[:60]!r}")
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        parts, have = [data[end + 4 :]], len(data) - end - 4
        while have < length:
            parts.append(self.more())
            have += len(parts[-1])
        body = b"".join(parts)
        self.rest = body[length:]
        return body[:length]

    def more(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise Failure("the daemon closed the connection")
        return data


def read(path: Path, rounds: int, start: object, results: multiprocessing.SimpleQueue) -> None:
    """One reader: asks as fast as it is answered."""
    connection = Connection(path)
    took: dict[str, list[float]] = {name: [] for name in PATHS}
    start.wait()  # type: ignore[attr-defined]
    for _ in range(rounds):
        for name in PATHS:
            begun = time.perf_counter()
            connection.ask(name)
            took[name].append(time.perf_counter() - begun)
    results.put(took)


def benchmark_asking(bench: Bench) -> Result:
    root, repos = many(bench, 3000)
    rounds = 200 if bench.is_quick else 1000
    memory = clean_memory(bench, "asking")
    path = memory / "c"
    result = Result(
        "asking", f"GET over the socket of a daemon with {repos} repos, {READERS} readers at once as fast as they are answered"
    )
    bench.laboratory.environment["HFJANITOR_SOCKET"] = str(path)
    try:
        with RunningDaemon(bench, root, memory) as daemon:
            daemon.until_ready()
            daemon.until_quiet()
            alone = [measured(lambda: Connection(path).ask(PATHS[0])) for _ in range(50)]
            begun, used = time.monotonic(), daemon.processor_time()
            took = asked_by_readers(path, rounds)
            seconds, used = time.monotonic() - begun, daemon.processor_time() - used
            command = bench.laboratory.environment | {"XDG_STATE_HOME": str(memory)}
            status = [
                measured(lambda: subprocess.run([bench.program, "status", "--json"], env=command, check=True, capture_output=True))
                for _ in range(10)
            ]
            size = len(Connection(path).ask(PATHS[0]))
    finally:
        del bench.laboratory.environment["HFJANITOR_SOCKET"]
    for name in PATHS:
        p50, p99 = statistics.median(took[name]), percentile(took[name], 0.99)
        result.budgets.append(Budget(f"{name}: p99 at most 5 ms", p99 * 1000, 5.0, "ms"))
        result.notes.append(f"{name}: p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms of {len(took[name])}")
        result.values[name] = {"p50": p50, "p99": p99}
    result.budgets.append(Budget("'status', the whole command: at most 100 ms", statistics.median(status) * 1000, 100, "ms"))
    result.notes.append(
        f"one reader alone, a connection each: p50 {statistics.median(alone) * 1000:.2f} ms; the list is {size} bytes; "
        f"{sum(map(len, took.values())) / seconds:.0f} answers a second, {used / seconds * 100:.0f} % of a processor in the daemon"
    )
    return result


def measured(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def asked_by_readers(path: Path, rounds: int) -> dict[str, list[float]]:
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.SimpleQueue()
    readers = [context.Process(target=read, args=(path, rounds, start, results)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    time.sleep(0.5)
    start.set()
    took: dict[str, list[float]] = {name: [] for name in PATHS}
    for _ in readers:
        for name, values in results.get().items():
            took[name] += values
    for reader in readers:
        reader.join()
    return took


ASKING_BENCHMARKS: Mapping[str, Callable[[Bench], Result]] = {"asking": benchmark_asking}
