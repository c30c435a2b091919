#!/usr/bin/env python3
"""A Hugging Face Hub that lives on the loopback interface, for tests. Standard library only.

It serves models, datasets, spaces and kernels with the HTTP behaviour that clients depend on: revisions, paged trees,
refs, `resolve` with its metadata headers, and large files through a redirect to a second origin (the "CDN", a second
port); a third origin on 127.0.0.2 answers as the first does. Commits and object ids follow from the content alone, so two runs serve the same ids.

    hub_stand_in.py DESCRIPTION.json      serves until its standard input ends; prints {"hub": URL, "cdn": URL, "other": URL} first
    from hub_stand_in import Hub, Servers  or in the process of a test

`GET /_log` is what was asked so far, `DELETE /_log` forgets it. `GET /_control` shows the faults, `POST /_control`
takes {"fault": {...}}, {"release": ID}, {"remove": ID} or {"clear": true}; see `Fault`.

A description: {"repos": [{"type": "model", "id": "acme/x", "commits": [{"branch": "main", "folder": "relative/folder",
"files": {"config.json": {"text": "{}"}, "a.bin": {"base64": "…"}, "big.gguf": {"size": 4096, "seed": "any"}},
"tags": ["v1"]}]}], "renamed": [{"type": "model", "from": "acme/old", "to": "acme/x"}], "page_size": 1000,
"resolve_cache": false, "tls": {"certificate": "relative.pem", "key": "relative.pem"}}. With `tls` the first origin speaks
https. A folder is read whole and
`files` are added to it; every commit is the whole tree of files, not a change.
"""

from __future__ import annotations

import base64
import fnmatch
import gzip
import hashlib
import json
import posixpath
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterable, Mapping
from urllib.parse import parse_qs, quote, unquote, urlsplit

# Part 1: what is served. Plain values; the ids are those git and git-lfs would give.

TYPES = {"model": "models", "dataset": "datasets", "space": "spaces", "kernel": "kernels"}
"""Repo type -> folder form, as in `/api/{folder form}/…`."""

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/", "kernel": "kernels/"}
"""Repo type -> what stands before the id in a `resolve` URL."""

