"""The daemon steered over its control socket: by curl alone, and by a fuzzer that knows no more than its document."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from caches import Cache, model_files
from catalogue import NEWEST, proof
from daemon import PATIENCE, Daemon
from ground import ORG, PACKAGE, Ground, Skipped, short
from hub_stand_in import Fault, pseudo_random

ID = f"{ORG}/wanted"
MB = 1_000_000
SECONDS = 40
"""How long the fuzzer goes on."""


@dataclass
class Answer:
    status: int
    body: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def code(self) -> str:
        return str(self.json.get("code", ""))


class Curl:
    """Requests as anybody makes them by hand."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.socket = ground.home(None) / "run" / "hfjanitor" / "control.sock"

    def words(self, target: str, *more: str) -> list[str]:
        return ["curl", "--silent", "--unix-socket", str(self.socket), f"http://localhost{target}", *more]

    def __call__(self, target: str, body: Any = None, method: str | None = None) -> Answer:
        more = ["--max-time", "120", "--write-out", "\n%{http_code}"]
        more += ["--request", method] if method else []
        more += ["--data", json.dumps(body)] if body is not None else []
        done = subprocess.run(self.words(target, *more), capture_output=True, text=True, check=False)
        text, _, status = done.stdout.rpartition("\n")
        return Answer(int(status or 0), text)

    def status(self, id: str = ID) -> Any:
        return self("/api/models/status", {"hf_repo": id}).json


def beginning(ground: Ground, cache: Cache, more: str = "", caches: str = "") -> tuple[Daemon, Curl]:
    (ground.home(None) / "run").mkdir(exist_ok=True)
    text = f"mode: enforce\ncontrol: {{allow-fetch: true}}\ncaches: [{{path: {cache.path}, critical-free: 1MB{caches}}}]\n{more}"
    daemon = Daemon(ground, policy=ground.policy(text))
    daemon.await_ready()
    return daemon, Curl(ground)


def entries(cache: Cache) -> list[str]:
    """What is in the cache but lock files, which are never removed."""
    found = (str(path.relative_to(cache.path)) for path in cache.path.rglob("*"))
    return sorted(name for name in found if not name.startswith(".locks") and name != "CACHEDIR.TAG")


