"""Small, valid weight files and model repos, the same bytes in every run."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy
from hub_stand_in import pseudo_random
from safetensors.numpy import save

Files = dict[str, bytes]


def as_json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def tensor(seed: str, rows: int, columns: int) -> numpy.ndarray:
    """Half-precision numbers in [0, 1)."""
    values = numpy.frombuffer(pseudo_random(seed, rows * columns), dtype=numpy.uint8) / 256
    return values.astype(numpy.float16).reshape(rows, columns)


def safetensors_file(seed: str, names: list[str], rows: int = 64, columns: int = 96) -> bytes:
    """A file written by the safetensors library."""
    return save({name: tensor(f"{seed}/{name}", rows, columns) for name in names}, metadata={"format": "pt"})


def shard_name(stem: str, number: int, count: int, suffix: str = "safetensors") -> str:
    return f"{stem}-{number:05}-of-{count:05}.{suffix}"


def sharded(
    seed: str, shards: int = 3, stem: str = "model", folder: str = "", rows: int = 64, columns: int = 96
) -> Files:
    """Safetensors shards with their index, optionally in a folder."""
    files: Files = {}
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(1, shards + 1):
        names = [f"layers.{number - 1}.{part}.weight" for part in ("attention", "mlp")]
        shard = shard_name(stem, number, shards)
        files[folder + shard] = safetensors_file(f"{seed}/{number}", names, rows, columns)
        weight_map |= dict.fromkeys(names, shard)
        total += len(names) * rows * columns * 2
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    files[f"{folder}{stem}.safetensors.index.json"] = as_json(index)
    return files


def sidecars(seed: str) -> Files:
    """What stands beside the weights of a transformers model."""
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": f"# {seed}\n".encode(),
        "config.json": as_json({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "name": seed}),
        "tokenizer.json": as_json({"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}}, "name": seed}),
        "tokenizer_config.json": as_json({"model_max_length": 4096}),
    }


def diffusers(seed: str) -> Files:
    """A pipeline: sub-folders with weights of their own."""
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"]}
    files = {"model_index.json": as_json({"_class_name": "StableDiffusionPipeline"} | parts)}
    files |= {f"{part}/config.json": as_json({"_class_name": names[1]}) for part, names in parts.items()}
    files |= sharded(f"{seed}/unet", 2, "diffusion_pytorch_model", "unet/")
    files |= sharded(f"{seed}/text_encoder", 2, "model", "text_encoder/")
    files["vae/config.json"] = as_json({"_class_name": "AutoencoderKL"})
    files["vae/diffusion_pytorch_model.safetensors"] = safetensors_file(f"{seed}/vae", ["decoder.weight"])
    return files


def torch_file(seed: str, storages: int = 2) -> bytes:
    """A torch zip: stored entries under one folder. The pickle is an empty dictionary; nothing may load it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        entries = {"data.pkl": b"\x80\x02}q\x00.", "byteorder": b"little", "version": b"3\n"}
        entries |= {f"data/{i}": pseudo_random(f"{seed}/{i}", 4096) for i in range(storages)}
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def gguf_file(seed: str, *, split: tuple[int, int] | None = None, tensors: int = 2, elements: int = 2048) -> bytes:
    """A GGUF of version 3 with F16 tensors; `split` is the 0-based number and the count."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    pairs.append(text("general.alignment") + struct.pack("<II", 4, 32))
    if split is not None:
        pairs.append(text("split.no") + struct.pack("<IH", 2, split[0]))
        pairs.append(text("split.count") + struct.pack("<IH", 2, split[1]))
        pairs.append(text("split.tensors.count") + struct.pack("<Ii", 5, tensors * split[1]))
    size = elements * 2
    infos = b"".join(
        text(f"blk.{split[0] if split else 0}.{i}.weight") + struct.pack("<IQIQ", 1, elements, 1, i * size)
        for i in range(tensors)
    )
    header = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(pairs)) + b"".join(pairs) + infos
    header += b"\0" * (-len(header) % 32)
    return header + pseudo_random(seed, tensors * size)


def gguf_splits(seed: str, quant: str, count: int = 3, folder: str = "") -> Files:
    return {
        folder + shard_name(f"tiny-{quant}", number, count, "gguf"): gguf_file(
            f"{seed}/{quant}/{number}", split=(number - 1, count)
        )
        for number in range(1, count + 1)
    }
