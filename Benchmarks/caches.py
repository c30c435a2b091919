"""Makes the caches that are measured, in the layout of huggingface_hub 2.4: tree manifests, lock files, relative links.

Run as a program, so that the memory it takes is not the memory of what measures: `caches.py KIND FOLDER [NUMBER]…`
Content and ids are the same in every run.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Mapping

VERSION = 1
"""Raise it when what is made changes: caches of another version are made again."""

ENTRIES_PER_REPO = 60
"""What `many` puts into one repo, with its folders, locks and manifest."""

MODEL = "acme/model"
"""The only repo of `sharded` and `large`."""

TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#\thttps://bford.info/cachedir/\n"
)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A file's content: what it is called in the cache, and how it gets there."""

    size: int
    sha1: str
    """As git knows it: of an LFS file, the pointer's."""
    sha256: str | None
    write: Callable[[Path], object]

    @property
    def etag(self) -> str:
        return self.sha256 or self.sha1

    @property
    def listed(self) -> dict[str, object]:
        """Its entry in a tree manifest."""
        if self.sha256 is None:
            return {"size": self.size, "blob_id": self.sha1}
        return {"size": self.size, "blob_id": self.sha1, "lfs_sha256": self.sha256, "lfs_size": self.size}


def small(content: bytes) -> Blob:
    return Blob(len(content), git_sha1(content), None, lambda path: path.write_bytes(content))


def large(size: int, sha256: str, write: Callable[[Path], object]) -> Blob:
    """An LFS file."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return Blob(size, git_sha1(pointer), sha256, write)


def large_content(content: bytes) -> Blob:
    return large(len(content), hashlib.sha256(content).hexdigest(), lambda path: path.write_bytes(content))


class Cache:
    """A cache root that is being filled."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".locks").mkdir(parents=True)
        (root / "CACHEDIR.TAG").write_text(TAG)

    def add(self, id: str, files: Mapping[str, Blob], refs: tuple[str, ...] = ("main",)) -> str:
        """A model with one revision; the commit."""
        commit = hashlib.sha1(id.encode()).hexdigest()
        folder = "models--" + id.replace("/", "--")
        repo = self.root / folder
        blobs, snapshot = repo / "blobs", repo / "snapshots" / commit
        for made in (blobs, snapshot, repo / "refs", repo / "trees", self.root / ".locks" / folder):
            made.mkdir(parents=True)
        for ref in refs:
            (repo / "refs" / ref).write_text(commit)
        for path, blob in files.items():
            blob.write(blobs / blob.etag)
            (self.root / ".locks" / folder / f"{blob.etag}.lock").touch(mode=0o664)
            link = snapshot / path
            up = "../" * (2 + path.count("/"))
            try:
                link.symlink_to(f"{up}blobs/{blob.etag}")
            except FileNotFoundError:
                link.parent.mkdir(parents=True)
                link.symlink_to(f"{up}blobs/{blob.etag}")
        tree = {"format_version": 1, "files": {path: blob.listed for path, blob in sorted(files.items())}}
        manifest = repo / "trees" / f"{commit}.json"
        manifest.write_text(json.dumps(tree, indent=1))
        manifest.chmod(0o600)
        return commit


# Weights.


