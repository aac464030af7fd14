"""Host readings: plausible on this machine, each on its turn, and absent with a reason where there is nothing
to read.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from infertop.telemetry import cores
from infertop.telemetry.cores import allowed_cores
from infertop.telemetry.host import HostSource, container, facts, numa_nodes
from infertop.telemetry.metrics import SECOND, MetricSpec, Value

QUARTER = SECOND // 4


@pytest.fixture
def source() -> Iterator[HostSource]:
    made = HostSource()
    yield made
    made.close()


def read(source: HostSource, tick: int) -> dict[str, Value]:
    at = 100 * SECOND + tick * QUARTER
    return dict(zip((spec.id for spec in source.specs), source.read(at, at), strict=True))


def spend(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def row(source: HostSource, name: str) -> MetricSpec:
    return next(spec for spec in source.specs if spec.id == name)


def test_the_first_reading_has_no_rates(source: HostSource) -> None:
    first = read(source, 0)
    assert first["host.cpu"] is None
    assert first["engine.cpu"] is None
    total = psutil.virtual_memory().total
    used, available = first["host.memory_used"], first["host.memory_available"]
    assert used is not None
    assert available is not None
    assert 0 < used < total
    assert used + available == total
    assert first["engine.rss"]


def test_readings_show_what_this_process_spends(source: HostSource) -> None:
    for tick in range(3):
        read(source, tick)
    spend(0.06)
    found = read(source, 3)
    assert found["engine.cpu"] is not None
    assert found["engine.cpu"] >= 20  # 60 ms of a nominal quarter second
    assert found["host.cpu"] is not None
    assert 0 <= found["host.cpu"] <= 100


def test_what_is_dear_is_read_each_second(source: HostSource) -> None:
    seen: dict[str, list[int]] = {}
    for tick in range(9):
        spend(0.012)  # the kernel counts in steps of 10 ms
        for name, value in read(source, tick).items():
            if value is not None:
                seen.setdefault(name, []).append(tick)
    assert seen["engine.cpu"] == list(range(1, 9))
    assert seen["host.memory_used"] == [0, 4, 8]
    for core in allowed_cores():
        assert seen[f"host.core{core}"] == [4, 8]


def test_every_row_without_a_status_is_read(source: HostSource) -> None:
    source.set_worker(os.getpid())
    seen: set[str] = set()
    for tick in range(6):
        spend(0.012)
        seen |= {name for name, value in read(source, tick).items() if value is not None}
    assert seen == {spec.id for spec in source.specs if spec.status == "ok"}
    assert all(spec.reason for spec in source.specs if spec.status != "ok")


def test_a_worker_is_read_while_there_is_one(source: HostSource) -> None:
    assert read(source, 0)["worker.rss"] is None
    source.set_worker(os.getpid())
    assert read(source, 1)["worker.cpu"] is None
    spend(0.05)
    found = read(source, 2)
    assert found["worker.cpu"] is not None
    assert found["worker.cpu"] >= 15
    assert found["worker.threads"]
    source.set_worker(None)
    assert read(source, 3)["worker.rss"] is None


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="this system does not list open files")
def test_nothing_stays_open_behind_it() -> None:
    before = set(os.listdir("/proc/self/fd"))
    source = HostSource()
    source.set_worker(os.getpid())
    for tick in range(6):
        read(source, tick)
    source.set_worker(os.getppid())
    read(source, 6)
    source.close()
    assert set(os.listdir("/proc/self/fd")) == before


def machine(root: Path, **files: str) -> Path:
    for name, text in {"proc/self/cgroup": "0::/\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_pressure_quota_and_frequency_of_a_laid_out_machine(tmp_path: Path) -> None:
    core = allowed_cores()[0]
    root = machine(
        tmp_path,
        **{
            "proc/pressure/cpu": "some avg10=12.34 avg60=1.00 avg300=0.10 total=5\nfull avg10=0.00\n",
            "sys/fs/cgroup/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/cpu.stat": "throttled_usec 7\n",
            f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": "2400000\n",
        },
    )
    found = read(HostSource(root), 0)
    assert found["host.pressure_cpu"] == 12.34
    assert found["host.quota"] == 2.5
    assert found["host.quota_throttled"] == 7000
    assert found["host.frequency"] == 2400.0


def test_what_is_not_there_is_absent_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_psutil_frequency", lambda: None)
    source = HostSource(machine(tmp_path))
    for name, reason in {
        "host.quota": "no CPU quota is set",
        "host.quota_throttled": "no CPU quota is set",
        "host.pressure_cpu": "the kernel does not report pressure stalls",
        "host.frequency": "the system does not tell the cores' frequency",
    }.items():
        assert (row(source, name).status, row(source, name).reason) == ("absent", reason)
        assert read(source, 0)[name] is None


def test_facts_of_this_machine_are_json() -> None:
    found = json.loads(json.dumps(facts()))
    assert found["hostname"] == platform.node()
    assert found["allowed_cores"] == allowed_cores()
    assert found["memory"] == psutil.virtual_memory().total
    assert found["cores"]["logical"] == psutil.cpu_count()
    assert set(found) == {
        *("hostname", "os", "kernel", "cpu", "cores", "allowed_cores", "quota", "memory", "memory_limit"),
        *("python", "container", "numa", "numa_distances"),
    }


def test_facts_of_a_laid_out_machine(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        **{
            "etc/os-release": 'NAME="X"\nPRETTY_NAME="Example Linux 7"\n',
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example 9000\n",
            "sys/devices/system/node/node0/cpulist": "0-15\n",
            "sys/devices/system/node/node1/cpulist": "16-31\n",
            "sys/devices/system/node/online": "0-1\n",
        },
    )
    found = facts(root)
    assert (found["os"], found["cpu"]) == ("Example Linux 7", "Example 9000")
    assert found["numa"] == numa_nodes(root) == {"0": "0-15", "1": "16-31"}


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"proc/version": "Linux version 5.15-microsoft-standard-WSL2"}, {}, "wsl2"),
        ({"proc/version": "Linux version 6.1"}, {}, None),
    ],
)
def test_containers(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], expected: str | None
) -> None:
    assert container(machine(tmp_path, **files), environ) == expected
