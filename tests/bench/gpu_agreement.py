"""p50 on a GPU beside the field's own yardsticks: same process, same callable, same data path, blocks in turns.

torch-eager and torch-compile beside `torch.utils.benchmark.Timer` on the very module that the backend calls, onnxruntime-cuda beside a bare loop
over its very session, since another would choose cuDNN's algorithms anew. The issuing loop is the worker's, ring included.
`INFERTOP_BENCH_CASES=compile,fp16` takes the cases of these names, and for a word that names none those whose name holds it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from infertop.backends import loads, registry, ring
from infertop.backends.closed import ClosedLoop
from infertop.backends.configuration import Configuration, Options
from infertop.backends.inputs import make_sets
from infertop.backends.load import Orders
from infertop.telemetry.nvml import Nvml

from . import _plain
from ._budgets import Budget, table

PAIRS, BLOCK_S, WARM_S = 60, 0.15, 2.0
"""Many short pairs: a host's speed changes within a second by more than what is looked for."""

BATCH = 32


@dataclass(frozen=True)
class Case:
    """A configuration of ResNet18 at batch 32.

    `known` is the p50 in ms that a plain probe had on another H100, on 2026-11-22 (CUDA 13, torch 2.11, onnxruntime 1.31.1).
    """

    name: str
    backend: str
    precision: str
    path: str
    known: float | None = None
    mode: str | None = None
    options: dict[str, str] = field(default_factory=dict)


CASES = (
    Case("eager", "torch-eager", "native", "device", 2.16),
    Case("eager pageable", "torch-eager", "native", "pageable", 4.07),
    Case("eager pinned", "torch-eager", "native", "pinned", 2.59),
    Case("eager fp16", "torch-eager", "fp16", "device", 1.94),
    Case("eager fp16 channels_last", "torch-eager", "fp16", "device", 1.65, options={"channels_last": "1"}),
    Case("compile", "torch-compile", "native", "device"),
    Case("compile pageable", "torch-compile", "native", "pageable"),
    Case(
        "compile fp16 channels_last, CUDA graphs",
        "torch-compile",
        "fp16",
        "device",
        0.80,
        "reduce-overhead",
        {"channels_last": "1"},
    ),
    Case("ort binding", "onnxruntime-cuda", "tf32", "device", 1.95),
    Case("ort run()", "onnxruntime-cuda", "tf32", "pageable", 3.58),
    Case("ort nhwc tf32", "onnxruntime-cuda", "tf32", "device", 1.39, options={"prefer_nhwc": "1"}),
    Case("ort nhwc fp32", "onnxruntime-cuda", "fp32", "device", 5.32, options={"prefer_nhwc": "1"}),
)


def measure(case: Case) -> dict[str, Any]:
    """p50 of each block, ms, of the worker's loop and of the yardstick, in shuffled pairs; in a process of its own."""
    options = Options(compile_mode=case.mode, backend_options=case.options, cache_directory=str(_cache()))
    configuration = Configuration(
        case.backend, "resnet18", case.precision, BATCH, data_path=case.path, device="cuda:0", options=options
    )
    backend = registry.create(case.backend)
    loaded = backend.load(configuration, lambda phase: None)
    assert loaded.fallback is None, loaded.fallback
    sets = make_sets(loaded, options)
    backend.bind(sets, 1)
    descriptor = ring.create()
    reader, writer = ring.RingReader(descriptor), ring.RingWriter(descriptor)

    def ours(seconds: float) -> float:
        loop = ClosedLoop(
            backend, writer, Orders(),
            run=1, sets=len(sets), load=loads.parse("closed:1"), seed=0, collect="off", windowed=lambda last: None,
        )  # fmt: skip
        loop.measure(int(seconds * 1e9), None)
        loop.go(lambda: "")
        reader.mark()
        records = reader.take()
        # As in every run: those that were timed with events stay out, they are few.
        return float(np.median(records["service"][records["flags"] == 0])) / 1e6

    yardstick = _yardstick(backend, case, sets)
    ours(WARM_S)
    yardstick(WARM_S)
    rows = []
    shuffle = random.Random(0).shuffle
    for _ in range(PAIRS):
        sides = [ours, yardstick]
        shuffle(sides)
        found = {side: side(BLOCK_S) for side in sides}
        rows.append((found[ours], found[yardstick]))
    return {"rows": rows, "again": [yardstick(BLOCK_S) / row[1] for row in rows[:4]]}


