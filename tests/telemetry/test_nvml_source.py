"""The GPUs as a source: what each kind of machine gives, when, and what is said of what it does not give."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator

import pytest
from infertop.telemetry import gpu_facts
from infertop.telemetry.gpm import NO_GPM
from infertop.telemetry.gpu_reader import LEGACY_WINDOW
from infertop.telemetry.metrics import SECOND, MetricSpec, Value
from infertop.telemetry.nvml import Device, Nvml
from infertop.telemetry.nvml_source import NvmlSource
from infertop.telemetry.sampler import Sampler

from .fake_nvml import (
    GPU_IS_LOST,
    MIB,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UINT,
    Machine,
    a100,
    h100,
    l4,
    mig_slice,
    rtx4050,
)

QUARTER = SECOND // 4


class Bench:
    """A source on a fake machine whose clock moves one tick at a time."""

    def __init__(self, machine: Machine, *, blind: str = "", interval: int = QUARTER) -> None:
        self.machine = machine
        self.interval = interval
        self.source = NvmlSource(
            interval, Nvml(machine), clock=machine.clock, sleep=machine.sleep, blind=blind
        )
        self.start = machine.now_ns
        self.ticks = 0

    def tick(self) -> dict[str, Value]:
        """The readings of the next tick that are not null."""
        at = self.start + (self.ticks + 1) * self.interval
        self.ticks += 1
        self.machine.now_ns = max(at, self.machine.now_ns)
        values = self.source.read(at, self.machine.now_ns)
        assert len(values) == len(self.source.specs)
        return {spec.id: v for spec, v in zip(self.source.specs, values, strict=True) if v is not None}

    def all(self, ticks: int = 24) -> dict[str, Value]:
        """The newest of everything that six seconds give."""
        seen: dict[str, Value] = {}
        for _ in range(ticks):
            seen |= self.tick()
        return seen

    def row(self, name: str) -> MetricSpec:
        return next(spec for spec in self.source.specs if spec.id == name)

    def turns(self, name: str, ticks: int = 24) -> list[int]:
        return [tick for tick in range(ticks) if name in self.tick()]


def statuses(bench: Bench, names: Iterable[str]) -> set[tuple[str, str]]:
    return {(bench.row(name).status, bench.row(name).reason) for name in names}


def test_an_h100_gives_everything() -> None:
    bench = Bench(Machine(h100(processes=[(os.getpid(), 400 << 20), (999_999_001, 2 << 30)])))
    found = bench.all()
    expected = {
        "util": 97,
        "memory_util": 41,
        "memory_used": 3 << 30,
        "memory_total": 80 << 30,
        "power": 351.234,
        "power_instant": 361.5,
        "power_limit": 700.0,
        "energy": 123_456_789,
        "temperature": 61,
        "clock_sm": 1980,
        "clock_max": 1980,
        "clock_memory": 2619,
        "reasons": 4,
        "throttle_power": 5_000_000_000,
        "throttle_sync": 0,
        "throttle_thermal": 7_000_000,
        "throttle_hw_thermal": 8_000_000,
        "throttle_brake": 9_000_000,
        "pcie_gen": 5,
        "pcie_width": 16,
        "pcie_gen_max": 5,
        "pcie_width_max": 16,
        "pcie_ceiling": pytest.approx(63.0e9, rel=0.001),
        "pcie_rx": 55311 * MIB,
        "pcie_tx": 3304 * MIB,
        "sm_active": 50.25,
        "occupancy": 7.5,
        "tensor_active": 48.7,
        "hmma": 48.5,
        "imma": 0.0,
        "dram_active": 17.25,
        "fp64": 0.0,
        "fp32": 1.5,
        "fp16": 2.5,
        "processes": 2,
        "other_memory": 2 << 30,
    }
    assert found == {f"gpu0.{name}": value for name, value in expected.items()}
    assert {spec.id for spec in bench.source.specs if spec.status == "ok"} == set(found)
    assert statuses(bench, ["gpu0.nvlink_rx", "gpu0.nvlink_tx"]) == {
        ("absent", "this GPU does not support it")
    }
    assert bench.row("gpu0.pcie_rx").source == "GPM"
    assert bench.source.reason() == ""
    assert bench.source.messages() == []


def test_each_tier_has_its_turn() -> None:
    machine = Machine(h100())
    assert Bench(machine).turns("gpu0.util") == list(range(24))
    assert Bench(Machine(h100())).turns("gpu0.sm_active") == list(range(0, 24, 2))
    assert Bench(Machine(h100())).turns("gpu0.fp16") == [0, 8, 16]
    assert Bench(Machine(h100())).turns("gpu0.energy") == [1, 5, 9, 13, 17, 21]
    assert Bench(Machine(h100())).turns("gpu0.memory_total", 48) == [0, 40]
    assert Bench(Machine(h100())).turns("gpu0.clock_max", 248) == [0, 240]
    assert Bench(Machine(h100())).turns("gpu0.processes") == [0, 20]


def test_what_is_dear_is_not_called_each_tick() -> None:
    machine = Machine(h100())
    bench = Bench(machine)
    machine.called.clear()
    bench.all(40)  # ten seconds
    count = {name: machine.called.count(name) for name in set(machine.called)}
    assert count["nvmlDeviceGetUtilizationRates"] == 40
    assert count["nvmlGpmSampleGet"] == count["nvmlGpmMetricsGet"] == 20
    assert count["nvmlDeviceGetTotalEnergyConsumption"] == count["nvmlDeviceGetFieldValues"] == 10
    assert count["nvmlDeviceGetClockInfo"] == 11  # the memory's once
    assert count["nvmlDeviceGetMaxClockInfo"] == 1
    assert count["nvmlDeviceGetComputeRunningProcesses"] == 2
    assert "nvmlDeviceGetPcieThroughput" not in count
    assert "nvmlGpmSampleAlloc" not in count


def test_a_slow_turn_leaves_the_drivers_own_cycle() -> None:
    machine = Machine(h100())
    bench = Bench(machine)
    phase = (bench.start + 2 * QUARTER) % 100_000_000  # of the first slow turn
    machine.energy_ns = lambda now: 15_000_000 if now % 100_000_000 == phase else 3_000_000
    assert bench.turns("gpu0.energy", 20) == [1, 6, 10, 14, 18]


def test_a_slow_turn_that_is_always_long_does_not_move_for_ever() -> None:
    machine = Machine(h100())
    bench = Bench(machine)
    machine.energy_ns = lambda now: 15_000_000
    assert bench.turns("gpu0.energy", 28) == [1, 6, 11, 16, 20, 24]


def test_gpm_samples_stay_apart_at_the_fastest_interval() -> None:
    bench = Bench(Machine(h100()), interval=SECOND // 10)
    assert bench.turns("gpu0.sm_active", 20) == [5, 10, 15]  # 0: 100 ms after the first


def test_a_late_gpm_turn_takes_no_sample_too_early() -> None:
    machine = Machine(h100())
    gpm = Bench(machine).source.readers[0].gpm
    machine.now_ns += SECOND
    assert gpm.read(machine.now_ns)["sm_active"].value == 50.25
    machine.called.clear()
    machine.now_ns += 90_000_000
    assert gpm.read(machine.now_ns) == {}
    assert machine.called == []
    machine.now_ns += 20_000_000
    assert gpm.read(machine.now_ns)["sm_active"].value == 50.25


def test_an_rtx_4050_has_no_gpm_and_the_old_link_measurement() -> None:
    bench = Bench(Machine(rtx4050()))
    found = bench.all()
    assert found["gpu0.util"] == 97
    names = ("sm_active", "occupancy", "tensor_active", "hmma", "dram_active", "fp16", "fp32", "fp64")
    assert statuses(bench, [f"gpu0.{name}" for name in names]) == {("absent", NO_GPM)}
    assert not {f"gpu0.{name}" for name in names} & set(found)
    assert bench.row("gpu0.pcie_rx").source == bench.row("gpu0.pcie_tx").source == LEGACY_WINDOW
    assert LEGACY_WINDOW.startswith("≈")
    assert found["gpu0.pcie_rx"] == 9_000_000_000.0
    assert found["gpu0.pcie_tx"] == 1_500_000_000.0
    assert (found["gpu0.pcie_gen"], found["gpu0.pcie_gen_max"]) == (1, 4)  # trained down
    assert found["gpu0.other_memory"] == 200 << 20  # the desktop


def test_the_old_link_measurement_blocks_one_direction_at_a_time() -> None:
    machine = Machine(rtx4050())
    bench = Bench(machine)
    machine.called.clear()
    rx, tx = [], []
    for tick in range(24):
        found = bench.tick()
        rx += [tick] * ("gpu0.pcie_rx" in found)
        tx += [tick] * ("gpu0.pcie_tx" in found)
    assert rx == [3, 11, 19]
    assert tx == [7, 15, 23]
    assert machine.called.count("nvmlDeviceGetPcieThroughput") == 6


def test_the_old_link_measurement_cannot_exceed_the_link() -> None:
    bench = Bench(Machine(rtx4050(pcie_kb=(10**9, 10**9))))
    found = bench.all()
    assert found["gpu0.pcie_rx"] == found["gpu0.pcie_ceiling"]


def test_an_l4_derives_rates_from_its_wide_byte_counters() -> None:
    gpu = l4()
    machine = Machine(gpu)
    bench = Bench(machine)
    assert bench.row("gpu0.pcie_rx").source == "64-bit byte counters"
    bench.tick()
    bench.tick()
    gpu.fields[197] = (gpu.fields[197][0], gpu.fields[197][1] + 1_000_000)  # sent
    gpu.fields[198] = (gpu.fields[198][0], gpu.fields[198][1] + 8_000_000)  # received
    found = bench.tick()
    assert found["gpu0.pcie_tx"] == pytest.approx(1_000_000 / 0.5)
    assert found["gpu0.pcie_rx"] == pytest.approx(8_000_000 / 0.5)
    assert "nvmlDeviceGetPcieThroughput" not in machine.called
    gpu.fields[198] = (gpu.fields[198][0], 5)  # the driver was loaded again
    bench.tick()
    assert "gpu0.pcie_rx" not in bench.tick()


@pytest.mark.parametrize("kind", ["gpm", "counters", "legacy"])
def test_rx_is_what_the_gpu_receives_and_tx_what_it_sends(kind: str) -> None:
    """NVML numbers both directions differently in each of its three ways; nvitop once had them swapped."""
    if kind == "gpm":
        gpu = h100()
        assert gpu.gpm is not None
        gpu.gpm |= {20: 100.0, 21: 900.0}  # nvml.h: 20 traffic from this GPU, 21 to this GPU
    elif kind == "counters":
        gpu = l4(fields={197: (3, 0), 198: (3, 0)})
    else:
        gpu = rtx4050(pcie_kb=(100, 900))  # NVML_PCIE_UTIL_TX_BYTES 0, NVML_PCIE_UTIL_RX_BYTES 1
    bench = Bench(Machine(gpu))
    found: dict[str, Value] = {}
    for _ in range(12):
        if kind == "counters":
            gpu.fields = {197: (3, gpu.fields[197][1] + 100), 198: (3, gpu.fields[198][1] + 900)}
        found |= bench.tick()
    sent, received = found["gpu0.pcie_tx"], found["gpu0.pcie_rx"]
    assert sent is not None
    assert received is not None
    assert received == pytest.approx(9 * sent)
    assert bench.source.readers[0].pcie_source.lower() == kind


def test_byte_counters_that_wrap_are_refused() -> None:
    gpu = l4(fields={197: (UINT, 1), 198: (UINT, 2)}, pcie_kb=(3, 4))
    assert Bench(Machine(gpu)).row("gpu0.pcie_rx").source == LEGACY_WINDOW


def test_no_way_to_measure_the_link_is_absent() -> None:
    bench = Bench(Machine(rtx4050(pcie_kb=None)))
    assert statuses(bench, ["gpu0.pcie_rx", "gpu0.pcie_tx"]) == {("absent", "this GPU does not support it")}
    assert "gpu0.pcie_rx" not in bench.all()


def test_gpm_without_its_link_metrics_uses_the_next_source() -> None:
    gpu = h100(pcie_kb=(5, 6))
    gpu.gpm_errors |= {20: 2, 21: 2}  # an id that the driver does not know
    bench = Bench(Machine(gpu))
    found = bench.all()
    assert bench.row("gpu0.pcie_rx").source == LEGACY_WINDOW
    assert found["gpu0.pcie_rx"] == 6000.0
    assert found["gpu0.sm_active"] == 50.25


def test_a_gpm_value_that_is_no_number_is_null_alone() -> None:
    gpu = h100()
    bench = Bench(Machine(gpu))
    assert gpu.gpm is not None
    gpu.gpm[2] = math.nan
    found = bench.tick()
    assert "gpu0.sm_active" not in found
    assert found["gpu0.occupancy"] == 7.5


def test_an_error_of_one_gpm_metric_is_its_own() -> None:
    gpu = h100()
    bench = Bench(Machine(gpu))
    gpu.gpm_errors[5] = 21
    found = bench.tick()
    assert "gpu0.tensor_active" not in found
    assert found["gpu0.sm_active"] == 50.25


def test_a_spurious_zero_interval_is_dropped_while_the_gpu_is_busy() -> None:
    gpu = h100()
    bench = Bench(Machine(gpu))
    gpu.gpm = dict.fromkeys(gpu.gpm or {}, 0.0)
    found = bench.tick()
    assert "gpu0.sm_active" not in found
    assert "gpu0.pcie_rx" not in found
    gpu.util = (0, 0)
    bench.tick()
    assert bench.tick()["gpu0.sm_active"] == 0.0  # idle: zero is a reading


def test_rights_that_are_missing_are_in_the_table() -> None:
    errors = {"nvmlGpmSampleGet": NO_PERMISSION, "nvmlDeviceGetComputeRunningProcesses": NO_PERMISSION}
    bench = Bench(Machine(h100(errors=errors, pcie_kb=(5, 6))))
    reason = "this user may not read it (Insufficient Permissions)"
    assert statuses(bench, ["gpu0.sm_active", "gpu0.processes"]) == {("permission", reason)}
    found = bench.all()
    assert found["gpu0.power"] == 351.234
    assert found["gpu0.pcie_rx"] == 6000.0


def test_an_old_driver_gives_what_it_has() -> None:
    missing = [
        "nvmlGpmQueryDeviceSupport",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetCurrentClocksEventReasons",
    ]
    gpu = h100(pcie_kb=(5, 6))
    gpu.fields[75] = (3, 33)
    bench = Bench(Machine(gpu, driver="470.82.01", missing=missing))
    found = bench.all()
    assert found["gpu0.memory_used"] == (3 << 30) + (500 << 20)
    assert found["gpu0.temperature"] == 61
    assert found["gpu0.reasons"] == 4
    assert found["gpu0.throttle_thermal"] == 33  # field 75; 269 means something else there
    assert statuses(bench, ["gpu0.throttle_hw_thermal", "gpu0.throttle_brake"]) == {
        ("absent", "this driver is too old for it")
    }
    assert bench.row("gpu0.sm_active").reason == NO_GPM


def test_an_a100_has_no_gpm_and_the_old_link_measurement() -> None:
    bench = Bench(Machine(a100()))
    found = bench.all()
    assert bench.row("gpu0.sm_active").reason == NO_GPM
    assert bench.row("gpu0.pcie_rx").source == LEGACY_WINDOW, "its byte counters wrap"
    assert (found["gpu0.pcie_tx"], found["gpu0.pcie_rx"]) == (2_000_000_000.0, 20_000_000_000.0)
    assert (found["gpu0.clock_sm"], found["gpu0.clock_max"]) == (1410, 1410)
    assert found["gpu0.throttle_power"] == 2_000_000
    assert statuses(bench, ["gpu0.throttle_hw_thermal", "gpu0.power_instant"]) == {
        ("absent", "this GPU does not support it")
    }


def test_a_slice_of_a_gpu_has_memory_of_its_own_and_nothing_else() -> None:
    part = mig_slice()
    machine = Machine(h100(mig=True, slices=[part]))
    opened = Nvml(machine)
    (facts,) = gpu_facts.facts(opened)
    assert facts["slices"] == [{"uuid": part.uuid, "name": part.name, "memory": 10 << 30}]
    handle = machine.nvmlDeviceGetMigDeviceHandleByIndex(opened.devices[0].handle, 0)
    device = Device(0, part.uuid, handle, mig=True)
    assert opened.memory(device).value.used == 1 << 30
    for name in ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetPcieThroughput"):
        reading = opened.read(device, name, *([1] if "Pcie" in name else []))
        assert (reading.status, reading.reason) == ("absent", "this GPU does not support it while MIG is on")
    assert opened.read(device, "nvmlGpmQueryDeviceSupport").status == "absent"
    assert gpu_facts.facts(Nvml(Machine(h100())))[0]["slices"] == []


def test_a_mig_gpu_says_what_it_lacks() -> None:
    bench = Bench(Machine(h100(mig=True)))
    assert bench.row("gpu0.util").reason == "this GPU does not support it while MIG is on"
    assert bench.all()["gpu0.power"] == 351.234


def test_two_gpus_in_swapped_order_keep_their_numbers() -> None:
    first, second = h100("GPU-1", power_mw=1000), l4("GPU-2", power_mw=2000)
    machine = Machine(first, second)
    bench = Bench(machine)
    found = bench.tick()
    assert (found["gpu0.power"], found["gpu1.power"]) == (1.0, 2.0)
    assert [gpu["uuid"] for gpu in bench.source.facts()] == ["GPU-1", "GPU-2"]
    machine.gpus.reverse()
    first.lost = GPU_IS_LOST
    bench.tick()
    first.lost = 0
    found = bench.all(30)
    assert (found["gpu0.power"], found["gpu1.power"]) == (1.0, 2.0)


def test_a_gpu_that_is_lost_and_returns() -> None:
    gpu, other = h100(), l4("GPU-2")
    machine = Machine(gpu, other)
    bench = Bench(machine)
    bench.tick()
    gpu.lost = GPU_IS_LOST
    found = bench.tick()
    assert not [name for name in found if name.startswith("gpu0.")]
    assert "gpu1.util" in found
    assert bench.source.messages() == ["GPU 0 (NVIDIA H100 80GB HBM3) is lost: GPU is lost"]
    lives = machine.life
    bench.all(19)
    assert machine.life == lives  # not tried yet
    bench.all(4)
    assert machine.life == lives + 1  # 5 s: tried, still lost
    assert bench.source.messages() == []
    gpu.lost = 0
    seen = bench.all(44)
    assert seen["gpu0.util"] == 97
    assert seen["gpu0.sm_active"] == 50.25  # GPM too, with new samples
    assert seen["gpu1.util"] == 97
    assert bench.source.messages() == ["GPU 0 (NVIDIA H100 80GB HBM3) is back"]


def test_retries_grow_rarer() -> None:
    gpu = h100()
    machine = Machine(gpu)
    bench = Bench(machine)
    gpu.lost = GPU_IS_LOST
    lives = machine.life
    bench.all(4 * 300)
    assert 6 <= machine.life - lives <= 9  # after 5, 10, 20, 40, 60, 60, … s


def test_a_container_cannot_tell_processes_apart() -> None:
    words = "other processes on the GPU cannot be told apart from inside this container"
    bench = Bench(Machine(h100(processes=[(os.getpid(), 1 << 30)])), blind=words)
    assert bench.row("gpu0.other_memory").reason == words
    assert bench.all()["gpu0.processes"] == 1
    tenants = bench.source.tenants("GPU-11111111")
    assert tenants.alone is None
    assert tenants.unknown == words
    assert [process.own for process in tenants.processes] == [False]


def test_a_container_without_a_process_list() -> None:
    bench = Bench(Machine(h100(processes=None)))
    assert statuses(bench, ["gpu0.processes", "gpu0.other_memory"]) == {
        ("absent", "this GPU does not support it")
    }
    tenants = bench.source.tenants("GPU-11111111")
    assert tenants.alone is None
    assert tenants.unknown == "the driver does not list processes: this GPU does not support it"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that waits, as a parked worker does."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def test_what_we_started_is_no_other_tenant_however_long_it_idles(child: subprocess.Popen[bytes]) -> None:
    gpu = h100(processes=[(os.getpid(), 1 << 30), (child.pid, 2 << 30)])
    bench = Bench(Machine(gpu))
    found = bench.tick()
    assert (found["gpu0.processes"], found["gpu0.other_memory"]) == (2, 0)
    assert bench.source.tenants(gpu.uuid).alone is True


def test_a_worker_that_has_ended_stays_ours_while_the_driver_still_lists_it(
    child: subprocess.Popen[bytes],
) -> None:
    gpu = h100(processes=[(child.pid, 2 << 30), (999_999_003, 3 << 30)])
    bench = Bench(Machine(gpu))
    bench.tick()
    child.kill()
    child.wait()
    for _ in range(2):
        bench.source.look()
        assert bench.tick()["gpu0.other_memory"] == 3 << 30
    gpu.processes = []
    bench.source.look()
    bench.tick()
    gpu.processes = [(child.pid, 2 << 30)]  # the number has gone to somebody else
    bench.source.look()
    assert bench.tick()["gpu0.other_memory"] == 2 << 30


def test_processes_are_looked_at_when_asked_for() -> None:
    gpu = h100()
    bench = Bench(Machine(gpu))
    bench.tick()
    assert bench.source.tenants(gpu.uuid).alone is True
    bench.source.look()
    gpu.processes = [(os.getpid(), 1 << 30), (999_999_003, 2 << 30)]
    found = bench.tick()
    assert found["gpu0.processes"] == 2
    assert found["gpu0.other_memory"] == 2 << 30
    assert bench.source.tenants(gpu.uuid).alone is False
    gpu.processes = [(os.getpid(), 1 << 30)]
    bench.all(20)
    assert bench.source.tenants(gpu.uuid).alone is True
    assert bench.source.tenants("GPU-none").alone is None


def test_light_telemetry_asks_the_drivers_cache_and_little_else() -> None:
    machine = Machine(h100())
    bench = Bench(machine)
    bench.source.set_level("light")
    bench.tick()
    machine.called.clear()
    bench.all(40)  # ten seconds
    count = {name: machine.called.count(name) for name in set(machine.called)}
    assert count["nvmlDeviceGetUtilizationRates"] == 40
    assert count["nvmlDeviceGetTotalEnergyConsumption"] == 2
    assert not {
        "nvmlGpmSampleGet",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetPcieThroughput",
    } & set(count)
    bench.source.look()
    assert "gpu0.processes" in bench.tick(), "a run's begin and end are looked at all the same"
    bench.source.set_level("full")
    assert "gpu0.sm_active" in bench.all(4)


def test_memory_that_the_driver_does_not_tell_is_unknown() -> None:
    bench = Bench(Machine(h100(processes=[(999_999_003, None)])))
    assert "gpu0.other_memory" not in bench.tick()
    assert bench.source.tenants("GPU-11111111").alone is False


@pytest.mark.parametrize("code", [9, 12])
def test_no_gpu_no_rows_and_one_sentence(code: int) -> None:
    bench = Bench(Machine(init_error=code))
    assert bench.source.specs == []
    assert bench.tick() == {}
    assert bench.source.reason()
    bench.source.close()


def test_a_reading_that_fails_for_a_moment_is_null_for_a_moment() -> None:
    gpu = h100()
    bench = Bench(Machine(gpu))
    gpu.errors["nvmlDeviceGetPowerUsage"] = 999
    found = bench.tick()
    assert "gpu0.power" not in found
    assert found["gpu0.util"] == 97
    gpu.errors.clear()
    assert bench.tick()["gpu0.power"] == 351.234
    assert bench.row("gpu0.power").status == "ok"


def test_closing_frees_what_was_taken() -> None:
    machine = Machine(h100())
    Bench(machine).source.close()
    assert machine.called.count("nvmlGpmSampleFree") == 2
    assert machine.called[-1] == "nvmlShutdown"


def test_a_call_that_hangs_costs_the_gpu_readings_only() -> None:
    machine = Machine(h100())
    source = NvmlSource(QUARTER, Nvml(machine), sleep=machine.sleep, blind="")
    ahead = [0]

    def clock() -> int:
        return machine.now_ns + ahead[0]

    release = machine.hang["nvmlDeviceGetPowerUsage"] = threading.Event()
    sampler = Sampler([source], SECOND, clock=clock)
    sampler.start()
    assert machine.entered.wait(20)
    ahead[0] = 6 * SECOND
    assert sampler.latest() is None
    assert sampler.faults == {"NVML": "NVML has not answered for 5 s"}
    release.set()
    sampler.stop()


def test_one_thing_that_is_not_supported_spoils_no_other() -> None:
    bench = Bench(Machine(l4(errors={"nvmlDeviceGetTotalEnergyConsumption": NOT_SUPPORTED})))
    assert statuses(bench, ["gpu0.energy"]) == {("absent", "this GPU does not support it")}
    assert bench.all()["gpu0.clock_sm"] == 1980
