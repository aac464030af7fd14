"""Quota and memory limit of a container, from the files of both cgroup versions."""

from __future__ import annotations

from pathlib import Path

from infertop.telemetry.cgroup import Limits, read_limits, throttled_ns


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_no_cgroups_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits(None, None, None)


def test_a_container_of_version_2(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/memory.max": "8589934592\n",
            "sys/fs/cgroup/cpu.stat": "usage_usec 12\nnr_throttled 3\nthrottled_usec 456\n",
        },
    )
    limits = read_limits(root)
    assert (limits.cores, limits.memory) == (1.5, 8 << 30)
    assert limits.throttled is not None
    assert throttled_ns(limits.throttled) == 456_000


def test_the_least_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/job.scope\n",
            "sys/fs/cgroup/user.slice/job.scope/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/user.slice/memory.max": "max\n",
        },
    )
    assert read_limits(root) == Limits(4.0, None, root / "sys/fs/cgroup/user.slice/cpu.stat")


def test_a_path_of_another_namespace_falls_back_to_the_mount(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {"proc/self/cgroup": "0::/../../elsewhere\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"},
    )
    assert read_limits(root).cores == 0.5


def test_version_1(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/a\n2:cpu,cpuacct:/docker/a\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.stat": "nr_periods 1\nthrottled_time 789\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": "1073741824\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    limits = read_limits(root)
    assert (limits.cores, limits.memory) == (3.0, 1 << 30)
    assert limits.throttled is not None
    assert throttled_ns(limits.throttled) == 789


def test_a_stat_file_that_does_not_say(tmp_path: Path) -> None:
    assert throttled_ns(lay(tmp_path, {"cpu.stat": "usage_usec 1\n"}) / "cpu.stat") is None
    assert throttled_ns(tmp_path / "gone") is None
