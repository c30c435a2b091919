"""`fetch` leaves what the client would have left, and takes what is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import weights
from caches import Cache, differences
from catalogue import BOTH, NEWEST, proof
from ground import ORG, Ground, Run

ID = f"{ORG}/model"


def files(seed: str) -> weights.Files:
    """Shards and what stands beside them, folders, an empty file, names that need quoting."""
    odd = {"sub/deeper/a b+ü%41.json": b"{}", "empty.txt": b"", "twin.txt": b"same\n", "sub/twin.txt": b"same\n"}
    return weights.sidecars(seed) | weights.sharded(seed) | odd


def contents(ground: Ground) -> list[dict[str, Any]]:
    """Requests for content so far, and not for metadata or listings."""
    return [entry for entry in ground.servers.log.all() if entry["method"] == "GET" and "/api/" not in entry["path"].replace("/api/resolve-cache", "")]


def fetched(ground: Ground, cache: Cache, *arguments: Any, status: int = 0, **more: Any) -> Run:
    run = cache.janitor("fetch", *arguments, "--json", **more)
    ground.equal(run.status, status, f"exit of {run}")
    return run


def same_layout(ground: Ground, ours: Cache, theirs: Cache, what: str) -> None:
    went, came, changed = differences(theirs.tree(), ours.tree())
    # The lock of our own downloads, and the client's probe for links.
    came = {path for path in came if not path.startswith(".locks/hfjanitor-")}
    ground.check(not went, f"{what}: missing {sorted(went)}")
    ground.check(not came, f"{what}: too much {sorted(came)}")
    ours_tree, theirs_tree = ours.tree(), theirs.tree()
    ground.check(not changed, lambda: f"{what}: {[(path, theirs_tree[path], ours_tree[path]) for path in sorted(changed)]}")


@proof(NEWEST)
def layout(ground: Ground) -> None:
    """Entry by entry, mode by mode, what `snapshot_download` writes; and the client then transfers nothing."""
    cases: list[tuple[str, list[str], dict[str, Any]]] = [
        ("everything", [], {}),
        ("one pattern", ["--include", "*.json"], {"allow_patterns": ["*.json"]}),
        ("a folder", ["--include", "sub/"], {"allow_patterns": ["sub/"]}),
        ("sets", ["--include", "model-0000[!2]-*", "--include", "[ce]*", "--exclude", "*.txt"],
         {"allow_patterns": ["model-0000[!2]-*", "[ce]*"], "ignore_patterns": ["*.txt"]}),
        ("a tag", ["--revision", "v1"], {"revision": "v1"}),
        ("a pull request", ["--revision", "refs/pr/3"], {"revision": "refs/pr/3"}),
    ]  # fmt: skip
    commit = ground.hub.repo("model", ID).commit(files(ID), tags=["v1"], pull_request=3)
    cases.append(("a commit", ["--revision", commit.id], {"revision": commit.id}))
    ground.hub.repo("dataset", ID).commit({"data/t.parquet": b"PAR1" + bytes(9000) + b"PAR1", "README.md": b"# t\n"})
    for number, (what, ours, theirs) in enumerate(cases):
        client, own = (Cache(ground, ground.base / f"{side}-{number}") for side in ("client", "own"))
        client.download(ID, **theirs)
        ground.servers.log.clear()
        fetched(ground, own, ID, *ours)
        asked = {entry["path"] for entry in ground.servers.log.all() if entry["origin"] == "hub"}
        same_layout(ground, own, client, what)
        ground.check(asked, f"{what}: nothing was asked")
        ground.servers.log.clear()
        own.download(ID, **theirs)
        fetched(ground, own, ID, *ours)
        again = contents(ground)
        ground.check(not again, f"{what}: fetched again {again}")
    odd = {"ünï cöde/a b+c#d%25?.json": b"{}", ".hidden": b"h", "one.txt": b"same", "sub/two.txt": b"same", "x" * 200: b"long"}
    for kind, how in (("dataset", {}), ("space", {"tags": ["v1.0"]}), ("dataset", {"branch": "refs/convert/parquet"}), ("model", {"branch": "a/b/c"})):
        id = f"{ID}-{len(how)}"
        ground.hub.repo(kind, id).commit(odd, **how)
        revision = how.get("branch") or how.get("tags", ["main"])[0]
        client, own = (Cache(ground, ground.base / f"{side}-{kind}-{revision.replace('/', '-')}") for side in ("client", "own"))
        client.download(id, revision=revision, kind=kind)
        fetched(ground, own, id if kind == "model" else f"{kind}/{id}", "--revision", revision)
        same_layout(ground, own, client, f"a {kind} at {revision}")


@proof(*BOTH)
def offline(ground: Ground) -> None:
    """What `fetch` brought, the client loads, lists and verifies without a network."""
    cache = Cache(ground, ground.base / "hub")
    commit = cache.publish(ID, files(ID))
    run = fetched(ground, cache, ID)
    ground.equal(run.json["commit"], commit.id, "the commit")
    ground.equal(run.json["path"], str(Path(cache.snapshot(ID, commit)).resolve()), "the path")
    ground.check(not cache.is_whole(ID, commit), lambda: f"not whole: {cache.is_whole(ID, commit)}")
    # Clients before 1.9 do not know the tag that newer ones, and we, put there.
    cache.judge(cache.scan() if not ground.is_newest else None)
    if ground.is_newest:
        cache.judge_by_command()
    ground.servers.log.clear()
    cache.download(ID)
    ground.check(not contents(ground), lambda: f"the client fetched again: {contents(ground)}")
    verified = cache.janitor("verify", "--depth", "digests")
    ground.equal(verified.status, 0, f"exit of {verified}")