def safetensors_header(tensors: Mapping[str, tuple[str, list[int], int]]) -> tuple[bytes, int]:
    """Length and header for tensors of (dtype, shape, bytes), and how many bytes of data follow."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, end


def shard_name(number: int, count: int, digits: int = 5) -> str:
    return f"model-{number:05}-of-{count:0{digits}}.safetensors"


def index_of(weight_map: Mapping[str, str], total: int) -> Blob:
    """An index; one of more than 10 MB would be an LFS file on the Hub."""
    return small(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2).encode())


# Many repos.


def little_repo(name: str) -> dict[str, Blob]:
    """A transformers model of three tiny shards: 16 files, two of them in a folder of their own each."""
    files: dict[str, Blob] = {}
    weight_map: dict[str, str] = {}
    for number in range(1, 4):
        tensor = f"model.layers.{number}.self_attn.q_proj.weight"
        header, size = safetensors_header({tensor: ("F16", [4, 4], 32)})
        shard = shard_name(number, 3)
        files[shard] = large_content(header + hashlib.sha256(f"{name}/{number}".encode()).digest()[:size])
        weight_map[tensor] = shard
    files["model.safetensors.index.json"] = index_of(weight_map, 96)
    for path in (
        *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json"),
        *("special_tokens_map.json", "1_Pooling/config.json", "onnx/config.json"),
    ):
        files[path] = small(json.dumps({"model_type": "llama", "name": name, "file": path}).encode())
    files["README.md"] = small(f"# {name}\n".encode())
    files[".gitattributes"] = small(f"*.safetensors filter=lfs diff=lfs merge=lfs -text\n# {name}\n".encode())
    files["merges.txt"] = small(f"#version: 0.2 {name}\n".encode())
    files["LICENSE"] = small(f"Apache License, for {name}\n".encode())
    return files


def make_many(root: Path, repos: int) -> None:
    """`repos` models; 60 entries each, so 3,000 make 180,000."""
    cache = Cache(root)
    for number in range(repos):
        name = f"org-{number % 97}/model-{number:05}"
        cache.add(name, little_repo(name), ("main", "v1"))


# One model of many tensors: a mixture of experts with the proportions of the largest that are published.


def tensor_names(layers: int, experts: int) -> Iterator[tuple[str, tuple[str, list[int], int]]]:
    def pair(name: str, rows: int, columns: int) -> Iterator[tuple[str, tuple[str, list[int], int]]]:
        yield f"{name}.weight", ("F8_E4M3", [rows, columns], rows * columns)
        blocks = [-(-rows // 128), -(-columns // 128)]
        yield f"{name}.weight_scale_inv", ("F32", blocks, 4 * blocks[0] * blocks[1])

    yield "model.embed_tokens.weight", ("BF16", [129280, 7168], 2 * 129280 * 7168)
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for part, rows, columns in (
            ("q_a_proj", 1536, 7168),
            ("q_b_proj", 24576, 1536),
            ("kv_a_proj_with_mqa", 576, 7168),
            ("kv_b_proj", 32768, 512),
            ("o_proj", 7168, 16384),
        ):
            yield from pair(f"{prefix}.self_attn.{part}", rows, columns)
        yield f"{prefix}.input_layernorm.weight", ("BF16", [7168], 2 * 7168)
        yield f"{prefix}.post_attention_layernorm.weight", ("BF16", [7168], 2 * 7168)
        for expert in range(experts):
            yield from pair(f"{prefix}.mlp.experts.{expert}.gate_proj", 2048, 7168)
            yield from pair(f"{prefix}.mlp.experts.{expert}.up_proj", 2048, 7168)
            yield from pair(f"{prefix}.mlp.experts.{expert}.down_proj", 7168, 2048)
    yield "lm_head.weight", ("BF16", [129280, 7168], 2 * 129280 * 7168)


def make_sharded(root: Path, shards: int, tensors: int) -> None:
    """A model whose shards have real headers and the right length, but no data: sparse files under invented digests."""
    experts = 256
    layers = -(-tensors // (6 * experts + 12))
    listed = list(tensor_names(layers, experts))[:tensors]
    files: dict[str, Blob] = {"config.json": small(b'{"model_type": "deepseek_v3"}')}
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(shards):
        part = dict(listed[number * tensors // shards : (number + 1) * tensors // shards])
        name = shard_name(number + 1, shards, 6)
        header, size = safetensors_header(part)
        total += size
        weight_map |= dict.fromkeys(part, name)

        def write(path: Path, header: bytes = header, size: int = size) -> None:
            with path.open("wb") as file:
                file.write(header)
                file.truncate(len(header) + size)

        files[name] = large(len(header) + size, hashlib.sha256(name.encode()).hexdigest(), write)
    files["model.safetensors.index.json"] = index_of(weight_map, total)
    Cache(root).add(MODEL, files)


# One model of much data.


def make_large(root: Path, count: int, size: int) -> None:
    """`count` shards of exactly `size` bytes of noise behind a header, under their true digests."""
    piece = 4 << 20
    cache = Cache(root)
    waiting = root / "waiting"
    waiting.mkdir()
    files: dict[str, Blob] = {}
    weight_map: dict[str, str] = {}
    for number in range(1, count + 1):
        tensor, name = f"model.layers.{number}.weight", shard_name(number, count)
        guess, _ = safetensors_header({tensor: ("U8", [size], size)})
        header, data = safetensors_header({tensor: ("U8", [size - len(guess)], size - len(guess))})
        assert len(header) + data == size
        noise = random.Random(number)
        digest = hashlib.sha256(header)
        path = waiting / str(number)
        with path.open("wb") as file:
            file.write(header)
            for start in range(0, data, piece):
                part = noise.randbytes(min(piece, data - start))
                digest.update(part)
                file.write(part)
        files[name] = large(size, digest.hexdigest(), path.rename)
        weight_map[tensor] = name
    files["model.safetensors.index.json"] = index_of(weight_map, count * size)
    files["config.json"] = small(b'{"model_type": "llama"}')
    cache.add(MODEL, files)
    waiting.rmdir()


KINDS: dict[str, Callable[..., None]] = {"many": make_many, "sharded": make_sharded, "large": make_large}


def main(arguments: list[str]) -> int:
    kind, folder, *numbers = arguments
    root = Path(folder)
    stamp = root.with_name(root.name + ".made")
    wanted = json.dumps([VERSION, kind, *numbers])
    if root.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
        return 0
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](root, *map(int, numbers))
    stamp.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
