"""The scenarios: each writes one cache with the real client, perhaps damages it, and says what must be found.

Commits and files come from the stand-in; the damage is done afterwards with plain file operations. Where clients
differ, `NEWEST` decides; `both=False` marks what 0.36 cannot do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Callable

import weights
from bench import NEWEST, Bench, Outcome, published
from hub_stand_in import Commit, Fault, StoredFile, lfs_pointer, pseudo_random

Scenario = Callable[[Bench], None]
SCENARIOS: dict[str, tuple[Scenario, bool]] = {}

MIB = 1 << 20
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = [weights.shard_name("model", number, 3) for number in (1, 2, 3)]
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


def scenario(both: bool = True) -> Callable[[Scenario], Scenario]:
    """Registers a function under its name."""

    def register(function: Scenario) -> Scenario:
        SCENARIOS[function.__name__.replace("_", "-")] = (function, both)
        return function

    return register


def single_files(seed: str) -> weights.Files:
    return weights.sidecars(seed) | {WEIGHTS: weights.safetensors_file(seed, ["embed.weight", "head.weight"])}


def sharded_files(seed: str) -> weights.Files:
    return weights.sidecars(seed) | weights.sharded(seed)


# Whole models and other repos.


@scenario()
def sharded(bench: Bench) -> None:
    """Three safetensors shards with their index."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    bench.snapshot("acme/sharded")
    bench.whole("acme/sharded", commit)


@scenario()
def single_file(bench: Bench) -> None:
    """One weight file, in a repo without an organisation."""
    commit = published(bench.hub, "tiny", single_files("tiny"))
    bench.snapshot("tiny")
    bench.whole("tiny", commit)


@scenario()
def pipeline(bench: Bench) -> None:
    """A diffusers pipeline: weights in sub-folders, two of them with an index."""
    commit = published(bench.hub, "acme/pipeline", weights.diffusers("pipeline"))
    bench.snapshot("acme/pipeline")
    bench.whole("acme/pipeline", commit)


@scenario()
def torch_and_safetensors(bench: Bench) -> None:
    """The same weights in two formats."""
    files = single_files("both") | {"pytorch_model.bin": weights.torch_file("both")}
    commit = published(bench.hub, "acme/both", files)
    bench.snapshot("acme/both")
    bench.whole("acme/both", commit)


@scenario()
def gguf(bench: Bench) -> None:
    """GGUF: one split set, and another quant in a single file."""
    files = weights.gguf_splits("gguf", "Q8", folder="Q8/") | {"tiny-Q4.gguf": weights.gguf_file("Q4")}
    commit = published(bench.hub, "acme/tiny-GGUF", {"README.md": b"# GGUF\n"} | files)
    bench.snapshot("acme/tiny-GGUF")
    bench.whole("acme/tiny-GGUF", commit)


@scenario()
def dataset(bench: Bench) -> None:
    """A dataset with nested files and identical content under two paths."""
    table = b"PAR1" + pseudo_random("table", 30000) + b"PAR1"
    files = {f"data/{split}/part-{i}.parquet": table + bytes([i]) for split in ("train", "test") for i in range(3)}
    commit = published(bench.hub, "acme/tables", {"README.md": b"---\n---\n"} | files, "dataset")
    bench.snapshot("acme/tables", "dataset")
    bench.whole("acme/tables", commit, "dataset", must_not=["weights-absent"])


@scenario()
def space(bench: Bench) -> None:
    """A space."""
    commit = published(bench.hub, "acme/demo", {"app.py": b"print('hi')\n", "README.md": b"# demo\n"}, "space")
    bench.snapshot("acme/demo", "space")
    bench.whole("acme/demo", commit, "space", must_not=["weights-absent"])


@scenario(both=False)
def kernel(bench: Bench) -> None:
    """A kernel: compiled code, no weights."""
    files = {"build/torch29-cu129/activation.so": b"\x7fELF" + bytes(4096), "README.md": b"# kernel\n"}
    commit = published(bench.hub, "acme/activation", files, "kernel")
    bench.snapshot("acme/activation", "kernel")
    bench.whole("acme/activation", commit, "kernel", must_not=["weights-absent"])


