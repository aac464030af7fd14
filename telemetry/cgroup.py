"""What the container or slice that this process lives in may use: CPU quota and memory limit, cgroup v1 and
v2.

Each level up to the root may limit, and the least counts. Paths are taken below `root`, so that a test can
lay one out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_V1_UNLIMITED = 1 << 60  # v1 says "no limit" by a number near 2**63


@dataclass(frozen=True, slots=True)
class Limits:
    """None: not limited. `throttled` is the file that counts the time in which the quota held the process
    back.
    """

    cores: float | None
    memory: int | None  # bytes
    throttled: Path | None


def _text(path: Path) -> str:
    """A file's content; empty where there is none or it may not be read."""
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _levels(top: Path, inner: str) -> Iterator[Path]:
    """The group's folder and those above it, to `top`. A path that is not there (another namespace) leaves
    only `top`.
    """
    parts = [part for part in inner.split("/") if part]
    if ".." not in parts:
        for length in range(len(parts), 0, -1):
            folder = top.joinpath(*parts[:length])
            if folder.is_dir():
                yield folder
    yield top


def _groups(root: Path) -> dict[str, str]:
    """Controller → path of this process; v2 under "", from /proc/self/cgroup."""
    groups: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        for name in names.split(","):
            groups[name] = path
    return groups


def read_limits(root: Path = Path("/")) -> Limits:
    """The limits that hold for this process; none where there are no cgroups."""
    groups, base = _groups(root), root / "sys/fs/cgroup"
    cores: list[float] = []
    memory: list[int] = []
    throttled: Path | None = None
    for top in (base, base / "unified"):
        for folder in _levels(top, groups.get("", "")):
            quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
            if quota.isdigit() and period.isdigit() and int(period):
                cores.append(int(quota) / int(period))
                throttled = throttled or folder / "cpu.stat"
            memory += [limit for limit in [_number(folder / "memory.max")] if limit is not None]
    for folder in _levels(base / "cpu", groups.get("cpu", "")):
        quota_us, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota_us and period_us and quota_us > 0:
            cores.append(quota_us / period_us)
            throttled = throttled or folder / "cpu.stat"
    for folder in _levels(base / "memory", groups.get("memory", "")):
        limit = _number(folder / "memory.limit_in_bytes")
        if limit is not None and 0 < limit < _V1_UNLIMITED:
            memory.append(limit)
    return Limits(min(cores, default=None), min(memory, default=None), throttled)


def throttled_ns(path: Path) -> int | None:
    """The time that the quota has held this group back so far, ns, from its cpu.stat; None where it does not
    say.
    """
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == "throttled_usec":  # v2
            return int(value) * 1000
        if name == "throttled_time":  # v1
            return int(value)
    return None
