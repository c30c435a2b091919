"""What a scenario works with: a cache of its own, the real client, tools to do damage, and a record of what a verifier
must find afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

import huggingface_hub
from hub_stand_in import TYPES, Commit, Fault, Hub, Repo, Servers

DEPTHS = ("structure", "headers", "digests")

ERRORS = frozenset(
    "missing-shard missing-file missing-upstream dangling-link size-mismatch truncated header-invalid bad-upstream "
    "digest-mismatch wrong-blob lfs-pointer html-content empty-snapshot tensor-missing index-invalid index-unsafe-path "
    "link-escapes-cache not-a-file unreadable read-error".split()
)
"""Finding codes of severity error: they decide the exit code."""

NEWEST = not huggingface_hub.__version__.startswith("0.")
"""Whether the client writes offline manifests (`trees/`), and all that came with it."""


def finding(text: str) -> dict[str, str]:
    """`code` or `code:file`."""
    code, _, file = text.partition(":")
    return {"code": code, "file": file} if file else {"code": code}


@dataclass
class Outcome:
    """What must be found at one depth. `state` None: not compared. Error codes outside `must` and `may` are wrong."""

    state: str | None
    must: list[str] = field(default_factory=list)
    may: list[str] = field(default_factory=list)
    must_not: list[str] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "must": [finding(text) for text in self.must],
            "may": self.may,
            "must_not": self.must_not,
        }

    def is_error(self) -> bool:
        return any(finding(text)["code"] in ERRORS for text in self.must)


@dataclass
class Revision:
    commit: str | None
    refs: list[str]
    files: int | None
    outcomes: dict[str, Outcome]


@dataclass
class RepoExpectation:
    """`must` may stand anywhere in the repo: on it or on one of its revisions."""

    id: str
    folder: str
    revisions: list[Revision] = field(default_factory=list)
    must: list[str] = field(default_factory=list)
    must_not: list[str] = field(default_factory=list)


class Bench:
    """One scenario's cache and expectation."""

    def __init__(self, name: str, about: str, root: Path, servers: Servers) -> None:
        self.name = name
        self.about = about
        self.root = root
        self.cache = root / "hub"
        self.servers = servers
        self.hub: Hub = servers.hub
        self.target: Path | None = None
        self.repos: dict[str, RepoExpectation] = {}
        self.cache_must: list[str] = []
        self.named_exit: int | None = None
        self.finish: Callable[[], None] | None = None
        self.client: dict[str, Any] = {}
        root.mkdir(parents=True)

    # The client.

    def snapshot(self, id: str, kind: str = "model", revision: str | None = None, **arguments: Any) -> None:
        huggingface_hub.snapshot_download(
            id, repo_type=kind, revision=revision, cache_dir=self.cache, max_workers=2, **arguments
        )

    def file(self, id: str, name: str, kind: str = "model", revision: str | None = None) -> None:
        huggingface_hub.hf_hub_download(id, name, repo_type=kind, revision=revision, cache_dir=self.cache)

    def apart(self, function: str, environment: Mapping[str, str] = {}, **arguments: Any) -> subprocess.Popen[bytes]:
        """Starts a client call in a process of its own."""
        arguments |= {"cache_dir": str(self.cache)}
        command = [sys.executable, str(Path(__file__).with_name("client_call.py")), function, json.dumps(arguments)]
        log = (self.root / "client.log").open("ab")
        return subprocess.Popen(command, env=dict(os.environ) | dict(environment), stdout=log, stderr=log)

    def apart_to_the_end(self, function: str, environment: Mapping[str, str] = {}, **arguments: Any) -> None:
        if self.apart(function, environment, **arguments).wait() != 0:
            raise RuntimeError(f"{self.name}: the client failed:\n{(self.root / 'client.log').read_text()}")

    def held(self, id: str, commit: Commit, path: str, after: int) -> tuple[subprocess.Popen[bytes], Fault]:
        """Starts a download of which one file stops after some bytes; returns once everything else is there."""
        file = commit.files[path]
        fault = Fault("hold", path=f"/*/{file.sha256}", origin="cdn", method="GET", after=after)
        self.servers.faults.add(fault)
        process = self.apart("snapshot_download", {"HF_HUB_DOWNLOAD_TIMEOUT": "600"}, repo_id=id)
        snapshot = self.snapshot_folder("model", id, commit.id)
        deadline = time.monotonic() + 60
        while True:
            there = sum(1 for entry in snapshot.rglob("*") if entry.is_file()) if snapshot.is_dir() else 0
            if fault.held and self._has_partial(id) and there == len(commit.files) - 1:
                return process, fault
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{self.name}: the download did not stop where it should: {there} files there")
            time.sleep(0.05)

    def _has_partial(self, id: str) -> bool:
        """Whether something is written of a file that is not whole. Others come and go meanwhile."""
        for partial in (self.repo_folder("model", id) / "blobs").glob("*.incomplete"):
            try:
                if partial.stat().st_size > 0:
                    return True
            except FileNotFoundError:
                continue
        return False

    def remove_revision(self, commit: str) -> None:
        """As a user does it: with the command, or in 0.36, whose command is only interactive, with the function."""
        if NEWEST:
            hf = Path(sys.executable).with_name("hf")
            command = [str(hf), "cache", "rm", commit, "--yes", "--cache-dir", str(self.cache)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            huggingface_hub.scan_cache_dir(self.cache).delete_revisions(commit).execute()

    # Places.

    @staticmethod
    def folder_name(kind: str, id: str) -> str:
        return "--".join([TYPES[kind], *id.split("/")])

    def repo_folder(self, kind: str, id: str) -> Path:
        return self.cache / self.folder_name(kind, id)

    def snapshot_folder(self, kind: str, id: str, commit: str) -> Path:
        return self.repo_folder(kind, id) / "snapshots" / commit

    def path(self, id: str, commit: Commit, file: str, kind: str = "model") -> Path:
        """The link in the snapshot."""
        return self.snapshot_folder(kind, id, commit.id) / file

    def blob(self, id: str, commit: Commit, file: str, kind: str = "model") -> Path:
        """The blob the commit names for this path."""
        return self.repo_folder(kind, id) / "blobs" / commit.files[file].etag

    # Damage, with plain file operations.

    @staticmethod
    def flip(path: Path, offset: int = -100) -> None:
        """Flips one bit as a failing disk does: nothing else about the file changes."""
        path = path.resolve()
        status = path.stat()
        content = bytearray(path.read_bytes())
        content[offset] ^= 0x10
        path.chmod(0o600)
        path.write_bytes(content)
        path.chmod(status.st_mode & 0o7777)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @staticmethod
    def cut(path: Path, by: int) -> None:
        os.truncate(path.resolve(), path.stat().st_size - by)

    @staticmethod
    def relink(path: Path, target: str) -> None:
        path.unlink()
        path.symlink_to(target)

    # The expectation.

    def repo(
        self, id: str, kind: str = "model", *, must: Iterable[str] = (), must_not: Iterable[str] = ()
    ) -> RepoExpectation:
        known = self.repos.setdefault(f"{kind}/{id}", RepoExpectation(f"{kind}/{id}", self.folder_name(kind, id)))
        known.must += must
        known.must_not += must_not
        return known

    def expect(
        self,
        id: str,
        commit: Commit,
        kind: str = "model",
        *,
        refs: Iterable[str] = ("main",),
        state: str | None = "complete",
        must: Iterable[str] = (),
        may: Iterable[str] = (),
        must_not: Iterable[str] = (),
        found_at: str = "structure",
        earlier: Outcome | None = None,
        files: int | None = None,
    ) -> None:
        """Records one revision. Before the depth `found_at` it looks whole, or as `earlier` says."""
        found = Outcome(state, list(must), list(may), list(must_not))
        first = DEPTHS.index(found_at)
        before = earlier or Outcome("complete")
        outcomes = {depth: before if i < first else found for i, depth in enumerate(DEPTHS)}
        self.repo(id, kind).revisions.append(Revision(commit.id, list(refs), files, outcomes))

    def whole(self, id: str, commit: Commit, kind: str = "model", **more: Any) -> None:
        """Records a revision with every file in place and nothing wrong."""
        refs = more.get("refs", ("main",))
        more["must_not"] = [*more.get("must_not", ()), "subset", "in-flight", *(("detached",) if refs else ())]
        self.expect(id, commit, kind, files=len(commit.files), **more)

    def local(self, folder: Path, commit: Commit, **outcome: Any) -> None:
        """Records a plain folder as the target instead of the cache."""
        self.target = folder.resolve()
        self.expect(str(folder), commit, refs=[], **outcome)
        known = self.repos.pop(f"model/{folder}")
        known.id, known.folder = f"local:{self.target}", "."
        self.repos[known.id] = known

    def judge(self) -> None:
        """Asks the client itself what it thinks of the cache, to be compared."""
        if self.cache.is_dir():
            self.client["scan"] = self._client_scan()
        if NEWEST and self.finish is None:
            self.client["verify"] = [
                self._client_verdict(repo, revision) for repo in self.repos.values() for revision in repo.revisions
            ]

    def _client_scan(self) -> dict[str, Any]:
        try:
            info = huggingface_hub.scan_cache_dir(self.cache)
        except Exception as error:  # noqa: BLE001  one link can end its whole scan
            return {"error": f"{type(error).__name__}: {error}"}
        return {
            "repos": sorted(f"{repo.repo_type}/{repo.repo_id}" for repo in info.repos),
            "size_on_disk": info.size_on_disk,
            "warnings": [str(warning) for warning in info.warnings],
        }

    def _client_verdict(self, repo: RepoExpectation, revision: Revision) -> dict[str, Any]:
        kind, _, id = repo.id.partition("/")
        where: dict[str, Any] = {"repo_type": kind, "cache_dir": self.cache}
        if self.target is not None:
            kind, id = next((r.kind, r.id) for r in self.hub.repos.values() if revision.commit in r.commits)
            where = {"repo_type": kind, "local_dir": self.target}
        verdict: dict[str, Any] = {"repo": repo.id, "commit": revision.commit}
        try:
            result = huggingface_hub.HfApi().verify_repo_checksums(id, revision=revision.commit, **where)
        except Exception as error:  # noqa: BLE001  whatever it says is its verdict
            return verdict | {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return verdict | {
            "ok": not result.mismatches,
            "checked": result.checked_count,
            "mismatches": sorted(mismatch["path"] for mismatch in result.mismatches),
            "missing": sorted(result.missing_paths),
        }

    def described(self, environment: str) -> dict[str, Any]:
        def exit_at(depth: str) -> int | None:
            """1 with any error; None where an outcome is left open."""
            outcomes = [revision.outcomes[depth] for repo in self.repos.values() for revision in repo.revisions]
            elsewhere = self.cache_must + [text for repo in self.repos.values() for text in repo.must]
            if any(outcome.state in ("corrupt", "partial") or outcome.is_error() for outcome in outcomes):
                return 1
            if any(finding(text)["code"] in ERRORS for text in elsewhere):
                return 1
            return None if any(outcome.state is None for outcome in outcomes) else 0

        return {
            "name": self.name,
            "about": self.about,
            "environment": environment,
            "cache": str(self.cache),
            "target": None if self.target is None else str(self.target),
            "live": self.finish is not None,
            "exit": {depth: exit_at(depth) for depth in DEPTHS},
            "named_exit": self.named_exit,
            "must": [finding(text) for text in self.cache_must],
            "repos": [
                {
                    "id": repo.id,
                    "folder": repo.folder,
                    "must": [finding(text) for text in repo.must],
                    "must_not": repo.must_not,
                    "revisions": [
                        {
                            "commit": revision.commit,
                            "refs": sorted(revision.refs),
                            "files": revision.files,
                            "outcomes": {depth: outcome.described() for depth, outcome in revision.outcomes.items()},
                        }
                        for revision in repo.revisions
                    ],
                }
                for repo in self.repos.values()
            ],
            "client": self.client,
        }


def published(hub: Hub, id: str, files: Mapping[str, Any], kind: str = "model", **how: Any) -> Commit:
    """A commit with these files on the stand-in; the one that is there already when the branch has just these."""
    repo: Repo = hub.repo(kind, id)
    head = repo.resolve("main")
    if head is not None and not how and {path: file.content for path, file in head.files.items()} == files:
        return head
    return repo.commit(files, **how)