@scenario()
def odd_names(bench: Bench) -> None:
    """Spaces, unicode and an empty file in a repo."""
    files = single_files("odd") | {"ein Ordner/Größe 寸法.txt": b"legal\n", "empty.txt": b"", "__init__.py": b""}
    commit = published(bench.hub, "acme/Odd.Names_1", files)
    bench.snapshot("acme/Odd.Names_1")
    bench.whole("acme/Odd.Names_1", commit)


# Revisions.


@scenario()
def branch_moved(bench: Bench) -> None:
    """Two revisions that share all but one file; the branch is on the second."""
    files = sharded_files("moved")
    old = published(bench.hub, "acme/moved", files)
    bench.snapshot("acme/moved")
    new = published(bench.hub, "acme/moved", files | {"README.md": b"# newer\n"})
    bench.snapshot("acme/moved")
    bench.whole("acme/moved", old, refs=[], must=["detached"])
    bench.whole("acme/moved", new)


@scenario()
def by_commit(bench: Bench) -> None:
    """Downloaded by commit: no ref, and nothing wrong with that."""
    commit = published(bench.hub, "acme/pinned", single_files("pinned"))
    bench.snapshot("acme/pinned", revision=commit.id)
    bench.whole("acme/pinned", commit, refs=[], must=["detached"])


@scenario()
def refs(bench: Bench) -> None:
    """A tag, a pull request, and a branch with a slash; one commit each, and one with two names."""
    files = single_files("refs")
    tagged = published(bench.hub, "acme/refs", files, tags=["v1.0"])
    pull = published(bench.hub, "acme/refs", files | {"pr.txt": b"1"}, branch=None, pull_request=1)
    branch = published(bench.hub, "acme/refs", files | {"branch.txt": b"2"}, branch="feature/long-context")
    for revision in ("main", "v1.0", "refs/pr/1", "feature/long-context"):
        bench.snapshot("acme/refs", revision=revision)
    bench.whole("acme/refs", tagged, refs=["main", "v1.0"])
    bench.whole("acme/refs", pull, refs=["refs/pr/1"])
    bench.whole("acme/refs", branch, refs=["feature/long-context"])


@scenario()
def renamed(bench: Bench) -> None:
    """One repo fetched under its old and its new name: two folders with the same commit."""
    commit = published(bench.hub, "acme/new-name", single_files("renamed"))
    bench.hub.rename("model", "acme/old-name", "acme/new-name")
    for name in ("acme/old-name", "acme/new-name"):
        bench.snapshot(name)
        bench.whole(name, commit)


@scenario()
def revision_removed(bench: Bench) -> None:
    """The old revision deleted by the client, which leaves its manifest behind."""
    files = single_files("removed")
    old = published(bench.hub, "acme/removed", files)
    bench.snapshot("acme/removed")
    new = published(bench.hub, "acme/removed", files | {WEIGHTS: weights.safetensors_file("new", ["head.weight"])})
    bench.snapshot("acme/removed")
    bench.remove_revision(old.id)
    bench.whole("acme/removed", new)
    bench.repo("acme/removed", must_not=["orphan-blob", "ref-without-snapshot"])


# Fetched in part, on purpose.


