"""How many threads a CPU backend takes of the cores that it may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from infertop.backends import cores
from infertop.backends.configuration import Options


def quotas(root: Path, membership: str) -> list[float]:
    (root / "membership").write_text(membership)
    return list(cores.quotas(root, root / "membership"))


def test_quotas_of_a_group_and_of_those_above_it(tmp_path: Path) -> None:
    (tmp_path / "slice" / "job").mkdir(parents=True)
    (tmp_path / "slice" / "job" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "slice" / "cpu.max").write_text("150000 100000\n")
    assert quotas(tmp_path, "0::/slice/job\n") == [1.5]


def test_quotas_of_the_first_version(tmp_path: Path) -> None:
    (tmp_path / "cpu" / "job").mkdir(parents=True)
    (tmp_path / "cpu" / "job" / "cpu.cfs_quota_us").write_text("400000\n")
    (tmp_path / "cpu" / "job" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert quotas(tmp_path, "4:cpu,cpuacct:/job\n2:memory:/job\n") == [4.0]


def test_a_group_that_is_not_mounted_here_falls_back_to_the_root_s(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    assert quotas(tmp_path, "0::/somewhere/on/the/host\n") == [2.0]
    assert list(cores.quotas(tmp_path, tmp_path / "absent")) == []


@pytest.mark.parametrize(
    ("allowed", "quota", "asked", "threads"),
    [
        (8, [], None, 7),
        (8, [4.0], None, 3),
        (8, [0.5], None, 1),
        (1, [], None, 1),
        (8, [], 8, 8),
        (2, [1.5], None, 1),
    ],
)
def test_one_core_is_left_free_unless_threads_are_given(
    allowed: int, quota: list[float], asked: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    monkeypatch.setattr(cores, "quotas", lambda: iter(quota))
    assert cores.threads(Options(threads=asked)) == threads
