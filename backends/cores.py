"""How many cores this process may use, and how many threads a CPU backend takes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .configuration import Options

CGROUPS = Path("/sys/fs/cgroup")


def threads(options: Options) -> int:
    """Intra-op threads of a CPU backend: those asked for, else the allowed cores less one where there are two or more.

    With every core taken, infertop's own work showed in p99 (up by a third); one core left free cured it.
    """
    if options.threads is not None:
        return options.threads
    return max(1, allowed_cores() - 1)


def allowed_cores() -> int:
    """Cores in the affinity mask, or fewer where a control group grants less CPU time; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *quotas()])))


def quotas(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """The CPU quotas, in cores, of this process's control groups and of those above them (cgroup v2 and v1)."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for group in _upwards(root, path):
                yield from _quota_v2(group / "cpu.max")
        elif "cpu" in controllers.split(","):
            for group in _upwards(root / "cpu", path):
                yield from _quota_v1(group)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    # In a container the path may be the host's, which is not mounted: the root is then the container's own group.
    group = root / path.strip("/")
    yield from (folder for folder in (group, *group.parents) if folder == root or root in folder.parents)


def _quota_v2(file: Path) -> Iterator[float]:
    try:
        quota, period = file.read_text().split()
    except (OSError, ValueError):
        return
    if quota != "max":
        yield int(quota) / int(period)


def _quota_v1(group: Path) -> Iterator[float]:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return
    if quota > 0:
        yield quota / period