@scenario()
def config_only(bench: Bench) -> None:
    """Only the configuration of a sharded model, index included: a subset."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    bench.snapshot("acme/sharded", allow_patterns=["*.json"])
    must, must_not = ["subset", "weights-absent"], ["missing-shard", "missing-file"]
    bench.expect("acme/sharded", commit, must=must, must_not=must_not, files=4)


@scenario()
def some_quants(bench: Bench) -> None:
    """One of several quants."""
    files = {f"tiny-{quant}.gguf": weights.gguf_file(quant) for quant in ("Q4", "Q5", "Q8")}
    commit = published(bench.hub, "acme/quants", files | {"README.md": b"# quants\n"})
    bench.snapshot("acme/quants", allow_patterns=["*Q4*"])
    must, must_not = ["subset"] if NEWEST else [], ["missing-shard", "missing-file", "weights-absent"]
    bench.expect("acme/quants", commit, must=must, must_not=must_not, files=1)


@scenario()
def one_shard(bench: Bench) -> None:
    """One shard and the index: the rest is missing, whatever the reason."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    bench.snapshot("acme/sharded", allow_patterns=["*.json", SHARD[0]])
    must = [f"missing-shard:{shard}" for shard in SHARD[1:]]
    bench.expect("acme/sharded", commit, state="partial", must=must, files=5)


@scenario()
def one_split(bench: Bench) -> None:
    """One part of a GGUF split set, which has no index."""
    commit = published(bench.hub, "acme/splits", weights.gguf_splits("splits", "Q8"))
    bench.snapshot("acme/splits", allow_patterns=["*-00002-*"])
    must = [f"missing-shard:tiny-Q8-0000{number}-of-00003.gguf" for number in (1, 3)]
    bench.expect("acme/splits", commit, state="partial", must=must, files=1)


@scenario()
def single_call(bench: Bench) -> None:
    """One file by `hf_hub_download`: no manifest."""
    commit = published(bench.hub, "tiny", single_files("tiny"))
    bench.file("tiny", "config.json")
    bench.expect("tiny", commit, must=["weights-absent"], must_not=["missing-file"], files=1)


@scenario()
def single_call_weights(bench: Bench) -> None:
    """Config and weights by `hf_hub_download`, as transformers does; a file that does not exist was asked for too."""
    commit = published(bench.hub, "acme/by-file", single_files("by-file"))
    for name in ("config.json", WEIGHTS, "adapter_config.json"):
        try:
            bench.file("acme/by-file", name)
        except OSError:
            assert name == "adapter_config.json"
    assert (bench.repo_folder("model", "acme/by-file") / ".no_exist" / commit.id / "adapter_config.json").is_file()
    bench.expect("acme/by-file", commit, must_not=["weights-absent", "missing-file"], files=2)


@scenario()
def nothing_but_a_ref(bench: Bench) -> None:
    """A look-up of an absent file, and patterns that match nothing: refs without a snapshot."""
    published(bench.hub, "acme/absent", single_files("absent"))
    try:
        bench.file("acme/absent", "adapter_config.json")
    except OSError:
        pass
    published(bench.hub, "tiny", single_files("tiny"))
    bench.snapshot("tiny", allow_patterns=["*.nothing"])
    for id in ("acme/absent", "tiny"):
        bench.repo(id, must=["ref-without-snapshot"], must_not=["empty-snapshot"])


@scenario()
def local_folder(bench: Bench) -> None:
    """`local_dir`: a plain folder with the client's metadata."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    folder = bench.root / "folder"
    bench.snapshot("acme/sharded", local_dir=folder)
    bench.local(folder, commit)


@scenario()
def local_folder_flipped(bench: Bench) -> None:
    """`local_dir` with a flipped bit."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    folder = bench.root / "folder"
    bench.snapshot("acme/sharded", local_dir=folder)
    bench.flip(folder / SHARD[1])
    bench.local(folder, commit, state="corrupt", must=[f"digest-mismatch:{SHARD[1]}"], found_at="digests")


# Other ways to lay files out.


@scenario(both=False)
def no_symlinks(bench: Bench) -> None:
    """Symlinks switched off: regular files in the snapshot."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    bench.apart_to_the_end("snapshot_download", {"HF_HUB_DISABLE_SYMLINKS": "1"}, repo_id="acme/sharded")
    assert not bench.path("acme/sharded", commit, SHARD[0]).is_symlink()
    bench.whole("acme/sharded", commit)


@scenario(both=False)
def mixed_links(bench: Bench) -> None:
    """Half with symlinks, half without, in one snapshot."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    bench.snapshot("acme/sharded", allow_patterns=["*.json", SHARD[0]])
    bench.apart_to_the_end("snapshot_download", {"HF_HUB_DISABLE_SYMLINKS": "1"}, repo_id="acme/sharded")
    assert bench.path("acme/sharded", commit, SHARD[0]).is_symlink()
    assert not bench.path("acme/sharded", commit, SHARD[1]).is_symlink()
    bench.whole("acme/sharded", commit)


