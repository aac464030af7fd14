"""What a result's load has to say beside its numbers: latency at depth n, an open loop's response, the rate that was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backends import loads
from ..backends.errors import MeasureError
from . import texts, units

UNBOUNDED = "unbounded"


def depth(load: str) -> int | None:
    """How many requests are in flight where that makes a latency one `at depth n`; None at depth 1 and in an open loop."""
    try:
        found = loads.parse(load)
    except MeasureError:  # of another version's log
        return None
    return found.slots if found.slots > 1 else None


def notes(result: Mapping[str, Any]) -> list[str]:
    """Sentences that belong below the table."""
    found = []
    if (n := depth(result["load"])) is not None and result["requests"]:
        found.append(
            f"latency at depth {n}: a request's latency holds its wait for those in flight before it; compare throughput"
        )
    loop = result.get("open_loop") or {}
    if loop.get("unbounded"):
        found.append(texts.line(loop["unbounded"]))
    elif loop.get("unserved"):
        found.append(
            f"{units.count(loop['unserved'])} requests that had arrived were not served before the run ended"
        )
    if result.get("slo"):
        found.append(slo(result["slo"]))
    return found


def slo(found: Mapping[str, Any]) -> str:
    """The outcome of `open:auto` in a sentence, with how sure it is."""
    limit = f"{units.significant(found['limit_ms'])} ms"
    if found["rate"] is None:
        return texts.line(f"no rate was found that keeps response p99 under {limit}: {found['reason']}")
    rate = f"{units.rate(found['rate'])} requests/s"
    runs = found.get("confirmations") or ()
    if found["holds"] is False and runs:
        tried = ", ".join(units.rate(run["rate"]) for run in runs)
        return texts.line(
            f"runs at {tried} requests/s did not keep response p99 under {limit}: {found['reason']}"
        )
    between = _above(found)
    refuted = [units.rate(run["rate"]) for run in runs if run["rate"] != found["rate"]]
    between += [f"runs at {', '.join(refuted)}/s did not keep it"] if refuted else []
    if rates := [value for value in found.get("rates") or () if value is not None]:
        between.append(
            f"the lowest of {len(rates)} repeats, {units.rate(min(rates))} to {units.rate(max(rates))}/s"
        )
    if found["holds"]:
        low, high = found["p99_ci95_ms"]
        interval = f"[{units.milliseconds(low)}, {units.milliseconds(high)}]"
        sure = f"p99 there {units.milliseconds(found['p99_ms'])} ms, 95 % interval {interval}"
        return texts.line(f"response p99 stays under {limit} up to {rate} ({'; '.join([sure, *between])})")
    return texts.line(
        f"the search ended at {rate} for response p99 under {limit} ({'; '.join(between)}), but {found['reason']}"
    )


def _above(found: Mapping[str, Any]) -> list[str]:
    """What is known of higher rates: the lowest that failed, or that none was tried up to what a closed loop gives."""
    high = found["high"]
    if not high:
        return []
    tried = {tried["rate"] for tried in (*found["windows"], *(found.get("confirmations") or ()))}
    if high in tried:
        return [f"it fails from {units.rate(high)}/s on"]
    return [f"one request after another gives {units.rate(high)}/s"]


def as_row(result: Mapping[str, Any]) -> dict[str, object]:
    """The columns of a CSV line that only an open loop has."""
    loop = result.get("open_loop")
    if not loop:
        return {}
    row: dict[str, object] = {"rate": loop["rate"]}
    row |= {f"response_{name}_ms": value for name, value in (result["response_ms"] or {}).items()}
    for name, interval in (result["response_ci95_ms"] or {}).items():
        row[f"response_{name}_low_ms"], row[f"response_{name}_high_ms"] = interval or (None, None)
    row |= {name: loop[name] for name in ("backlog", "unserved", "unbounded")}
    if result.get("slo"):
        row |= {
            f"slo_{name}": result["slo"][name]
            for name in ("limit_ms", "rate", "low", "high", "p99_ms", "holds")
        }
    return row
