"""The benchmarks. Each makes what it needs, lets the program and its peers do the same work, and states the budget."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Callable, Mapping

import caches
from measuring import (
    Contender,
    Failure,
    Laboratory,
    Run,
    Series,
    drop_from_cache,
    load_into_cache,
    ratio,
    residency,
)
from results import Budget, Result

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Tests" / "HubStandIn"))
from hub_stand_in import Hub, Reply, Request, Servers, as_json, failure  # noqa: E402

MB, GIB = 10**6, 1 << 30


@dataclass
class Bench:
    """What the benchmarks share: the program, the peers, the folder, and how thorough to be."""

    program: Path
    client: Path
    """The newest `hf`."""
    folder: Path
    is_quick: bool
    is_large: bool

    @cached_property
    def laboratory(self) -> Laboratory:
        return Laboratory(self.folder / "work", self.folder / "home")

    def rounds(self, usual: int) -> int:
        return min(usual, 3) if self.is_quick else usual

    def cache(self, name: str, kind: str, *numbers: int, room: int) -> Path:
        """A generated cache, made when it is not there; `room` is what it takes on the disk."""
        root = self.folder / name
        free = shutil.disk_usage(self.folder).free
        if not root.exists() and free < room + GIB:
            raise Skipped(f"needs {room / 1e9:.0f} GB of disk and 1 GB to spare; {free / 1e9:.1f} GB are free")
        print(f"  making {name}", end="", file=sys.stderr, flush=True)
        maker = Path(caches.__file__)
        subprocess.run([sys.executable, maker, kind, root, *map(str, numbers)], check=True)
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
        return root

    # What takes part.

    def verify(self, root: Path, depth: str, *options: str, label: str = "", work: int | None = None) -> Contender:
        """`hfjanitor verify` of a cache in which nothing is wrong."""
        command = [self.program, "verify", "--depth", depth, *options, "--cache", root, "--json"]
        shown = label or " ".join(["hfjanitor verify --depth", depth, *options])
        return Contender(shown, command, check=must_be_sound, work=work)

    def list(self, root: Path, repos: int) -> Contender:
        def check(run: Run) -> None:
            [cache] = json.loads(run.output)["caches"]
            states = [repo["state"] for repo in cache["repos"]]
            if states != ["complete"] * repos:
                raise Failure(f"hfjanitor ls: {len(states)} repos, {states.count('complete')} of them complete")

        return Contender("hfjanitor ls --json", [self.program, "ls", "--json", "--cache", root], check=check)

    def client_list(self, root: Path, repos: int) -> Contender:
        def check(run: Run) -> None:
            if not re.search(rf"\b{repos} repo\(s\)", (run.output + run.errors).decode(errors="replace")):
                raise Failure(f"hf cache ls: not {repos} repos")

        return Contender("hf cache ls", [self.client, "cache", "ls", "--cache-dir", root], check=check)


class Skipped(Exception):
    """Why a benchmark was not run."""


def must_be_sound(run: Run) -> None:
    summary = json.loads(run.output)["summary"]
    if summary["complete"] != summary["revisions"] or summary["revisions"] == 0:
        raise Failure(f"hfjanitor verify: {summary}")


def hashed(run: Run) -> int:
    count: int = json.loads(run.output)["summary"]["bytes_hashed"]
    return count


# Many repos.


def many(bench: Bench, repos: int = 3000) -> tuple[Path, int]:
    repos = min(repos, 300) if bench.is_quick else repos
    return bench.cache(f"many-{repos}", "many", repos, room=repos * 80_000), repos


def benchmark_ls(bench: Bench) -> Result:
    root, repos = many(bench)
    du = Contender("du -s", ["du", "-s", root])
    ours, theirs, floor = bench.laboratory.contest(
        bench.rounds(7), bench.list(root, repos), bench.client_list(root, repos), du
    )
    return Result(
        "ls",
        f"inventory of {repos} repos, {repos * caches.ENTRIES_PER_REPO} entries, in memory",
        [ours, floor, theirs],
        [
            Budget("at most 1.0 x du -s", ratio(ours, floor), 1.0),
            Budget("at most 60 MB resident", ours.peak_rss, 60 * MB, "bytes"),
        ],
        [
            f"hf cache ls takes {ratio(theirs, floor):.1f} x du -s, {ratio(theirs, ours):.1f} x hfjanitor",
            f"hfjanitor works on all processors: {ours.cpu / floor.cpu:.2f} x the processor time of du -s",
        ],
    )


def benchmark_million(bench: Bench) -> Result:
    if not bench.is_large:
        raise Skipped("takes long to make, and 1.4 GB of disk: ask for it with --large")
    few, many_ = 3_333, 16_667
    small, large = (bench.cache(f"many-{n}", "many", n, room=n * 80_000) for n in (few, many_))
    laboratory = bench.laboratory
    part, whole = (bench.list(root, n) for root, n in ((small, few), (large, many_)))
    part_runs, whole_runs, floor = laboratory.contest(
        bench.rounds(3),
        replace(part, label="hfjanitor ls --json, 200,000 entries"),
        replace(whole, label="hfjanitor ls --json, 1,000,000 entries"),
        Contender("du -s, 1,000,000 entries", ["du", "-s", large]),
    )
    growth = ratio(whole_runs, part_runs) / (many_ / few)
    return Result(
        "million",
        "inventory of a million entries",
        [part_runs, whole_runs, floor],
        [
            Budget("time per entry, against a fifth of the entries, at most 1.25 x", growth, 1.25),
            Budget("at most 250 MB resident", whole_runs.peak_rss, 250 * MB, "bytes"),
        ],
        [f"{ratio(whole_runs, floor):.2f} x du -s"],
    )


def benchmark_structure(bench: Bench) -> Result:
    root, repos = many(bench)
    structure, headers, du = bench.laboratory.contest(
        bench.rounds(7),
        bench.verify(root, "structure"),
        bench.verify(root, "headers"),
        Contender("du -s", ["du", "-s", root]),
    )
    notes = [f"structure {ratio(structure, du):.2f} x du -s, headers {ratio(headers, du):.2f} x"]
    return Result("structure", f"links, sizes, indexes of {repos} repos", [structure, headers, du], notes=notes)


def benchmark_headers(bench: Bench) -> Result:
    shards, tensors = 163, 92_000
    root = bench.cache("sharded", "sharded", shards, tensors, room=30 * MB)
    [headers] = bench.laboratory.contest(bench.rounds(11), bench.verify(root, "headers"))
    return Result(
        "headers",
        f"headers of one model of {shards} shards and {tensors} tensors against its index",
        [headers],
        [Budget("at most 150 ms", headers.wall, 0.150, "seconds")],
    )


def benchmark_plan(bench: Bench) -> Result:
    count = 10_000 if bench.is_quick else 100_000
    command = [os.environ.get("SWIFT", "swift"), "build", "-c", "release", "--static-swift-stdlib"]
    command += ["--product", "PlanningBenchmark"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    shown = subprocess.run([*command, "--show-bin-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    program = Path(shown.stdout.strip()) / "PlanningBenchmark"
    times: list[float] = []

    def check(run: Run) -> None:
        told = json.loads(run.output)
        if told["revisions"] != count or not told["actions"] or not told["kept"]:
            raise Failure(f"PlanningBenchmark: {told}")
        times.append(told["median"])

    whole = Contender("facts and 7 plans", [program, str(count)], check=check)
    series = bench.laboratory.contest(bench.rounds(5), whole)
    result = Result("plan", f"a plan for {count} revisions with {3 * count} contents, in memory", series)
    result.values["seconds"] = times
    result.budgets.append(Budget("one plan at most 200 ms", statistics.median(times), 0.2, "seconds"))
    return result


def removing_policy(bench: Bench, root: Path) -> Path:
    """A policy that takes everything: under any cap, of any age, and asking nobody."""
    path = bench.folder / "work" / "removing.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "mode: enforce\ncaches:\n"
        f"  - {{path: {json.dumps(str(root))}, max-size: 1MB, min-age: 0s, recent-use: 0s, irreplaceable: evict, "
        "allow-empty: true}\n"
    )
    return path


def benchmark_planned(bench: Bench) -> Result:
    root, repos = many(bench)

    def check(run: Run) -> None:
        [cache] = json.loads(run.output)["caches"]
        if len(cache["actions"]) < repos * 9 // 10:
            raise Failure(f"hfjanitor plan: {len(cache['actions'])} actions for {repos} repos")

    command = [bench.program, "plan", "--json", "--policy", removing_policy(bench, root)]
    du = Contender("du -s", ["du", "-s", root])
    ours, floor = bench.laboratory.contest(bench.rounds(5), Contender("hfjanitor plan --json", command, check=check), du)
    told = f"every file of it asked for whether it is in use; {ratio(ours, floor):.1f} x du -s"
    return Result("planned", f"a plan that takes all of {repos} repos", [ours, floor], [], [told])


def benchmark_removal(bench: Bench) -> Result:
    source, repos = many(bench, 300)
    copy = bench.folder / "work" / "removed"

    def prepare() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["cp", "-a", source, copy], check=True)
        subprocess.run(["sync", "-f", copy], check=True)

    def check(run: Run) -> None:
        if any(copy.glob("models--*/snapshots/*")):
            raise Failure("something was left")

    command = [bench.program, "enforce", "--policy", removing_policy(bench, copy)]
    ours, theirs = bench.laboratory.contest(
        bench.rounds(5),
        # 75: folders and lock files stay, and are more than the cap.
        Contender("hfjanitor enforce", command, check=check, prepare=prepare, accept=(0, 75)),
        Contender("rm -rf", ["rm", "-rf", copy], check=check, prepare=prepare),
    )
    shutil.rmtree(copy, ignore_errors=True)
    waits = -(-repos // 64)
    return Result(
        "removal",
        f"all of {repos} repos, {repos * caches.ENTRIES_PER_REPO} entries, removed; 64 repos at a time settle for a second",
        [ours, theirs],
        [],
        [
            f"{ratio(ours, theirs):.0f} x rm -rf, of which {waits} s are waiting for clients; "
            f"{repos * caches.ENTRIES_PER_REPO / ours.wall:.0f} entries a second"
        ],
    )


# Much data.


class ListedHub(Hub):
    """A Hub that knows of one repo what its manifest says, and nothing else: enough for `hf cache verify`."""

    def __init__(self, manifest: Path) -> None:
        super().__init__()
        self.entries = [
            {"type": "file", "path": path, "size": file["size"], "oid": file["blob_id"]}
            | (
                {"lfs": {"oid": file["lfs_sha256"], "size": file["size"], "pointerSize": 134}}
                if "lfs_sha256" in file
                else {}
            )
            for path, file in json.loads(manifest.read_text())["files"].items()
        ]

    def answer(self, request: Request) -> Reply:
        if "/tree/" in request.path:
            return as_json(self.entries)
        return failure(404, "EntryNotFound", "only trees are served here")


@dataclass
class Weights:
    """The model of much data, and who verifies it."""

    bench: Bench
    root: Path
    blobs: list[Path]

    @classmethod
    def make(cls, bench: Bench) -> Weights:
        count, size = 4, (1 << 28 if bench.is_quick else GIB)
        root = bench.cache(f"large-{size >> 20}", "large", count, size, room=count * size)
        blobs = sorted((path for path in root.glob("models--*/blobs/*") if path.stat().st_size == size))
        if len(blobs) != count:
            raise Failure(f"{root} has {len(blobs)} large blobs in place of {count}")
        return cls(bench, root, blobs)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.blobs)

    @property
    def about(self) -> str:
        return f"{len(self.blobs)} files of {self.blobs[0].stat().st_size >> 20} MiB"

    def serving(self) -> Servers:
        [manifest] = self.root.glob("models--*/trees/*.json")
        return Servers(ListedHub(manifest))

    def ours(self) -> Contender:
        verify = self.bench.verify(self.root, "digests", "--fresh", work=self.bytes)

        def check(run: Run) -> None:
            must_be_sound(run)
            if hashed(run) < self.bytes:
                raise Failure(f"hfjanitor verify --depth digests hashed {hashed(run)} of {self.bytes} bytes")

        return replace(verify, check=check)

    def client(self, servers: Servers) -> Contender:
        def check(run: Run) -> None:
            checked = json.loads(run.output)["checked"]
            if checked != len(self.blobs) + 2:
                raise Failure(f"hf cache verify: {checked} files checked")

        command = [self.bench.client, "cache", "verify", caches.MODEL, "--cache-dir", self.root, "--json"]
        endpoint = {"HF_ENDPOINT": servers.url}
        return Contender("hf cache verify", command, check=check, environment=endpoint, work=self.bytes)

    def openssl(self) -> list[Contender]:
        if shutil.which("openssl") is None:
            return []
        names = [path.name for path in self.blobs]

        def check(run: Run) -> None:
            if not all(name.encode() in run.output for name in names):
                raise Failure("openssl dgst: other digests than the files' names")

        both = 'openssl dgst -sha256 "$1" "$2" & openssl dgst -sha256 "$3" "$4"; wait'
        return [
            Contender("openssl dgst -sha256", ["openssl", "dgst", "-sha256", *self.blobs], check, work=self.bytes),
            Contender("openssl dgst, two at once", ["sh", "-c", both, "sh", *self.blobs], check, work=self.bytes),
        ]

    def contest(self, rounds: int, prepare: Callable[[], None]) -> list[Series]:
        with self.serving() as servers:
            contenders = [self.ours(), self.client(servers), *self.openssl()]
            return self.bench.laboratory.contest(
                rounds, *(replace(contender, prepare=prepare) for contender in contenders)
            )

    def into_memory(self) -> None:
        """Several times if need be: others may use the memory, or empty the cache."""
        for _ in range(5):
            for path in self.blobs:
                if residency(path) < 1:
                    load_into_cache(path)
            if all(residency(path) > 0.99 for path in self.blobs):
                return
        raise Skipped(f"{self.bytes / 1e9:.1f} GB of files do not stay in memory here")

    def out_of_memory(self) -> None:
        for path in self.blobs:
            drop_from_cache(path)
        if any(residency(path) > 0.01 for path in self.blobs):
            raise Skipped("the file system does not let go of cached pages, so there is no cold read to measure")


def compared(series: list[Series]) -> tuple[float, list[str]]:
    """How many times as fast as the client, and as everybody."""
    ours, *others = series
    notes = [f"{ratio(other, ours):.2f} x as fast as {other.label}" for other in others]
    busy = statistics.median(run.cpu / run.wall for run in ours.runs)
    notes.append(f"{ours.label} kept {busy:.2f} processors busy")
    return ratio(others[0], ours), notes


def benchmark_digests(bench: Bench) -> Result:
    weights = Weights.make(bench)
    series = weights.contest(bench.rounds(5), weights.into_memory)
    speedup, notes = compared(series)
    if strays := sum(run.disk_read > weights.bytes // 100 for one in series for run in one.runs):
        notes.append(f"{strays} runs read from the disk nevertheless: somebody empties the page cache")
    return Result(
        "digests",
        f"content of {weights.about} against its digests, in memory",
        series,
        [
            Budget("at least 2 x hf cache verify (plain)", speedup, 2.0, at_least=True),
            Budget("at least 4 x hf cache verify (interleaved)", speedup, 4.0, at_least=True),
        ],
        notes,
    )


def benchmark_digests_cold(bench: Bench) -> Result:
    weights = Weights.make(bench)
    series = weights.contest(bench.rounds(3), weights.out_of_memory)
    _, notes = compared(series)
    return Result("digests-cold", f"content of {weights.about} against its digests, from disk", series, notes=notes)


def benchmark_again(bench: Bench) -> Result:
    result = Result("again", "digests once more, nothing changed")
    large, (small, _) = Weights.make(bench).root, many(bench)
    states = bench.folder / "states"
    shutil.rmtree(states, ignore_errors=True)
    for about, root, memory in (
        ("much data", large, "large"),
        ("many repos", small, "many"),
        ("much data, many repos remembered", large, "many"),
    ):
        state = states / memory
        state.mkdir(parents=True, exist_ok=True)
        digests, structure, headers = (
            replace(
                bench.verify(root, depth, label=f"--depth {depth}, {about}"),
                environment={"XDG_STATE_HOME": str(state)},
            )
            for depth in ("digests", "structure", "headers")
        )
        first = bench.laboratory.run(digests)
        if hashed(first) == 0:
            raise Failure("the first check hashed nothing")
        series = bench.laboratory.contest(bench.rounds(7), digests, structure, headers)
        again, floor, middle = series
        most = max(hashed(run) for run in again.runs)
        read = {one.label.split(",")[0]: max(run.read or 0 for run in one.runs) for one in series}
        result.series += series
        result.values[about] = {"bytes_hashed_first": hashed(first), "bytes_hashed": most, "bytes_read": read}
        result.budgets += [
            Budget(f"{about}: no content hashed again", most, 0, "bytes"),
            Budget(f"{about}: at most 2 x the structure depth", ratio(again, floor), 2.0),
        ]
        shown = ", ".join(f"{count / 1e6:.1f} MB at {label}" for label, count in read.items())
        result.notes.append(f"{about}: {ratio(again, middle):.2f} x --depth headers; all read calls: {shown}")
    return result


def benchmark_residency(bench: Bench) -> Result:
    weights = Weights.make(bench)
    half = len(weights.blobs) // 2
    warm, cold = weights.blobs[:half], weights.blobs[half:]
    result = Result("residency", "share of files in memory after their digests were checked")

    def arrange() -> None:
        weights.out_of_memory()
        for path in warm:
            load_into_cache(path)

    def shares(paths: list[Path]) -> float:
        return statistics.mean(residency(path) for path in paths)

    with weights.serving() as servers:
        for contender in (weights.ours(), weights.client(servers)):
            arrange()
            before = shares(warm), shares(cold)
            run = bench.laboratory.run(contender)
            after = shares(warm), shares(cold)
            result.series.append(Series(contender, [run]))
            result.values[contender.label] = {"before": before, "after": after}
            result.notes.append(
                f"{contender.label}: a file in memory {before[0]:.0%} -> {after[0]:.0%}, "
                f"one that is not {before[1]:.0%} -> {after[1]:.0%}"
            )
            if contender.label.startswith("hfjanitor"):
                changed = max(abs(after[0] - before[0]), abs(after[1] - before[1])) * 100
                result.budgets.append(Budget("residency unchanged, within 1 %", changed, 1.0, "% of the pages"))
    return result


# The program itself.


def benchmark_startup(bench: Bench) -> Result:
    ours, theirs, nothing = bench.laboratory.contest(
        bench.rounds(15),
        Contender("hfjanitor --version", [bench.program, "--version"]),
        Contender("hf version", [bench.client, "version"]),
        Contender("true", ["true"]),
    )
    notes = [f"hf version takes {ratio(theirs, ours):.0f} x as long"]
    budgets = [Budget("at most 15 ms", ours.wall, 0.015, "seconds")]
    return Result("startup", "a process that does nothing", [ours, theirs, nothing], budgets, notes)


def benchmark_size(bench: Bench) -> Result:
    result = Result("size", "the program on the disk")
    result.values["bytes"] = bench.program.stat().st_size
    stripped = bench.folder / "work" / "stripped"
    strip = next((tool for tool in ("strip", "llvm-strip") if shutil.which(tool)), None)
    if strip is None:
        raise Skipped("neither strip nor llvm-strip is here")
    stripped.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([strip, "-o", stripped, bench.program], check=True)
    result.values["stripped_bytes"] = stripped.stat().st_size
    libraries = shared_libraries(bench.program)
    result.values["libraries"] = libraries
    swift = sum(size for path, size in libraries.items() if "swift" in path or "Foundation" in path)
    result.notes.append(
        f"{stripped.stat().st_size / 1e6:.1f} MB stripped, {bench.program.stat().st_size / 1e6:.1f} MB with symbols; "
        + (f"besides {swift / 1e6:.0f} MB of Swift libraries it loads" if swift else "no Swift libraries besides")
    )
    return result


def shared_libraries(program: Path) -> dict[str, int]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    paths: list[str] = re.findall(r"=> (/\S+)", listed)
    return {path: os.stat(path).st_size for path in paths}


BENCHMARKS: Mapping[str, Callable[[Bench], Result]] = {
    "size": benchmark_size,
    "startup": benchmark_startup,
    "ls": benchmark_ls,
    "structure": benchmark_structure,
    "headers": benchmark_headers,
    "plan": benchmark_plan,
    "planned": benchmark_planned,
    "removal": benchmark_removal,
    "digests": benchmark_digests,
    "digests-cold": benchmark_digests_cold,
    "again": benchmark_again,
    "residency": benchmark_residency,
    "million": benchmark_million,
}