@scenario(both=False)
def no_symlinks_flipped(bench: Bench) -> None:
    """A flipped bit in a regular file: only the manifest knows the digest."""
    commit = published(bench.hub, "acme/sharded", sharded_files("sharded"))
    bench.apart_to_the_end("snapshot_download", {"HF_HUB_DISABLE_SYMLINKS": "1"}, repo_id="acme/sharded")
    bench.flip(bench.path("acme/sharded", commit, SHARD[2]))
    bench.expect("acme/sharded", commit, state="corrupt", must=[f"digest-mismatch:{SHARD[2]}"], found_at="digests")


# The shared store. The stand-in has no Xet storage, so the client fetches over HTTP and its own code publishes.


def share(bench: Bench, count: int = 2) -> list[str]:
    """Repos that share one payload through the store; returns their ids."""
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

    xet = pseudo_random("xet", 32).hex()
    content = weights.safetensors_file("shared", ["head.weight"])
    ids = [f"acme/shared-{letter}" for letter in "abc"[:count]]
    for id in ids:
        files = weights.sidecars(id) | {WEIGHTS: StoredFile(content, True, xet)}
        commit = published(bench.hub, id, files)
        bench.snapshot(id)
        blob = bench.blob(id, commit, WEIGHTS)
        if not publish_blob_to_shared_store(
            blob_path=str(blob), xet_hash=xet, cache_dir=str(bench.cache), expected_size=len(content)
        ):
            raise RuntimeError("the client did not publish to its store")
        assert blob.is_symlink()
    return ids


def shared_commit(bench: Bench, id: str) -> Commit:
    commit = bench.hub.repo("model", id).resolve("main")
    assert commit is not None
    return commit


@scenario(both=False)
def shared_store(bench: Bench) -> None:
    """Two repos, one payload: links of two hops."""
    for id in share(bench):
        bench.whole(id, shared_commit(bench, id))


@scenario(both=False)
def shared_store_one_left(bench: Bench) -> None:
    """One of the two repos deleted by the client: the payload stays for the other."""
    gone, kept = share(bench)
    bench.remove_revision(shared_commit(bench, gone).id)
    assert not bench.snapshot_folder("model", gone, shared_commit(bench, gone).id).exists()
    bench.whole(kept, shared_commit(bench, kept))


@scenario(both=False)
def shared_store_orphan(bench: Bench) -> None:
    """One repo deleted by the client, the other by hand: a payload that only stale lines name."""
    first, second = share(bench)
    bench.remove_revision(shared_commit(bench, first).id)
    shutil.rmtree(bench.repo_folder("model", second))
    bench.cache_must.append("orphan-payload")


@scenario(both=False)
def shared_store_flipped(bench: Bench) -> None:
    """A flipped bit in a payload breaks every repo that links it."""
    ids = share(bench)
    bench.flip(bench.blob(ids[0], shared_commit(bench, ids[0]), WEIGHTS))
    for id in ids:
        must = [f"digest-mismatch:{WEIGHTS}"]
        bench.expect(id, shared_commit(bench, id), state="corrupt", must=must, found_at="digests")


