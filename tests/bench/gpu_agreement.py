"""p50 on a GPU beside the field's own yardsticks, same model, inputs resident on the device, interleaved in pairs.

torch-eager and torch-compile beside `torch.utils.benchmark.Timer`, onnxruntime-cuda beside a bare IO-binding loop. Each side is a process of its
own, so that the pairs also carry the difference from process to process; the control is the yardstick beside itself.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from infertop.telemetry.nvml import Nvml

ROUNDS = 4
SECONDS = 3
BATCH = 32
PRECISION = "tf32"

TORCH = """
import itertools, sys, torch, torchvision
from torch.utils.benchmark import Timer
compiled, batch, seconds = sys.argv[1] == "torch-compile", int(sys.argv[2]), float(sys.argv[3])
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
model = torchvision.models.resnet18().eval().cuda()
if compiled:
    model = torch.compile(model, dynamic=False)
inputs = itertools.cycle([torch.randn(batch, 3, 224, 224, device="cuda") for _ in range(8)])
with torch.inference_mode():
    timer = Timer("model(next(inputs)); synchronize()", globals={"model": model, "inputs": inputs, "synchronize": torch.cuda.synchronize})
    timer.blocked_autorange(min_run_time=2)
    times = timer.blocked_autorange(min_run_time=seconds)
print(times.median * 1e3)
"""

ORT = """
import sys, time, numpy as np, onnxruntime as ort
path, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
ort.preload_dlls(msvc=False)
session = ort.InferenceSession(path, providers=[("CUDAExecutionProvider", {"use_tf32": "1"})])
assert session.get_providers()[0] == "CUDAExecutionProvider"
rng = np.random.default_rng(0)
(given,), (wanted,) = session.get_inputs(), session.get_outputs()
bindings = []
for _ in range(8):
    binding = session.io_binding()
    value = rng.standard_normal((batch, 3, 224, 224), np.float32)
    binding.bind_ortvalue_input(given.name, ort.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
    binding.bind_ortvalue_output(wanted.name, ort.OrtValue.ortvalue_from_shape_and_type((batch, 1000), np.float32, "cuda", 0))
    bindings.append(binding)
clock, times, i = time.monotonic_ns, [], 0
end, warm = clock() + int((seconds + 2) * 1e9), clock() + int(2e9)
while clock() < end:
    start = clock()
    session.run_with_iobinding(bindings[i % 8])
    done = clock()
    if start >= warm:
        times.append(done - start)
    i += 1
print(float(np.quantile(times, 0.5)) / 1e6)
"""


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def ours(backend: str) -> float:
    """p50 in ms of `infertop run` on the device data path."""
    command = [
        sys.executable, "-m", "infertop", "run", "resnet18", "--backend", backend, "--batch", str(BATCH), "--precision", PRECISION,
        "--data-path", "device", "--warmup", "2s", "--duration", f"{SECONDS}s", "--no-record", "--json", "-",
    ]  # fmt: skip
    return float(json.loads(output(command))["results"][0]["latency_ms"]["p50"])


def theirs(backend: str, cache: Path) -> float:
    """p50 in ms of the yardstick."""
    if backend == "onnxruntime-cuda":
        (path,) = cache.rglob("resnet18-*.onnx")
        return float(output([sys.executable, "-c", ORT, str(path), str(BATCH), str(SECONDS)]))
    return float(output([sys.executable, "-c", TORCH, backend, str(BATCH), str(SECONDS)]))


def main() -> None:
    """Prints each pair, the median ratio, and the control's; the budget is 1 ± 0.01."""
    if reason := Nvml().reason():
        print(f"not measured: {reason}")
        return
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        for backend in ("torch-eager", "torch-compile", "onnxruntime-cuda"):
            ours(backend)  # exports and compiles, so that no pair has to
            rows = [(ours(backend), theirs(backend, Path(directory))) for _ in range(ROUNDS)]
            for mine, yardstick in rows:
                print(f"  {backend}: infertop {mine:.4f} ms, yardstick {yardstick:.4f} ms")
            ratio = statistics.median(mine / yardstick for mine, yardstick in rows)
            again = [a / b for (_, a), (_, b) in pairwise(rows)]
            print(
                f"{backend}: p50 ÷ yardstick, median of {ROUNDS}: {ratio:.4f} (budget 0.99 to 1.01); "
                f"yardstick ÷ itself from {min(again):.4f} to {max(again):.4f}"
            )


if __name__ == "__main__":
    main()
