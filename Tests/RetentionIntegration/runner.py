"""Runs proofs about the built program on caches that the real client writes: what is common to the `proofs.py` of several
folders.

    proofs.py --list                            names, one a line, with what each is about
    proofs.py NAME… --program HFJANITOR         runs them; one line of JSON each

Run it with an interpreter of `.build/python/`; its client is the one that is used. A line is {"name", "client",
"failures": [text…], "skipped": text or null, "notes": [text…], "seconds"}. The exit code is 0 when nothing failed, 1
when something did, 77 when everything was skipped.

As root it makes a mount namespace of its own first, so that no mount and no loop device outlives it. What needs root is
skipped without it. The README.md beside a `proofs.py` says what is proven.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Iterable

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent / "HubStandIn", HERE.parent / "Integration", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
sys.dont_write_bytecode = True

INSIDE = "HFJANITOR_PROOFS_INSIDE"
"""Set once the mount namespace is ours."""


def enter_own_mount_namespace() -> None:
    if os.geteuid() != 0 or os.environ.get(INSIDE) == "1":
        return
    os.environ[INSIDE] = "1"
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, str(Path(sys.argv[0]).resolve())]
    os.execvp(command[0], command + sys.argv[1:])


def isolate() -> None:
    """The client reads its settings at import: none of the caller's may leak in."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "XDG_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ |= {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_VERBOSITY": "error",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
    }
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a test runner's threads may block what a child then never gets


def main(modules: Iterable[str]) -> int:
    """Runs what the command line names of the proofs in these modules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--program", type=Path)
    parser.add_argument("--list", action="store_true", help="only print the names")
    options = parser.parse_args()
    if not options.list:
        enter_own_mount_namespace()
    isolate()

    import catalogue

    for module in modules:
        importlib.import_module(module)
    proofs = catalogue.PROOFS
    if options.list:
        for proof in proofs.values():
            print(f"{proof.name}\t{' '.join(proof.clients)}\t{proof.about}")
        return 0
    unknown = [name for name in options.names if name not in proofs]
    if unknown or not options.names or options.program is None:
        parser.error(f"no such proof: {', '.join(unknown)}" if unknown else "a NAME and --program are needed")

    if len(options.names) > 1:  # the client reads its settings once in a process
        command = [sys.executable, str(Path(sys.argv[0]).resolve()), "--program", str(options.program)]
        statuses = {subprocess.run([*command, name], check=False).returncode for name in options.names}
        return max(statuses - {77}, default=77)

    from ground import Ground, Skipped

    failed = ran = False
    for name in options.names:
        started = time.monotonic()
        result: dict[str, object] = {"name": name, "failures": [], "skipped": None, "notes": []}
        try:
            with Ground(name, options.program.absolute()) as ground:
                try:
                    proofs[name].run(ground)
                finally:
                    result |= {"failures": ground.failures, "notes": ground.notes, "client": ground.client}
        except Skipped as reason:
            result["skipped"] = str(reason)
        except Exception:  # noqa: BLE001  a proof that cannot be set up is a failure with a traceback
            result["failures"] = [*result["failures"], traceback.format_exc()]  # type: ignore[misc]
        result["seconds"] = round(time.monotonic() - started, 1)
        failed = failed or bool(result["failures"])
        ran = ran or result["skipped"] is None
        print(json.dumps(result), flush=True)
    return 1 if failed else 0 if ran else 77