@scenario(both=False)
def shared_store_old_client(bench: Bench) -> None:
    """A client that knows no store deletes an old revision of one repo, and the other repo's payload with it."""
    id, victim = share(bench)
    old = shared_commit(bench, id)
    new = published(bench.hub, id, weights.sidecars(id) | {WEIGHTS: weights.safetensors_file("newer", ["head.weight"])})
    bench.snapshot(id)
    program = "import sys, huggingface_hub as h; h.scan_cache_dir(sys.argv[1]).delete_revisions(sys.argv[2]).execute()"
    old_client = os.environ["HFJANITOR_OLD_CLIENT"]
    subprocess.run([old_client, "-c", program, str(bench.cache), old.id], check=True)
    commit = shared_commit(bench, victim)
    assert not bench.blob(victim, commit, WEIGHTS).exists()
    bench.whole(id, new)
    bench.expect(victim, commit, state="partial", must=[f"dangling-link:{WEIGHTS}"])


# Downloads.


def big_files(seed: str) -> weights.Files:
    """Two shards large enough that a client has written some of one when it stops after 11 MiB."""
    return weights.sidecars(seed) | weights.sharded(seed, 2, rows=2048, columns=1536)


BIG = [weights.shard_name("model", number, 2) for number in (1, 2)]


@scenario()
def killed(bench: Bench) -> None:
    """SIGKILL in the middle of the second shard."""
    commit = published(bench.hub, "acme/big", big_files("big"))
    process, fault = bench.held("acme/big", commit, BIG[1], 11 * MIB)
    process.kill()
    process.wait()
    bench.servers.faults.remove(fault.id)
    bench.expect("acme/big", commit, state="partial", must=[f"missing-shard:{BIG[1]}"], may=["missing-file"])
    bench.repo("acme/big", must=["stale-partial"], must_not=["in-flight"])


@scenario()
def killed_single(bench: Bench) -> None:
    """SIGKILL in the middle of the only weight file: without a manifest nobody knows what it was to become."""
    files = weights.sidecars("big-single") | {WEIGHTS: weights.safetensors_file("big-single", ["w"], 4096, 2048)}
    commit = published(bench.hub, "acme/big-single", files)
    process, fault = bench.held("acme/big-single", commit, WEIGHTS, 11 * MIB)
    process.kill()
    process.wait()
    bench.servers.faults.remove(fault.id)
    if NEWEST:
        bench.expect("acme/big-single", commit, state="partial", must=[f"missing-file:{WEIGHTS}"])
    else:
        bench.expect("acme/big-single", commit, must=["weights-absent"])
    bench.repo("acme/big-single", must=["stale-partial"], must_not=["in-flight"])


@scenario()
def live(bench: Bench) -> None:
    """A download held half-way: what it lacks is in flight, and nothing is wrong. `finish` lets it end."""
    commit = published(bench.hub, "acme/live", big_files("live"))
    process, fault = bench.held("acme/live", commit, BIG[1], 11 * MIB)
    must_not = ["missing-shard", "missing-file", "dangling-link", "stale-partial"]
    bench.expect("acme/live", commit, state="downloading", must=["in-flight"], must_not=must_not)
    bench.named_exit = 75

    def finish() -> None:
        bench.servers.faults.remove(fault.id)
        if process.wait(60) != 0:
            raise RuntimeError("the held download failed")
        bench.repos.clear()
        bench.whole("acme/live", commit)
        bench.named_exit = 0

    bench.finish = finish


# Damage.


def damaged(bench: Bench, seed: str) -> tuple[str, Commit]:
    """A whole sharded model to be damaged."""
    id = f"acme/{seed}"
    commit = published(bench.hub, id, sharded_files(seed))
    bench.snapshot(id)
    return id, commit


@scenario()
def truncated(bench: Bench) -> None:
    """A shard cut short."""
    id, commit = damaged(bench, "truncated")
    bench.cut(bench.blob(id, commit, SHARD[1]), 1000)
    if NEWEST:
        may = ["truncated", "digest-mismatch"]
        bench.expect(id, commit, state="corrupt", must=[f"size-mismatch:{SHARD[1]}"], may=may)
    else:
        may = ["digest-mismatch"]
        bench.expect(id, commit, state="corrupt", must=[f"truncated:{SHARD[1]}"], may=may, found_at="headers")


