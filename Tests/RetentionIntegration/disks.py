"""Filesystems of their own: an image file, a loop device, a mount. The caller has a mount namespace of its own, so the
kernel takes back what a killed run leaves."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from pathlib import Path
from typing import Iterable

MB = 1_000_000
MIB = 1 << 20

MAKE = {
    # No blocks reserved for root: what is free is then free for everyone.
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    # Data and metadata in the same chunks: else so small a one has no room for metadata once data has been everywhere.
    "btrfs": ["mkfs.btrfs", "-q", "-f", "--mixed", "-m", "single", "-d", "single"],
}

class NoDisk(Exception):
    """This machine cannot mount such a filesystem."""


def tool(command: list[str]) -> None:
    environment = dict(os.environ) | {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError as error:
        raise NoDisk(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise NoDisk(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


class Disk:
    """One filesystem. `path` is where it is mounted; `block` its block size, for ext4."""

    def __init__(
        self, base: Path, name: str, kind: str, options: str = "relatime", mib: int = 340, block: int | None = None
    ) -> None:
        self.kind = kind
        self.options = options
        self.image = base / f"{name}.img"
        self.path = base / name
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(mib * MIB)
        tool([*MAKE[kind], *(["-b", str(block)] if block else []), str(self.image)])
        self.is_mounted = False
        self.mount()

    def mount(self) -> None:
        tool(["mount", "-t", self.kind, "-o", f"loop,{self.options}", str(self.image), str(self.path)])
        self.is_mounted = True
        self.path.chmod(0o755)

    def unmount(self) -> None:
        if self.is_mounted:
            tool(["umount", str(self.path)])
            self.is_mounted = False

    def remove(self) -> None:
        try:
            self.unmount()
        except NoDisk:
            tool(["umount", "--lazy", str(self.path)])
        self.image.unlink()

    def free(self) -> int:
        """Bytes that an unprivileged user could still write, once everything written and removed has reached the disk."""
        subprocess.run(["sync", "--file-system", str(self.path)], check=True)
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leave: int) -> None:
        """Takes space with a file outside every cache until only so much is left."""
        excess = self.free() - leave
        if excess <= 0:
            raise RuntimeError(f"only {self.free()} bytes are free, {leave} were to be left")
        with (self.path / "ballast").open("wb") as ballast:
            size = 0
            # btrfs promises more than it gives: less is taken then, and the caller measures what is left.
            while excess >= MIB:
                try:
                    os.posix_fallocate(ballast.fileno(), size, excess)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    excess //= 2
                    continue
                size += excess
                excess = self.free() - leave
            missing = leave - self.free()
            if missing > 0:
                ballast.truncate(max(0, size - missing))

    def backdate(self, seconds: int, top: Path) -> None:
        """Moves the times of change and birth of everything below `top` so far back. ext4 only: no running kernel lets
        them be set, so they are written into the unmounted image. Access and modification times stay."""
        numbers: list[int] = [os.lstat(top).st_ino]
        for folder, folders, files in os.walk(top):
            numbers += [os.lstat(os.path.join(folder, name)).st_ino for name in folders + files]
        then = int(time.time()) - seconds
        self.unmount()
        lines: list[str] = []
        for number in sorted(set(numbers)):
            lines += [f"set_inode_field <{number}> {field} @{then}" for field in ("ctime", "crtime")]
            lines += [f"set_inode_field <{number}> {field}_extra 0" for field in ("ctime", "crtime")]
        orders = self.image.with_suffix(".debugfs")
        orders.write_text("\n".join(lines) + "\n")
        tool(["debugfs", "-w", "-f", str(orders), str(self.image)])
        self.mount()


def allocated(paths: Iterable[Path]) -> int:
    """Bytes on the disk of everything below, each inode once, as du(1) counts."""
    seen: dict[tuple[int, int], int] = {}
    for path in paths:
        places = [str(path)]
        for folder, folders, files in os.walk(path):
            places += [os.path.join(folder, name) for name in folders + files]
        for place in places:
            try:
                status = os.lstat(place)
            except FileNotFoundError:
                continue
            seen[(status.st_dev, status.st_ino)] = status.st_blocks * 512
    return sum(seen.values())