LARGE = (
    *("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "*.parquet", "*.tar"),
    "*.zip",
)
"""Files the Hub's default attributes put into LFS."""


def git_blob_sha1(content: bytes) -> str:
    """The object id git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(content: bytes) -> bytes:
    """The pointer file git holds in place of an LFS file."""
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()


def pseudo_random(seed: str, size: int) -> bytes:
    """Bytes that look random and are the same in every run."""
    return hashlib.shake_256(seed.encode()).digest(size)


@dataclass(frozen=True)
class StoredFile:
    """One file of a commit. `xet` is only a label: the stand-in has no Xet storage behind it."""

    content: bytes
    large: bool = False
    xet: str | None = None

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def oid(self) -> str:
        """What git knows: of a large file, the pointer's id."""
        return git_blob_sha1(lfs_pointer(self.content) if self.large else self.content)

    @property
    def etag(self) -> str:
        """What a cache names the blob."""
        return self.sha256 if self.large else self.oid


@dataclass(frozen=True)
class Commit:
    """A whole tree of files under one id."""

    id: str
    title: str
    files: Mapping[str, StoredFile]


@dataclass
class Repo:
    """Commits, and the names that point to them: full ref (`refs/heads/…`, `refs/tags/…`, `refs/pr/…`) -> commit id."""

    kind: str
    id: str
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(
        self,
        files: Mapping[str, bytes | StoredFile],
        *,
        branch: str | None = "main",
        tags: Iterable[str] = (),
        pull_request: int | None = None,
        title: str = "Update",
    ) -> Commit:
        """Adds a commit with exactly these files and moves the names to it."""
        stored = {
            path: content if isinstance(content, StoredFile) else StoredFile(content, is_large(path))
            for path, content in sorted(files.items())
        }
        parent = self.refs.get(f"refs/heads/{branch}", "")
        listed = [f"{path}\0{file.oid}" for path, file in stored.items()]
        text = "\n".join([self.kind, self.id, title, parent, *listed])
        commit = Commit(hashlib.sha1(text.encode()).hexdigest(), title, stored)
        self.commits[commit.id] = commit
        if branch is not None:
            self.refs[f"refs/heads/{branch}"] = commit.id
        for tag in tags:
            self.refs[f"refs/tags/{tag}"] = commit.id
        if pull_request is not None:
            self.refs[f"refs/pr/{pull_request}"] = commit.id
        return commit

    def resolve(self, revision: str) -> Commit | None:
        """A branch, a tag, a full ref name, or a commit id."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in self.refs:
                return self.commits[self.refs[name]]
        return self.commits.get(revision)


def is_large(path: str) -> bool:
    """Whether the Hub would keep a file of this name in LFS."""
    return any(fnmatch.fnmatchcase(posixpath.basename(path), pattern) for pattern in LARGE)


# Part 2: requests and replies, and the hook where a test makes one of them go wrong.


@dataclass(frozen=True)
class Request:
    """What arrived: `origin` is "hub", "cdn" or "other", `path` is still percent-encoded and has no query."""

    origin: str
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What to send back. `ranged` replies honour `Range`; a header with a list is sent once for each of its values."""

    status: int
    body: bytes = b""
    headers: Mapping[str, Any] = field(default_factory=dict)
    ranged: bool = False


@dataclass
class Fault:
    """One way for a reply to go wrong. Matches requests by origin, method and a glob over the decoded path.

    kind          what happens
    slow          the body trickles at `rate` bytes a second
    hold          the body stops after `after` bytes until the fault is released, then goes on
    drop          the connection is reset after `after` bytes
    cut           the connection is closed in good order after `after` bytes, however many were announced
    truncate      the reply is whole and polite, but only the first `after` bytes of the body
    status        `status` with `headers` and `body` instead
    headers       the usual reply with `headers` besides or in place of its own; an empty value removes one
    replace       `body` instead of the content, and metadata that fits it (a mirror that serves something else)
    flip          one bit of the byte at `after` of the whole content is the other way
    extend        `body` follows the content, and the length says so
    ignore-range  the whole content, whatever range was asked for
    shift-range   the content from `after` bytes further on than was asked for, and the header says so
    gzip          the content compressed, whether or not it was asked for so
    endless       a body that has no length and never ends
    mute          the request is taken and nothing said until the fault is released
    drip          the headers come at `rate` bytes a second
    raw           `body` in place of status line, headers and all; then the connection closes

    `times` is how many requests it hits (None: all). New kinds go into `FaultBook.reshape` when they change the reply
    and into `Handler._send_body` when they change how it is sent.
    """

    kind: str
    path: str = "*"
    origin: str | None = None
    method: str | None = None
    after: int = 0
    rate: int = 0
    status: int = 503
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""
    times: int | None = None
    id: str = ""
    hits: int = 0
    held: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    KINDS = (
        *("slow", "hold", "drop", "cut", "truncate", "status", "headers", "replace", "flip", "extend"),
        *("ignore-range", "shift-range", "gzip", "endless", "mute", "drip", "raw"),
    )

    def matches(self, request: Request) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and self.origin in (None, request.origin)
            and self.method in (None, request.method)
            and fnmatch.fnmatchcase(unquote(request.path), self.path)
        )

    def described(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("id", "kind", "path", "hits", "held")} | {
            "released": self.released.is_set()
        }


