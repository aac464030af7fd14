"""The GPU that is shown: how busy it is, and its link, memory and power, each on a scale that is named."""

from __future__ import annotations

from dataclasses import replace

from ..render.cells import EMPTY, Row, clean, cut
from ..render.numbers import size
from ..scene import Panel, Scene
from . import device
from .device import gpus, prefix, under_test
from .readings import LABEL, Line, Reading, Words, find, joined, readings
from .states import said

_WARM = 0.01  # share of the time from which what held the clocks down is said in the title
_SILENT = 2.0  # s without what every tick reads: the GPU is lost, its driver hangs, or telemetry went off
_ROOMY = 50  # cells from which a clock stands beside its highest without taking its graph's room
_HOTTEST = 100.0  # °C, the top of the temperature's graph


def _no_gpu(scene: Scene, width: int, height: int) -> list[Row]:
    header = scene.view.header
    if header is None:
        return said("waiting for the session", width, height)
    return said(clean(header.gpu_status) or "this session has no GPU", width, height)


def gpu_title(scene: Scene) -> Row:
    gpu = device.facts(scene)
    name = clean(str(gpu.get("name", ""))).removeprefix("NVIDIA ") if gpu else ""
    found, chosen = gpus(scene.view), prefix(scene)
    silent = scene.view.ages.get(f"{chosen}.memory_used", 0.0)
    if silent > _SILENT and scene.view.state == "live":
        return (("GPU", "title"), (f" ▲ not read for {silent:.0f} s", "two"))
    slowed, several = _slowed(scene), len(found) > 1
    title: Row = (("GPU", "title"),)
    if several:
        title = ((f"GPU {chosen.removeprefix('gpu')}", "title"), (f" of {len(found)}", "dim"))
        if chosen == under_test(scene.view):
            title = (*title, (" ●" if slowed else " ● under test", "one"))
    if slowed:
        return (*title, (f" ▲ {slowed}", "two"))
    return (*title, (f"{'  ' if several else ' '}{name}", "dim")) if name else title


def _slowed(scene: Scene) -> str:
    """What held the clocks down for a time worth a warning."""
    found = device.held(scene)
    worth = (share is None or share >= _WARM for _, share in found.reasons)
    return next((words for words, said in zip(found.words(), worth, strict=True) if said), "")


def gpu_right(scene: Scene) -> Row:
    heat = scene.view.values.get(f"{prefix(scene)}.temperature")
    if (
        heat is None or device.facts(scene) is None or len(gpus(scene.view)) > 1
    ):  # which of several it is says more
        return EMPTY
    return ((f"{heat:.0f} °C", "text"),)


def gpu_body(scene: Scene, width: int, height: int) -> list[Row]:
    if device.facts(scene) is None:
        return _no_gpu(scene, width, height)
    gpu = prefix(scene)
    fastest = scene.view.values.get(f"{gpu}.clock_max")
    wanted: list[Line] = [
        Reading("util", (f"{gpu}.util",)),
        Reading("SM", (f"{gpu}.sm_active",)),
        Reading("tensor", (f"{gpu}.tensor_active",)),
        _memory_activity(scene, gpu),
        Reading(
            "SM clock", (f"{gpu}.clock_sm",), fastest, "three", said=fastest is not None and width >= _ROOMY
        ),
        _held(scene, width),
        Reading("occupied", (f"{gpu}.occupancy",)),
        Reading("mem clk", (f"{gpu}.clock_memory",), None, "three"),
        Reading("heat", (f"{gpu}.temperature",), _HOTTEST, "three"),
    ]
    return readings(scene, wanted, width, height) or said(
        "no reading of this GPU is in the session", width, height
    )


def _memory_activity(scene: Scene, gpu: str) -> Reading:
    """How busy the memory is; without GPM's counter the time in which it was used at all, which is another thing and has another name."""
    active, used = (find(scene, (f"{gpu}.{name}",)) for name in ("dram_active", "memory_util"))
    if (active is None or active[1].status != "ok") and used is not None and used[1].status == "ok":
        return Reading("mem util", (f"{gpu}.memory_util",))
    return Reading("DRAM", (f"{gpu}.dram_active",))


