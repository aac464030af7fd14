"""A configuration: everything that decides what one run measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Options:
    """What accompanies a configuration without naming it. Recorded with every run."""

    threads: int | None = (
        None  # intra-op threads of CPU backends; None lets the worker apply the default rule
    )
    cpu_affinity: list[int] | None = None
    seed: int = 0
    slo_ms: float | None = None  # the limit of p99 of the response latency that `open:auto` searches for
    gc: str = "off"  # "off": young collections between requests only; "on": Python's own
    inputs: str | None = None  # path of an .npz file
    input_shapes: dict[str, str] = field(default_factory=dict)  # NAME -> "AxBxC[:DTYPE]", as typed
    weights: str | None = None
    compile_mode: str | None = None
    backend_options: dict[str, str] = field(default_factory=dict)  # those that the backend takes
    asked_options: list[str] = field(default_factory=list)  # all, of every backend, as [BACKEND:]KEY=VALUE
    agreement: bool = False  # compare the outputs with a reference's before measuring (the command line does)
    control: bool = (
        False  # time a plain call beside the same request in steps, before measuring (the command line does)
    )
    tolerance: float | None = None  # largest error accepted, instead of the precision's band
    trust_engine: bool = False  # whether a TensorRT engine that somebody else wrote may be loaded
    working_directory: str = "."
    cache_directory: str | None = None  # exported models and built engines; None: nothing is cached


@dataclass(frozen=True)
class Configuration:
    """(backend, model, precision, batch, dims, data path, load, device) and their options."""

    backend: str  # the registry's full name, e.g. "onnxruntime-cpu"
    model: str  # as the person typed it
    precision: str = "native"
    batch: int | None = None  # None: not asked for (1, or what a model without a batch axis has)
    dims: dict[str, int] = field(default_factory=dict)
    data_path: str = "pageable"
    load: str = "closed:1"
    device: str = "cpu"  # or "cuda:N"; "" leaves it to the engine
    environment: str | None = (
        None  # label of another interpreter (`--python LABEL=PATH`); the backend's own name: `--python BACKEND=PATH`
    )
    options: Options = field(default_factory=Options)

    @property
    def label(self) -> str:
        """The backend as shown: `onnxruntime-cuda@old` where an interpreter of that label runs it."""
        return (
            f"{self.backend}@{self.environment}"
            if self.environment not in (None, self.backend)
            else self.backend
        )

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Configuration:
        """Unknown keys, as a newer version may write, are skipped."""
        known = {f.name for f in dataclasses.fields(cls)}
        known_options = {f.name for f in dataclasses.fields(Options)}
        values = {k: v for k, v in value.items() if k in known and k != "options"}
        options = {k: v for k, v in value.get("options", {}).items() if k in known_options}
        return cls(**values, options=Options(**options))