class FaultBook:
    """The faults in force; the first that matches is taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._count = 0

    def add(self, fault: Fault) -> Fault:
        if fault.kind not in Fault.KINDS:
            raise ValueError(f"unknown kind of fault: {fault.kind}")
        with self._lock:
            self._count += 1
            fault.id = fault.id or f"fault-{self._count}"
            self._faults.append(fault)
        return fault

    def take(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.matches(request):
                    fault.hits += 1
                    return fault
        return None

    def release(self, id: str) -> None:
        for fault in self.all():
            if fault.id == id:
                fault.released.set()

    def remove(self, id: str | None = None) -> None:
        """Removes one fault, or all; whatever they hold goes on."""
        with self._lock:
            gone = [fault for fault in self._faults if id is None or fault.id == id]
            self._faults = [fault for fault in self._faults if fault not in gone]
        for fault in gone:
            fault.released.set()

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    @staticmethod
    def reshape(fault: Fault | None, reply: Reply) -> Reply:
        """The reply as the fault wants it, before any byte is sent."""
        if fault is None:
            return reply
        if fault.kind == "status":
            return Reply(fault.status, fault.body, fault.headers)
        if fault.kind == "truncate":
            return replace(reply, body=reply.body[: fault.after], ranged=False)
        if fault.kind == "replace":
            kept = {name: value for name, value in reply.headers.items() if name == "X-Repo-Commit"}
            return Reply(200, fault.body, {"ETag": f'"{git_blob_sha1(fault.body)}"'} | kept | dict(fault.headers))
        if fault.kind == "headers":
            merged = dict(reply.headers) | dict(fault.headers)
            return replace(reply, headers={name: value for name, value in merged.items() if value})
        if fault.kind == "flip" and fault.after < len(reply.body):
            body = bytearray(reply.body)
            body[fault.after] ^= 1
            return replace(reply, body=bytes(body))
        if fault.kind == "extend":
            return replace(reply, body=reply.body + fault.body)
        if fault.kind == "ignore-range":
            return replace(reply, ranged=False)
        if fault.kind == "gzip":
            body = gzip.compress(reply.body, mtime=0)
            return replace(reply, body=body, headers=dict(reply.headers) | {"Content-Encoding": "gzip"}, ranged=False)
        return reply

    @staticmethod
    def range_for(fault: Fault | None, header: str | None) -> str | None:
        """The range to serve in place of the one that was asked for."""
        if fault is None or fault.kind != "shift-range" or header is None:
            return header
        first, _, last = header.removeprefix("bytes=").partition("-")
        return f"bytes={int(first) + fault.after}-{last}" if first else header


# Part 3: the Hub itself, a function from request to reply.


class Hub:
    """All repos, and the answers about them. Knows nothing of sockets; `hub_url` and `cdn_url` are set by `Servers`."""

    def __init__(self, *, page_size: int = 1000, resolve_cache: bool = False, announce_xet: bool = False) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.renamed: dict[tuple[str, str], str] = {}
        self.page_size = page_size
        self.resolve_cache = resolve_cache
        self.announce_xet = announce_xet
        self.tls: ssl.SSLContext | None = None
        self.hub_url = ""
        self.cdn_url = ""

    def repo(self, kind: str, id: str) -> Repo:
        """The repo of that name, made when it is not there."""
        return self.repos.setdefault((kind, id), Repo(kind, id))

    def rename(self, kind: str, old: str, new: str) -> None:
        """Requests for `old` are redirected to `new`."""
        self.renamed[(kind, old)] = new

    @classmethod
    def load(cls, description: Path) -> Hub:
        """A Hub from a description file; see the top of this file."""
        stated = json.loads(description.read_text())
        hub = cls(page_size=stated.get("page_size", 1000), resolve_cache=stated.get("resolve_cache", False))
        if "tls" in stated:
            hub.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate, key = (description.parent / stated["tls"][name] for name in ("certificate", "key"))
            hub.tls.load_cert_chain(certificate, key)
        for stated_repo in stated.get("repos", []):
            repo = hub.repo(stated_repo.get("type", "model"), stated_repo["id"])
            for stated_commit in stated_repo["commits"]:
                files: dict[str, bytes] = {}
                if "folder" in stated_commit:
                    root = description.parent / stated_commit["folder"]
                    files |= {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
                for path, source in stated_commit.get("files", {}).items():
                    files[path] = stated_content(source)
                repo.commit(
                    files,
                    branch=stated_commit.get("branch", "main"),
                    tags=stated_commit.get("tags", []),
                    pull_request=stated_commit.get("pull_request"),
                    title=stated_commit.get("title", "Update"),
                )
        for renamed in stated.get("renamed", []):
            hub.rename(renamed.get("type", "model"), renamed["from"], renamed["to"])
        return hub

    def answer(self, request: Request) -> Reply:
        """The reply to one request of either origin."""
        segments = [unquote(segment) for segment in request.path.strip("/").split("/")]
        if request.origin == "cdn":
            return self._content_of(segments[-1])
        if segments[:2] == ["api", "agent-harnesses"]:
            return as_json({})
        if segments[:2] == ["api", "resolve-cache"] and len(segments) > 3:
            kind = next((kind for kind, plural in TYPES.items() if plural == segments[2]), None)
            rest = segments[3:]
            return self._in_repo(request, kind, rest, lambda repo, rest: self._resolve(request, repo, rest, True))
        if segments[0] == "api" and len(segments) > 2:
            kind = next((kind for kind, plural in TYPES.items() if plural == segments[1]), None)
            return self._in_repo(request, kind, segments[2:], lambda repo, rest: self._api(request, repo, rest))
        kind = next((kind for kind, plural in TYPES.items() if plural == segments[0]), "model")
        rest = segments if kind == "model" else segments[1:]
        return self._in_repo(request, kind, rest, lambda repo, rest: self._resolve(request, repo, rest[1:], False))

    def _in_repo(self, request: Request, kind: str | None, segments: list[str], found: Any) -> Reply:
        """Finds the repo that the first one or two segments name; the id of a canonical repo has one."""
        for length in (2, 1):
            id = "/".join(segments[:length])
            if kind is not None and (kind, id) in self.repos:
                reply: Reply = found(self.repos[(kind, id)], segments[length:])
                return reply
            if kind is not None and (kind, id) in self.renamed:
                location = request.path.replace(f"/{id}", f"/{self.renamed[(kind, id)]}", 1)
                query = "&".join(f"{name}={quote(v, safe='')}" for name, vs in request.query.items() for v in vs)
                return Reply(307, headers={"Location": location + (f"?{query}" if query else "")})
        return failure(401, "RepoNotFound", "Repository not found")

    def _api(self, request: Request, repo: Repo, rest: list[str]) -> Reply:
        """`/api/{types}/{id}/…`; revisions and paths are single, fully encoded segments here."""
        operation = rest[0] if rest else "revision"
        if operation == "refs":
            return as_json(self._refs(repo))
        revision = rest[1] if len(rest) > 1 else "main"
        commit = repo.resolve(revision)
        if commit is None:
            return failure(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if operation == "revision":
            return as_json(self._info(request, repo, commit))
        if operation == "tree":
            return self._tree(request, commit, "/".join(rest[2:]))
        if operation == "paths-info":
            wanted = stated_paths(request)
            return as_json([tree_entry(path, commit.files[path]) for path in wanted if path in commit.files])
        return failure(404, "EntryNotFound", f"No such endpoint: {operation}")

    def _info(self, request: Request, repo: Repo, commit: Commit) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for path, file in commit.files.items():
            sibling: dict[str, Any] = {"rfilename": path}
            if request.query.get("blobs") in (["true"], ["True"]):
                sibling |= {"size": len(file.content), "blobId": file.oid}
                if file.large:
                    pointer = len(lfs_pointer(file.content))
                    sibling["lfs"] = {"sha256": file.sha256, "size": len(file.content), "pointerSize": pointer}
            siblings.append(sibling)
        return {
            "_id": hashlib.md5(repo.id.encode()).hexdigest()[:24],
            "id": repo.id,
            "modelId": repo.id,
            "author": repo.id.split("/")[0],
            "sha": commit.id,
            "private": False,
            "gated": False,
            "disabled": False,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "usedStorage": sum(len(file.content) for file in commit.files.values()),
            "siblings": siblings,
        }

    def _refs(self, repo: Repo) -> dict[str, Any]:
        def listed(prefix: str) -> list[dict[str, str]]:
            return [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": id}
                for ref, id in sorted(repo.refs.items())
                if ref.startswith(prefix)
            ]

        return {
            "branches": listed("refs/heads/"),
            "converts": [],
            "tags": listed("refs/tags/"),
            "pullRequests": listed("refs/pr/"),
        }

    def _tree(self, request: Request, commit: Commit, folder: str) -> Reply:
        """Pages through files and folders; the next page's address is absolute and complete."""
        recursive = request.query.get("recursive", ["false"])[0].lower() == "true"
        inside = {p: f for p, f in commit.files.items() if not folder or p.startswith(folder + "/")}
        if folder and not inside:
            return failure(404, "EntryNotFound", f"{folder} does not exist", commit.id)
        entries: dict[str, dict[str, Any]] = {}
        for path, file in inside.items():
            parts = path.removeprefix(folder + "/" if folder else "").split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                parent = posixpath.join(folder, *parts[:depth])
                oid = git_blob_sha1(parent.encode())
                entries[parent] = {"type": "directory", "path": parent, "size": 0, "oid": oid}
            if recursive or len(parts) == 1:
                entries[path] = tree_entry(path, file)
        listed = [entries[path] for path in sorted(entries)]
        start = int(request.query.get("cursor", ["0"])[0])
        headers = {}
        if start + self.page_size < len(listed):
            given = {name: values for name, values in request.query.items() if name != "cursor"}
            query = "&".join(f"{name}={quote(value, safe='')}" for name, values in given.items() for value in values)
            query = f"{query}&" if query else ""
            url = f"{self.hub_url}{request.path}?{query}cursor={start + self.page_size}"
            headers["Link"] = f'<{url}>; rel="next"'
        return as_json(listed[start : start + self.page_size], headers)

    def _resolve(self, request: Request, repo: Repo, rest: list[str], final: bool) -> Reply:
        """`…/resolve/{rev}/{path}`: metadata in headers, large files at the CDN, small ones here.

        With `resolve_cache`, small files take the extra relative redirect the real Hub makes; `final` is its target.
        """
        if len(rest) < 2:
            return failure(404, "EntryNotFound", "Not a file")
        commit = repo.resolve(rest[0])
        if commit is None:
            return failure(404, "RevisionNotFound", f"Invalid rev id: {rest[0]}")
        path = "/".join(rest[1:])
        file = commit.files.get(path)
        if file is None:
            return failure(404, "EntryNotFound", "Entry not found", commit.id)
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Reply(304, headers=headers)
        if file.large:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
            if self.announce_xet and file.xet is not None:
                token = f"{self.hub_url}/api/{TYPES[repo.kind]}/{repo.id}/xet-read-token/{commit.id}"
                headers |= {"X-Xet-Hash": file.xet, "Link": f'<{token}>; rel="xet-auth"'}
            headers["Location"] = f"{self.cdn_url}/{quote(repo.id)}/{file.sha256}"
            return Reply(302, b"Found. Redirecting", headers)
        if self.resolve_cache and not final:
            headers["Location"] = f"/api/resolve-cache/{TYPES[repo.kind]}/{repo.id}/{commit.id}/{quote(path)}"
            return Reply(307, headers=headers)
        return Reply(200, file.content, headers, ranged=True)

    def _content_of(self, sha256: str) -> Reply:
        """A large file by its digest, as a signed CDN address gives it."""
        for repo in self.repos.values():
            for commit in repo.commits.values():
                for file in commit.files.values():
                    if file.large and file.sha256 == sha256:
                        headers = {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"}
                        return Reply(200, file.content, headers, ranged=True)
        return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})


