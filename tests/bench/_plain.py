"""What a plain script does with ResNet18 on a GPU, one request after another, without anything of infertop's in between."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Request = Callable[[], object]
"""Makes one request."""


def torch_request(torch: Any, module: Any, sets: Sequence[Any], path: str) -> Request:
    """On a data path; `sets` are tensors in host memory. It may return before the GPU is done: a Timer waits for the GPU itself."""
    if path == "device":
        resident = itertools.cycle([tensor.cuda() for tensor in sets])
        return lambda: module(next(resident))
    inputs = itertools.cycle(sets)
    if path == "pageable":
        return lambda: module(next(inputs).cuda()).cpu()
    staging = torch.empty_like(sets[0], pin_memory=True)
    target = torch.empty_like(sets[0], device="cuda")
    landing: list[Any] = []

    def pinned() -> None:
        staging.copy_(next(inputs))
        target.copy_(staging, non_blocking=True)
        output = module(target)
        if not landing:
            landing.append(torch.empty(output.shape, dtype=output.dtype, pin_memory=True))
        landing[0].copy_(output, non_blocking=True)

    return pinned


def ort_request(ort: Any, session: Any, sets: Sequence[dict[str, np.ndarray]], path: str) -> Request:
    """`device`: IO binding; `pageable`: plain `run()` with arrays in and out. Complete when it returns."""
    if path == "pageable":
        feeds = itertools.cycle(sets)
        return lambda: session.run(None, next(feeds))
    bindings = []
    for given in sets:
        binding = session.io_binding()
        for name, array in given.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
        for wanted, array in zip(session.get_outputs(), session.run(None, given), strict=True):
            value = ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), array.dtype, "cuda", 0)
            binding.bind_ortvalue_output(wanted.name, value)
        bindings.append(binding)
    bound = itertools.cycle(bindings)
    return lambda: session.run_with_iobinding(next(bound))


def timed(request: Request, seconds: float) -> float:
    """Median of a loop of at least so long, ms."""
    clock, times = time.perf_counter_ns, []
    end = clock() + int(seconds * 1e9)
    while clock() < end:
        start = clock()
        request()
        times.append(clock() - start)
    return float(np.median(times)) / 1e6
