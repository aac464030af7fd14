"""NVML's answers and errors as readings: a value, or nothing with a status that says what to expect."""

from __future__ import annotations

import inspect
import json
import threading
from pathlib import Path

import pynvml
import pytest
from infertop.telemetry import __main__ as program
from infertop.telemetry.gpu_facts import cuda_order, facts, pcie_ceiling
from infertop.telemetry.nvml import NARROW, Device, Nvml, classify

from . import fake_nvml
from .fake_nvml import GPU_IS_LOST, NO_PERMISSION, NOT_SUPPORTED, Machine, h100, l4, rtx4050


def one(machine: Machine) -> tuple[Nvml, Device]:
    opened = Nvml(machine)
    return opened, opened.devices[0]


def test_the_fake_takes_what_the_real_binding_takes() -> None:
    functions = [name for name in vars(Machine) if name.startswith("nvml")]
    assert len(functions) > 30
    for name in functions:
        ours = list(inspect.signature(getattr(Machine, name)).parameters)[1:]
        theirs = list(inspect.signature(getattr(pynvml, name)).parameters)
        assert ours == theirs or theirs == ["args", "kwargs"] or len(ours) == len(theirs), name


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (3, "absent"),
        (13, "absent"),
        (26, "absent"),
        (4, "permission"),
        (17, "permission"),
        (6, "empty"),
        (21, "empty"),
        (27, "empty"),
        (10, "empty"),
        (1, "lost"),
        (9, "lost"),
        (15, "lost"),
        (16, "lost"),
        (18, "lost"),
        (7, "error"),
        (999, "error"),
        (12345, "error"),
    ],
)
def test_error_classes(code: int, status: str) -> None:
    reading = classify(code, "words")
    assert (reading.status, reading.value) == (status, None)
    assert reading.reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (12, "no NVML library: no NVIDIA driver is installed here"),
        (9, "the NVIDIA driver is not loaded"),
        (4, "no permission to use the NVIDIA driver: this user may not open /dev/nvidiactl"),
        (18, "the NVIDIA driver was updated since it was loaded: restart the machine or reload its modules"),
        (8, "NVML cannot be initialised: Insufficient External Power"),
    ],
)
def test_without_nvml_it_says_why(code: int, words: str) -> None:
    opened = Nvml(Machine(h100(), init_error=code))
    assert opened.reason() == words
    assert opened.devices == []
    assert opened.driver is None
    opened.close()


def test_a_driver_without_gpus() -> None:
    opened = Nvml(Machine())
    assert opened.reason() == "the NVIDIA driver lists no GPU"
    assert opened.driver == "580.159.04"


def test_a_driver_that_hangs_is_given_up() -> None:
    machine = Machine(h100())
    release = machine.hang["nvmlInit"] = threading.Event()
    opened = Nvml(machine, patience_s=0.01)
    assert opened.reason() == "NVML has not answered within 0.01 s: the NVIDIA driver hangs"
    release.set()
    assert opened.devices == []


def test_facts(tmp_path: Path) -> None:
    node = tmp_path / "sys/bus/pci/devices/0000:0a:00.0/numa_node"
    node.parent.mkdir(parents=True)
    node.write_text("1\n")
    opened = Nvml(Machine(h100(pci="00000000:0A:00.0"), l4(pci="00000000:0B:00.0")))
    assert opened.reason() == ""
    assert (opened.driver, opened.cuda, opened.driver_major) == ("580.159.04", "13.0", 580)
    first, second = facts(opened, tmp_path)
    assert first == {
        "index": 0,
        "uuid": "GPU-11111111",
        "name": "NVIDIA H100 80GB HBM3",
        "memory": 80 << 30,
        "pci": "00000000:0A:00.0",
        "capability": "9.0",
        "numa": 1,
        "mig": False,
        "slices": [],
    }
    assert (second["capability"], second["numa"]) == ("8.9", None)
    json.dumps(facts(opened))


def test_what_is_never_supported_is_asked_once() -> None:
    machine = Machine(h100(errors={"nvmlDeviceGetPowerUsage": NOT_SUPPORTED}))
    opened, device = one(machine)
    for _ in range(3):
        assert opened.read(device, "nvmlDeviceGetPowerUsage").status == "absent"
    assert machine.called.count("nvmlDeviceGetPowerUsage") == 1


