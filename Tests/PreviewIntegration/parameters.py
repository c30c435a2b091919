#!/usr/bin/env python3
"""Holds the parameters that `hfjanitor preview` counts against huggingface_hub's own count, on one Hub.

parameters.py PROGRAM      needs a client's environment, with safetensors and numpy
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "HubStandIn"), str(TESTS / "Integration")]

import numpy  # noqa: E402
from hub_stand_in import Hub, Servers  # noqa: E402
from safetensors.numpy import save  # noqa: E402
from weights import sharded, sidecars  # noqa: E402

TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


def repos() -> dict[str, dict[str, bytes]]:
    mixed = {f"{kind}.{number}": numpy.ones((number + 1, 7), kind) for number, kind in enumerate(TYPES)}
    scalar = {"scalar": numpy.array(1, "float32"), "empty": numpy.zeros((0, 5), "float16")}
    many = {f"model.layers.{number}.weight": numpy.ones((2, 3), "float16") for number in range(4000)}
    return {
        "acme/mixed": sidecars("mixed") | {"model.safetensors": save(mixed)},
        "acme/odd": {"model.safetensors": save(scalar)},
        "acme/many": {"model.safetensors": save(many)},
        "acme/shards": sidecars("shards") | sharded("shards", 5),
        "acme/large": sharded("large", 2, rows=1024, columns=512),
    }


def main(program: str) -> int:
    hub = Hub()
    for name, files in repos().items():
        hub.repo("model", name).commit(files)
    with Servers(hub) as servers, tempfile.TemporaryDirectory() as home:
        environment = {"HF_ENDPOINT": servers.url, "HF_HOME": home, "HOME": home, "PATH": "/usr/bin:/bin"}
        os.environ.update(environment)
        # Read when it is imported.
        from huggingface_hub import get_safetensors_metadata

        for name in repos():
            theirs = get_safetensors_metadata(name, token=False).parameter_count
            run = subprocess.run([program, "preview", name, "--json"], env=environment, capture_output=True)
            assert run.returncode == 0, run.stderr.decode()
            ours = json.loads(run.stdout)["parameters"]
            assert not ours["estimated"] and ours["total"] == sum(theirs.values()), (name, ours, theirs)
            assert ours["by_dtype"] == dict(theirs), (name, ours, theirs)
            print(name, ours["total"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
