"""Memory as the kernel tells it, and what is made of what a container's kernel tells."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from infertop.telemetry.memory import Memory

MIB = 1 << 20


def laid_out(root: Path, meminfo: str) -> Memory:
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(meminfo)
    return Memory(root)


def test_total_and_available(tmp_path: Path) -> None:
    text = "MemTotal:       24684100 kB\nMemFree:        17608020 kB\nMemAvailable:   22000000 kB\nBuffers: 1 kB\n"
    memory = laid_out(tmp_path, text)
    assert memory.machine() == (24_684_100 << 10, 22_000_000 << 10)
    memory.close()


@pytest.mark.parametrize("available", ["", "MemAvailable: 0 kB\n", "MemAvailable: 900 kB\n"])
def test_what_cannot_be_so_is_left_to_psutil(tmp_path: Path, available: str) -> None:
    memory = laid_out(tmp_path, f"MemTotal: 800 kB\nMemFree: 100 kB\n{available}Buffers: 1 kB\n")
    total, rest = memory.machine()
    assert total == psutil.virtual_memory().total
    assert 0 < rest <= total
    memory.close()


def test_this_process_and_machine_are_read_as_psutil_reads_them() -> None:
    memory = Memory(Path("/"))
    total, available = memory.machine()
    assert total == psutil.virtual_memory().total
    assert available == pytest.approx(psutil.virtual_memory().available, abs=total / 10)
    assert memory.own() == pytest.approx(psutil.Process().memory_info().rss, abs=8 * MIB)
    ballast = b"x" * (64 * MIB)
    assert memory.own() == pytest.approx(psutil.Process().memory_info().rss, abs=8 * MIB)
    del ballast
    memory.close()


def test_without_proc_psutil_tells(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert memory.machine()[0] == psutil.virtual_memory().total
    assert memory.own() == pytest.approx(psutil.Process().memory_info().rss, abs=8 * MIB)