@proof(NEWEST)
def steering(ground: Ground) -> None:
    """By curl alone: preview, download with progress, status, verify, delete; joined, refused, cancelled half-way."""
    cache = Cache(ground, ground.place() / "hub")
    commit = cache.publish(ID, model_files("wanted", 12))
    cache.publish(f"{ORG}/other", {"other.bin": pseudo_random("o", 2 * MB)})
    daemon, curl = beginning(ground, cache)

    preview = curl("/api/models/preview", {"hf_repo": ID})
    ground.equal((preview.status, preview.json.get("schema")), (200, "hfjanitor.preview/1"), f"preview: {preview}")
    ground.equal(preview.json["bytes"], sum(len(file.content) for file in commit.files.values()), "bytes of the preview")
    ground.check(preview.json["disk"]["fits"], f"it fits: {preview.json['disk']}")
    ground.equal(curl("/api/models/preview", {"hf_repo": f"{ORG}/no"}).code, "repo_not_found", "a preview of nothing")

    slow = ground.servers.faults.add(Fault("slow", origin="cdn", method="GET", rate=3 * MB))
    events = (ground.base / "events").open("w+")
    listener = ground.start(curl.words("/api/events", "--no-buffer"), stdout=events)
    daemon.until(lambda: "listening" in Path(events.name).read_text(), "the listener hears")
    begun = curl("/api/models/download", {"hf_repo": ID})
    ground.equal((begun.status, begun.json.get("joined")), (202, False), f"download: {begun}")
    seen: list[int] = []

    def is_over() -> bool:
        known = curl.status()
        if known["status"] == "DOWNLOADING" and known["progress"]:
            seen.append(known["progress"]["bytes"])
        return bool(known["status"] == "DOWNLOADED")

    daemon.until(lambda: curl.status()["status"] == "DOWNLOADING", "the download is told of")
    joined = curl("/api/models/download", {"hf_repo": ID})
    ground.equal((joined.status, joined.json.get("task_id")), (202, begun.json.get("task_id")), f"a duplicate: {joined}")
    ground.check(joined.json.get("joined"), "a duplicate does not say that it joined")
    second = curl("/api/models/download", {"hf_repo": f"{ORG}/other"})
    ground.equal((second.status, second.code), (429, "download_limit_reached"), "a second one")
    part = curl("/api/models/download", {"hf_repo": ID, "exclude": ["*.json"]})
    ground.equal((part.status, part.code), (409, "already_downloading"), "other files of the same")
    daemon.until(is_over, "the download is over")
    ground.check(len(set(seen)) > 2 and seen == sorted(seen), f"no progress was seen: {seen}")
    ground.check(not cache.is_whole(ID, commit), lambda: f"what came: {cache.is_whole(ID, commit)}")

    def progress() -> list[dict[str, Any]]:
        lines = Path(events.name).read_text().split("event: progress\ndata: ")[1:]
        return [json.loads(line.split("\n")[0]) for line in lines]

    daemon.until(lambda: progress() and progress()[-1]["status"] == "FINISHED", "the end is heard")
    told = progress()
    ground.check(any(each["bytes_per_second"] and each["eta_seconds"] is not None for each in told), f"no rate: {told}")
    ground.check(len(told) <= 2 * 6 + 4, f"more than two a second: {len(told)}")
    listener.kill()
    for event in ("download-started", "download-joined", "download-finished", "arrived"):
        ground.check(daemon.events(event, repo=f"model/{ID}"), f"the journal has no {event}\n{daemon.told()}")

    verified = curl("/api/verify", {"hf_repo": ID, "depth": "digests"})
    ground.equal(verified.json["summary"]["complete"], 1, f"verify: {short(verified.body)}")
    gone = curl("/api/models", {"hf_repo": ID}, "DELETE")
    ground.equal((gone.status, gone.json.get("status")), (200, "deleted"), f"delete: {gone}")
    ground.equal(entries(cache), [], "left after the deletion")
    ground.equal(curl.status()["status"], "NOT_FOUND", "after the deletion")

    # Half of it, and then nobody wants it any more.
    ground.equal(curl("/api/models/download", {"hf_repo": ID}).status, 202, "once more")
    daemon.until(lambda: (curl.status()["progress"] or {}).get("bytes", 0) > 5 * MB, "half of it is here")
    cancelled = curl("/api/models", {"hf_repo": ID}, "DELETE")
    ground.equal((cancelled.status, cancelled.json.get("status")), (200, "cancelled"), f"cancelling: {cancelled}")
    ground.equal(cancelled.json.get("kept"), None, "what stays after cancelling")
    ground.equal(entries(cache), [], "left after cancelling")
    ground.equal(curl.status()["status"], "NOT_FOUND", "after cancelling")

    # A daemon that is stopped, and one that is killed, lose nothing that came.
    for stop in (daemon.stop, daemon.kill):
        ground.equal(curl("/api/models/download", {"hf_repo": ID}).status, 202, "a download to be interrupted")
        daemon.until(lambda: (curl.status()["progress"] or {}).get("bytes", 0) > 5 * MB, "half of it is here again")
        stop()
        partial = max((path.stat().st_size for path in cache.path.rglob("*.incomplete")), default=0)
        ground.check(partial >= 3 * MB, f"a partial download of {partial} bytes stays")
        ground.servers.log.clear()
        daemon.start()
        daemon.await_ready()
    slow.released.set()
    ground.servers.faults.remove(slow.id)
    daemon.until(lambda: curl("/api/models/download", {"hf_repo": ID}).status == 202, "it may be asked for again")
    daemon.until(lambda: curl.status()["status"] == "DOWNLOADED", "it is whole in the end")
    ranges = [entry["range"] for entry in ground.servers.log.all() if entry["range"]]
    ground.check(any(not each.startswith("bytes=0-") for each in ranges), f"it began anew: {ranges}")
    ground.check(not cache.is_whole(ID, commit), lambda: f"what came in the end: {cache.is_whole(ID, commit)}")
    daemon.tells_the_truth(cache, when="after all")
    daemon.stop()


