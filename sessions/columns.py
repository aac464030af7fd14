"""The columns of a table of results, and their cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from . import load_words, pareto, result_lines, texts, units
from .gap import SUM
from .gates import scope_of
from .results import USUAL, Result, several_models, stopped
from .units import milliseconds


def interval_of(result: Result, name: str, which: str = "latency") -> tuple[float | None, float | None]:
    return ends((result[f"{which}_ci95_ms"] or {}).get(name))


def ends(interval: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0], interval[1])


Column = tuple[str, Callable[[Result], str], bool]
"""Heading, cell, and whether it stands to the right as numbers do."""


def quantile(name: str, which: str = "latency") -> Callable[[Result], str]:
    """The value; where n is too small for an upper bound only what it is at least, and ≈ where no interval is
    known at all."""

    def cell(result: Result) -> str:
        value = (result[f"{which}_ms"] or {}).get(name)
        low, high = interval_of(result, name, which)
        if value is None and which == "response" and (result["open_loop"] or {}).get("unbounded"):
            return load_words.UNBOUNDED
        if value is None:
            return units.UNKNOWN
        if low is None:
            return f"≈ {milliseconds(value)}"
        return milliseconds(value) if high is not None else f"≥ {milliseconds(low)}"

    return cell


def with_interval(name: str, which: str = "latency") -> Callable[[Result], str]:
    def cell(result: Result) -> str:
        low, high = interval_of(result, name, which)
        text = quantile(name, which)(result)
        return text if low is None or high is None else f"{text} [{milliseconds(low)}, {milliseconds(high)}]"

    return cell


def throughput(result: Result) -> str:
    return units.rate(result["throughput"])


def throughput_with_interval(result: Result) -> str:
    low, high = ends(result.get("throughput_ci95"))
    text = throughput(result)
    return text if low is None or high is None else f"{text} [{units.rate(low)}, {units.rate(high)}]"


def _heading(name: str) -> str:
    return name.replace("_", ".") + " ms"


def _agreement(result: Result) -> str:
    """Whether the outputs agree with the reference's within the precision's band."""
    within = (result["agreement"] or {}).get("within_band")
    return units.UNKNOWN if within is None else "agrees" if within else "differs"


def _tokens(result: Result) -> str:
    return units.rate(result.get("tokens_per_s"))


def _stage(name: str) -> Callable[[Result], str]:
    return lambda result: result_lines.stage(name, result_lines.means(result))


def _energy(result: Result) -> str:
    joules = result["energy_j_per_sample"]
    return units.significant(None if joules is None else joules * 1e3)


_MODEL: Column = ("model", lambda r: texts.line(r["model"]), False)

CONFIGURATION: tuple[Column, ...] = (("configuration", lambda r: texts.line(scope_of(r)), False),)
"""In one column, as gates name it: a table for a terminal has 80."""

PARTS: tuple[Column, ...] = (
    ("backend", lambda r: texts.line(r["backend"]), False),
    ("precision", lambda r: r["precision"], False),
    ("batch", lambda r: units.count(r["batch"]), True),
    ("dims", lambda r: texts.line(dims_text(r)), False),
)


def dims_text(result: Result) -> str:
    """`seq=128 past=0`."""
    return " ".join(f"{name}={size}" for name, size in (result["dims"] or {}).items())


def columns_of(
    results: Sequence[Result],
    named: Sequence[Column],
    quantiles: Sequence[str],
    cell: Callable[..., Callable[[Result], str]],
    rate: Callable[[Result], str],
    *,
    stages: bool,
) -> list[Column]:
    """The columns that tell something: those that would be empty, or hold defaults only, are left out."""
    columns = [_MODEL] if several_models(results) else []
    columns += [column for column in named if any(column[1](r) for r in results)]
    for name, usual in USUAL.items():
        if any(r[name] != usual for r in results):
            columns.append((name.replace("_", " "), itemgetter(name), False))
    columns += [(_heading(name), cell(name), True) for name in quantiles]
    if any(r.get("open_loop") for r in results):
        columns += [("response " + _heading(name), cell(name, "response"), True) for name in ("p50", "p99")]
    columns += [
        ("samples/s", rate, True),
        *([("tokens/s", _tokens, True)] if any(r.get("tokens_per_s") for r in results) else []),
        ("n", lambda r: units.count(r["requests"]), True),
    ]
    if stages:
        columns += [
            (name, _stage(name), True) for name in SUM if any(name in result_lines.means(r) for r in results)
        ]
    if any(r["agreement"] for r in results):
        columns.append(("outputs", _agreement, False))
    if any(r["energy_j_per_sample"] is not None for r in results):
        columns.append(("mJ/sample", _energy, True))
    columns += [
        ("stability", lambda r: r["stability"] or units.UNKNOWN, False),
    ]
    if pareto.contested(results):
        columns.append(("Pareto", lambda r: "*" if r.get("pareto") else "", False))
    if any(r["status"] != "ok" or stopped(r) for r in results):
        columns.append(
            ("status", lambda r: stopped(r) if r["status"] == "ok" and stopped(r) else r["status"], False)
        )
    return columns
