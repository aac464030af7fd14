"""What `infertop run` is going to measure, and in which order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..backends.configuration import Configuration, Options

AUTO_WARMUP_S = (3.0, 60.0)
"""The rule `auto` needs three windows of at least 1 s and gives up after 60 s (or 30 requests, where those
take longer)."""


@dataclass(frozen=True)
class Instead:
    """What was asked for where a task measures something else, and why."""

    asked: Configuration
    cause: str  # why that cannot be measured
    reason: str  # the same, and what is measured
    fix: str = ""
    detail: str = ""
    tried: tuple[str, ...] = ()  # backends that cannot be used, the one that was asked for first


@dataclass(frozen=True)
class Task:
    """One run to make. Exactly one of `duration_s` (after warm-up) and `requests` is given."""

    configuration: Configuration
    repeat: int = 0
    warmup: str = "auto"  # "auto", "5s" or "100x"
    duration_s: float | None = 10.0
    requests: int | None = None
    instead: Instead | None = None  # with `--fallback auto`


@dataclass(frozen=True)
class Skipped:
    """A backend that `--backend all` leaves out, because it cannot be used here."""

    backend: str
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Plan:
    """`configurations` as the person named them, `tasks` in the order of measuring."""

    configurations: tuple[Configuration, ...]
    tasks: tuple[Task, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()  # what a person should know before it is measured, a sentence each


@dataclass(frozen=True)
class Choice:
    """A backend to measure: its full name, its device, and the label of the interpreter that runs it."""

    backend: str
    device: str = "cpu"
    environment: str | None = None


def combine(
    model: str,
    backends: Iterable[Choice],
    precisions: Iterable[str],
    batches: Iterable[int | None] = (None,),
    dims: Mapping[str, Sequence[int]] | None = None,
    data_paths: Iterable[str] = ("pageable",),
    loads: Iterable[str] = ("closed:1",),
    options: Options | None = None,
) -> tuple[Configuration, ...]:
    """Every combination once, the last list varying fastest."""
    options = options or Options()
    sizes = (
        [dict(zip(dims, values, strict=True)) for values in itertools.product(*dims.values())]
        if dims
        else [{}]
    )
    found: list[Configuration] = []
    for choice, precision, batch, bound, path, load in itertools.product(
        backends, precisions, batches, sizes, data_paths, loads
    ):
        configuration = Configuration(
            choice.backend,
            model,
            precision,
            batch,
            bound,
            path,
            load,
            choice.device,
            choice.environment,
            options,
        )
        if configuration not in found:
            found.append(configuration)
    return tuple(found)


def make_tasks(
    configurations: Sequence[Configuration],
    *,
    repeats: int = 1,
    seed: int = 0,
    warmup: str = "auto",
    duration_s: float | None = 10.0,
    requests: int | None = None,
) -> tuple[Task, ...]:
    """`repeats` rounds, each over all configurations in an order of its own, drawn by the seed.

    A machine that grows warmer, or that somebody else begins to use, then harms no configuration more than
    another.
    """
    shuffle = random.Random(seed).shuffle
    tasks: list[Task] = []
    for repeat in range(repeats):
        order = list(configurations)
        shuffle(order)
        tasks += [Task(configuration, repeat, warmup, duration_s, requests) for configuration in order]
    return tuple(tasks)


def describe(configuration: Configuration) -> str:
    """`onnxruntime-cpu · fp32 · batch 8 · pageable · closed:1`, as headers and messages name a
    configuration."""
    parts = [configuration.label, configuration.precision]
    parts += [] if configuration.batch is None else [f"batch {configuration.batch}"]
    parts += [f"{name} {size}" for name, size in configuration.dims.items()]
    return " · ".join([*parts, configuration.data_path, configuration.load])