def _cache() -> Path:
    return platformdirs.user_cache_path("infertop")


def _yardstick(backend: Any, case: Case, sets: list[dict[str, np.ndarray]]) -> Callable[[float], float]:
    """p50 in ms of so many seconds."""
    if case.backend == "onnxruntime-cuda":
        import onnxruntime

        request = _plain.ort_request(onnxruntime, backend._session, sets, case.path)
        return lambda seconds: _plain.timed(request, seconds)
    import torch
    from torch.utils.benchmark import Timer

    kind = torch.float16 if case.precision == "fp16" else torch.float32
    tensors = [torch.from_numpy(array).to(kind) for given in sets for array in given.values()]
    if "channels_last" in case.options:
        tensors = [tensor.contiguous(memory_format=torch.channels_last) for tensor in tensors]
    request = _plain.torch_request(torch, backend._module, tensors, case.path)
    # By itself a Timer holds torch to one thread, and a pinned buffer is filled by all of them.
    timer = Timer("request()", globals={"request": request}, num_threads=torch.get_num_threads())

    def p50(seconds: float) -> float:
        # blocked_autorange times a hundred together, and a median of means is no p50; timeit(1) sets threads and warms up for each, and
        # so finds 2 % more than a plain loop does. Its own inner timer is neither.
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            times.append(timer._timer.timeit(1))
        return float(np.median(times)) * 1e3

    return p50


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """Median of the ratios and its 95 % bootstrap interval."""
    drawn = np.median(np.random.default_rng(0).choice(ratios, (4000, len(ratios))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def main() -> None:
    """A row for each case; the budget is a ratio within 1 %."""
    if reason := Nvml().reason():
        print(f"not measured: {reason}")
        return
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory  # one exported file, whatever was exported before
        _compare()


def _compare() -> None:
    words = [word for word in os.environ.get("INFERTOP_BENCH_CASES", "").split(",") if word]
    names = {case.name for case in CASES}
    wanted = [
        case
        for case in CASES
        if not words or any(case.name == word if word in names else word in case.name for word in words)
    ]
    if any(case.backend == "onnxruntime-cuda" for case in wanted):
        # Exports the file.
        subprocess.run(
            [sys.executable, "-m", "infertop", "run", "resnet18", "--backend", "onnxruntime-cuda", "--batch", str(BATCH),
             "--requests", "10", "--warmup", "1x", "--no-agreement", "--no-record"],
            check=True, capture_output=True,
        )  # fmt: skip
    print(
        f"{'case':42}{'infertop ms':>12}{'yardstick':>11}{'ratio':>8}  {'95 %':18}{'yardstick again':18}{'H100 probe':>11}{'of it':>7}"
    )
    budgets = []
    for case in wanted:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.gpu_agreement", case.name],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            print(f"{case.name:42}failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:120]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        rows = np.array(found["rows"])
        middle, low, high = interval(rows[:, 0] / rows[:, 1])
        mine, theirs = np.median(rows, axis=0)
        again = f"{min(found['again']):.3f} to {max(found['again']):.3f}"
        known = "" if case.known is None else f"{case.known:11.2f}{case.known / mine:7.2f}"
        print(
            f"{case.name:42}{mine:12.4f}{theirs:11.4f}{middle:8.4f}  [{low:.4f}, {high:.4f}]  {again:18}{known}",
            flush=True,
        )
        budgets.append(Budget(f"{case.name}: off by", 100 * abs(middle - 1), 1, "%"))
    if budgets:
        table(budgets)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(next(case for case in CASES if case.name == sys.argv[1]))))
    else:
        main()