def tree_entry(path: str, file: StoredFile) -> dict[str, Any]:
    """A file as the tree and paths-info endpoints list it."""
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(file.content), "oid": file.oid}
    if file.large:
        pointer = len(lfs_pointer(file.content))
        entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": pointer}
    if file.xet is not None:
        entry["xetHash"] = file.xet
    return entry


def stated_content(source: Mapping[str, Any]) -> bytes:
    """The bytes a description gives to a file."""
    if "text" in source:
        return str(source["text"]).encode()
    if "base64" in source:
        return base64.b64decode(source["base64"])
    return pseudo_random(str(source.get("seed", "")), int(source["size"]))


def stated_paths(request: Request) -> list[str]:
    """The paths a paths-info request names, in its JSON or form body."""
    if request.headers.get("content-type", "").startswith("application/json"):
        return list(json.loads(request.body or b"{}").get("paths", []))
    return parse_qs(request.body.decode()).get("paths", [])


def as_json(value: Any, headers: Mapping[str, str] = {}) -> Reply:
    return Reply(200, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"} | dict(headers))


def failure(status: int, code: str, message: str, commit: str | None = None) -> Reply:
    """An error as the Hub words it: the code in a header, the text in header and body."""
    headers = {"X-Error-Code": code, "X-Error-Message": message, "Content-Type": "application/json; charset=utf-8"}
    if commit is not None:
        headers["X-Repo-Commit"] = commit
    return Reply(status, json.dumps({"error": message}).encode(), headers)


# Part 4: the sockets.


class RequestLog:
    """What was asked, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []

    def add(self, request: Request) -> dict[str, Any]:
        entry = {
            "origin": request.origin,
            "method": request.method,
            "path": request.path,
            "query": {name: values for name, values in request.query.items()},
            "range": request.headers.get("range"),
            "authorized": "authorization" in request.headers,
            "user_agent": request.headers.get("user-agent"),
            "headers": dict(request.headers),
            "status": None,
            "sent": 0,
        }
        with self._lock:
            self._entries.append(entry)
        return entry

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(entry) for entry in self._entries]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


class Handler(BaseHTTPRequestHandler):
    """Reads a request, asks the Hub, applies the fault, sends."""

    protocol_version = "HTTP/1.1"
    server: Server
    CHUNK = 64 * 1024

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """The request log is at `/_log`."""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.server.origin, self.command, parts.path, parse_qs(parts.query), headers, body)
        owner = self.server.owner
        if parts.path in ("/_log", "/_control"):
            self._send(owner.control(request), None, {})
            return
        entry = owner.log.add(request)
        fault = owner.faults.take(request)
        wanted = FaultBook.range_for(fault, headers.get("range"))
        reply = ranged(FaultBook.reshape(fault, owner.hub.answer(request)), wanted)
        try:
            self._send(reply, fault, entry)
        except OSError:  # the client went away
            self.close_connection = True

    def _send(self, reply: Reply, fault: Fault | None, entry: dict[str, Any]) -> None:
        kind = fault.kind if fault is not None else None
        entry["status"] = reply.status
        if fault is not None and kind == "mute" and not fault.released.is_set():
            self._wait_for(fault)
        if fault is not None and kind == "raw":
            self.wfile.write(fault.body)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name, one)
        if reply.status != 304 and kind != "endless":
            self.send_header("Content-Length", str(len(reply.body)))
        if kind == "endless":
            self.send_header("Connection", "close")
        if fault is not None and kind == "drip":
            self._drip_headers(fault)
        self.end_headers()
        if self.command == "HEAD" or reply.status == 304:
            return
        if kind == "endless":
            self._send_endlessly(entry)
        else:
            self._send_body(reply.body, fault, entry)

    def _drip_headers(self, fault: Fault) -> None:
        """Sends what `send_header` has gathered, byte by byte."""
        gathered = b"".join(self._headers_buffer)
        self._headers_buffer = []
        for index in range(len(gathered)):
            self.wfile.write(gathered[index : index + 1])
            fault.released.wait(1 / max(fault.rate, 1))

    def _send_endlessly(self, entry: dict[str, Any]) -> None:
        """Ends with the client's patience: its hanging up raises."""
        while True:
            self.wfile.write(bytes(self.CHUNK))
            entry["sent"] += self.CHUNK

    def _send_body(self, body: bytes, fault: Fault | None, entry: dict[str, Any]) -> None:
        kind = fault.kind if fault is not None else None
        sent = 0
        while sent < len(body):
            end = min(sent + self.CHUNK, len(body))
            stops = fault is not None and kind in ("hold", "drop", "cut") and not fault.released.is_set()
            if fault is not None and stops and sent <= fault.after:
                end = min(end, fault.after)
                if sent == fault.after:
                    if kind == "drop":
                        self._reset()
                        return
                    if kind == "cut":
                        self.close_connection = True
                        return
                    self._wait_for(fault)
                    continue
            self.wfile.write(body[sent:end])
            if fault is not None and kind == "slow" and fault.rate > 0:
                fault.released.wait((end - sent) / fault.rate)
            sent = end
            entry["sent"] = sent

    def _wait_for(self, fault: Fault) -> None:
        self.wfile.flush()
        fault.held += 1
        fault.released.wait()
        fault.held -= 1

    def _reset(self) -> None:
        """Ends the connection with RST, as a failing middlebox does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True


def ranged(reply: Reply, header: str | None) -> Reply:
    """Applies one `Range: bytes=a-b`, `a-` or `-n`; anything else is answered whole."""
    if not reply.ranged or reply.status != 200 or header is None or not header.startswith("bytes=") or "," in header:
        return reply
    first, _, last = header.removeprefix("bytes=").partition("-")
    size = len(reply.body)
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        return Reply(416, headers={"Content-Range": f"bytes */{size}"})
    headers = dict(reply.headers) | {"Content-Range": f"bytes {start}-{end}/{size}"}
    return Reply(206, reply.body[start : end + 1], headers)


class Server(ThreadingHTTPServer):
    """One origin on a free port of a loopback address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: Servers, origin: str, host: str = "127.0.0.1") -> None:
        self.owner = owner
        self.origin = origin
        self.host = host
        super().__init__((host, 0), Handler)
        self.tls = owner.hub.tls if origin == "hub" else None
        if self.tls is not None:
            # The handshake belongs to the connection's own thread: a client that is slow with it must not hold up others.
            self.socket = self.tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://{self.host}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a mistake here and must be seen."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError, ValueError)):
            super().handle_error(request, client_address)