def test_a_hiccup_is_asked_again() -> None:
    gpu = h100(errors={"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_UNKNOWN})
    opened, device = one(Machine(gpu))
    assert opened.read(device, "nvmlDeviceGetPowerUsage").status == "error"
    gpu.errors.clear()
    assert opened.read(device, "nvmlDeviceGetPowerUsage").value == 351_234


def test_rights_are_named() -> None:
    opened, device = one(Machine(h100(errors={"nvmlDeviceGetPowerUsage": NO_PERMISSION})))
    reading = opened.read(device, "nvmlDeviceGetPowerUsage")
    assert reading.status == "permission"
    assert "Insufficient Permissions" in reading.reason


def test_a_function_that_neither_driver_nor_binding_has_is_absent() -> None:
    opened, device = one(Machine(h100(), missing=["nvmlDeviceGetMemoryInfo_v2"]))
    assert opened.read(device, "nvmlDeviceGetNoSuchThing").status == "absent"
    assert opened.memory(device).value.used == (3 << 30) + (
        500 << 20
    )  # the older call, which counts the reserved too


def test_fields_have_their_own_types_and_statuses() -> None:
    gpu = h100()
    gpu.fields[300] = (fake_nvml.DOUBLE, 12.5)
    opened, device = one(Machine(gpu))
    counter, narrow, double, absent = opened.fields(device, [74, 197, 300, 301])
    assert (counter.value, counter.reason) == (5_000_000_000, "")
    assert (narrow.value, narrow.reason) == (4_000_000_000, NARROW)
    assert double.value == 12.5
    assert (absent.value, absent.status) == (None, "absent")


def test_a_lost_gpu_is_asked_nothing_until_it_is_back() -> None:
    gpu, other = h100(), l4()
    machine = Machine(gpu, other)
    opened, device = one(machine)
    gpu.lost = GPU_IS_LOST
    assert opened.read(device, "nvmlDeviceGetPowerUsage").status == "lost"
    calls = len(machine.called)
    assert opened.read(device, "nvmlDeviceGetName").reason == "GPU is lost"
    assert len(machine.called) == calls
    assert opened.read(opened.devices[1], "nvmlDeviceGetPowerUsage").ok
    assert opened.restart()
    assert opened.read(device, "nvmlDeviceGetPowerUsage").status == "lost"
    gpu.lost = 0
    assert opened.restart()
    assert opened.read(device, "nvmlDeviceGetPowerUsage").ok
    assert opened.read(opened.devices[1], "nvmlDeviceGetPowerUsage").ok


def test_a_driver_that_goes_takes_every_device_along() -> None:
    machine = Machine(h100(), l4())
    opened, device = one(machine)
    machine.init_error = 9
    assert not opened.restart()
    for each in opened.devices:
        assert opened.read(each, "nvmlDeviceGetPowerUsage").reason == "the NVIDIA driver is not loaded"
    machine.init_error = 0
    assert opened.restart()
    assert opened.reason() == ""
    assert opened.read(device, "nvmlDeviceGetPowerUsage").ok


def test_devices_keep_their_identity_when_the_order_changes() -> None:
    gpu, other = h100(power_mw=1000), l4(power_mw=2000)
    machine = Machine(gpu, other)
    opened, device = one(machine)
    machine.gpus.reverse()
    opened.restart()
    assert device.uuid == gpu.uuid
    assert opened.read(device, "nvmlDeviceGetPowerUsage").value == 1000


def test_mig_is_named_as_the_reason() -> None:
    opened, device = one(Machine(h100(mig=True)))
    assert device.mig
    reading = opened.read(device, "nvmlDeviceGetUtilizationRates")
    assert reading.reason == "this GPU does not support it while MIG is on"


def test_calls_are_timed() -> None:
    opened, device = one(Machine(h100()))
    before = opened.calls
    opened.read(device, "nvmlDeviceGetPowerUsage")
    opened.read(device, "nvmlDeviceGetPowerUsage")
    timing = opened.timings["nvmlDeviceGetPowerUsage"]
    assert timing.count == opened.calls - before == 2
    assert timing.total_ns >= timing.longest_ns > 0


@pytest.mark.parametrize(
    ("generation", "lanes", "gigabytes"),
    [(1, 16, 4.0), (2, 16, 8.0), (3, 16, 15.75), (4, 8, 15.75), (5, 16, 63.0), (6, 16, 121.0)],
)
def test_link_ceilings(generation: int, lanes: int, gigabytes: float) -> None:
    assert pcie_ceiling(generation, lanes) == pytest.approx(gigabytes * 1e9, rel=0.001)


def test_a_link_that_is_none_has_no_ceiling() -> None:
    assert pcie_ceiling(9, 16) is None
    assert pcie_ceiling(5, 0) is None


A, B = "GPU-aaaa-1", "GPU-bbbb-2"


@pytest.mark.parametrize(
    ("alike", "environ", "expected"),
    [
        (True, {}, [A, B]),
        (False, {}, None),  # CUDA puts the fastest first
        (False, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [A, B]),
        (True, {"CUDA_VISIBLE_DEVICES": "1"}, [B]),
        (True, {"CUDA_VISIBLE_DEVICES": "1,0"}, [B, A]),
        (False, {"CUDA_VISIBLE_DEVICES": "1"}, None),
        (False, {"CUDA_VISIBLE_DEVICES": "GPU-bbbb, GPU-aaaa"}, [B, A]),
        (True, {"CUDA_VISIBLE_DEVICES": "0,7,1"}, [A]),
        (True, {"CUDA_VISIBLE_DEVICES": "-1"}, []),
        (True, {"CUDA_VISIBLE_DEVICES": ""}, []),
        (True, {"CUDA_VISIBLE_DEVICES": "GPU-"}, []),
    ],
)
def test_the_order_of_cuda(alike: bool, environ: dict[str, str], expected: list[str] | None) -> None:
    opened = Nvml(Machine(h100(A), h100(B) if alike else rtx4050(B)))
    found = cuda_order(opened.devices, environ)
    assert (None if found is None else [device.uuid for device in found]) == expected


def test_a_gpu_that_cannot_be_read_moves_no_number() -> None:
    gone, first, second = h100("GPU-cccc-3"), h100(A), h100(B)
    gone.errors["nvmlDeviceGetUUID"] = NO_PERMISSION
    opened = Nvml(Machine(gone, first, second))
    assert [device.index for device in opened.devices] == [1, 2]
    assert cuda_order(opened.devices, {}) is None
    assert cuda_order(opened.devices, {"CUDA_VISIBLE_DEVICES": "1"}) is None
    named = cuda_order(opened.devices, {"CUDA_VISIBLE_DEVICES": "GPU-bbbb"})
    assert named is not None
    assert [device.uuid for device in named] == [B], "a UUID names it whatever the numbers"


def test_one_line_of_json_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infertop.telemetry.nvml_source.Nvml", lambda: Nvml(Machine(init_error=12)))
    lines: list[str] = []
    program.main(lines.append)
    assert json.loads(lines[0]) == {
        "driver": None,
        "cuda": None,
        "reason": "no NVML library: no NVIDIA driver is installed here",
        "gpus": [],
        "readings": {},
    }