@scenario()
def flipped(bench: Bench) -> None:
    """One bit of a shard flipped: only its digest knows."""
    id, commit = damaged(bench, "flipped")
    bench.flip(bench.blob(id, commit, SHARD[2]))
    bench.expect(id, commit, state="corrupt", must=[f"digest-mismatch:{SHARD[2]}"], found_at="digests")


@scenario()
def flipped_small(bench: Bench) -> None:
    """One bit of a small file flipped: its name is a git SHA-1."""
    id, commit = damaged(bench, "flipped-small")
    bench.flip(bench.blob(id, commit, "README.md"), 2)
    bench.expect(id, commit, state="corrupt", must=["digest-mismatch:README.md"], found_at="digests")


@scenario()
def blob_deleted(bench: Bench) -> None:
    """A shard's blob deleted by hand."""
    id, commit = damaged(bench, "blob-deleted")
    bench.blob(id, commit, SHARD[0]).unlink()
    bench.expect(id, commit, state="partial", must=[f"dangling-link:{SHARD[0]}"], may=["missing-shard"])


@scenario()
def blob_emptied(bench: Bench) -> None:
    """A blob of no bytes, as after a power cut."""
    id, commit = damaged(bench, "blob-emptied")
    os.truncate(bench.blob(id, commit, SHARD[0]), 0)
    may = ["truncated", "header-invalid", "digest-mismatch"]
    if NEWEST:
        bench.expect(id, commit, state="corrupt", must=[f"size-mismatch:{SHARD[0]}"], may=may)
    else:
        earlier = Outcome(None, may=may)
        bench.expect(id, commit, state="corrupt", may=may, found_at="headers", earlier=earlier)


@scenario()
def too_long(bench: Bench) -> None:
    """Bytes behind the end of a shard."""
    id, commit = damaged(bench, "too-long")
    with bench.blob(id, commit, SHARD[0]).open("ab") as blob:
        blob.write(bytes(512))
    may = ["header-invalid", "digest-mismatch"]
    if NEWEST:
        bench.expect(id, commit, state="corrupt", must=[f"size-mismatch:{SHARD[0]}"], may=may)
    else:
        must = [f"header-invalid:{SHARD[0]}"]
        bench.expect(id, commit, state="corrupt", must=must, may=may, found_at="headers")


@scenario()
def zero_filled(bench: Bench) -> None:
    """A blob of the right length, all zeros."""
    id, commit = damaged(bench, "zero-filled")
    blob = bench.blob(id, commit, SHARD[0])
    blob.write_bytes(bytes(blob.stat().st_size))
    may = ["digest-mismatch"]
    bench.expect(id, commit, state="corrupt", must=[f"header-invalid:{SHARD[0]}"], may=may, found_at="headers")


@scenario()
def torch_cut(bench: Bench) -> None:
    """A torch zip without its end."""
    files = weights.sidecars("torch-cut") | {"pytorch_model.bin": weights.torch_file("torch-cut")}
    commit = published(bench.hub, "acme/torch-cut", files)
    bench.snapshot("acme/torch-cut")
    bench.cut(bench.blob("acme/torch-cut", commit, "pytorch_model.bin"), 300)
    may = ["truncated", "header-invalid", "digest-mismatch"]
    if NEWEST:
        bench.expect("acme/torch-cut", commit, state="corrupt", must=["size-mismatch:pytorch_model.bin"], may=may)
    else:
        bench.expect("acme/torch-cut", commit, state="corrupt", may=may, found_at="headers")


@scenario()
def gguf_cut(bench: Bench) -> None:
    """A GGUF split cut short."""
    commit = published(bench.hub, "acme/gguf-cut", weights.gguf_splits("gguf-cut", "Q8"))
    name = "tiny-Q8-00003-of-00003.gguf"
    bench.snapshot("acme/gguf-cut")
    bench.cut(bench.blob("acme/gguf-cut", commit, name), 1000)
    if NEWEST:
        may = ["truncated", "digest-mismatch"]
        bench.expect("acme/gguf-cut", commit, state="corrupt", must=[f"size-mismatch:{name}"], may=may)
    else:
        may = ["digest-mismatch"]
        bench.expect("acme/gguf-cut", commit, state="corrupt", must=[f"truncated:{name}"], may=may, found_at="headers")


