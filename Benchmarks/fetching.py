"""Downloads from an nginx on the loopback interface, the Hub and its content's host, beside curl and the Python client."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Mapping

from cases import GIB, MB, Bench, Skipped
from measuring import Contender, Failure, Run, Series, ratio
from results import Budget, Result

COMMIT = "c" * 40
PIECE = 1 << 20


@dataclass(frozen=True)
class Served:
    """A file that is served, and what it is."""

    name: str
    size: int
    sha256: str
    sha1: str
    """As git has it."""

    @functools.cached_property
    def listed(self) -> dict[str, object]:
        return {"type": "file", "path": self.name, "size": self.size, "oid": self.sha1}


def listing(files: list[Served], *, in_git: bool) -> list[dict[str, object]]:
    """What the Hub says of a commit's files."""
    if in_git:
        return [file.listed for file in files]
    return [
        file.listed | {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} for file in files
    ]


def places(folder: Path, files: list[Served], url: str, *, in_git: bool) -> str:
    """The Hub's part of nginx's configuration: one GET gives what git keeps, a redirect tells where all else is."""
    hub = folder / "hub"
    hub.mkdir(exist_ok=True)
    siblings = [{"rfilename": file.name} for file in files]
    repo = {"id": "acme/model", "sha": COMMIT, "private": False, "gated": False, "siblings": siblings}
    (hub / "revision.json").write_text(json.dumps(repo))
    (hub / "tree.json").write_text(json.dumps(listing(files, in_git=in_git)))
    lines = [
        f"location = /api/models/acme/model/revision/main {{ default_type application/json; alias {hub}/revision.json; }}",
        f"location = /api/models/acme/model/tree/{COMMIT} {{ default_type application/json; alias {hub}/tree.json; }}",
    ]
    for file in files:
        etag = file.sha1 if in_git else file.sha256
        answer = (
            f"alias {folder}/content/{file.name};"
            if in_git
            else f"add_header X-Linked-Etag '\"{etag}\"' always; add_header X-Linked-Size {file.size} always;"
            f"return 302 {url}/{file.name};"
        )
        lines.append(
            f"location = /acme/model/resolve/{COMMIT}/{file.name} {{ etag off; add_header ETag '\"{etag}\"' always;"
            f"add_header X-Repo-Commit {COMMIT} always; {answer} }}"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def nginx(folder: Path, files: list[Served], *, in_git: bool) -> Iterator[tuple[str, str]]:
    """A Hub with those files; its address, and that of the content's host."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise Skipped("nginx is not here: install nginx-light")
    with socket.socket() as hub, socket.socket() as content:
        for free in (hub, content):
            free.bind(("127.0.0.1", 0))
        port, content_port = hub.getsockname()[1], content.getsockname()[1]
    content_url = f"http://127.0.0.1:{content_port}"
    place = folder / "nginx"
    place.mkdir(exist_ok=True)
    configuration = place / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"{user} worker_processes 1; daemon off; pid {place}/pid; error_log {place}/errors;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {place}/a; proxy_temp_path {place}/b;"
        f"fastcgi_temp_path {place}/c; uwsgi_temp_path {place}/d; scgi_temp_path {place}/e; keepalive_requests 100000;"
        f"server {{ listen 127.0.0.1:{content_port}; root {folder}/content; }}"
        f"server {{ listen 127.0.0.1:{port};\n{places(folder, files, content_url, in_git=in_git)}\n}} }}"
    )
    server = subprocess.Popen([program, "-c", configuration, "-p", place], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None:
                raise Failure(f"nginx does not start: {(place / 'errors').read_text()}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", content_url
    finally:
        server.terminate()
        server.wait()


def blocks(number: int, size: int) -> Iterator[bytes]:
    """The content of a file, no part of which is twice in it."""
    piece = hashlib.shake_256(b"hfjanitor").digest(PIECE)
    for index in range(-(-size // PIECE)):
        first = (number + (index << 32)).to_bytes(8, "little")
        yield (first + piece[8:])[: min(PIECE, size - index * PIECE)]


def holes(size: int) -> Iterator[bytes]:
    """The content of a file that takes no room where it is served."""
    for index in range(-(-size // PIECE)):
        yield bytes(min(PIECE, size - index * PIECE))


def served(bench: Bench, name: str, sizes: list[int], *, room: int, sparse: bool = False) -> Path:
    """Files of those sizes, and what they are beside them; `room` is what the downloads of them will take."""
    folder = bench.folder / name
    if shutil.disk_usage(bench.folder).free < room + GIB:
        raise Skipped(f"needs {room / 1e9:.0f} GB of disk and 1 GB to spare")
    if (folder / "files.json").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "content").mkdir(parents=True)
    files = []
    for number, size in enumerate(sizes):
        path = folder / "content" / f"part-{number:04}.bin"
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode())
        with path.open("wb") as file:
            for block in holes(size) if sparse else blocks(number, size):
                if not sparse:
                    file.write(block)
                sha256.update(block)
                sha1.update(block)
            file.truncate(size)
        files.append([path.name, size, sha256.hexdigest(), sha1.hexdigest()])
    (folder / "files.json").write_text(json.dumps(files))
    return folder


@contextlib.contextmanager
def fresh(target: Path) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        yield target
    finally:
        shutil.rmtree(target, ignore_errors=True)


def contest(
    bench: Bench, folder: Path, rounds: int, *, target: Path | None = None, with_client: bool = True, in_git: bool = False
) -> list[Series]:
    """Ours, curl, curl with what is needed to be as safe, and the Python client."""
    files = [Served(*file) for file in json.loads((folder / "files.json").read_text())]
    total = sum(file.size for file in files)
    work = bench.folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    with fresh(target or work / "fetched") as target, nginx(folder, files, in_git=in_git) as (url, content_url):

        def prepare() -> None:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            os.sync()

        def whole(run: Run) -> None:
            found = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
            if sum(path.stat().st_size for path in found) < total:
                raise Failure("less than the whole was fetched")

        listed, digests = work / "fetched.urls", work / "fetched.digests"
        listed.write_text("".join(f'url = "{content_url}/{file.name}"\noutput = "{target}/{file.name}"\n' for file in files))
        digests.write_text("".join(f"{file.sha256}  {target}/{file.name}\n" for file in files))
        curl = f'curl -fsS --config "{listed}"'
        safe = f'{curl} && sync "{target}"/* && sync "{target}" && sha256sum -c --quiet "{digests}"'
        contenders = [
            Contender("hfjanitor fetch", [bench.program, "fetch", "acme/model", "--cache", target, "--json"]),
            Contender("curl -o", ["sh", "-c", curl]),
            Contender("curl -o, sync, sha256sum -c", ["sh", "-c", safe]),
        ]
        if with_client:
            download = [bench.client, "download", "acme/model", "--cache-dir", target, "--quiet"]
            contenders.append(Contender("hf download", download))
        environment = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1"}
        return bench.laboratory.contest(
            rounds,
            *(
                Contender(one.label, one.command, whole, environment=environment, prepare=prepare, work=total)
                for one in contenders
            ),
        )


def told(series: list[Series]) -> list[str]:
    ours, *others = series
    notes = [f"{ratio(other, ours):.2f} x as fast as {other.label}" for other in others]
    notes += [f"{one.label}: {one.cpu / (one.contender.work or 1) * 1e9:.2f} s of processor time for a GB" for one in series]
    return notes


def fetched(
    bench: Bench, name: str, about: str, size: int, rounds: int, target: Path | None = None, *, sparse: bool = False
) -> Result:
    """One file, against the budgets."""
    folder = served(bench, f"served-{size >> 20}", [size], room=size if sparse else 3 * size, sparse=sparse)
    series = contest(bench, folder, rounds, target=target, with_client=not sparse)
    return Result(
        name,
        about,
        series,
        [
            Budget("at least 0.95 x the rate of curl -o", ratio(series[1], series[0]), 0.95, at_least=True),
            Budget("at most 64 MB resident", series[0].peak_rss, 64 * MB, "bytes"),
        ],
        told(series),
    )


def usual(bench: Bench) -> int:
    return (1 << 28) if bench.is_quick else 2 * GIB


def benchmark_fetch(bench: Bench) -> Result:
    size = usual(bench)
    about = f"one file of {size >> 20} MiB from a local nginx to the disk, proven by its digest and synced"
    return fetched(bench, "fetch", about, size, bench.rounds(5))


def benchmark_fetch_memory(bench: Bench) -> Result:
    size = usual(bench)
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < size + GIB:
        raise Skipped("/dev/shm is not here, or has too little room")
    about = f"one file of {size >> 20} MiB from a local nginx to memory, which leaves out the disk"
    with tempfile.TemporaryDirectory(dir=memory, prefix="hfjanitor-") as target:
        return fetched(bench, "fetch-memory", about, size, bench.rounds(5), Path(target) / "fetched")


def benchmark_fetch_large(bench: Bench) -> Result:
    if not bench.is_large:
        raise Skipped("takes 22 GB of disk: ask for it with --large")
    about = "one file of 20 GiB of zeros, which nginx has not to read from a disk"
    return fetched(bench, "fetch-large", about, 20 * GIB, 1, sparse=True)


def small(bench: Bench, name: str, about: str, *, in_git: bool) -> Result:
    count = 200 if bench.is_quick else 1000
    sizes = [20_000 + 7 * number for number in range(count)]
    folder = served(bench, f"served-small-{count}", sizes, room=100 * MB)
    series = contest(bench, folder, bench.rounds(5), in_git=in_git)
    return Result(name, f"{count} files of 20 to 27 kB {about}", series, notes=told(series))


def benchmark_fetch_small(bench: Bench) -> Result:
    return small(bench, "fetch-small", "that git keeps: one request each", in_git=True)


def benchmark_fetch_small_lfs(bench: Bench) -> Result:
    return small(bench, "fetch-small-lfs", "in large files' storage: two requests each", in_git=False)


FETCH_BENCHMARKS: Mapping[str, Callable[[Bench], Result]] = {
    "fetch": benchmark_fetch,
    "fetch-memory": benchmark_fetch_memory,
    "fetch-small": benchmark_fetch_small,
    "fetch-small-lfs": benchmark_fetch_small_lfs,
    "fetch-large": benchmark_fetch_large,
}
