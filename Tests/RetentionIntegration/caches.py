"""A cache under test: written by the real client, looked at with plain file operations, judged by the client again."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping

import weights
from ground import Ground, Run, short
from hub_stand_in import TYPES, Commit

WEIGHTS = "model.safetensors"
DAY = 86400


def model_files(seed: str, mib: int = 1) -> weights.Files:
    """A small model: what stands beside the weights, and one weight file of about so many MiB."""
    return weights.sidecars(seed) | {WEIGHTS: weights.safetensors_file(seed, ["embed.weight"], 512 * mib, 1024)}


@dataclass
class Scan:
    """What the client says of a whole cache."""

    repos: dict[str, set[str]] = field(default_factory=dict)
    """`type/id` -> commits."""
    warnings: list[str] = field(default_factory=list)


class Cache:
    """One cache root. `uid`: its owner, where that is not who runs the proof."""

    def __init__(self, ground: Ground, path: Path, uid: int | None = None) -> None:
        self.ground = ground
        self.path = path
        self.uid = uid
        path.mkdir(parents=True, exist_ok=True)
        if uid is not None:
            os.chown(path, uid, uid)

    # Filling it.

    def publish(self, id: str, files: Mapping[str, Any], kind: str = "model", **how: Any) -> Commit:
        """A commit with these files on the Hub; the one that is there already when the branch has just these."""
        repo = self.ground.hub.repo(kind, id)
        head = repo.resolve("main")
        if head is not None and not how and {path: file.content for path, file in head.files.items()} == files:
            return head
        return repo.commit(files, **how)

    def download(self, id: str, revision: str | None = None, kind: str = "model", **more: Any) -> None:
        """The client's own `snapshot_download`, as the cache's owner."""
        arguments = {"repo_id": id, "repo_type": kind, "revision": revision, "cache_dir": str(self.path)} | more
        arguments.setdefault("max_workers", 2)
        if self.uid is None:
            import huggingface_hub

            huggingface_hub.snapshot_download(**arguments)
            return
        done = subprocess.run(
            self.client_command("snapshot_download", arguments), env=self.ground.environment(self.uid), cwd="/",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"the client failed: {done.stderr}")

    def client_command(self, function: str, arguments: Mapping[str, Any]) -> list[str]:
        script = self.ground.scripts / "client_call.py"
        return self.ground.command([self.ground.python, script, function, json.dumps(arguments)], self.uid)

    def model(self, id: str, mib: int = 1, days: float = 30, kind: str = "model") -> Commit:
        """A model of so many MiB that was downloaded, and last used, so many days ago."""
        commit = self.publish(id, model_files(id, mib), kind)
        self.download(id, kind=kind)
        self.age(id, days, kind)
        return commit

    def age(self, id: str, days: float, kind: str = "model") -> None:
        """Sets the times of last access and last change; the change time cannot be set."""
        age_tree(self.folder(id, kind), days)

    # Looking at it.

    def folder(self, id: str, kind: str = "model") -> Path:
        return self.path / "--".join([TYPES[kind], *id.split("/")])

    def snapshot(self, id: str, commit: Commit, kind: str = "model") -> Path:
        return self.folder(id, kind) / "snapshots" / commit.id

    def blob(self, id: str, commit: Commit, file: str = WEIGHTS, kind: str = "model") -> Path:
        return self.folder(id, kind) / "blobs" / commit.files[file].etag

    def has(self, id: str, commit: Commit, kind: str = "model") -> bool:
        """Whether anything of that revision is left where clients look."""
        folder = self.snapshot(id, commit, kind)
        return folder.is_dir() and any(not entry.is_dir() or entry.is_symlink() for entry in folder.rglob("*"))

    def is_whole(self, id: str, commit: Commit, kind: str = "model") -> list[str]:
        """The files of the revision that are not there with their content."""
        wrong: list[str] = []
        for name, file in commit.files.items():
            try:
                content = (self.snapshot(id, commit, kind) / name).read_bytes()
            except OSError as error:
                wrong.append(f"{name}: {error.strerror}")
                continue
            if hashlib.sha256(content).hexdigest() != file.sha256:
                wrong.append(f"{name}: other content")
        return wrong

    def tree(self) -> dict[str, str]:
        return tree(self.path)

    def dangling(self) -> list[str]:
        """Links of snapshots and blobs that lead nowhere."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.path):
            if "/.hfjanitor" in folder:
                continue
            for name in folders + files:
                place = Path(folder) / name
                if place.is_symlink() and not place.exists():
                    found.append(f"{place.relative_to(self.path)} -> {os.readlink(place)}")
        return found

    def leftovers(self) -> list[str]:
        """What an operation of ours left in its private folders."""
        return [str(p.relative_to(self.path)) for p in self.path.glob("*/.hfjanitor/**/*")]

    # The program.

    def janitor(self, *arguments: Any, as_root: bool = False, **more: Any) -> Run:
        """The program on this cache, as its owner."""
        words = [*arguments]
        at = words.index("--") if "--" in words else len(words)
        words[at:at] = ["--cache", self.path]
        return self.ground.janitor(*words, uid=None if as_root else self.uid, **more)

    # The client's judgement.

    def scan(self) -> Scan:
        import huggingface_hub

        info = huggingface_hub.scan_cache_dir(self.path)
        scan = Scan(warnings=sorted(str(warning) for warning in info.warnings))
        for repo in info.repos:
            # Two folders can have one id after a rename, never one folder two.
            scan.repos[f"{repo.repo_type}/{repo.repo_id}"] = {revision.commit_hash for revision in repo.revisions}
        return scan

    def judge(self, before: Scan | None = None, gone: Iterable[tuple[str, Commit]] = (), what: str = "") -> Scan:
        """Holds the cache against the client: no new warnings, what is listed works offline and has its content, what was
        removed comes back by downloading it."""
        ground = self.ground
        label = f"{what}: " if what else ""
        before = before or Scan()
        now = self.scan()
        new = [warning for warning in now.warnings if warning not in before.warnings]
        ground.check(not new, f"{label}the client warns anew: {new}")
        ground.check(not self.dangling(), lambda: f"{label}dangling links: {self.dangling()}")
        ground.check(not self.leftovers(), lambda: f"{label}left in .hfjanitor: {self.leftovers()}")
        for id, commits in now.repos.items():
            kind, _, name = id.partition("/")
            for commit in commits:
                self._judge_revision(label, kind, name, commit)
        for id, revision in gone:
            ground.check(f"model/{id}" not in now.repos or revision.id not in now.repos[f"model/{id}"], f"{label}{id} is listed still")
            self.download(id, revision=revision.id)
            ground.check(not self.is_whole(id, revision), lambda: f"{label}{id} comes back as {self.is_whole(id, revision)}")
        return now

    def _judge_revision(self, label: str, kind: str, id: str, commit: str) -> None:
        import huggingface_hub

        try:
            huggingface_hub.snapshot_download(
                id, repo_type=kind, revision=commit, cache_dir=self.path, local_files_only=True
            )
        except Exception as error:  # noqa: BLE001  whatever it says is its verdict
            self.ground.failures.append(f"{label}{kind}/{id}@{commit[:7]} offline: {type(error).__name__}: {short(str(error))}")
            return
        repo = self.ground.hub.repos.get((kind, id)) or self.ground.hub.repos.get((kind, self.ground.hub.renamed.get((kind, id), "")))
        if repo is not None and commit in repo.commits:
            wrong = self.is_whole(id, repo.commits[commit], kind)
            self.ground.check(not wrong, f"{label}{kind}/{id}@{commit[:7]} is listed, but {wrong}")
        if self.ground.is_newest:
            try:
                verdict = huggingface_hub.HfApi().verify_repo_checksums(
                    id, repo_type=kind, revision=commit, cache_dir=self.path
                )
            except Exception as error:  # noqa: BLE001
                self.ground.failures.append(f"{label}{kind}/{id}@{commit[:7]}: {type(error).__name__}: {short(str(error))}")
            else:
                bad = f"mismatches {verdict.mismatches}, missing {verdict.missing_paths}"
                self.ground.check(not verdict.mismatches and not verdict.missing_paths, f"{label}{kind}/{id}@{commit[:7]}: {bad}")

    def judge_by_command(self) -> None:
        """`hf cache ls` lists the same as the library, `hf cache verify` finds nothing."""
        now = self.scan()
        hf = [self.ground.python, "-m", "huggingface_hub.cli.hf", "cache"]

        def ask(*words: Any) -> subprocess.CompletedProcess[str]:
            command = self.ground.command([*hf, *words, "--cache-dir", self.path], self.uid)
            environment = self.ground.environment(self.uid)
            return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

        listed = ask("ls")
        for id in now.repos:
            self.ground.check(id in listed.stdout, f"`hf cache ls` does not list {id}: {short(listed.stdout + listed.stderr)}")
        for id, commits in now.repos.items():
            kind, _, name = id.partition("/")
            for commit in commits:
                done = ask("verify", name, "--type", kind, "--revision", commit, "--fail-on-missing-files")
                self.ground.check(
                    done.returncode == 0, f"`hf cache verify {id}@{commit[:7]}`: {short(done.stdout + done.stderr)}"
                )


