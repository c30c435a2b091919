"""Runs one command and writes what it cost, as a Python literal, to a file: `launch.py RESULT COMMAND [ARGUMENT]…`

A process of its own because the peak memory that `wait4` tells of a child is never below that of its parent at the time
of the start, and because the parent's work must not be in the measurement. Its own size, 10 MB or so, is the floor.
"""

import os
import sys
import time


def counters(pid: int) -> dict[str, int]:
    """`/proc/PID/io` of a process that has ended and was not waited for yet; empty where that cannot be read."""
    try:
        with open(f"/proc/{pid}/io") as file:
            return {name: int(value) for name, value in (line.split(": ") for line in file)}
    except OSError:
        return {}


def main() -> int:
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - started
    io = counters(pid)
    _, status, usage = os.wait4(pid, 0)
    cost = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_rss": usage.ru_maxrss * 1024,
        "disk_read": usage.ru_inblock * 512,
        "read": io.get("rchar"),
        "status": os.waitstatus_to_exitcode(status),
    }
    with open(result, "w") as file:
        file.write(repr(cost))
    return 0


if __name__ == "__main__":
    sys.exit(main())
