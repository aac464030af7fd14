"""The observer effect: what telemetry and a screen of 120×40 cost smallcnn, on and off in shuffled blocks beside off against off.

What `infertop doctor --observer` measures, for longer. The engine's own ticks and its log go on in every block; what those cost is live_cost's.
"""

from __future__ import annotations

import tempfile

from infertop.backends.errors import MeasureError
from infertop.sessions import observer
from infertop.sessions.doctor import effect
from infertop.sessions.options import Words, observed
from infertop.telemetry.nvml import Nvml

from ._budgets import Budget, table

SECONDS = 180.0
WORDS = {
    # One thread leaves a core to infertop, as a free core does elsewhere.
    "cpu": Words(backend="onnxruntime-cpu", batch="8", threads="1", warmup="3s"),
    "gpu": Words(backend="onnxruntime-cuda", batch="8", data_path="device", warmup="3s"),
}


def measure(where: str) -> list[Budget]:
    """Prints the changes. A budget is met where the interval of how much worse it is holds 0, or ends below it."""
    with tempfile.TemporaryDirectory() as directory:
        settings = observed("smallcnn", WORDS[where], directory, [])
        try:
            found = effect.measure(settings, SECONDS, lambda _: None)
        except MeasureError as error:
            print(f"{where}: not measured: {error.message}")
            return [
                Budget(f"{where}: {name} worse by", None, 100 * most, "%")
                for name, most in observer.LIMITS.items()
            ]
    print("\n".join([f"{where}: {effect.heading(found)}", *effect.table(found)]))
    return [
        Budget(f"{where}: {name} worse by", _worse(name, found["effects"][name]), 100 * most, "%")
        for name, most in observer.LIMITS.items()
    ]


def _worse(name: str, found: effect.Result) -> float | None:
    """The upper end of how much worse it is, %; 0 where the interval holds 0."""
    if found["ci95"] is None:
        return None
    low, high = (-end for end in reversed(found["ci95"])) if name == "throughput" else found["ci95"]
    return 100 * float(high) if low > 0 else 0.0


def main() -> None:
    """On the CPU, and on a GPU where there is one."""
    budgets = measure("cpu")
    if reason := Nvml().reason():
        print(f"gpu: not measured: {reason}")
    else:
        budgets += measure("gpu")
    table(budgets)


if __name__ == "__main__":
    main()
