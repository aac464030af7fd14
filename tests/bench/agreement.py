"""p50 of `infertop run` beside a bare loop over the same ONNX file: same threads, same inputs' shape, interleaved in pairs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from importlib import resources

from ._budgets import Budget, table
from ._results import results

ROUNDS = 5
SECONDS = 4
BATCH = 32
THREADS = 1

BARE = """
import sys, time, numpy as np, onnxruntime
path, batch, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
(spec,) = session.get_inputs()
rng = np.random.default_rng(0)
sets = [{spec.name: rng.standard_normal((batch, *spec.shape[1:]), np.float32)} for _ in range(8)]
clock, times, i = time.monotonic_ns, [], 0
end = clock() + int((seconds + 1) * 1e9)
warm = clock() + 10**9
while clock() < end:
    start = clock()
    session.run(None, sets[i % 8])
    done = clock()
    if start >= warm:
        times.append(done - start)
    i += 1
print(float(np.quantile(times, 0.5)) / 1e6)
"""


def bare(path: str) -> float:
    """p50 in ms of the bare loop."""
    command = [sys.executable, "-c", BARE, path, str(BATCH), str(THREADS), str(SECONDS)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ours() -> float:
    """p50 in ms of `infertop run`."""
    (result,) = results(
        "smallcnn", "--backend", "onnxruntime-cpu", "--batch", str(BATCH), "--threads", str(THREADS), "--warmup", "1s", "--duration", f"{SECONDS}s",
    )  # fmt: skip
    return float(result["latency_ms"]["p50"])


def main() -> None:
    """Prints each pair and the median of the ratios; the budget is 1 ± 0.05."""
    path = str(resources.files("infertop.backends") / "smallcnn.onnx")
    ratios = []
    for number in range(ROUNDS):
        first, second = (bare(path), ours()) if number % 2 == 0 else (ours(), bare(path))[::-1]
        ratios.append(second / first)
        print(f"  pair {number + 1}: bare {first:.4f} ms, infertop {second:.4f} ms, ratio {ratios[-1]:.3f}")
    ratio = statistics.median(ratios)
    print(f"p50 of run ÷ bare loop, median of {ROUNDS} interleaved pairs: {ratio:.3f}")
    table([Budget("p50 of run off a bare loop by", 100 * abs(ratio - 1), 5, "%")])


if __name__ == "__main__":
    main()
