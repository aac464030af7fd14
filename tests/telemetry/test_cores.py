"""Cores: busy shares, forks and frequencies of laid out machines, and the same as psutil finds on this one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from infertop.telemetry.cores import Cores, Frequency, allowed_cores


def lay(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stat(root: Path, idle: dict[int, int], busy: int, forks: int = 7) -> None:
    """A /proc/stat whose cores have been idle for so many ticks, and have all been busy for as many."""
    rows = {f"cpu{core}": ticks for core, ticks in idle.items()}
    lines = [
        f"{name} {count * busy} 0 0 {ticks} 0 0 0 0 {count * busy} 0"  # all of the busy time was a guest's
        for name, ticks, count in [
            ("cpu ", sum(idle.values()), len(idle)),
            *((name, ticks, 1) for name, ticks in rows.items()),
        ]
    ]
    lay(root, "proc/stat", "\n".join([*lines, "intr 99 0 1", f"processes {forks}", "procs_running 1", ""]))


@pytest.mark.parametrize("allowed", [[0, 1, 2], [1, 2], [2]])
def test_shares_of_the_allowed_cores(tmp_path: Path, allowed: list[int]) -> None:
    stat(tmp_path, {0: 100, 1: 100, 2: 100}, busy=100)
    cores = Cores(tmp_path, allowed)
    assert cores.read(True) == (None, {})
    stat(tmp_path, {0: 175, 1: 125, 2: 100}, busy=125)
    shares = {0: 25.0, 1: 50.0, 2: 100.0}
    together = 100 * 25 * len(allowed) / sum(100 * 25 / shares[core] for core in allowed)
    found, each = cores.read(False)
    assert found == pytest.approx(together)
    assert each == {}
    stat(tmp_path, {0: 250, 1: 150, 2: 100}, busy=150)
    found, each = cores.read(True)
    assert found == pytest.approx(together)
    assert each == {core: pytest.approx(shares[core]) for core in allowed}
    assert cores.read(False) == (None, {})  # no time has passed
    cores.close()


def test_a_core_that_is_switched_off_spoils_nothing(tmp_path: Path) -> None:
    stat(tmp_path, {0: 0, 1: 0, 2: 0, 3: 0}, busy=1000)
    cores = Cores(tmp_path, [1, 2, 3])
    cores.read(True)
    stat(tmp_path, {0: 10, 1: 10, 3: 30}, busy=1010)
    together, each = cores.read(True)
    assert together is None
    assert each == {1: 50.0, 3: 25.0}  # by its name, whatever its place in the file
    stat(tmp_path, {0: 20, 1: 20, 3: 60}, busy=1020)
    assert cores.read(True)[0] == pytest.approx(100 * 20 / 60)
    cores.close()


def test_what_was_started_is_counted_where_the_system_counts(tmp_path: Path) -> None:
    stat(tmp_path, {0: 0}, busy=0, forks=1234)
    cores = Cores(tmp_path, [0])
    cores.read(False)
    assert cores.forks == 1234
    stat(tmp_path, {0: 0}, busy=0, forks=0)
    cores.read(False)
    assert cores.forks is None
    cores.close()


def test_elsewhere_psutil_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[list[Any]] = [psutil.cpu_times(percpu=True)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: counted[-1])
    cores = Cores(tmp_path, [0])
    assert cores.read(True) == (None, {})
    first = counted[0][0]
    counted.append([first._replace(user=first.user + 1, idle=first.idle + 3)])
    together, each = cores.read(True)
    assert together == pytest.approx(25)
    assert each == {0: pytest.approx(25)}
    assert cores.forks is None
    counted.append([])  # it was switched off
    assert cores.read(True) == (None, {})
    cores.close()


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="this system has no /proc/stat")
def test_this_machine_is_read_as_psutil_reads_it() -> None:
    allowed = allowed_cores()
    cores = Cores(Path("/"), allowed)
    cores.read(True)
    before = psutil.cpu_times(percpu=True)
    until = psutil.Process().cpu_times().user + 0.3
    while psutil.Process().cpu_times().user < until:
        pass
    _, each = cores.read(True)
    after = psutil.cpu_times(percpu=True)
    for core in allowed:
        idle = after[core].idle + after[core].iowait - before[core].idle - before[core].iowait
        whole = sum(after[core][:8]) - sum(before[core][:8])
        assert each[core] == pytest.approx(100 * (1 - idle / whole), abs=20)
    cores.close()


def cpuinfo(root: Path, clocks: dict[int, float], flags: int = 100) -> None:
    parts = (
        f"processor\t: {core}\nmodel name\t: Example 9000\ncpu MHz\t\t: {clock:.3f}\nflags\t\t: {'fpu ' * flags}\n\n"
        for core, clock in clocks.items()
    )
    lay(root, "proc/cpuinfo", "".join(parts))


def test_the_frequency_of_a_few_allowed_cores_where_they_have_no_file_of_their_own(tmp_path: Path) -> None:
    clocks = {core: 1000.0 + core for core in range(64)}
    cpuinfo(tmp_path, clocks)
    frequency = Frequency(tmp_path, list(range(8, 16)))
    assert frequency.source == "mean of 4 cores"
    assert frequency.read() == pytest.approx(1009.5)
    cpuinfo(tmp_path, {core: 10 * clock for core, clock in clocks.items()})  # a digit more for each
    assert frequency.read() == pytest.approx(10095)
    cpuinfo(tmp_path, {})
    assert frequency.read() is None
    frequency.close()


def test_each_core_with_a_file_of_its_own_is_asked(tmp_path: Path) -> None:
    for core in range(16):
        lay(
            tmp_path,
            f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq",
            f"{1_000_000 * (1 + core)}\n",
        )
    frequency = Frequency(tmp_path, list(range(16)))
    assert frequency.source == "mean of 4 cores"
    assert frequency.read() == pytest.approx((1 + 5 + 9 + 13) / 4 * 1000)
    lay(tmp_path, "sys/devices/system/cpu/cpu12/cpufreq/scaling_cur_freq", "<unknown>\n")
    assert frequency.read() == pytest.approx((1 + 5 + 9) / 3 * 1000)
    frequency.close()


def test_where_nothing_tells_the_frequency_psutil_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Any = type("scpufreq", (), {"current": 2400.0})
    monkeypatch.setattr(psutil, "cpu_freq", lambda: told)
    frequency = Frequency(tmp_path, [0])
    assert (frequency.source, frequency.read()) == ("psutil", 2400.0)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    nothing = Frequency(tmp_path, [0])
    assert (nothing.source, nothing.read()) == ("", None)
