"""Uses files until it is ended: `script_use.py open|map|shards|name|lock PATH…`. Says "ready" once it does."""

import fcntl
import mmap
import os
import sys
import time

if __name__ == "__main__":
    how, paths = sys.argv[1], sys.argv[2:]
    kept = []
    if how == "shards":  # a loader: one shard after another, each closed again; it pauses until the first path is there
        print("ready", flush=True)
        for path in paths[1:]:
            with open(path, "rb") as shard:
                while shard.read(1 << 20):
                    pass
            print(f"read {path}", flush=True)
            while not os.path.exists(paths[0]):
                time.sleep(0.05)
        sys.exit(0)
    for path in paths:
        if how == "open":
            kept.append(open(path, "rb"))
        elif how == "map":
            descriptor = os.open(path, os.O_RDONLY)
            kept.append(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ))
            os.close(descriptor)  # Python keeps a duplicate of its own, so it goes too:
            for number in os.listdir("/proc/self/fd"):
                try:
                    if int(number) > 2 and os.path.samefile(f"/proc/self/fd/{number}", path):
                        os.close(int(number))
                except OSError:
                    continue
        elif how == "lock":
            os.makedirs(os.path.dirname(path), exist_ok=True)
            kept.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o664))
            fcntl.flock(kept[-1], fcntl.LOCK_EX)
    print("ready", flush=True)
    while True:
        time.sleep(60)
