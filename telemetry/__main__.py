"""`python -m infertop.telemetry` prints one JSON line: the GPUs and a reading of everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from .nvml_source import NvmlSource


def main(write: Callable[[str], Any] = print) -> None:
    """Write one JSON line: driver, devices, and each metric's value or why there is none."""
    source = NvmlSource()
    if source.specs:
        time.sleep(0.25)  # what GPM and the counters are to be read over
    values = source.read_all()
    readings = {
        spec.id: spec.rounded(value) if spec.status == "ok" else f"{spec.status}: {spec.reason}"
        for spec, value in zip(source.specs, values, strict=True)
    }
    document = {
        "driver": source.nvml.driver,
        "cuda": source.nvml.cuda,
        "reason": source.reason(),
        "gpus": source.facts(),
        "readings": readings,
    }
    source.close()
    write(json.dumps(document, ensure_ascii=False))


if __name__ == "__main__":
    main()
