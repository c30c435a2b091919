"""Whatever the server does: a right file, or a clear, coded error with the cache unharmed; and the token stays with the Hub."""

from __future__ import annotations

import json
import os
from typing import Any

from caches import WEIGHTS, Cache, tree
from catalogue import NEWEST, proof
from crashes import unproven
from ground import ORG, Ground
from hub_stand_in import Fault

MIB = 1 << 20
TOKEN = "hf_" + "s" * 34
PAGE = b"<!DOCTYPE html><html><body>Please sign in.</body></html>"
HTML = {"Content-Type": "text/html"}


def coded(code: str, status: int = 404) -> dict[str, Any]:
    return {"kind": "status", "status": status, "headers": {"X-Error-Code": code}, "times": None}


# What goes wrong with a request for the content, or with what stands in `on`; and the exit and code, or success.
CASES: list[tuple[str, str, dict[str, Any], tuple[int, str] | None]] = [
    ("dropped", "cdn", {"kind": "drop", "after": MIB}, None),
    ("closed early", "cdn", {"kind": "cut", "after": MIB}, None),
    ("shortened", "cdn", {"kind": "truncate", "after": MIB}, None),
    ("one wrong bit, once", "cdn", {"kind": "flip", "after": MIB}, None),
    ("one wrong bit, always", "cdn", {"kind": "flip", "after": MIB, "times": None}, (65, "digest_mismatch")),
    ("an expired address", "cdn", {"kind": "status", "status": 403}, None),
    ("content too long", "cdn", {"kind": "extend", "body": b"more", "times": None}, (69, "network")),
    ("without an end", "cdn", {"kind": "endless", "times": None}, (65, "digest_mismatch")),
    ("compressed", "cdn", {"kind": "gzip"}, None),
    ("a captive portal", "cdn", {"kind": "status", "status": 200, "body": PAGE, "headers": HTML}, None),
    ("busy", "hub", {"kind": "status", "status": 503, "headers": {"Retry-After": "0"}, "method": "HEAD"}, None),
    ("gated", "hub", coded("GatedRepo", 403) | {"method": "HEAD"}, (77, "gated")),
    ("gone file", "hub", coded("EntryNotFound") | {"method": "HEAD"}, (66, "entry_not_found")),
    ("gone repo", "hub", coded("RepoNotFound", 401), (66, "repo_not_found")),
    ("no such revision", "hub", coded("RevisionNotFound"), (66, "revision_not_found")),
    ("other content", "hub", {"kind": "headers", "method": "HEAD", "headers": {"X-Linked-Etag": '"%s"' % ("0" * 64)}, "times": None}, (65, "digest_mismatch")),
    ("an etag that climbs", "hub", {"kind": "headers", "method": "HEAD", "headers": {"X-Linked-Etag": '"../../../../evil"'}}, (65, "digest_mismatch")),
    ("a list that climbs", "tree", {"kind": "status", "status": 200, "body": b'[{"type":"file","path":"../../../evil","size":1,"oid":"%s"}]' % (b"0" * 40)}, (65, "digest_mismatch")),
    ("a list without digests", "tree", {"kind": "status", "status": 200, "body": b'[{"type":"file","path":"a","size":1,"oid":"../x"}]'}, (65, "digest_mismatch")),
    ("a list that is cut off", "tree", {"kind": "status", "status": 200, "body": b'[{"type":"fi'}, None),
    ("file://", "hub", {"kind": "headers", "method": "HEAD", "headers": {"Location": "file:///etc/passwd"}}, None),
]  # fmt: skip


@proof(NEWEST)
def servers(ground: Ground) -> None:
    """Each of the stand-in's faults."""
    outside = ground.base / "outside"
    outside.mkdir()
    for number, (what, on, fault, expected) in enumerate(CASES):
        id = f"{ORG}/fault{number}"
        cache = Cache(ground, outside / f"{number}" / "hub")
        cache.path.mkdir(parents=True, exist_ok=True)
        commit = cache.publish(id, {WEIGHTS: os.urandom(2 * MIB), "config.json": b"{}"})
        origin, path = (on, "*") if on != "tree" else ("hub", "*/tree/*")
        if fault.get("method") == "HEAD":
            path = f"*/{WEIGHTS}"
        ground.servers.faults.add(Fault(**({"origin": origin, "path": path, "times": 1} | fault)))
        ground.servers.log.clear()
        run = cache.janitor("fetch", id, "--json", more={"HF_TOKEN": TOKEN})
        wrong = cache.is_whole(id, commit)
        if expected is None:
            ground.check(run.status == 0 and not wrong, f"{what}: {wrong} {run}")
        else:
            ground.equal((run.status, run.json.get("error_code")), expected, f"{what}: {run}")
            ground.check(run.json["error_message"] and run.errors, f"{what}: nothing is said: {run}")
            ground.check("message" not in what and TOKEN not in run.output + run.errors, f"{what}: the token is told")
        ground.check(not unproven(cache), lambda: f"{what}: unproven {unproven(cache)}")
        ground.check(not cache.dangling(), lambda: f"{what}: dangling {cache.dangling()}")
        with_token = {entry["origin"] for entry in ground.servers.log.all() if entry["authorized"]}
        ground.check(with_token <= {"hub"}, f"{what}: the token went to {with_token}")
        ground.servers.faults.remove()
    strangers = [path for path in tree(outside, contents=False) if "evil" in path or not path.split("/")[0].isdigit()]
    ground.check(not strangers, f"outside of the caches: {strangers}")