def _held(scene: Scene, width: int) -> Words:
    """What held the clocks down, with its share of the time."""
    found = device.held(scene)
    if not found.known:
        return Words("held by", "– this driver does not say", "dim")
    if not found.reasons:
        return Words("held by", f"nothing in {found.seconds} s" if found.seconds else "nothing", "dim")
    return Words("held by", cut(", ".join(found.words()), width - LABEL), "two")


def link_title(scene: Scene) -> Row:
    several = len(gpus(scene.view)) > 1
    beside: Row = ((f" of GPU {prefix(scene).removeprefix('gpu')}", "dim"),) if several else EMPTY
    if down := device.link(scene).down:
        return (("PCIe", "title"), *beside, (f" ▲ trained down: {down}", "two"))
    return (("PCIe, memory, power", "title"), *beside)


def link_right(scene: Scene) -> Row:
    """Generation and lanes now, and what they carry in theory at most."""
    found = device.link(scene)
    most = scene.view.values.get(f"{prefix(scene)}.pcie_ceiling")
    if found.now is None or device.facts(scene) is None or found.down:
        return EMPTY
    carries = (
        f", {most / 1e9:.0f} GB/s" if most and found.now == found.most and len(gpus(scene.view)) < 2 else ""
    )
    return ((f"gen {found.now[0]} ×{found.now[1]}{carries}", "dim"),)


def link_body(scene: Scene, width: int, height: int) -> list[Row]:
    if device.facts(scene) is None:
        return _no_gpu(scene, width, height)
    gpu, values = prefix(scene), scene.view.values
    total = values.get(f"{gpu}.memory_total")
    wanted: list[Line] = [
        Reading("PCIe RX", (f"{gpu}.pcie_rx",), device.ceiling(scene, "rx"), "two", said=True),
        Reading("PCIe TX", (f"{gpu}.pcie_tx",), device.ceiling(scene, "tx"), "two", said=True),
        Reading("memory", (f"{gpu}.memory_used",), total, said=True),
        Reading(
            "power",
            (f"{gpu}.power_instant", f"{gpu}.power"),
            values.get(f"{gpu}.power_limit"),
            "three",
            said=True,
        ),
    ]
    joules, idle = device.energy(scene)
    if joules:
        wanted.append(Words("energy", joined([joules, idle], width - LABEL, ", ")))
    wanted.append(_link(scene, width))
    if values.get(f"{gpu}.other_memory"):
        wanted.append(Reading("· others", (f"{gpu}.other_memory",), total, said=True))
    return readings(scene, wanted, width, height) or said(
        "no reading of this GPU's link is in the session", width, height
    )


def _link(scene: Scene, width: int) -> Words:
    """How the link is trained under load, and what it carries: as measured, and in theory."""
    found = device.link(scene)
    run = device.measured_run(scene)
    theory = scene.view.values.get(f"{prefix(scene)}.pcie_ceiling")
    if found.down:
        return Words("link", f"▲ under load {found.down}", "two")
    parts = []
    if found.loaded is not None:
        parts.append(f"gen {found.loaded[0]} ×{found.loaded[1]} under load")
    elif found.most is not None:
        parts.append(f"up to gen {found.most[0]} ×{found.most[1]}")
    measured = (run.link or {}).get("h2d_pinned") if run else None
    if measured and theory:
        parts.append(f"{size(measured)}/s measured of {size(theory)}/s")
    elif theory:
        parts.append(f"{size(theory)}/s in theory")
    return Words("link", joined(parts, width - LABEL) or "– this driver does not say", "dim")


GPU = Panel(gpu_title, gpu_body, gpu_right)
LINK = Panel(link_title, link_body, link_right)
NO_GPU = replace(GPU, title=lambda scene: (("GPU", "title"), (" and PCIe", "dim")), right=lambda scene: EMPTY)
