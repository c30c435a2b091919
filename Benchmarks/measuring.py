"""Runs commands side by side and compares what they cost."""

from __future__ import annotations

import ast
import ctypes
import mmap
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Sequence

LAUNCHER = Path(__file__).parent / "launch.py"


class Failure(Exception):
    """A benchmark cannot be run, or what it ran did something else than it should."""


@dataclass(frozen=True)
class Run:
    """One run of a command. `read` counts the bytes of its read calls, from cache or disk; None where unknown."""

    wall: float
    cpu: float
    peak_rss: int
    disk_read: int
    read: int | None
    status: int
    output: bytes = field(repr=False)
    errors: bytes = field(repr=False)


@dataclass(frozen=True)
class Contender:
    """A command that takes part. `check` raises `Failure` when the run did not do the work."""

    label: str
    command: Sequence[str | Path]
    check: Callable[[Run], None] = lambda run: None
    accept: tuple[int, ...] = (0,)
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    """Done before every run, not measured."""
    work: int | None = None
    """Bytes the command goes through, for the rate."""


@dataclass(frozen=True)
class Series:
    """All runs of one contender, without the warm-up."""

    contender: Contender
    runs: list[Run]

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak_rss(self) -> int:
        return max(run.peak_rss for run in self.runs)

    @property
    def rate(self) -> float | None:
        return None if self.contender.work is None else self.contender.work / self.wall


class Laboratory:
    """Where commands run: an environment with nothing of the user's in it, and a folder for results."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        home.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        }

    def run(self, contender: Contender) -> Run:
        """One run, checked."""
        contender.prepare()
        command = [str(word) for word in contender.command]
        result, output, errors = (self.folder / name for name in ("cost", "output", "errors"))
        result.unlink(missing_ok=True)
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            launcher = subprocess.run(
                [sys.executable, "-I", "-S", LAUNCHER, result, *command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self.environment | dict(contender.environment),
            )
        shown = f"{contender.label}: {' '.join(command)}"
        if launcher.returncode != 0:
            raise Failure(f"{shown}: cannot be started\n{errors.read_text(errors='replace')}")
        run = Run(**ast.literal_eval(result.read_text()), output=output.read_bytes(), errors=errors.read_bytes())
        if run.status not in contender.accept:
            said = (run.errors or run.output).decode(errors="replace")[-2000:]
            raise Failure(f"{shown}: exit status {run.status}\n{said}")
        contender.check(run)
        return run

    def contest(self, rounds: int, *contenders: Contender) -> list[Series]:
        """Each once to warm up, then all in turn, as often as `rounds` says."""
        for contender in contenders:
            self.run(contender)
        runs: list[list[Run]] = [[] for _ in contenders]
        for number in range(rounds):
            print(f"\r  round {number + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
            for contender, kept in zip(contenders, runs):
                kept.append(self.run(contender))
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
        return [Series(contender, kept) for contender, kept in zip(contenders, runs)]


def ratio(one: Series, other: Series) -> float:
    """How many times as long the one takes: the median over the rounds, since neighbours in time share their noise."""
    return statistics.median(a.wall / b.wall for a, b in zip(one.runs, other.runs))


# The page cache.


def drop_from_cache(path: Path) -> None:
    """Asks the kernel to forget a file's pages; works on files that nobody has mapped, without being root."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load_into_cache(path: Path) -> None:
    """Reads a file twice: pages read once are the first to go."""
    for _ in range(2):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def residency(path: Path) -> float:
    """The share of a file's pages that are in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = path.stat().st_size
    with path.open("rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise Failure(f"cannot map {path}: {os.strerror(ctypes.get_errno())}")
    try:
        pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        if libc.mincore(address, size, pages) != 0:
            raise Failure(f"mincore of {path}: {os.strerror(ctypes.get_errno())}")
        return sum(byte & 1 for byte in pages.raw[: -(-size // mmap.PAGESIZE)]) / -(-size // mmap.PAGESIZE)
    finally:
        libc.munmap(address, size)
