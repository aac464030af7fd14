"""The GPUs, their driver, and which of their readings this user may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...telemetry.metrics import MetricSpec
from ...telemetry.nvml_source import NvmlSource
from .. import units
from .checks import Check

_REASONS = 3  # that are named; the rest is counted


def checks(source: NvmlSource | None = None) -> Iterator[Check]:
    """`source` is NVML as the sampler reads it; opened here where none is given."""
    source = source or NvmlSource()
    try:
        yield from _checks(source)
    finally:
        source.close()


def _checks(source: NvmlSource) -> Iterator[Check]:
    if source.reason() or not source.readers:
        text = source.reason() or "NVML lists no GPU"
        yield Check(
            "gpu", "absent", text, "CPU backends work without one; nvidia-smi must list a GPU for the others"
        )
        return
    cuda = f", for CUDA up to {source.nvml.cuda}" if source.nvml.cuda else ""
    yield Check("gpu.driver", "ok", f"NVIDIA driver {source.nvml.driver}{cuda}")
    for facts, reader in zip(source.facts(), source.readers, strict=True):
        prefix = f"gpu{reader.device.index}"
        if reader.device.lost:
            yield Check(
                prefix,
                "fail",
                f"{reader.device.name} is lost: {reader.device.lost}",
                "see dmesg; restart the container or machine",
            )
            continue
        memory = facts["memory"]
        size = units.size(memory) if isinstance(memory, int) else "memory of unknown size"
        yield Check(
            prefix,
            "ok",
            f"{reader.device.name}, {size}, compute capability {facts['capability'] or units.UNKNOWN}",
        )
        if reader.device.mig:
            fix = "readings are the whole GPU's, and some are missing; nvidia-smi -mig 0 switches it off"
            yield Check(f"{prefix}.mig", "warn", _divided(facts), fix)
        yield _readings(prefix, [spec for spec in source.specs if spec.id.startswith(f"{prefix}.")])
        yield _tenants(prefix, source, reader.device.uuid)


def _divided(facts: Mapping[str, object]) -> str:
    """What MIG has made of a GPU, its slices by name."""
    slices = facts.get("slices")
    names = [str(part["name"]) for part in slices] if isinstance(slices, list) else []
    return (
        f"it is divided by MIG into {', '.join(names)}"
        if names
        else "it is divided by MIG, into nothing that can be seen"
    )


def _readings(prefix: str, specs: list[MetricSpec]) -> Check:
    """How much can be read, and why the rest cannot. What a kind of GPU does not have is nobody's fault."""
    missing = [spec for spec in specs if spec.status != "ok"]
    text = f"{len(specs) - len(missing)} of {len(specs)} readings"
    reasons: dict[str, list[str]] = {}
    for spec in missing:
        reasons.setdefault(spec.reason, []).append(spec.id.removeprefix(f"{prefix}."))
    for reason, names in list(reasons.items())[:_REASONS]:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        text += f"; {', '.join(names[:3])}{more}: {reason}"
    if len(reasons) > _REASONS:
        text += f"; {len(reasons) - _REASONS} other reasons"
    denied = any(spec.status == "permission" for spec in missing)
    fix = "ask for the rights, or for NVreg_RestrictProfilingToAdminUsers=0" if denied else ""
    return Check(f"{prefix}.readings", "warn" if denied else "ok", text, fix)


def _tenants(prefix: str, source: NvmlSource, uuid: str) -> Check:
    """Who else is on it now."""
    name, found = f"{prefix}.processes", source.tenants(uuid)
    if found.unknown:
        return Check(
            name, "warn", found.unknown, "make sure that nobody else computes on it while you measure"
        )
    others = [process for process in found.processes if not process.own]
    if not others:
        return Check(name, "ok", "nobody else is on it")
    who = ", ".join(f"{process.name or 'process'} {process.pid}" for process in others[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return Check(name, "warn", f"others hold memory of it: {who}{more}", "measure when they are gone")
