"""`rm` removes exactly what it names: whole listings before and after."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any, Iterable

import weights
from caches import WEIGHTS, Cache, age_tree, differences, model_files
from catalogue import BOTH, NEWEST, proof
from ground import ORG, Ground
from hub_stand_in import Commit, StoredFile, pseudo_random


def whole_repo(cache: Cache, id: str, kind: str = "model") -> set[str]:
    """Everything of a repo but its locks."""
    folder = cache.folder(id, kind).name
    return {path for path in cache.tree() if path == folder or path.startswith(folder + "/")}


def revision_alone(cache: Cache, id: str, commit: Commit, refs: Iterable[str] = (), kind: str = "model") -> set[str]:
    """What belongs to one revision and to no other: its snapshot, the blobs only it links, its refs, manifest, markers."""
    folder = cache.folder(id, kind)
    mine = {os.path.basename(os.readlink(link)) for link in links_below(folder / "snapshots" / commit.id)}
    others: set[str] = set()
    for snapshot in (folder / "snapshots").iterdir():
        if snapshot.name != commit.id:
            others |= {os.path.basename(os.readlink(link)) for link in links_below(snapshot)}
    prefixes = [f"{folder.name}/snapshots/{commit.id}", f"{folder.name}/.no_exist/{commit.id}"]
    exact = {f"{folder.name}/trees/{commit.id}.json", *(f"{folder.name}/blobs/{name}" for name in mine - others)}
    exact |= {f"{folder.name}/refs/{ref}" for ref in refs}
    return {
        path for path in cache.tree() if path in exact or any(path == p or path.startswith(p + "/") for p in prefixes)
    }


def links_below(folder: Any) -> list[str]:
    return [
        os.path.join(place, name)
        for place, _, files in os.walk(folder) for name in files if os.path.islink(os.path.join(place, name))
    ]  # fmt: skip


def is_empty_folder(cache: Cache, path: str) -> bool:
    place = cache.path / path
    return place.is_dir() and not place.is_symlink() and not any(entry.is_file() or entry.is_symlink() for entry in place.rglob("*"))


def removes(ground: Ground, cache: Cache, target: str, expected: set[str], status: int = 0, *more: str) -> None:
    """Runs `rm` and compares. Empty folders of the repo may stay a while, folders that became empty may go."""
    before = cache.tree()
    run = cache.janitor("rm", target, "--yes", *more)
    after = cache.tree()
    went, came, changed = differences(before, after)
    ground.equal(run.status, status, f"rm {target}: exit of {run}")
    left = {path for path in expected - went if not is_empty_folder(cache, path)}
    ground.check(not left, f"rm {target}: left are {sorted(left)}; {run}")
    lost = {path for path in went - expected if not before[path].startswith("d")}
    ground.check(not lost, f"rm {target}: also gone are {sorted(lost)}; {run}")
    # Lock files come where there were none, and nothing else does.
    new = {path for path in came if not path.startswith(".locks") and not is_empty_folder(cache, path)}
    ground.check(not new, f"rm {target}: new are {sorted(new)}")
    manifests = {path for path in changed if re.fullmatch(r"blobs/[0-9a-f]{2}/[0-9a-f]{64}\.refs", path)}
    ground.check(changed <= manifests, f"rm {target}: changed are {sorted(changed - manifests)}")


@proof(*BOTH)
def rm_revisions(ground: Ground) -> None:
    """Revisions by branch, nested ref, pull request, commit and short commit, some detached, sharing blobs."""
    cache = Cache(ground, ground.place() / "hub")
    id = f"{ORG}/many"
    files = model_files(id)
    commits: dict[str, Commit] = {}

    def commit(name: str, **how: Any) -> Commit:
        commits[name] = cache.publish(id, files | {"only.txt": name.encode(), f"in/{name}.bin": name.encode() * 100}, **how)
        return commits[name]

    commit("first", title="first")
    cache.download(id)
    commit("second", title="second")
    cache.download(id)
    commit("a/b", branch="a/b")
    cache.download(id, revision="a/b")
    commit("pr", branch=None, pull_request=3)
    cache.download(id, revision="refs/pr/3")
    commit("pinned", branch=None)
    cache.download(id, revision=commits["pinned"].id)
    commit("short", branch=None)
    cache.download(id, revision=commits["short"].id)
    other = cache.model(f"{ORG}/other")
    cache.model(f"{ORG}/other", kind="dataset")
    orphan = cache.folder(id) / "blobs" / ("ef" * 32)
    orphan.write_bytes(b"nobody's")
    age_tree(cache.path, 30)
    before = cache.scan()

    removes(ground, cache, f"{id}@refs/pr/3", revision_alone(cache, id, commits["pr"], ["refs/pr/3"]))
    removes(ground, cache, f"{id}@a/b", revision_alone(cache, id, commits["a/b"], ["a/b"]))
    removes(ground, cache, f"model/{id}@{commits['pinned'].id}", revision_alone(cache, id, commits["pinned"]))
    removes(ground, cache, f"hf://{id}@{commits['short'].id[:9]}", revision_alone(cache, id, commits["short"]))
    removes(ground, cache, f"{id}@{commits['first'].id}", revision_alone(cache, id, commits["first"]))
    cache.judge(before, [(id, commits["first"]), (id, commits["pr"])], what="revisions")
    age_tree(cache.path, 30)
    for target, status in ((f"{id}@absent", 66), (f"{ORG}/absent", 66), (f"{ORG}/other", 64), (f"{id}@{'0' * 40}", 66)):
        removes(ground, cache, target, set(), status)
    removes(ground, cache, f"dataset/{ORG}/other", whole_repo(cache, f"{ORG}/other", "dataset"))
    ground.check(not cache.is_whole(f"{ORG}/other", other), "the model of the same name lost something")
    removes(ground, cache, id, whole_repo(cache, id))
    cache.judge(before, [(id, commits["second"])], what="the whole repo")


@proof(*BOTH)
def rm_one_commit_two_repos(ground: Ground) -> None:
    """A renamed repo under both names, and a mirror: one commit hash in several folders."""
    cache = Cache(ground, ground.place() / "hub")
    files = model_files(f"{ORG}/new-name")
    commit = cache.publish(f"{ORG}/new-name", files)
    ground.hub.rename("model", f"{ORG}/old-name", f"{ORG}/new-name")
    cache.download(f"{ORG}/new-name")
    cache.download(f"{ORG}/old-name")
    shutil.copytree(cache.folder(f"{ORG}/new-name"), cache.path / "models--mirror--new-name", symlinks=True)
    age_tree(cache.path, 30)
    before = cache.scan()
    run = cache.janitor("rm", commit.id, "--yes")
    ground.check(run.status in (64, 66), f"a bare commit names no target: {run}")
    removes(ground, cache, f"{ORG}/old-name@{commit.id}", revision_alone(cache, f"{ORG}/old-name", commit, ["main"]))
    ground.check(not cache.is_whole(f"{ORG}/new-name", commit), "the repo under its new name lost something")
    removes(ground, cache, "mirror/new-name@main", revision_alone(cache, "mirror/new-name", commit, ["main"]))
    ground.check(not cache.is_whole(f"{ORG}/new-name", commit), "the repo under its new name lost something")
    cache.judge(before)
    removes(ground, cache, f"{ORG}/new-name", whole_repo(cache, f"{ORG}/new-name"))
    cache.judge(before, [(f"{ORG}/new-name", commit)])


@proof(NEWEST)
def rm_without_links(ground: Ground) -> None:
    """No-symlink mode: the snapshot holds the files themselves; and a repo where both styles are mixed."""
    cache = Cache(ground, ground.place() / "hub")

    def download(id: str, revision: str | None, **more: str) -> None:
        arguments = {"repo_id": id, "cache_dir": str(cache.path), "revision": revision}
        client = ground.start(cache.client_command("snapshot_download", arguments), more=more)
        ground.equal(client.wait(60), 0, "exit of the client")

    plain = cache.publish(f"{ORG}/plain", model_files(f"{ORG}/plain"))
    download(f"{ORG}/plain", None, HF_HUB_DISABLE_SYMLINKS="1")
    old = cache.publish(f"{ORG}/mixed", model_files(f"{ORG}/mixed"))
    download(f"{ORG}/mixed", old.id, HF_HUB_DISABLE_SYMLINKS="1")
    new = cache.publish(f"{ORG}/mixed", model_files(f"{ORG}/mixed") | {"README.md": b"# newer\n"})
    download(f"{ORG}/mixed", None)
    age_tree(cache.path, 30)
    before = cache.scan()
    removes(ground, cache, f"{ORG}/mixed@{old.id}", revision_alone(cache, f"{ORG}/mixed", old))
    ground.check(not cache.is_whole(f"{ORG}/mixed", new), "the linked revision lost something")
    removes(ground, cache, f"{ORG}/plain@main", revision_alone(cache, f"{ORG}/plain", plain, ["main"]))
    cache.judge(before, [(f"{ORG}/plain", plain)])


@proof(NEWEST)
def rm_shared_store(ground: Ground) -> None:
    """Payloads of the shared store go with their last repo; lines of the manifests stay true."""
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

    cache = Cache(ground, ground.place() / "hub")
    commits: dict[str, Commit] = {}
    names = {"shared": [f"{ORG}/one", f"{ORG}/two"], "alone": [f"{ORG}/two"]}
    contents = {name: weights.safetensors_file(name, ["head.weight"]) for name in names}
    hashes = {name: pseudo_random(f"xet {name}", 32).hex() for name in names}
    for id in (f"{ORG}/one", f"{ORG}/two"):
        stored = {f"{n}.safetensors": StoredFile(contents[n], True, hashes[n]) for n, ids in names.items() if id in ids}
        commits[id] = cache.publish(id, weights.sidecars(id) | stored)
        cache.download(id)
        for file in stored:
            name = file.removesuffix(".safetensors")
            publish_blob_to_shared_store(
                blob_path=str(cache.blob(id, commits[id], file)), xet_hash=hashes[name], cache_dir=str(cache.path),
                expected_size=len(contents[name]),
            )  # fmt: skip
    age_tree(cache.path, 30)
    before = cache.scan()

    def store_of(name: str) -> set[str]:
        return {f"blobs/{hashes[name][:2]}/{hashes[name]}{suffix}" for suffix in ("", ".refs")}

    # Two names in one store may share a prefix folder; folders and locks of the store stay.
    removes(ground, cache, f"{ORG}/two", whole_repo(cache, f"{ORG}/two") | store_of("alone"))
    ground.check(not cache.is_whole(f"{ORG}/one", commits[f"{ORG}/one"]), "the other repo lost its payload")
    cache.judge(before, [(f"{ORG}/two", commits[f"{ORG}/two"])])
    age_tree(cache.path, 30)
    cache.judge(before)


@proof(*BOTH)
def rm_leaves_the_broken_alone(ground: Ground) -> None:
    """Broken revisions go like whole ones, and only they: a dangling link, a lost shard, an empty snapshot, a foreign file."""
    cache = Cache(ground, ground.place() / "hub")
    whole = cache.model(f"{ORG}/whole")
    broken = cache.model(f"{ORG}/broken")
    cache.blob(f"{ORG}/broken", broken).unlink()
    emptied = cache.model(f"{ORG}/emptied")
    shutil.rmtree(cache.snapshot(f"{ORG}/emptied", emptied))
    cache.snapshot(f"{ORG}/emptied", emptied).mkdir()
    foreign = cache.model(f"{ORG}/foreign")
    (cache.snapshot(f"{ORG}/foreign", foreign) / "adapter.safetensors").write_bytes(b"my own training")
    age_tree(cache.path, 30)
    removes(ground, cache, f"{ORG}/foreign", set(), 75)
    removes(ground, cache, f"{ORG}/foreign", set(), 75, "--force")
    (cache.snapshot(f"{ORG}/foreign", foreign) / "adapter.safetensors").unlink()
    removes(ground, cache, f"{ORG}/foreign", whole_repo(cache, f"{ORG}/foreign"))
    removes(ground, cache, f"{ORG}/broken", whole_repo(cache, f"{ORG}/broken"))
    removes(ground, cache, f"{ORG}/emptied", whole_repo(cache, f"{ORG}/emptied"))
    ground.check(not cache.is_whole(f"{ORG}/whole", whole), "a model beside them lost something")
    cache.judge(gone=[(f"{ORG}/broken", broken), (f"{ORG}/foreign", foreign)])