@scenario()
def wrong_blob(bench: Bench) -> None:
    """A link to a sound blob that belongs elsewhere."""
    id, commit = damaged(bench, "wrong-blob")
    bench.relink(bench.path(id, commit, SHARD[0]), f"../../blobs/{commit.files[SHARD[1]].etag}")
    if NEWEST:
        may = ["tensor-missing"]
        earlier = Outcome(None, may=["wrong-blob", *may])
        must = [f"wrong-blob:{SHARD[0]}"]
        bench.expect(id, commit, state="corrupt", must=must, may=may, found_at="digests", earlier=earlier)
    else:
        bench.expect(id, commit, state="corrupt", must=["tensor-missing"], found_at="headers")


@scenario()
def index_gone(bench: Bench) -> None:
    """The index and one shard unlinked from the snapshot: the names of the others tell, and the manifest of the index."""
    id, commit = damaged(bench, "index-gone")
    bench.path(id, commit, INDEX).unlink()
    bench.path(id, commit, SHARD[2]).unlink()
    must = [f"missing-shard:{SHARD[2]}"] + ([f"missing-file:{INDEX}"] if NEWEST else [])
    bench.expect(id, commit, state="partial", must=must)


@scenario()
def snapshot_gone(bench: Bench) -> None:
    """The snapshot removed by hand: the ref leads nowhere and the blobs belong to nobody."""
    id, commit = damaged(bench, "snapshot-gone")
    shutil.rmtree(bench.snapshot_folder("model", id, commit.id))
    bench.repo(id, must=["ref-without-snapshot", "orphan-blob"])


@scenario()
def snapshot_emptied(bench: Bench) -> None:
    """A revision with nothing in it."""
    id, commit = damaged(bench, "snapshot-emptied")
    folder = bench.snapshot_folder("model", id, commit.id)
    shutil.rmtree(folder)
    folder.mkdir()
    bench.expect(id, commit, state="partial", must=["empty-snapshot"], may=["missing-file", "missing-shard"])


@scenario()
def escaping_link(bench: Bench) -> None:
    """A link that leaves the cache."""
    id, commit = damaged(bench, "escaping")
    outside = bench.root / "outside.json"
    outside.write_text("{}")
    bench.relink(bench.path(id, commit, "config.json"), str(outside))
    bench.expect(id, commit, state="corrupt", must=["link-escapes-cache:config.json"])


@scenario()
def not_a_file(bench: Bench) -> None:
    """A fifo in place of a file: opening it would hang."""
    id, commit = damaged(bench, "fifo")
    path = bench.path(id, commit, SHARD[1])
    path.unlink()
    os.mkfifo(path)
    bench.expect(id, commit, state="corrupt", must=[f"not-a-file:{SHARD[1]}"], may=["missing-shard"])


@scenario()
def link_to_itself(bench: Bench) -> None:
    """A link that names itself."""
    id, commit = damaged(bench, "loop")
    bench.relink(bench.path(id, commit, SHARD[1]), SHARD[1])
    bench.expect(id, commit, state="partial", must=[f"dangling-link:{SHARD[1]}"], may=["missing-shard"])


@scenario()
def strays(bench: Bench) -> None:
    """Foreign things in the cache root, and a revision untouched by them."""
    id, commit = damaged(bench, "strays")
    (bench.cache / "notes.txt").write_text("mine\n")
    (bench.cache / "models--unfinished name").mkdir()
    bench.whole(id, commit)
    bench.cache_must.append("foreign-entry")


# What the other side can send.