class Servers:
    """A Hub with its origins, running in threads: `with Servers(hub) as servers: servers.url`."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.faults = FaultBook()
        self.log = RequestLog()
        self._servers = [Server(self, "hub"), Server(self, "cdn"), Server(self, "other", "127.0.0.2")]
        self.url, self.cdn_url, self.other_url = (server.url for server in self._servers)
        hub.hub_url, hub.cdn_url = self.url, self.cdn_url

    def __enter__(self) -> Servers:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.remove()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def control(self, request: Request) -> Reply:
        """`/_log` and `/_control`."""
        if request.path == "/_log":
            if request.method == "DELETE":
                self.log.clear()
            return as_json(self.log.all())
        if request.method == "POST":
            try:
                self._order(json.loads(request.body))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                return Reply(400, json.dumps({"error": str(error)}).encode(), {"Content-Type": "application/json"})
        return as_json([fault.described() for fault in self.faults.all()])

    def _order(self, order: Mapping[str, Any]) -> None:
        if "fault" in order:
            stated = dict(order["fault"])
            stated["body"] = base64.b64decode(stated.get("body", ""))
            self.faults.add(Fault(**stated))
        if "release" in order:
            self.faults.release(order["release"])
        if "remove" in order:
            self.faults.remove(order["remove"])
        if order.get("clear"):
            self.faults.remove()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 64
    with Servers(Hub.load(Path(arguments[0]))) as servers:
        urls = {"hub": servers.url, "cdn": servers.cdn_url, "other": servers.other_url}
        print(json.dumps(urls), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
