"""The stand-in against what the Hub's clients rely on: `python3 -m unittest discover Tests/HubStandIn`."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import sys
import threading
import time
import unittest
from typing import Any, Mapping
from urllib.parse import urlsplit

sys.dont_write_bytecode = True

from hub_stand_in import Hub, Servers, StoredFile, git_blob_sha1, pseudo_random  # noqa: E402

LARGE = pseudo_random("large", 300_000)


class StandInTests(unittest.TestCase):
    def setUp(self) -> None:
        hub = Hub(page_size=2)
        files = {"config.json": b"{}", "sub/a b.txt": b"text", "model.safetensors": LARGE}
        self.commit = hub.repo("model", "acme/x").commit(files, tags=["v1"], pull_request=3)
        hub.repo("dataset", "squad").commit({"data.parquet": b"PAR1"}, branch="a/b")
        hub.rename("model", "acme/old", "acme/x")
        self.servers = Servers(hub)
        self.servers.__enter__()
        self.addCleanup(self.servers.__exit__)

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] = {}, body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request; no redirect is followed."""
        url = urlsplit(path if path.startswith("http") else self.servers.url + path)
        connection = http.client.HTTPConnection(url.netloc, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, url.path + (f"?{url.query}" if url.query else ""), body, dict(headers))
        response = connection.getresponse()
        return response, response.read()

    def json(self, path: str) -> Any:
        return json.loads(self.ask(path)[1])

    def test_ids_follow_from_content(self) -> None:
        self.assertEqual(git_blob_sha1(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
        again = Hub().repo("model", "acme/x").commit({p: f.content for p, f in self.commit.files.items()})
        self.assertEqual(again.id, self.commit.id)
        self.assertNotEqual(StoredFile(LARGE, True).oid, StoredFile(LARGE).oid)

    def test_revisions(self) -> None:
        for revision in ("main", "v1", "refs%2Fpr%2F3", self.commit.id):
            self.assertEqual(self.json(f"/api/models/acme/x/revision/{revision}")["sha"], self.commit.id)
        self.assertEqual(self.ask("/api/datasets/squad/revision/a%2Fb")[0].status, 200)
        response, _ = self.ask("/api/models/acme/x/revision/none")
        self.assertEqual((response.status, response.headers["X-Error-Code"]), (404, "RevisionNotFound"))
        self.assertEqual(self.ask("/api/models/acme/none")[0].headers["X-Error-Code"], "RepoNotFound")
        self.assertEqual([b["name"] for b in self.json("/api/models/acme/x/refs")["branches"]], ["main"])

    def test_tree_comes_in_pages(self) -> None:
        path: str | None = "/api/models/acme/x/tree/main?recursive=true&expand=false"
        entries = []
        while path is not None:
            response, body = self.ask(path)
            entries += json.loads(body)
            link = response.headers["Link"]
            path = link[1 : link.index(">")] if link else None
        listed = [(entry["type"], entry["path"]) for entry in entries]
        files = [("file", "config.json"), ("file", "model.safetensors"), ("directory", "sub"), ("file", "sub/a b.txt")]
        self.assertEqual(listed, files)
        self.assertEqual(entries[1]["lfs"]["oid"], self.commit.files["model.safetensors"].sha256)

    def test_small_file(self) -> None:
        response, body = self.ask("/acme/x/resolve/main/sub/a%20b.txt")
        self.assertEqual((response.status, body), (200, b"text"))
        self.assertEqual(response.headers["ETag"], f'"{git_blob_sha1(b"text")}"')
        self.assertEqual(response.headers["X-Repo-Commit"], self.commit.id)
        again, _ = self.ask("/acme/x/resolve/main/sub/a%20b.txt", headers={"If-None-Match": response.headers["ETag"]})
        self.assertEqual(again.status, 304)

    def test_large_file_is_elsewhere(self) -> None:
        response, _ = self.ask("/acme/x/resolve/main/model.safetensors", "HEAD")
        self.assertEqual((response.status, response.headers["X-Linked-Size"]), (302, "300000"))
        location = response.headers["Location"]
        self.assertTrue(location.startswith(self.servers.cdn_url))
        self.assertEqual(self.ask(location)[1], LARGE)
        part, body = self.ask(location, headers={"Range": "bytes=299990-"})
        self.assertEqual((part.status, part.headers["Content-Range"]), (206, "bytes 299990-299999/300000"))
        self.assertEqual(body, LARGE[299990:])
        self.assertEqual(self.ask(location, headers={"Range": "bytes=300000-"})[0].status, 416)

    def test_absent_file_and_renamed_repo(self) -> None:
        response, _ = self.ask("/acme/x/resolve/main/none", "HEAD")
        self.assertEqual((response.status, response.headers["X-Error-Code"]), (404, "EntryNotFound"))
        self.assertEqual(response.headers["X-Repo-Commit"], self.commit.id)
        response, _ = self.ask("/acme/old/resolve/main/config.json")
        self.assertEqual((response.status, response.headers["Location"]), (307, "/acme/x/resolve/main/config.json"))

    def order(self, **order: Any) -> list[dict[str, Any]]:
        faults: list[dict[str, Any]] = json.loads(self.ask("/_control", "POST", body=json.dumps(order).encode())[1])
        return faults

    def large_url(self) -> str:
        return str(self.ask("/acme/x/resolve/main/model.safetensors", "HEAD")[0].headers["Location"])

    def test_hold_and_release(self) -> None:
        url = self.large_url()
        (fault,) = self.order(fault={"kind": "hold", "origin": "cdn", "after": 1000})
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(self.ask(url)[1]))
        reader.start()
        deadline = time.monotonic() + 5
        while not self.json("/_control")[0]["held"] and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(received, [])
        self.order(release=fault["id"])
        reader.join(5)
        self.assertEqual(received, [LARGE])

    def test_drop_truncate_status_replace(self) -> None:
        url = self.large_url()
        self.order(fault={"kind": "drop", "origin": "cdn", "after": 1000, "times": 1})
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            self.ask(url)
        self.assertEqual(self.ask(url)[1], LARGE)
        self.order(clear=True)
        self.order(fault={"kind": "truncate", "path": "*", "after": 10})
        self.assertEqual(self.ask(url)[1], LARGE[:10])
        self.order(clear=True)
        self.order(fault={"kind": "status", "status": 429, "headers": {"Retry-After": "1"}})
        self.assertEqual(self.ask(url)[0].headers["Retry-After"], "1")
        self.order(clear=True)
        self.order(fault={"kind": "replace", "body": base64.b64encode(b"<html>").decode()})
        response, body = self.ask("/acme/x/resolve/main/config.json")
        self.assertEqual((body, response.headers["X-Repo-Commit"]), (b"<html>", self.commit.id))
        self.assertEqual(self.ask("/_control", "POST", body=b'{"fault": {"kind": "no"}}')[0].status, 400)

    def test_flip_extend_ranges_gzip(self) -> None:
        url = self.large_url()
        self.order(fault={"kind": "flip", "origin": "cdn", "after": 7})
        self.assertEqual([i for i, b in enumerate(self.ask(url)[1]) if b != LARGE[i]], [7])
        part = self.ask(url, headers={"Range": "bytes=5-"})[1]
        self.assertEqual([i + 5 for i, b in enumerate(part) if b != LARGE[i + 5]], [7])
        self.order(clear=True)
        self.order(fault={"kind": "extend", "origin": "cdn", "body": base64.b64encode(b"more").decode()})
        self.assertEqual(self.ask(url)[1], LARGE + b"more")
        self.order(clear=True)
        self.order(fault={"kind": "ignore-range", "origin": "cdn"})
        response, body = self.ask(url, headers={"Range": "bytes=5-"})
        self.assertEqual((response.status, body), (200, LARGE))
        self.order(clear=True)
        self.order(fault={"kind": "shift-range", "origin": "cdn", "after": 2})
        response, body = self.ask(url, headers={"Range": "bytes=5-"})
        self.assertEqual((response.headers["Content-Range"], body), ("bytes 7-299999/300000", LARGE[7:]))
        self.order(clear=True)
        self.order(fault={"kind": "gzip", "origin": "cdn"})
        response, body = self.ask(url)
        self.assertEqual((response.headers["Content-Encoding"], gzip.decompress(body)), ("gzip", LARGE))

    def test_cut_endless_raw_headers(self) -> None:
        url = self.large_url()
        self.order(fault={"kind": "cut", "origin": "cdn", "after": 1000})
        with self.assertRaises(http.client.IncompleteRead) as raised:
            self.ask(url)
        self.assertEqual(len(raised.exception.partial), 1000)
        self.order(clear=True)
        self.order(fault={"kind": "endless", "origin": "cdn"})
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        connection.request("GET", urlsplit(url).path)
        response = connection.getresponse()
        with response:
            self.assertEqual((response.headers["Content-Length"], len(response.read(1_000_000))), (None, 1_000_000))
        self.order(clear=True)
        self.order(fault={"kind": "raw", "origin": "cdn", "body": base64.b64encode(b"SSH-2.0\r\n").decode()})
        with self.assertRaises(http.client.BadStatusLine):
            self.ask(url)
        self.order(clear=True)
        self.order(fault={"kind": "headers", "headers": {"ETag": "", "X-Many": ["a", "b"]}})
        response, body = self.ask("/acme/x/resolve/main/config.json")
        self.assertEqual((response.headers["ETag"], response.headers.get_all("X-Many")), (None, ["a", "b"]))
        self.assertEqual(body, b"{}")

    def test_mute_and_drip(self) -> None:
        for fault in ({"kind": "mute"}, {"kind": "drip", "rate": 1}):
            (made,) = self.order(fault=fault)
            with self.assertRaises(TimeoutError):
                connection = http.client.HTTPConnection(urlsplit(self.servers.url).netloc, timeout=0.2)
                connection.request("GET", "/acme/x/resolve/main/config.json")
                connection.getresponse()
            connection.close()
            self.order(release=made["id"])
            self.assertEqual(self.ask("/acme/x/resolve/main/config.json")[1], b"{}")
            self.order(clear=True)

    def test_the_other_origin_answers_too(self) -> None:
        response, body = self.ask(self.servers.other_url + "/acme/x/resolve/main/config.json")
        self.assertEqual((response.status, body), (200, b"{}"))
        self.assertEqual(self.json("/_log")[0]["origin"], "other")

    def test_log(self) -> None:
        self.ask("/acme/x/resolve/main/config.json", headers={"Authorization": "Bearer x"})
        (entry,) = self.json("/_log")
        self.assertEqual((entry["path"], entry["authorized"]), ("/acme/x/resolve/main/config.json", True))
        self.assertEqual(entry["headers"]["authorization"], "Bearer x")
        self.ask("/_log", "DELETE")
        self.assertEqual(self.json("/_log"), [])


if __name__ == "__main__":
    unittest.main()