@scenario()
def pointer_served(bench: Bench) -> None:
    """A mirror without LFS serves the pointer as the content."""
    files = single_files("pointer")
    commit = published(bench.hub, "acme/pointer", files)
    pointer = lfs_pointer(files[WEIGHTS])
    fault = bench.servers.faults.add(Fault("replace", path=f"/acme/pointer/resolve/*/{WEIGHTS}", body=pointer))
    bench.snapshot("acme/pointer")
    bench.servers.faults.remove(fault.id)
    may = ["size-mismatch", "wrong-blob", "header-invalid", "truncated"]
    earlier = Outcome("corrupt" if NEWEST else None, may=["lfs-pointer", *may])
    must = [f"lfs-pointer:{WEIGHTS}"]
    bench.expect("acme/pointer", commit, state="corrupt", must=must, may=may, found_at="headers", earlier=earlier)


@scenario()
def page_served(bench: Bench) -> None:
    """A captive portal's page as the content."""
    commit = published(bench.hub, "acme/page", single_files("page"))
    fault = Fault("replace", path=f"/acme/page/resolve/*/{WEIGHTS}", body=HTML, headers={"Content-Type": "text/html"})
    bench.servers.faults.add(fault)
    bench.snapshot("acme/page")
    bench.servers.faults.remove(fault.id)
    may = ["size-mismatch", "wrong-blob", "header-invalid", "truncated"]
    earlier = Outcome("corrupt" if NEWEST else None, may=["html-content", *may])
    must = [f"html-content:{WEIGHTS}"]
    bench.expect("acme/page", commit, state="corrupt", must=must, may=may, found_at="headers", earlier=earlier)


@scenario()
def published_broken(bench: Bench) -> None:
    """A weight file that is broken at its source."""
    content = (200_000_000).to_bytes(8, "little") + pseudo_random("broken", 5000)
    commit = published(bench.hub, "acme/broken", weights.sidecars("broken") | {WEIGHTS: content})
    bench.snapshot("acme/broken")
    codes = ["header-invalid", "bad-upstream", "truncated"]
    must = [f"bad-upstream:{WEIGHTS}"]
    earlier = Outcome(None, may=codes)
    bench.expect("acme/broken", commit, state="corrupt", must=must, found_at="digests", earlier=earlier)


@scenario()
def published_without_shard(bench: Bench) -> None:
    """An index that names a shard its repo does not have."""
    files = sharded_files("no-shard")
    del files[SHARD[1]]
    commit = published(bench.hub, "acme/no-shard", files)
    bench.snapshot("acme/no-shard")
    code = "missing-upstream" if NEWEST else "missing-shard"
    bench.expect("acme/no-shard", commit, state="partial", must=[f"{code}:{SHARD[1]}"])


@scenario()
def tensor_missing(bench: Bench) -> None:
    """An index that places a tensor in a shard that lacks it."""
    files = sharded_files("no-tensor")
    files[INDEX] = files[INDEX].replace(b'"layers.1.mlp.weight"', b'"layers.1.gate.weight"')
    commit = published(bench.hub, "acme/no-tensor", files)
    bench.snapshot("acme/no-tensor")
    bench.expect("acme/no-tensor", commit, state="corrupt", must=["tensor-missing"], found_at="headers")


@scenario()
def index_invalid(bench: Bench) -> None:
    """An index that is not JSON."""
    files = sharded_files("bad-index")
    files[INDEX] = files[INDEX][:-40]
    commit = published(bench.hub, "acme/bad-index", files)
    bench.snapshot("acme/bad-index")
    bench.expect("acme/bad-index", commit, state="corrupt", must=[f"index-invalid:{INDEX}"])


@scenario()
def index_unsafe(bench: Bench) -> None:
    """An index whose shard names leave the folder."""
    files = sharded_files("unsafe-index")
    files[INDEX] = files[INDEX].replace(SHARD[1].encode(), b"../../../../secret.safetensors")
    commit = published(bench.hub, "acme/unsafe-index", files)
    bench.snapshot("acme/unsafe-index")
    may = ["index-invalid", "missing-shard", "missing-upstream"]
    bench.expect("acme/unsafe-index", commit, state="corrupt", must=["index-unsafe-path"], may=may)
