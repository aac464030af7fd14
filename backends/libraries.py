"""Shared libraries that a runtime's own library needs, and which of them are missing: read from the file, nothing is run.

ELF as in `man 5 elf`: section headers, the dynamic section, its DT_NEEDED entries.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_DYNAMIC_SECTION, _DT_NEEDED = 6, 1


def needed(path: Path) -> list[str]:
    """Names of the libraries that a 64-bit little-endian ELF file asks for; empty for any other file."""
    with path.open("rb") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01" or len(header) < 64:
            return []
        offset, size, count = struct.unpack_from("<Q10xHH", header, 40)
        file.seek(offset)
        table = file.read(size * count)
        # name, type, flags, address, offset, size, link
        sections = [struct.unpack_from("<IIQQQQI", table, index * size) for index in range(count)]
        for section in sections:
            if section[1] != _DYNAMIC_SECTION:
                continue
            file.seek(section[4])
            dynamic = file.read(section[5])
            strings = sections[section[6]]
            file.seek(strings[4])
            text = file.read(strings[5])
            entries = struct.iter_unpack("<qQ", dynamic[: len(dynamic) // 16 * 16])
            return [text[at : text.index(b"\0", at)].decode() for tag, at in entries if tag == _DT_NEEDED]
    return []


def missing(path: Path) -> list[str]:
    """The libraries that `path` needs and that neither a wheel nor the system has."""
    if not sys.platform.startswith("linux"):
        return []
    folders = [*_wheel_folders(), *map(Path, filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")))]
    return [
        name for name in needed(path)
        if not any((folder / name).exists() for folder in folders) and not _loads(name)
    ]  # fmt: skip


def _wheel_folders() -> Iterator[Path]:
    """Where NVIDIA's wheels and torch put libraries, which runtimes load by path."""
    for place in dict.fromkeys(sys.path):
        base = Path(place or ".")
        yield from base.glob("nvidia/*/lib")
        yield from base.glob("torch/lib")
        yield from base.glob("tensorrt_libs")


def found(names: Iterable[str]) -> list[Path]:
    """Where wheels have these libraries; those that none has are left out."""
    folders = list(_wheel_folders())
    return [folder / name for name in names for folder in folders if (folder / name).exists()]


def source(name: str) -> str:
    """What brings a library of that name: the major version in it decides, since one of another major is another library."""
    if name.startswith("libcuda.so"):
        return "install the NVIDIA driver; in a container start it with GPU access (--gpus all)"
    if name.startswith("libonnxruntime_providers_"):
        return "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    stem, _, version = name.partition(".so.")
    major = version.split(".")[0]
    if major.isdigit() and stem in ("libnvinfer", "libnvonnxparser", "libnvinfer_plugin"):
        return f"pip install 'tensorrt>={major},<{int(major) + 1}'"
    if major.isdigit() and stem.startswith("libcudnn"):
        # cuDNN 8 was built for CUDA 11 and 12 only.
        cuda = 13 if int(major) > 8 else 12
        return f"pip install 'nvidia-cudnn-cu{cuda}>={major},<{int(major) + 1}', or an onnxruntime-gpu for the cuDNN that is here"
    return "pip install 'onnxruntime-gpu[cuda,cudnn]'"


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
