"""Calls the client in a loop: `script_client.py CACHE SECONDS SEED SHARED PLAN`, where PLAN is a JSON file
{"repos": [{"id", "revisions": [name…], "files": [name…]}…], "xet": {hash: URL}}. Prints one JSON line when it is done: {"calls", "failures"}."""

import json
import random
import shutil
import sys
import time
import traceback
import urllib.request

import huggingface_hub
from huggingface_hub import file_download

if __name__ == "__main__":
    cache, seconds, seed, shared, plan = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4] == "1", sys.argv[5]
    with open(plan) as file:
        stated = json.load(file)
    repos = stated["repos"]
    if shared:
        # There is no Xet storage here. The bytes come over HTTP; everything around that, the store too, is the client's.
        def from_hub(*, incomplete_path, xet_file_data, headers, **_):  # type: ignore[no-untyped-def]
            with urllib.request.urlopen(stated["xet"][xet_file_data.file_hash]) as reply, open(incomplete_path, "wb") as partial:
                shutil.copyfileobj(reply, partial)

        file_download.xet_get = from_hub
    pick = random.Random(seed)
    calls, failures = 0, []
    print("ready", flush=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        repo = pick.choice(repos)
        revision = pick.choice(repo["revisions"])
        if pick.random() < 0.5:
            call, arguments = "snapshot_download", {"max_workers": 2}
        else:
            call, arguments = "hf_hub_download", {"filename": pick.choice(repo["files"])}
        began = time.time()
        try:
            getattr(huggingface_hub, call)(repo["id"], revision=revision, cache_dir=cache, **arguments)
        except Exception:
            said = f"{call} {repo['id']}@{revision} {arguments} at {began:.3f}..{time.time():.3f}\n"
            failures.append(said + traceback.format_exc()[-2500:])
        calls += 1
        # Without a pause some lock is always held, and nothing can ever be removed.
        time.sleep(pick.uniform(0, 0.4) if pick.random() < 0.8 else pick.uniform(1, 3))
    print(json.dumps({"calls": calls, "failures": failures, "client": huggingface_hub.__version__}), flush=True)
