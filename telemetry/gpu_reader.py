"""The readings of one GPU, in tiers by what a call costs.

Measured on an H100: utilisation, memory, power, temperature and clock reasons 2 to 11 µs each (a cache in the
driver); GPM 2 ms, clocks and the energy counter 1.4 to 4.5 ms each, the process list some ms, the old PCIe
measurement 21 ms in which it blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from . import tenants
from .gpm import METRICS, Gpm
from .gpu_facts import pcie_ceiling
from .metrics import MetricSpec, Status
from .nvml import NARROW, Device, Nvml, Reading

Readings = dict[str, Reading]

_EVENT_COUNTERS_SINCE = (
    580  # the driver's major version from which fields 269 to 271 have their present meaning
)
_THROTTLE_FIELDS = {
    "throttle_power": 74,
    "throttle_sync": 76,
    "throttle_thermal": 269,
    "throttle_hw_thermal": 270,
    "throttle_brake": 271,
}
_OLD_THROTTLE_FIELDS = {"throttle_power": 74, "throttle_sync": 76, "throttle_thermal": 75}
_POWER_INSTANT_FIELD = 186
_PCIE_FIELDS = {"pcie_tx": 197, "pcie_rx": 198}  # bytes sent and received by the GPU
_PCIE_COUNTERS = {"pcie_tx": 0, "pcie_rx": 1}  # nvmlPcieUtilCounter_t
DIRECTIONS = ("pcie_rx", "pcie_tx")
LEGACY_WINDOW = "≈ legacy: 20 ms out of two seconds"

_TOO_OLD = Reading(None, "absent", "this driver is too old for it")


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    unit: str
    resolution: float = 1.0
    counter: bool = False
    source: str = ""


_ROWS = (
    _Row("util", "%", source="share of the last sample period with a kernel running"),
    _Row("memory_util", "%", source="share of the last sample period with memory in use"),
    _Row("memory_used", "B", 1e6),
    _Row("memory_total", "B", 1e6),
    _Row("power", "W", 0.1, source="PowerUsage: the last second's mean on most GPUs"),
    _Row("power_instant", "W", 0.1, source="field 186"),
    _Row("power_limit", "W", 0.1),
    _Row("energy", "mJ", counter=True),
    _Row("temperature", "°C"),
    _Row("clock_sm", "MHz"),
    _Row("clock_max", "MHz", source="MaxClockInfo: what the SMs' clock could be"),
    _Row("clock_memory", "MHz"),
    _Row("reasons", "bits", source="clock event reasons"),
    *(_Row(name, "ns", counter=True) for name in _THROTTLE_FIELDS),
    _Row("pcie_gen", "1"),
    _Row("pcie_width", "lanes"),
    _Row("pcie_gen_max", "1"),
    _Row("pcie_width_max", "lanes"),
    _Row("pcie_ceiling", "B/s", 1e6, source="the fastest link's transfers × lanes × coding"),
    _Row("pcie_rx", "B/s", 1e5),
    _Row("pcie_tx", "B/s", 1e5),
    *(
        _Row(
            name,
            "B/s" if name.startswith("nvlink") else "%",
            1e5 if name.startswith("nvlink") else 0.1,
            source="GPM",
        )
        for name in METRICS
        if name not in DIRECTIONS
    ),
    _Row("processes", "1"),
    _Row("other_memory", "B", 1e6, source="processes that infertop did not start"),
)
PLACES = {row.name: place for place, row in enumerate(_ROWS)}


class GpuReader:
    """One device. Each tier gives readings by name; what a tier does not give is not read this tick."""

    def __init__(self, nvml: Nvml, device: Device, clock: Callable[[], int], blind: str) -> None:
        self.device = device
        self.tenants = tenants.Tenants()
        self.gpm = Gpm(nvml, device)
        self.pcie_source = ""  # "GPM", "counters", "legacy"; empty until chosen
        self._nvml = nvml
        self._clock = clock
        self._blind = blind
        self._bytes: tuple[int, dict[str, int]] | None = None  # when, and the 64-bit counters then
        self._direction = 0
        self._ceiling: float | None = None
        self._throttle = (
            _THROTTLE_FIELDS if nvml.driver_major >= _EVENT_COUNTERS_SINCE else _OLD_THROTTLE_FIELDS
        )

    def _ask(self, name: str, *arguments: int) -> Reading:
        return self._nvml.read(self.device, name, *arguments)

    def cheap(self) -> Readings:
        """What the driver answers from its cache."""
        utilisation = self._ask("nvmlDeviceGetUtilizationRates")
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons.status == "absent":  # the name of before driver 535
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return {
            "util": _map(utilisation, lambda rates: int(rates.gpu)),
            "memory_util": _map(utilisation, lambda rates: int(rates.memory)),
            "memory_used": _map(self._nvml.memory(self.device), lambda memory: int(memory.used)),
            "power": _map(self._ask("nvmlDeviceGetPowerUsage"), _from_milli),
            "temperature": self._temperature(),
            "reasons": reasons,
        }

    def _temperature(self) -> Reading:
        newer = self._ask("nvmlDeviceGetTemperatureV", self._nvml.api.NVML_TEMPERATURE_GPU)
        if newer.status != "absent":
            return newer
        return self._ask("nvmlDeviceGetTemperature", self._nvml.api.NVML_TEMPERATURE_GPU)

    def slow(self) -> Readings:
        """Each second: the SMs' clock, the energy counter, the time counters and the link as it is now."""
        api = self._nvml.api
        numbers = [*self._throttle.values(), _POWER_INSTANT_FIELD]
        fields = self._nvml.fields(self.device, numbers)
        return {
            "clock_sm": self._ask("nvmlDeviceGetClockInfo", api.NVML_CLOCK_SM),
            "energy": self._ask("nvmlDeviceGetTotalEnergyConsumption"),
            "pcie_gen": self._ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            "pcie_width": self._ask("nvmlDeviceGetCurrPcieLinkWidth"),
            **dict.fromkeys(_THROTTLE_FIELDS, _TOO_OLD),
            **dict(zip(self._throttle, fields, strict=False)),
            "power_instant": _map(fields[-1], _from_milli),
        }

    def rated(self) -> Readings:
        """What the SMs' clock could be: it changes with an overclocker's offset alone, and takes 2 ms on an H100."""
        return {"clock_max": self._ask("nvmlDeviceGetMaxClockInfo", self._nvml.api.NVML_CLOCK_SM)}

    def static(self) -> Readings:
        """What hardly ever changes: limits and sizes."""
        generation = self._ask("nvmlDeviceGetMaxPcieLinkGeneration")
        lanes = self._ask("nvmlDeviceGetMaxPcieLinkWidth")
        ceiling = generation if not generation.ok else lanes
        if ceiling.ok:
            self._ceiling = pcie_ceiling(int(generation.value), int(lanes.value))
            known = self._ceiling is not None
            ceiling = (
                Reading(self._ceiling)
                if known
                else Reading(None, "absent", "a link of an unknown generation")
            )
        return {
            "memory_total": _map(self._nvml.memory(self.device), lambda memory: int(memory.total)),
            "clock_memory": self._ask("nvmlDeviceGetClockInfo", self._nvml.api.NVML_CLOCK_MEM),
            "power_limit": _map(self._ask("nvmlDeviceGetEnforcedPowerLimit"), _from_milli),
            "pcie_gen_max": generation,
            "pcie_width_max": lanes,
            "pcie_ceiling": ceiling,
        }

    def monitor(self, util: Reading, whole: bool = True) -> Readings:
        """GPM, `whole` or what is asked for often, and the byte counters where GPM does not measure the link.
        `util` is this tick's.

        GPM sometimes answers 0 for everything (18 of 168 intervals, masel/ctx-cliff): while the GPU is busy
        by NVML's own count such an interval is no reading.
        """
        readings = self.gpm.read(self._clock(), whole)
        if (
            readings
            and bool(util.value)
            and all(reading.value == 0 for reading in readings.values() if reading.ok)
        ):
            readings = dict.fromkeys(readings, Reading(None, "empty", "GPM answered 0 for everything"))
        if self.pcie_source != "GPM":
            readings = {name: value for name, value in readings.items() if name not in DIRECTIONS}
        if self.pcie_source == "counters":
            readings |= self.counted()
        return readings

    def counted(self) -> Readings:
        """Bytes/s from the link's 64-bit counters since the reading before."""
        fields = self._nvml.fields(self.device, list(_PCIE_FIELDS.values()))
        now = self._clock()
        failed = next((field for field in fields if not field.ok or field.reason == NARROW), None)
        if failed is not None:
            wraps = Reading(
                None, "absent", "the link's byte counters have 32 bits, which wrap within a reading"
            )
            return dict.fromkeys(_PCIE_FIELDS, wraps if failed.ok else failed)
        counts = {name: int(field.value) for name, field in zip(_PCIE_FIELDS, fields, strict=True)}
        before, self._bytes = self._bytes, (now, counts)
        if before is None or now <= before[0]:
            return {}
        elapsed = (now - before[0]) / 1e9
        return {
            name: Reading((count - before[1][name]) / elapsed)
            for name, count in counts.items()
            if count >= before[1][name]  # else the driver was loaded again
        }

    def legacy(self) -> Readings:
        """One direction of the link, in turn, by the call that blocks for 20 ms; it reads too high, so the
        link caps it.
        """
        name = DIRECTIONS[self._direction]
        self._direction = 1 - self._direction
        found = self._ask("nvmlDeviceGetPcieThroughput", _PCIE_COUNTERS[name])  # KB/s
        limit = self._ceiling or float("inf")
        return {name: _map(found, lambda rate: min(rate * 1000.0, limit))}

    def people(self, own: Collection[int]) -> Readings:
        """The processes on the GPU."""
        listed, self.tenants = tenants.read(self._nvml, self.device, own, self._blind)
        if not listed.ok:
            return dict.fromkeys(("processes", "other_memory"), listed)
        other = self.tenants.other_memory
        reason = self.tenants.unknown or "the driver does not say how much memory a process holds"
        return {
            "processes": Reading(len(self.tenants.processes)),
            "other_memory": Reading(other) if other is not None else Reading(None, "absent", reason),
        }

    def settle(self, first: Readings) -> list[MetricSpec]:
        """Choose the source of the link's traffic, and write the rows of the table from what a first round
        gave.
        """
        known = dict(first)
        if self.gpm.support.ok:
            self.gpm.keep([name for name in METRICS if not _never(known.get(name))])
        else:
            known |= dict.fromkeys(METRICS, self.gpm.support)
        source = self._choose(known)
        rows: list[MetricSpec] = []
        for row in _ROWS:
            reading = known.get(row.name)
            status: Status = "ok"
            reason = ""
            if reading is not None and _never(reading):
                status = "absent" if reading.status == "absent" else "permission"
                reason = reading.reason
            said = source if row.name in DIRECTIONS else row.source
            identity = f"gpu{self.device.index}.{row.name}"
            rows.append(MetricSpec(identity, row.unit, row.resolution, row.counter, status, reason, said))
        return rows

    def _choose(self, known: Readings) -> str:
        """Where RX and TX come from, in words; leaves in `known` what that source answered."""
        if self.gpm.support.ok and not any(_never(known.get(name)) for name in DIRECTIONS):
            self.pcie_source = "GPM"
            return "GPM"
        for name in DIRECTIONS:
            known.pop(name, None)
        if all(reading.ok for reading in self.counted().values()):
            self.pcie_source = "counters"
            return "64-bit byte counters"
        self.pcie_source = "legacy"
        for _ in DIRECTIONS:
            known |= self.legacy()
        return LEGACY_WINDOW

    def again(self) -> None:
        """The device is back with a new handle: differences to what was before mean nothing."""
        self._bytes = None
        self.gpm.again()

    def close(self) -> None:
        self.gpm.close()


def _never(reading: Reading | None) -> bool:
    """Whether a reading says that there will never be one here."""
    return reading is not None and reading.status in ("absent", "permission")


def _map(reading: Reading, convert: Callable[..., float | int]) -> Reading:
    return Reading(convert(reading.value), reading.status, reading.reason) if reading.ok else reading


def _from_milli(value: int) -> float:
    return value / 1000
