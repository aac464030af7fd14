"""Who is on the GPUs: told when it changes, and read back from the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .view import Company, Tenant

if TYPE_CHECKING:  # a viewer reads what was told, where there is no psutil to look with
    from ..telemetry.tenants import GpuProcess, Tenants

KIND = "tenants"

MOST = 64
"""Processes of one GPU that are told by name, the largest first."""

GROWN, GROWN_BYTES = 0.25, 256_000_000
"""A process whose memory has changed by less than this share, or by fewer bytes, is told of when something else changes."""


class Watch:
    """Compares what was told with what is there; asked once a second."""

    def __init__(self) -> None:
        self._told: dict[str, Tenants] = {}

    def change(self, gpus: Mapping[str, Tenants]) -> tuple[str, dict[str, Any]] | None:
        """A sentence of the others (empty where nothing of theirs has changed), and the data of the event; None where there is no news."""
        news = {gpu: found for gpu, found in gpus.items() if _differs(self._told.get(gpu), found)}
        if not news:
            return None
        texts = [
            _sentence(gpu, found)
            for gpu, found in news.items()
            if _others(self._told.get(gpu)) != _others(found)
        ]
        self._told |= news
        return "; ".join(texts), {"gpus": {gpu: _data(found) for gpu, found in news.items()}}


def _differs(told: Tenants | None, found: Tenants) -> bool:
    if told is None or told.unknown != found.unknown:
        return True
    before = {(p.pid, p.name, p.own): p.memory for p in told.processes}
    now = {(p.pid, p.name, p.own): p.memory for p in found.processes}
    return before.keys() != now.keys() or any(_grown(before[key], now[key]) for key in now)


def _grown(before: int | None, now: int | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > max(GROWN * before, GROWN_BYTES)


def _others(tenants: Tenants | None) -> list[tuple[int, str]]:
    return (
        []
        if tenants is None
        else [(process.pid, process.name) for process in tenants.processes if not process.own]
    )


def _sentence(gpu: str, found: Tenants) -> str:
    """`GPU 0: python (2.1 GB) is there too`."""
    name = f"GPU {gpu.removeprefix('gpu')}"
    others = [process for process in found.processes if not process.own]
    if not others:
        return f"{name}: nobody else is there any more"
    words = [
        (process.name or f"process {process.pid}")
        + (f" ({process.memory / 1e9:.1f} GB)" if process.memory is not None else "")
        for process in sorted(others, key=_size)[:3]
    ]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"{name}: {', '.join(words)}{more} {'are' if len(others) > 1 else 'is'} there" + (
        "" if found.unknown else " too"
    )


def _size(process: GpuProcess) -> int:
    return -(process.memory or 0)


def _data(found: Tenants) -> dict[str, Any]:
    listed = [
        {"pid": p.pid, "name": p.name, "memory": p.memory, "own": p.own}
        for p in sorted(found.processes, key=_size)[:MOST]
    ]
    return {"processes": listed, "unknown": found.unknown}


def read(data: Mapping[str, Any]) -> dict[str, Company]:
    """By the GPU's prefix, what an event of this kind says; what is none of its form is left out."""
    gpus = data.get("gpus")
    if not isinstance(gpus, dict):
        return {}
    found: dict[str, Company] = {}
    for gpu, told in gpus.items():
        if isinstance(told, dict) and isinstance(listed := told.get("processes"), list):
            tenants = tuple(_tenant(item) for item in listed[:MOST] if isinstance(item, dict))
            found[str(gpu)] = Company(tenants, str(told.get("unknown") or ""))
    return found


def _tenant(item: Mapping[str, Any]) -> Tenant:
    pid, memory = item.get("pid"), item.get("memory")
    return Tenant(
        pid if isinstance(pid, int) else 0,
        str(item.get("name") or ""),
        memory if isinstance(memory, int) else None,
        item.get("own") is True,
    )