@proof(NEWEST)
def lines_of_the_readme(ground: Ground) -> None:
    """Every curl line of the README does what it says, in its order."""
    lines = [line.strip() for line in (PACKAGE / "README.md").read_text().splitlines() if line.startswith("    curl ")]
    ground.check(len(lines) >= 8, f"the README has {len(lines)} lines")
    cache = Cache(ground, ground.place() / "hub")
    cache.publish(ID, model_files("wanted", 3))
    daemon, curl = beginning(ground, cache)
    for line in lines:
        command = line.replace("/run/hfjanitor/control.sock", str(curl.socket)).replace("org/name", ID)
        if "/api/events" in line:
            command = f"timeout 2 {command}"
        done = subprocess.run(
            ["sh", "-c", command.replace("curl ", "curl --silent --fail-with-body ", 1)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        is_good = done.returncode == (124 if "/api/events" in line else 0)
        ground.check(is_good, lambda: f"{line}: {done.returncode}: {short(done.stdout)}{done.stderr}")
        if "/api/models/status" in line:
            daemon.until(lambda: curl.status()["status"] == "DOWNLOADED", "it is here")
        if "/api/verify" in line:
            ground.equal(json.loads(done.stdout)["summary"]["complete"], 1, f"what {line} says")
        if "/api/repair" in line:
            daemon.until(
                lambda: all(each["status"] == "FINISHED" for each in curl("/api/downloads").json["downloads"]),
                "the repair is over",
            )
    ground.equal(entries(cache), [], "left in the end")
    daemon.stop()


@proof(NEWEST)
def steering_without_room(ground: Ground) -> None:
    """No room: refused with the numbers, nothing left; where the policy lets something go, room is made first."""
    disk = ground.disk(mib=100)
    cache = Cache(ground, disk.path / "hub")
    old = cache.model(f"{ORG}/old", 20, days=30)
    kept = cache.model(f"{ORG}/kept", 20, days=20)
    wanted = cache.publish(ID, {"model.safetensors": os.urandom(52 << 20), "config.json": b"{}"})
    cache.publish(f"{ORG}/huge", {"model.safetensors": os.urandom(95 << 20)})
    daemon, curl = beginning(
        ground, cache, f"pins: [{{repo: {ORG}/kept}}]\n",
        ", min-age: 0s, recent-use: 0s, min-free: 8MB, target-free: 9MB, irreplaceable: evict",
    )
    before = entries(cache)
    refused = curl("/api/models/download", {"hf_repo": f"{ORG}/huge"})
    ground.equal((refused.status, refused.code), (507, "insufficient_disk"), f"what never fits: {refused}")
    ground.check(
        re.search(r"need .* free, floor ", refused.json.get("detail", "")), f"the words of the refusal: {refused.body}"
    )
    ground.check(not cache.is_whole(f"{ORG}/kept", kept), "a pinned model lost something")
    ground.equal(entries(cache), before, "the cache after what never fits was refused")
    begun = curl("/api/models/download", {"hf_repo": ID})
    ground.equal(begun.status, 202, f"what fits when something goes: {begun}")
    daemon.until(lambda: curl.status()["status"] == "DOWNLOADED", "it is here")
    ground.check(not cache.has(f"{ORG}/old", old), "the oldest model is still here")
    ground.check(not cache.is_whole(ID, wanted), lambda: f"what was wanted: {cache.is_whole(ID, wanted)}")
    ground.check(not cache.is_whole(f"{ORG}/kept", kept), "a pinned model lost something")
    daemon.stop()


@proof(NEWEST)
def room_by_the_policy_in_force(ground: Ground) -> None:
    """A policy that is edited while a download runs says what may go for the files that are still to come."""
    large = 17 << 20
    """Of these two come at once; the third is looked for room for when one of them is here."""
    edits = {
        "none": lambda text: None,
        "pinned": lambda text: text + f"pins: [{{repo: {ORG}/old}}]\n",
        "observed": lambda text: text.replace("mode: enforce", "mode: observe"),
    }
    for name, edit in edits.items():
        disk = ground.disk(mib=160)
        cache = Cache(ground, disk.path / "hub")
        old = cache.model(f"{ORG}/old", 30, days=30)
        cache.model(f"{ORG}/last", 1)
        id = f"{ORG}/wanted-{name}"
        wanted = cache.publish(id, {f"part-{number}.bin": os.urandom(large) for number in range(3)})
        held = ground.servers.faults.add(Fault("hold", origin="cdn", method="GET", after=MB))
        daemon, curl = beginning(
            ground, cache, "", ", min-age: 0s, recent-use: 0s, min-free: 1500kB, target-free: 2MB, irreplaceable: evict"
        )
        begun = curl("/api/models/download", {"hf_repo": id})
        ground.equal(begun.status, 202, f"{name}: the download: {begun}")
        daemon.until(lambda: (curl.status(id)["progress"] or {}).get("bytes", 0) >= 2 * MB, "two of three are on their way")
        policy = ground.base / "policies-own" / "policy.yaml"
        text = edit(policy.read_text())
        if text is not None:
            policy.write_text(text)
            daemon.until(lambda: daemon.events("policy-applied"), "the edit counts")
        disk.fill(2 * large + 3 * MB)
        held.released.set()
        ground.servers.faults.remove(held.id)
        daemon.until(lambda: curl.status(id)["status"] != "DOWNLOADING", "the download is over")
        if name == "none":
            ground.check(not cache.is_whole(id, wanted), lambda: f"without an edit: {cache.is_whole(id, wanted)}")
            ground.check(not cache.has(f"{ORG}/old", old), lambda: f"without an edit no room was made\n{daemon.told()}")
        else:
            ground.check(not cache.is_whole(f"{ORG}/old", old), f"{name}: room was made by the former policy")
            ground.equal(curl.status(id)["status"], "PARTIAL", f"{name}: two files of three")
            failed = daemon.events("download-failed", repo=f"model/{id}")
            ground.check(failed and "free, floor" in failed[-1]["message"], lambda: f"{name}: {daemon.told()}")
        daemon.stop()


class Forwarder:
    """A port of the loopback interface that leads to a Unix socket, for clients that speak nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.path))
            except OSError:
                near.close()
                continue
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.listener.close()


@proof(NEWEST)
def fuzzed_document(ground: Ground) -> None:
    """What the control API's document says is what is answered: no request makes it fail, no answer has another shape."""
    fuzzer = ground.other_client("contract").parent / "schemathesis"
    cache = Cache(ground, ground.place() / "hub")
    cache.model(ID)
    cache.model(f"{ORG}/data", kind="dataset")
    broken = cache.model(f"{ORG}/broken")
    cache.blob(f"{ORG}/broken", broken).unlink()
    daemon, curl = beginning(ground, cache)
    forwarder = Forwarder(curl.socket)
    command = [
        str(fuzzer), "run", f"{forwarder.url}/openapi.json", "--url", forwarder.url,
        # Answers that last, and one that reads the policy's folder again and again.
        "--exclude-path", "/api/events", "--exclude-path", "/api/reads",
        "--phases", "examples,coverage,fuzzing", "--max-time", str(SECONDS), "--max-examples", "60", "--seed", "1",
        "--generation-database", "none", "--continue-on-failure", "--warnings", "off", "--no-color", "--workers", "2",
        # A name that is well-formed may still lead nowhere.
        "--exclude-checks", "positive_data_acceptance",
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "HOME": str(ground.home(None)), "LC_ALL": "C.UTF-8"}
    for _ in range(2):
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ground.home(None), env=environment,
            timeout=SECONDS + 10 * PATIENCE,
        )  # fmt: skip
        # Python 3.11 parses wrongly when two threads do (gh-106905); that says nothing of the document.
        if "AST constructor recursion depth mismatch" not in run.stdout:
            break
        command[command.index("--workers") + 1] = "1"
    tail = run.stdout[-6000:]
    ground.check(run.returncode == 0, lambda: f"the fuzzer says {run.returncode}: {tail}\n{short(run.stderr)}")
    summary = re.search(r"(\d+) generated", run.stdout)
    ground.note(f"{summary.group(0) if summary else tail[-400:]}")
    ground.equal(curl("/healthz").status, 200, "healthy afterwards")
    ground.check(not daemon.other_lines, lambda: f"it said {daemon.other_lines[:5]}")
    daemon.stop()
    forwarder.close()
