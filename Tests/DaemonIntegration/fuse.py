"""A view of a folder as a FUSE filesystem, which nothing can be written through. This very file serves it as a process of
its own: stopped, it hangs as a network filesystem does whose server is gone. Needs root, nothing else; see fuse(4) and
linux/fuse.h.

    fuse.py FOLDER MOUNTPOINT      mounts, says "ready", serves until it is ended
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
SILENT = (FORGET, INTERRUPT, BATCH_FORGET)
LARGEST = 1 << 20


class Failed(Exception):
    """An errno to answer with."""


class View:
    """Answers requests about the folder. A node is a path; none is ever forgotten."""

    def __init__(self, folder: str) -> None:
        self.paths = {1: os.fsencode(folder)}
        self.numbers = {self.paths[1]: 1}
        self.listings: dict[int, list[bytes]] = {}

    def answer(self, opcode: int, node: int, body: bytes) -> bytes:
        path = self.paths[node]
        if opcode == LOOKUP:
            child = os.path.join(path, body.rstrip(b"\0"))
            attributes = self.attributes(child)
            number = self.numbers.setdefault(child, len(self.numbers) + 1)
            self.paths[number] = child
            return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + attributes
        if opcode == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attributes(path)
        if opcode == READLINK:
            return os.readlink(path)
        if opcode == OPENDIR:
            handle = len(self.listings) + 1
            self.listings[handle] = [b".", b"..", *sorted(os.listdir(path))]
            return struct.pack("<QII", handle, 0, 0)
        if opcode == READDIR:
            return self.listing(*struct.unpack_from("<QQI", body))
        if opcode == OPEN:
            if not struct.unpack_from("<I", body)[0] & os.O_ACCMODE == os.O_RDONLY:
                raise Failed(errno.EROFS)
            return struct.pack("<QII", os.open(path, os.O_RDONLY), 0, 0)
        if opcode == READ:
            handle, offset, size = struct.unpack_from("<QQI", body)
            return os.pread(handle, size, offset)
        if opcode == RELEASE:
            os.close(struct.unpack_from("<Q", body)[0])
            return b""
        if opcode == RELEASEDIR:
            self.listings[struct.unpack_from("<Q", body)[0]] = []
            return b""
        if opcode == STATFS:
            status = os.statvfs(path)
            counts = (status.f_blocks, status.f_bfree, status.f_bavail, status.f_files, status.f_ffree)
            return struct.pack("<5Q4I24x", *counts, status.f_bsize, 255, status.f_frsize, 0)
        if opcode == FLUSH:
            return b""
        raise Failed(errno.ENOSYS)

    @staticmethod
    def attributes(path: bytes) -> bytes:
        status = os.lstat(path)
        times = [status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns]
        return struct.pack(
            "<6Q3I7I", status.st_ino, status.st_size, status.st_blocks, *(each // 10**9 for each in times),
            *(each % 10**9 for each in times), status.st_mode, status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0,
        )  # fmt: skip

    def listing(self, handle: int, offset: int, size: int) -> bytes:
        result = b""
        for place, name in enumerate(self.listings[handle][offset:], offset + 1):
            entry = struct.pack("<QQII", 0xFFFFFFFF, place, len(name), 0) + name
            entry += bytes(-len(entry) % 8)
            if len(result) + len(entry) > size:
                break
            result += entry
        return result


def serve(folder: str, mountpoint: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,allow_other,default_permissions"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"view", os.fsencode(mountpoint), b"fuse.view", 2 | 4, options.encode()) != 0:  # nosuid, nodev
        raise OSError(ctypes.get_errno(), "mount")
    view = View(folder)
    print("ready", flush=True)
    while True:
        try:
            request = os.read(device, LARGEST + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue
            raise
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in SILENT:
            continue
        number, reply = 0, b""
        try:
            if opcode == INIT:
                reply = struct.pack("<4I2H2I2H8I", 7, 31, 1 << 16, 0, 16, 12, LARGEST, 1, 0, 0, *[0] * 8)
            else:
                reply = view.answer(opcode, node, request[40:])
        except Failed as failure:
            number = -failure.args[0]
        except OSError as failure:
            number = -(failure.errno or errno.EIO)
        reply = b"" if number else reply
        try:
            os.write(device, struct.pack("<IiQ", 16 + len(reply), number, unique) + reply)
        except OSError as error:
            if error.errno != errno.ENOENT:  # who asked is gone
                raise


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