def age_tree(top: Path, days: float) -> None:
    """Sets access and modification times of everything below, links included; a payload behind a link stays."""
    then = time.time() - days * DAY
    places = [top]
    for folder, folders, files in os.walk(top, topdown=False):
        places += [Path(folder) / name for name in files + folders]
    for place in places:
        os.utime(place, (then, then), follow_symlinks=False)


def tree(top: Path, *, contents: bool = True) -> dict[str, str]:
    """Every entry below by its path: kind, mode, owner, and its content or target. Reading moves no time."""
    entries: dict[str, str] = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in folders + files:
            place = os.path.join(folder, name)
            try:
                status = os.lstat(place)
            except FileNotFoundError:
                continue
            text = f"{stat.filemode(status.st_mode)} {status.st_uid}"
            if stat.S_ISLNK(status.st_mode):
                text += f" -> {os.readlink(place)!r}"
            elif stat.S_ISREG(status.st_mode):
                text += f" {status.st_size}"
                if contents and status.st_size < 1 << 26:
                    text += f" {digest_of(place)}"
            entries[os.path.relpath(place, os.fsencode(top)).decode("utf-8", "backslashreplace")] = text
    return entries


def outside_fingerprint(top: Path) -> dict[str, str]:
    """As `tree`, with what any write or removal would move: inode, links, times of change."""
    entries = tree(top)
    for path in list(entries):
        status = os.lstat(top / path)
        entries[path] += f" {status.st_ino} {status.st_nlink} {status.st_mtime_ns} {status.st_ctime_ns}"
    return entries


def digest_of(place: bytes) -> str:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOATIME)
    except PermissionError:
        descriptor = os.open(place, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16] if sys.version_info >= (3, 11) else hashlib.sha256(file.read()).hexdigest()[:16]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[set[str], set[str], set[str]]:
    """What went, what came, what changed."""
    went = set(before) - set(after)
    came = set(after) - set(before)
    return went, came, {path for path in set(before) & set(after) if before[path] != after[path]}
