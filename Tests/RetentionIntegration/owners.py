"""Root at work on another user's cache: nothing of root's is left in it, and nothing of a third user's is touched."""

from __future__ import annotations

import os
import time

from caches import Cache, differences
from catalogue import BOTH, proof
from ground import ORG, OWNER, Ground

THIRD = OWNER + 1


def foreign(cache: Cache) -> list[str]:
    """Everything in the cache that is not its owner's."""
    return [path for path, text in cache.tree().items() if text.split()[1] != str(OWNER)]


@proof(*BOTH)
def root_on_anothers_cache(ground: Ground) -> None:
    """rm, hold, release, plan, explain, enforce by root: everything in the cache stays its owner's."""
    ground.needs_root("another user's cache")
    cache = Cache(ground, ground.place() / "hub", OWNER)
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}") for number in range(6)}
    before = cache.scan()
    ground.equal(foreign(cache), [], "not the owner's before anything")
    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s, max-size: 1MB, irreplaceable: evict}}\n"
    policy = ground.policy(text)
    for status, words in (
        (0, ["plan", "--policy", policy]), (0, ["explain", f"{ORG}/m0", "--policy", policy]),
        (0, ["hold", f"{ORG}/m5", "--cache", cache.path]), (0, ["rm", f"{ORG}/m0", "--yes", "--cache", cache.path]),
        (75, ["rm", f"{ORG}/m5", "--yes", "--cache", cache.path]),
    ):  # fmt: skip
        run = ground.janitor(*words)
        ground.equal(run.status, status, f"exit of {run}")
        ground.equal(foreign(cache), [], f"not the owner's after {run}")
    ground.check(not cache.has(f"{ORG}/m0", models[f"{ORG}/m0"]), "rm by root left it")
    done = ground.janitor("enforce", "--policy", policy)
    ground.check(done.status in (0, 75), f"exit of {done}")
    ground.equal(foreign(cache), [], f"not the owner's after {done}")
    left = [id for id, commit in models.items() if cache.has(id, commit)]
    ground.equal(left, [f"{ORG}/m5"], f"left is what is held: {done}")
    run = ground.janitor("release", f"{ORG}/m5", "--cache", cache.path)
    ground.equal(run.status, 0, f"exit of {run}")
    ground.equal(foreign(cache), [], f"not the owner's after {run}")
    cache.judge(before, [(f"{ORG}/m0", models[f"{ORG}/m0"])])


@proof()
def root_killed_on_anothers_cache(ground: Ground) -> None:
    """Root's run killed midway: nothing of root's is left, and the owner's next run cleans up."""
    ground.needs_root("another user's cache")
    cache = Cache(ground, ground.place() / "hub", OWNER)
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}") for number in range(4)}
    for (id, _), moment in zip(models.items(), (0.1, 0.4, 0.8, 1.2)):
        process = ground.start([ground.program, "rm", id, "--yes", "--cache", cache.path])
        time.sleep(moment)
        os.killpg(process.pid, 9)
        process.wait()
        ground.equal(foreign(cache), [], f"not the owner's after {moment} s of rm")
    for id, commit in models.items():
        run = cache.janitor("rm", id, "--yes")
        ground.check(run.status in (0, 66), f"exit of {run}")
        ground.check(not cache.has(id, commit), f"{id} is still there: {run}")
    ground.equal(cache.leftovers(), [], "left in .hfjanitor")
    cache.judge(gone=[(f"{ORG}/m0", models[f"{ORG}/m0"])])


@proof()
def entries_of_a_third(ground: Ground) -> None:
    """Files of a third uid in the cache: left alone, 77; and an ordinary user on another's cache: 77, nothing changes."""
    ground.needs_root("caches of several users")
    cache = Cache(ground, ground.place() / "hub", OWNER)
    mine, theirs = cache.model(f"{ORG}/mine"), cache.model(f"{ORG}/theirs")
    for folder, folders, files in os.walk(cache.folder(f"{ORG}/theirs")):
        for name in [".", *folders, *files]:
            os.lchown(os.path.join(folder, name), THIRD, THIRD)
    before = cache.tree()
    run = ground.janitor("rm", f"{ORG}/theirs", "--yes", "--cache", cache.path)
    ground.equal(run.status, 77, f"exit of {run}")
    went, came, changed = differences(before, cache.tree())
    ground.check(not went and not changed, f"of a third user's: gone {went}, changed {changed}")
    before = cache.tree()
    run = ground.janitor("rm", f"{ORG}/mine", "--yes", "--cache", cache.path, uid=THIRD)
    ground.check(run.status in (75, 77), f"exit of another user's rm: {run}")
    ground.equal(cache.tree(), before, "the tree after another user's rm")
    run = ground.janitor("rm", f"{ORG}/mine", "--yes", "--cache", cache.path)
    ground.equal(run.status, 0, f"exit of {run}")
    ground.check(not cache.has(f"{ORG}/mine", mine), "rm left the owner's")
    ground.check(not cache.is_whole(f"{ORG}/theirs", theirs), "the third user's lost something")
