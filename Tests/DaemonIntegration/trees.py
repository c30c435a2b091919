"""Caches of many repos, written and harmed by plain file operations, as no client could so fast."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from pathlib import Path

import weights
from hub_stand_in import StoredFile, is_large


class Repo:
    """One repo with one revision."""

    def __init__(self, root: Path, name: str, files: dict[str, StoredFile]) -> None:
        self.folder = root / f"models--many--{name}"
        self.commit = hashlib.sha1(name.encode()).hexdigest()
        self.files = files

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshots" / self.commit

    def blob(self, file: str) -> Path:
        return self.folder / "blobs" / self.files[file].etag

    def write(self) -> None:
        for folder in ("blobs", "refs", f"snapshots/{self.commit}"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for name in self.files:
            self.write_blob(name)
            self.write_link(name)
        (self.folder / "refs/main").write_text(self.commit)

    def write_blob(self, file: str) -> None:
        self.blob(file).write_bytes(self.files[file].content)

    def write_link(self, file: str) -> None:
        link = self.snapshot / file
        if not link.is_symlink():
            link.symlink_to(f"../../blobs/{self.files[file].etag}")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


FILES = {
    name: StoredFile(content, is_large(name))
    for name, content in (weights.sidecars("many") | weights.sharded("many", 3, rows=8, columns=16)).items()
}
SHARDS = sorted(name for name in FILES if name.endswith(".safetensors"))


def plant(root: Path, count: int, first: int = 0) -> list[Repo]:
    """Writes so many sound repos."""
    root.mkdir(parents=True, exist_ok=True)
    repos = [Repo(root, f"repo-{number:05}", FILES) for number in range(first, first + count)]
    for repo in repos:
        repo.write()
    return repos


class Vandal:
    """Changes repos at random, and counts the files it touched."""

    def __init__(self, root: Path, repos: list[Repo], seed: str) -> None:
        self.root = root
        self.repos = repos
        self.pick = random.Random(seed)
        self.touched = 0
        self.made = len(repos)

    def rage(self, files: int) -> None:
        """Goes on until so many files were touched."""
        goal = self.touched + files
        while self.touched < goal:
            self.change(self.pick.choice(self.repos))

    def change(self, repo: Repo) -> None:
        shard = self.pick.choice(SHARDS)
        kind = self.pick.random()
        if not repo.folder.exists():
            repo.write()
            self.touched += 2 * len(FILES)
        elif kind < 0.70:  # noise, as clients and editors make it
            for number in range(10):
                place = repo.folder / "blobs" / f"tmp-{number}"
                place.write_bytes(b"x")
                place.unlink()
            self.touched += 10
        elif kind < 0.78:
            self._cut(repo.blob(shard))
        elif kind < 0.84:
            repo.blob(shard).unlink(missing_ok=True)
            self.touched += 1
        elif kind < 0.88:
            (repo.snapshot / shard).unlink(missing_ok=True)
            self.touched += 1
        elif kind < 0.96:  # all is well again
            for name in FILES:
                repo.write_blob(name)
                repo.write_link(name)
            self.touched += 2 * len(FILES)
        elif kind < 0.98:
            repo.remove()
            self.touched += 2 * len(FILES)
        else:
            new = plant(self.root, 1, self.made)
            self.made += 1
            self.repos += new
            self.touched += 2 * len(FILES)

    def _cut(self, blob: Path) -> None:
        if blob.exists():
            os.truncate(blob, self.pick.randrange(4, max(5, blob.stat().st_size)))
            self.touched += 1
