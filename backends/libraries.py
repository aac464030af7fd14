"""Shared libraries that a runtime's own library needs, which of them are missing, and how a runtime says so: nothing is run.

ELF as in `man 5 elf`: section headers, the dynamic section, its DT_NEEDED entries. The loader's words are glibc's (dl-load.c).
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_DYNAMIC_SECTION, _DT_NEEDED = 6, 1

_ABSENT = re.compile(r"([\w.+-]+): cannot open shared object file(?:: ([^\n\x1b]+))?")
_UNOPENED = re.compile(r"\bdlopen failed for (\S+): *(?:\S*/)?([^\n\x1b]*)")
"""onnxruntime's words about a library that it opens only when something needs it; the loader's follow."""

_WITHOUT = re.compile(r"\b(cuDNN|cuFFT) (?:library )?(?:is|was) (?:unavailable|not available|not found)")
"""Likewise, where it does not say which file it looked for."""

_PART = "a part of cuDNN"
_INCOMPLETE = re.compile(r"\b(?:Cannot load symbol cudnn\w+|Unable to load any of \{libcudnn[^}\n]*\})")
"""cuDNN's own words about the libraries that it consists of, before it aborts."""

_NOT_THERE = "No such file or directory"


@dataclass(frozen=True)
class Lack:
    """A library that could not be loaded: its name as the loader was asked for it, and why, where that is not that it is not there."""

    name: str
    why: str = ""

    @property
    def words(self) -> str:
        return f"{self.name} cannot be loaded" + (f" ({self.why})" if self.why else "")


def lack(said: str) -> Lack | None:
    """The library that a runtime's message says is missing, the innermost where it names several; None where it says no such thing."""
    absent = _ABSENT.search(said)
    if absent is not None:
        why = (absent[2] or "").strip()
        return Lack(absent[1], "" if why.startswith(_NOT_THERE) else why[:200])
    unopened = _UNOPENED.search(said)
    if unopened is not None:
        return Lack(unopened[1], unopened[2].removeprefix(f"{unopened[1]}: ").strip()[:200])
    incomplete = _INCOMPLETE.search(said)
    if incomplete is not None:
        return Lack(_PART, incomplete[0][:200])
    without = _WITHOUT.search(said)
    return Lack(without[1]) if without is not None else None


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
    return absent(needed(path), _wheel_folders())


def absent(names: Iterable[str], wheels: Iterable[Path]) -> list[str]:
    """Those that none of the folders `wheels` has, nor the system."""
    if not sys.platform.startswith("linux"):
        return []
    folders = [*wheels, *map(Path, filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")))]
    return [
        name for name in names
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


_OF_CUDA = ("libcublas", "libcudart", "libcufft", "libcurand", "libnvrtc", "cuFFT")
"""Beginnings of the names of what onnxruntime-gpu's extra `cuda` brings."""


def source(name: str, cuda: str = "") -> str:
    """What brings a library of that name: the major version in it decides, since one of another major is another library. `cuda` is the
    version that the runtime was built for, where that is known.
    """
    if name.startswith("libcuda.so"):
        return "install the NVIDIA driver; in a container start it with GPU access (--gpus all)"
    if name.startswith("libonnxruntime_providers_"):
        return "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    if name == _PART:
        return "install cuDNN anew, the whole of it and of one version"
    stem, _, version = name.partition(".so.")
    major = version.split(".")[0]
    if major.isdigit() and stem.startswith(("libnvinfer", "libnvonnxparser")):
        return f"pip install 'tensorrt>={major},<{int(major) + 1}'"
    if major.isdigit() and stem.startswith("libcudnn"):
        # cuDNN 8 was built for CUDA 11 and 12 only.
        of = cuda.partition(".")[0] or ("13" if int(major) > 8 else "12")
        return f"pip install 'nvidia-cudnn-cu{of}>={major},<{int(major) + 1}', or an onnxruntime-gpu for the cuDNN that is here"
    if stem.startswith(("libcudnn", "cuDNN")):
        return "pip install 'onnxruntime-gpu[cudnn]'"
    if stem.startswith(_OF_CUDA):
        return "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    return f"install what {name} belongs to, or add its folder to LD_LIBRARY_PATH"


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
