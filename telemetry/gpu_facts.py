"""What is known of GPUs once and for all: what the header says of each, the ceiling of its link, and its number in CUDA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .nvml import Device, Nvml, text_of


def facts(nvml: Nvml, root: Path = Path("/")) -> list[dict[str, Any]]:
    """What the header says of each device; null for what is not told. `root` is where /sys is."""
    return [_facts(nvml, device, root) for device in nvml.devices]


def _facts(nvml: Nvml, device: Device, root: Path) -> dict[str, Any]:
    memory = nvml.memory(device).value
    pci = nvml.read(device, "nvmlDeviceGetPciInfo").value
    bus = text_of(pci.busId) if pci is not None else None
    capability = nvml.read(device, "nvmlDeviceGetCudaComputeCapability").value
    return {
        "index": device.index,
        "uuid": device.uuid,
        "name": device.name,
        "memory": int(memory.total) if memory is not None and memory.total else None,
        "pci": bus,
        "capability": f"{capability[0]}.{capability[1]}" if capability is not None else None,
        "numa": _numa_node(root, bus),
        "mig": device.mig,
        "slices": _slices(nvml, device) if device.mig else [],
    }


def _slices(nvml: Nvml, device: Device) -> list[dict[str, Any]]:
    """What a GPU with MIG on is cut into. NVML tells a slice's memory; utilisation, clocks, power and link are
    the whole GPU's or nobody's.
    """
    found: list[dict[str, Any]] = []
    for index in range(nvml.read(device, "nvmlDeviceGetMaxMigDeviceCount").value or 0):
        handle = nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", device.handle, index)
        if not handle.ok:
            continue
        part = Device(
            device.index, text_of(nvml.call("nvmlDeviceGetUUID", handle.value).value) or "", handle.value
        )
        memory = nvml.memory(part).value
        name = text_of(nvml.read(part, "nvmlDeviceGetName").value) or ""
        found.append({"uuid": part.uuid, "name": name, "memory": int(memory.total) if memory else None})
    return found


def _numa_node(root: Path, bus: str | None) -> int | None:
    """The NUMA node that a PCI device hangs on; NVML writes the domain with 8 digits, sysfs with 4."""
    if bus is None:
        return None
    domain, _, rest = bus.lower().partition(":")
    try:
        node = int((root / f"sys/bus/pci/devices/{domain[-4:]}:{rest}/numa_node").read_text())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def pcie_ceiling(generation: int, lanes: int) -> float | None:
    """Bytes/s of a link in one direction: transfers/s × lanes × line coding ÷ 8; None for an unknown
    generation.
    """
    rate = {
        1: 2.5 * 0.8,
        2: 5 * 0.8,
        3: 8 * 128 / 130,
        4: 16 * 128 / 130,
        5: 32 * 128 / 130,
        6: 64 * 242 / 256,
    }
    return rate[generation] * 1e9 * lanes / 8 if generation in rate and lanes > 0 else None


def cuda_order(devices: Sequence[Device], environ: Mapping[str, str]) -> list[Device] | None:
    """The devices as CUDA numbers them here; None where the environment cannot tell.

    `CUDA_VISIBLE_DEVICES` picks and orders by UUID prefix or by number; CUDA stops at the first entry that it
    does not know. Its numbers follow the PCI bus, as NVML's do, if CUDA_DEVICE_ORDER says so or all GPUs are
    alike; else CUDA puts the fastest first, and only the runtime knows which that is. A GPU that NVML could
    not read may count in CUDA's numbers or not: nobody can tell.
    """
    same = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({d.name for d in devices}) <= 1
    by_bus = same and [d.index for d in devices] == list(range(len(devices)))
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(devices) if by_bus else None
    chosen: list[Device] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isdigit():
            if not by_bus:
                return None
            found = [devices[int(entry)]] if int(entry) < len(devices) else []
        else:
            found = [d for d in devices if entry.startswith("GPU-") and d.uuid.startswith(entry)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen
