"""Downloads from an nginx on the loopback interface, beside curl and the Python client."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping

from cases import GIB, MB, Bench, Skipped
from hub_stand_in import Hub, Reply, Request, Servers, as_json, failure
from measuring import Contender, Failure, Run, Series, ratio
from results import Budget, Result

COMMIT = "c" * 40


class NginxHub(Hub):
    """A Hub whose large files are elsewhere: it only says what they are and where."""

    def __init__(self, folder: Path, content_url: str) -> None:
        super().__init__(page_size=10_000)
        self.content_url = content_url
        self.files = {
            path.name: (path.stat().st_size, (folder / "digests" / path.name).read_text())
            for path in sorted((folder / "content").iterdir())
        }

    def answer(self, request: Request) -> Reply:
        if "/revision/" in request.path:
            siblings = [{"rfilename": name} for name in self.files]
            return as_json({"id": "acme/model", "sha": COMMIT, "private": False, "gated": False, "siblings": siblings})
        if "/tree/" in request.path:
            return as_json(
                [
                    {
                        "type": "file",
                        "path": name,
                        "size": size,
                        "oid": hashlib.sha1(name.encode()).hexdigest(),
                        "lfs": {"oid": digest, "size": size, "pointerSize": 134},
                    }
                    for name, (size, digest) in self.files.items()
                ]
            )
        name = request.path.rpartition("/")[2]
        if "/resolve/" in request.path and name in self.files:
            size, digest = self.files[name]
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(size),
                "ETag": f'"{digest}"',
                "Location": f"{self.content_url}/{name}",
            }
            return Reply(302, b"", headers)
        return failure(404, "EntryNotFound", "only this model is served here")


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Serves a folder; its address."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise Skipped("nginx is not here: install nginx-light")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = folder / "nginx"
    place.mkdir(exist_ok=True)
    configuration = place / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"{user} worker_processes 1; daemon off; pid {place}/pid; error_log {place}/errors;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {place}/a; proxy_temp_path {place}/b;"
        f"fastcgi_temp_path {place}/c; uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;"
        f"server {{ listen 127.0.0.1:{port}; root {folder}/content; }} }}"
    )
    server = subprocess.Popen([program, "-c", configuration, "-p", place], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None:
                raise Failure(f"nginx does not start: {(place / 'errors').read_text()}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def served(bench: Bench, name: str, sizes: list[int], room: int) -> Path:
    """Files of those sizes, with their digests beside them."""
    folder = bench.folder / name
    if (folder / "whole").exists():
        return folder
    if shutil.disk_usage(bench.folder).free < room + GIB:
        raise Skipped(f"needs {room / 1e9:.0f} GB of disk and 1 GB to spare")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("content", "digests"):
        (folder / part).mkdir(parents=True)
    piece = hashlib.shake_256(b"hfjanitor").digest(1 << 20)
    for number, size in enumerate(sizes):
        path = folder / "content" / f"part-{number:04}.bin"
        digest = hashlib.sha256()
        with path.open("wb") as file:
            left, first = size, number.to_bytes(8, "little")
            while left > 0:
                block = (first + piece[len(first) :])[: min(left, len(piece))]
                file.write(block)
                digest.update(block)
                left -= len(block)
                first = (int.from_bytes(first, "little") + (1 << 32)).to_bytes(8, "little")
        (folder / "digests" / path.name).write_text(digest.hexdigest())
    (folder / "whole").touch()
    return folder


def contest(bench: Bench, folder: Path, rounds: int, *, with_client: bool = True) -> list[Series]:
    """Ours, curl, curl with what is needed to be as safe, and the Python client."""
    target = bench.folder / "work" / "fetched"
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in (folder / "content").iterdir())
    bytes_ = sum(path.stat().st_size for path in (folder / "content").iterdir())

    def prepare() -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        os.sync()

    def whole(run: Run) -> None:
        found = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
        if sum(path.stat().st_size for path in found) < bytes_:
            raise Failure("less than the whole was fetched")

    with nginx(folder) as url, Servers(NginxHub(folder, url)) as servers:
        environment = {"HF_ENDPOINT": servers.url, "HF_HUB_DISABLE_XET": "1"}
        listed = target.parent / "fetched.urls"
        listed.write_text("".join(f'url = "{url}/{name}"\noutput = "{target}/{name}"\n' for name in names))
        digests = target.parent / "fetched.digests"
        digests.write_text(
            "".join(f"{(folder / 'digests' / name).read_text()}  {target}/{name}\n" for name in names)
        )
        curl = f'curl -fsS --config "{listed}"'
        contenders = [
            Contender("hfjanitor fetch", [bench.program, "fetch", "acme/model", "--cache", target, "--json"]),
            Contender("curl -o", ["sh", "-c", curl]),
            Contender("curl -o, sync, sha256sum -c", ["sh", "-c", f"{curl} && sync -f {target} && sha256sum -c --quiet {digests}"]),
        ]
        if with_client:
            download = [bench.client, "download", "acme/model", "--cache-dir", target, "--quiet"]
            contenders.append(Contender("hf download", download))
        return bench.laboratory.contest(
            rounds,
            *(
                Contender(
                    one.label, one.command, whole, environment=environment, prepare=prepare, work=bytes_
                )
                for one in contenders
            ),
        )


def told(series: list[Series]) -> list[str]:
    ours, *others = series
    notes = [f"{ratio(other, ours):.2f} x as fast as {other.label}" for other in others]
    notes += [f"{one.label}: {one.cpu / (one.contender.work or 1) * 1e9:.2f} s of processor time for a GB" for one in series]
    return notes


def benchmark_fetch(bench: Bench) -> Result:
    size = (1 << 28) if bench.is_quick else 2 * GIB
    series = contest(bench, served(bench, f"served-{size >> 20}", [size], 3 * size), bench.rounds(5))
    return Result(
        "fetch",
        f"one file of {size >> 20} MiB from a local nginx, proven by its digest and synced",
        series,
        [
            Budget("at least 0.95 x the rate of curl -o", ratio(series[1], series[0]), 0.95, at_least=True),
            Budget("at most 64 MB resident", series[0].peak_rss, 64 * MB, "bytes"),
        ],
        told(series),
    )


def benchmark_fetch_small(bench: Bench) -> Result:
    count = 200 if bench.is_quick else 1000
    folder = served(bench, f"served-small-{count}", [20_000 + 7 * n for n in range(count)], 100 * MB)
    series = contest(bench, folder, bench.rounds(3))
    return Result("fetch-small", f"{count} files of 20 to 27 kB", series, notes=told(series))


def benchmark_fetch_large(bench: Bench) -> Result:
    if not bench.is_large:
        raise Skipped("takes 40 GB of disk: ask for it with --large")
    folder = served(bench, "served-20480", [20 * GIB], 41 * GIB)
    series = contest(bench, folder, 1, with_client=False)
    return Result(
        "fetch-large",
        "one file of 20 GiB",
        series,
        [Budget("at most 64 MB resident", series[0].peak_rss, 64 * MB, "bytes")],
        told(series),
    )


FETCH_BENCHMARKS: Mapping[str, Callable[[Bench], Result]] = {
    "fetch": benchmark_fetch,
    "fetch-small": benchmark_fetch_small,
    "fetch-large": benchmark_fetch_large,
}