@proof(NEWEST)
def ranges(ground: Ground) -> None:
    """Servers that answer a range with something else: resumed all the same, byte by byte right."""
    for number, kind in enumerate(("ignore-range", "shift-range", "status")):
        id = f"{ORG}/range{number}"
        cache = Cache(ground, ground.base / f"hub{number}")
        cache.path.mkdir(exist_ok=True)
        body = os.urandom(3 * MIB)
        commit = cache.publish(id, {WEIGHTS: body})
        blobs = cache.folder(id) / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{commit.files[WEIGHTS].sha256}.0123abcd.incomplete").write_bytes(body[:MIB])
        more: dict[str, Any] = {"status": 416} if kind == "status" else {"after": 5}
        ground.servers.faults.add(Fault(kind, origin="cdn", times=1, **more))
        run = cache.janitor("fetch", id, "--json")
        ground.equal(run.status, 0, f"{kind}: exit of {run}")
        ground.equal(run.json["bytes_fetched"], 2 * MIB, f"{kind}: bytes taken, {run}")
        ground.check(not cache.is_whole(id, commit), lambda: f"{kind}: {cache.is_whole(id, commit)}")
        ground.servers.faults.remove()


@proof(NEWEST)
def what_cannot_be_written(ground: Ground) -> None:
    """Read-only, no permission, offline: clear errors, nothing touched."""
    cache = Cache(ground, ground.base / "hub")
    cache.path.mkdir(exist_ok=True)
    id = f"{ORG}/none"
    commit = cache.publish(id, {WEIGHTS: os.urandom(MIB)})
    offline = cache.janitor("fetch", id, "--json", more={"HF_HUB_OFFLINE": "1"})
    ground.equal((offline.status, offline.json["error_code"]), (69, "offline"), f"offline: {offline}")
    nobody = cache.janitor("fetch", id, "--json", more={"HF_ENDPOINT": "http://127.0.0.1:9"})
    ground.equal((nobody.status, nobody.json["error_code"]), (69, "network"), f"no Hub: {nobody}")
    ground.check("attempt 5 of 5" in nobody.json["error_message"], f"attempts are not told: {nobody}")
    ground.equal(list(cache.path.iterdir()), [], "made without a network")
    cache.download(id)
    cache.blob(id, commit).unlink()
    before = cache.tree()
    failed = cache.janitor("repair", "--json", more={"HF_HUB_OFFLINE": "1"})
    (action,) = [action for one in failed.json["caches"] for action in one["actions"]]
    ground.equal((failed.status, action["error_code"]), (69, "offline"), f"repair offline: {failed}")
    ground.equal({k: v for k, v in cache.tree().items() if "/hfjanitor" not in k}, before, "the cache after a repair offline")
    gone = ground.hub.repos.pop(("model", id))
    for attempt in range(1, 7):
        run = cache.janitor("repair", "--json")
        (action,) = [action for one in run.json["caches"] for action in one["actions"]]
        if attempt <= 5:
            ground.equal((action.get("error_code"), action.get("attempt")), ("repo_not_found", attempt), f"attempt {attempt}: {run}")
        else:
            ground.check("tried 5 times in vain" in action["reason"] and run.status == 1, f"attempt {attempt}: {run}")
    ground.hub.repos["model", id] = gone
    again = cache.janitor("repair", id)
    ground.equal(again.status, 0, f"named, it is tried again: {again}")
    ground.check(not cache.is_whole(id, commit), lambda: f"after all: {cache.is_whole(id, commit)}")
    if ground.is_root:
        ground.check(json.loads(cache.janitor("ls", "--json").output), "ls after all")
        disk = ground.disk(mib=64)
        (disk.path / "hub").mkdir()
        import subprocess

        subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
        still = Cache(ground, disk.path / "hub")
        run = still.janitor("fetch", id, "--json")
        ground.check(run.status == 73 and "read-only" in run.errors, f"read-only: {run}")
        subprocess.run(["mount", "-o", "remount,rw", disk.path], check=True)
