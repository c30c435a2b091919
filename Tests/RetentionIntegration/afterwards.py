"""The client's opinion after everything: no warning that was not there, what is kept works offline, what went comes back."""

from __future__ import annotations

from caches import Cache, model_files
from catalogue import BOTH, proof
from ground import ORG, Ground


@proof(*BOTH)
def client_agrees(ground: Ground) -> None:
    """A cache with everything in it, some warnings of its own, before and after a policy has been through it."""
    cache = Cache(ground, ground.place() / "hub")
    gone = []
    for number in range(3):
        gone.append((f"{ORG}/old{number}", cache.model(f"{ORG}/old{number}", 1, days=90)))
    kept = {id: cache.model(id, 1, days=1) for id in (f"{ORG}/young", "tiny")}
    files = model_files(f"{ORG}/moved")
    old = cache.publish(f"{ORG}/moved", files)
    cache.download(f"{ORG}/moved")
    cache.age(f"{ORG}/moved", 90)
    new = cache.publish(f"{ORG}/moved", files | {"README.md": b"# newer\n"})
    cache.download(f"{ORG}/moved")
    kept[f"{ORG}/moved"] = new
    data = cache.publish(f"{ORG}/tables", {"README.md": b"# t\n", "data/t.parquet": b"PAR1" + bytes(9000) + b"PAR1"}, "dataset")
    cache.download(f"{ORG}/tables", kind="dataset")
    # Warnings that were there before: a stray in the root, a repo whose ref leads nowhere.
    (cache.path / "notes.txt").write_text("mine\n")
    (cache.path / f"models--{ORG}--only-a-ref" / "refs").mkdir(parents=True)
    (cache.path / f"models--{ORG}--only-a-ref" / "refs" / "main").write_text("0" * 40)
    before = cache.scan()
    ground.check(before.warnings, "the client was to warn")
    # The old revision of the moved one links blobs whose times are those of the new one's, too: it went with an old read.
    text = f"mode: enforce\ncaches:\n  - {{path: {cache.path}, min-age: 0s}}\n"
    policy = ground.policy(text + 'rules:\n  - {name: unused models, match: {type: model, repo: "*"}, unused-for: 45d}\n')
    done = ground.janitor("enforce", "--policy", policy)
    ground.equal(done.status, 0, f"exit of {done}")
    for id, commit in gone:
        ground.check(not cache.has(id, commit), f"{id} is still there: {done}")
    for id, commit in kept.items():
        ground.check(not cache.is_whole(id, commit), f"{id} was to stay: {done}")
    ground.check(not cache.is_whole(f"{ORG}/tables", data, "dataset"), f"a dataset went by a rule for models: {done}")
    ground.check((cache.path / "notes.txt").exists(), "a stray went")
    cache.judge(before, gone)
    if ground.is_newest:
        cache.judge_by_command()
    # What came back is younger than the rule's age: a second pass finds nothing.
    tree = cache.tree()
    again = ground.janitor("enforce", "--policy", policy)
    ground.equal(again.status, 0, f"exit of a second pass: {again}")
    lost = [path for path in tree if path not in cache.tree()]
    ground.check(not lost, f"a second pass removed {lost}")


@proof(*BOTH)
def interrupted(ground: Ground) -> None:
    """Killed at some moment, the next run finishes or undoes; at no moment does the client see anything broken."""
    import time

    cache = Cache(ground, ground.place() / "hub")
    models = {f"{ORG}/m{number}": cache.model(f"{ORG}/m{number}", 1) for number in range(6)}
    before = cache.scan()
    moments = (0.05, 0.2, 0.4, 0.7, 1.1, 1.6)
    for (id, commit), moment in zip(models.items(), moments):
        process = ground.start([ground.program, "rm", id, "--yes", "--cache", cache.path])
        time.sleep(moment)
        process.kill()
        process.wait()
        scan = cache.scan()
        new = [warning for warning in scan.warnings if warning not in before.warnings]
        ground.check(not new, f"killed after {moment} s: the client warns {new}")
        ground.check(not cache.dangling(), f"killed after {moment} s: dangling {cache.dangling()}")
        here = cache.has(id, commit)
        if here:
            ground.check(not cache.is_whole(id, commit), f"killed after {moment} s: {id} lost {cache.is_whole(id, commit)}")
        ground.note(f"killed after {moment} s: {'whole' if here else 'gone'}, left {len(cache.leftovers())}")
        cache.download(id)  # a client that comes just then gets everything
        ground.check(not cache.is_whole(id, commit), f"killed after {moment} s, downloaded: {cache.is_whole(id, commit)}")
    for id, commit in models.items():
        run = cache.janitor("rm", id, "--yes")
        ground.equal(run.status, 0, f"exit of {run}")
        ground.check(not cache.has(id, commit), f"{id} is still there: {run}")
    cache.judge(before, list(models.items())[:2])
