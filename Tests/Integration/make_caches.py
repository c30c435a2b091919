#!/usr/bin/env python3
"""Writes caches with the real Hugging Face client and prints, as one line of JSON, what a verifier must find in them.

    make_caches.py DIRECTORY [--only NAME]… [--list] [--serve] [--old-client PYTHON]

Run it with an interpreter of `.build/python/`; its client is the one that is used. DIRECTORY must not exist. With
--serve it stays after printing, so that downloads go on being live, and reads orders from standard input: `finish
NAME` lets a held download end and prints that scenario anew; the end of input ends everything. Without --serve, live
scenarios are finished first.

The JSON is described in README.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "HubStandIn")]
sys.dont_write_bytecode = True

from hub_stand_in import Hub, Servers  # noqa: E402


def isolate(directory: Path, url: str, old_client: str) -> None:
    """The client reads its settings at import: none of the caller's may leak in, and it must speak to the stand-in."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    home = directory / "home"
    os.environ |= {
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "HF_ENDPOINT": url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_VERBOSITY": "error",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HFJANITOR_OLD_CLIENT": old_client,
    }
    os.umask(0o022)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--old-client", default=str(HERE.parent.parent / ".build/python/v0.36/bin/python"))
    options = parser.parse_args()
    directory = options.directory.absolute()

    with Servers(Hub(resolve_cache=True, page_size=5)) as servers:
        isolate(directory, servers.url, options.old_client)
        from bench import NEWEST, Bench  # the client is imported here, after its settings
        from huggingface_hub import __version__ as version
        from scenarios import SCENARIOS

        logging.disable(logging.ERROR)
        chosen = {name: run for name, (run, both) in SCENARIOS.items() if NEWEST or both}
        unknown = set(options.only) - set(chosen)
        if unknown:
            parser.error(f"no such scenario for this client: {', '.join(sorted(unknown))}")
        if options.list:
            print("\n".join(chosen))
            return 0
        directory.mkdir(parents=True)
        environment = "newest" if NEWEST else "v0.36"
        benches: dict[str, Bench] = {}
        for name, run in chosen.items():
            if options.only and name not in options.only:
                continue
            bench = benches[name] = Bench(name, (run.__doc__ or "").strip(), directory / name, servers)
            try:
                run(bench)
                if bench.finish is not None and not options.serve:
                    bench.finish()
                    bench.finish = None
                bench.judge()
            except Exception as error:
                raise RuntimeError(f"scenario {name} could not be made") from error
        described = [bench.described(environment) for bench in benches.values()]
        result = {"schema": "hfjanitor.test-caches/1", "client": version, "environment": environment}
        text = json.dumps(result | {"scenarios": described})
        (directory / "expectations.json").write_text(text + "\n")  # to look at; a live scenario is as it was at first
        print(text, flush=True)
        while options.serve and (line := sys.stdin.readline()):
            order, _, name = line.strip().partition(" ")
            bench_to_finish = benches.get(name)
            if order != "finish" or bench_to_finish is None or bench_to_finish.finish is None:
                print(json.dumps({"error": f"not understood: {line.strip()}"}), flush=True)
                continue
            bench_to_finish.finish()
            bench_to_finish.finish = None
            bench_to_finish.judge()
            print(json.dumps(bench_to_finish.described(environment)), flush=True)
        for bench in benches.values():
            if bench.finish is not None:
                bench.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
