"""`repair` ends sound whatever was broken in a way that can be mended, and says why where it cannot."""

from __future__ import annotations

import os
from typing import Any

from caches import Cache
from catalogue import BOTH, NEWEST, proof
from ground import ORG, Ground

BEYOND_REPAIR = {
    "published-broken": "as it was published",
    "published-without-shard": "the Hub has no",
    "tensor-missing": "as it was published",
    "index-invalid": "as it was published",
    "index-unsafe": "out of its folder",
    "snapshot-emptied": "hfjanitor fetch",
    "not-a-file": "move it away",
}
"""Scenarios in which something stays wrong, and what has to be said of it."""

SUBSETS = {"one-shard"}
"""What was not asked for stays away; the client wants the whole revision."""

WITHOUT_A_TRACE = {"index-gone"}
"""What only a manifest misses."""


@proof(*BOTH)
def scenarios(ground: Ground) -> None:
    """Every scenario of Tests/Integration with an error: sound afterwards, by the client's word too."""
    os.environ["HFJANITOR_OLD_CLIENT"] = str(ground.other_client("v0.36"))
    from bench import DEPTHS, Bench
    from scenarios import SCENARIOS

    done = 0
    for name, (run, both) in SCENARIOS.items():
        if not (ground.is_newest or both):
            continue
        bench = Bench(name, "", ground.base / name, ground.servers)
        run(bench)
        ground.servers.faults.remove()
        if bench.finish is not None:
            bench.finish()
            continue
        described = bench.described("")
        if described["exit"][DEPTHS[-1]] != 1 or bench.target is not None:
            continue
        done += 1
        cache = Cache(ground, bench.cache)
        try:
            warnings = cache.scan()
        except (OSError, RuntimeError):  # one link can end the old client's whole scan
            warnings = None
        found = cache.janitor("verify", "--depth", "digests")
        ground.equal(found.status, 1, f"{name}: exit before: {found}")
        ground.servers.log.clear()
        repaired = cache.janitor("repair", "--json")
        actions = [action for one in repaired.json["caches"] for action in one["actions"]]
        if name in BEYOND_REPAIR:
            reasons = " ".join(action.get("reason", "") for action in actions)
            # Without a manifest only the Hub can say that it does not have it.
            expected = (1,) if ground.is_newest else (1, 66)
            ground.check(repaired.status in expected, f"{name}: exit: {repaired}")
            ground.check(BEYOND_REPAIR[name] in reasons, f"{name}: the reason is not said: {repaired}")
            continue
        ground.equal(repaired.status, 0, f"{name}: exit: {repaired}")
        if not any(action["outcome"] == "fetched" for action in actions):
            # Without a manifest only the Hub knows what belongs where.
            asked = [entry for entry in ground.servers.log.all() if ground.is_newest or "/tree/" not in entry["path"]]
            ground.check(not asked, f"{name}: nothing fetched, but asked {asked}")
        after = cache.janitor("verify", "--depth", "digests")
        ground.equal(after.status, 0, f"{name}: exit afterwards: {after} of {repaired}")
        if name not in SUBSETS and (ground.is_newest or name not in WITHOUT_A_TRACE):
            cache.judge(warnings, what=name)
    ground.check(done > 10, f"only {done} scenarios have errors")
