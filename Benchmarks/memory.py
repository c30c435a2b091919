"""What each command takes on the cache with many repos: time, and the most memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cases import MB, Bench, many, removing_policy
from measuring import Contender
from results import Budget, Result


def benchmark_commands(bench: Bench) -> Result:
    root, repos = many(bench)
    name = min(folder.name for folder in root.iterdir() if folder.name.startswith("models--"))
    target = name.removeprefix("models--").replace("--", "/")
    cache = ["--cache", root]
    policy = ["--policy", removing_policy(bench, root)]
    commands: list[list[object]] = [
        ["--version"],
        ["status", *cache],
        ["ls", "--all", *cache],
        ["verify", "--depth", "structure", *cache],
        ["verify", "--depth", "headers", *cache],
        ["ready", target, *cache],
        ["plan", *policy],
        ["explain", target, *policy],
        ["repair", "--dry-run", *cache],
        ["rm", target, "--dry-run", *cache],
        ["hold", target, "--for", "1h", *cache],
        ["release", target, *cache],
        ["doctor", *cache],
        ["policy", "check", *policy],
        ["policy", "show", *policy],
    ]
    series = bench.laboratory.contest(
        bench.rounds(3),
        *(
            # 1: what is wrong with this machine, or with the cache, is not what is measured.
            Contender(" ".join(str(word) for word in words if word not in (*cache, *policy)), [bench.program, *words],
                      accept=(0, 1))
            for words in commands
        ),
    )
    most = max(series, key=lambda one: one.peak_rss)
    return Result(
        "commands",
        f"every command on a cache of {repos} repos",
        series,
        [Budget("at most 100 MB resident", most.peak_rss, 100 * MB, "bytes")],
    )


MEMORY_BENCHMARKS: Mapping[str, Callable[[Bench], Result]] = {"commands": benchmark_commands}
