"""From the words of the command line to a plan: which backends, under which interpreters, with which sizes
and options.

`infertop` and `infertop run` take the same words, and both go through here. Everything that is wrong with
them ends in a MeasureError.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..backends import backend_options, models, registry
from ..backends.configuration import Configuration, Options
from ..backends.errors import MeasureError
from ..backends.shapes import parse_input_shape
from ..telemetry.metrics import Level
from ..telemetry.warmup import parse_rule
from . import interpreters, load_options, processors, units
from .interpreters import Probe
from .plan import Choice, Plan, Skipped, Task, combine, make_tasks
from .settings import EngineSettings

PRECISIONS = ("native", "fp32")
"""What every backend has."""

KNOWN_PRECISIONS = (*PRECISIONS, "tf32", "fp16", "bf16", "int8")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
DATA_PATHS = ("pageable", "pinned", "pinned-ready", "device")
"""The words that exist; which of them a backend measures, and on which device, is for the backend to say."""

DEFAULT_DURATION_S = 10.0
LIVE_DURATION_S = 600.0
INTERVAL_S = (0.1, 1.0)


@dataclass(frozen=True)
class Words:
    """The options as they were typed; None or empty is *not given*."""

    backend: str | None = None
    precision: str | None = None
    batch: str | None = None
    device: str | None = None
    dim: Sequence[str] = ()
    data_path: str | None = None
    load: str | None = None
    slo: str | None = None
    duration: str | None = None
    requests: str | None = None
    warmup: str = "auto"
    input_shape: Sequence[str] = ()
    inputs: str | None = None
    weights: str | None = None
    compile_mode: str | None = None
    fallback: str | None = None  # not given: `none` in `run`, `auto` on the screen
    backend_option: Sequence[str] = ()
    python: Sequence[str] = ()
    threads: str | None = None
    cpu_affinity: str | None = None
    gc: str = "off"
    agreement: bool | None = None  # not given: `run` compares outputs, the screen starts without
    control: bool = True  # `run` times the plain call; the screen where outputs are compared
    tolerance: float | None = None
    trust_engine: bool = False
    seed: int = 0
    interval: str = "250ms"
    telemetry: Level = "full"
    cache_directory: str | None = None
    working_directory: str = field(default_factory=os.getcwd)


def plan(names: Sequence[str], words: Words, probe: Probe, repeats: int = 1) -> tuple[Plan, dict[str, str]]:
    """The plan of `infertop run` for these models and the interpreters that it needs. `probe` is asked only
    where the words leave the backend open."""
    environments = interpreters.environments(words.python)
    probe = functools.cache(probe)
    configurations: tuple[Configuration, ...] = ()
    skipped: dict[Skipped, None] = {}
    for name in names:
        model = models.resolve(name, words.working_directory)
        choices, left_out = interpreters.choose(
            words.backend, model, environments, probe, _device(words.device)
        )
        configurations += _combined(name, model, choices, words)
        skipped |= dict.fromkeys(left_out)
    backend_options.check(configurations, [s.backend for s in skipped])
    configurations = load_options.with_limit(tuple(map(backend_options.fitted, configurations)), words.slo)
    duration_s, requests = length(words, DEFAULT_DURATION_S)
    load_options.check_arrivals(configurations, duration_s)
    tasks = make_tasks(
        configurations,
        repeats=repeats,
        seed=words.seed,
        warmup=_warmup(words.warmup),
        duration_s=duration_s,
        requests=requests,
    )
    notes = (*backend_options.notes(configurations), *processors.notes(words.threads, configurations))
    return Plan(configurations, tasks, tuple(skipped), notes), environments


def check_compile_mode(words: Words, found: Plan) -> None:
    """A mode that nothing of the plan takes is a mistake; one that `all` left out has said why."""
    names = {c.backend for c in found.configurations} | {s.backend for s in found.skipped}
    if words.compile_mode is not None and "torch-compile" not in names:
        raise MeasureError(
            "usage",
            "--compile-mode is for torch-compile, which is not among the backends",
            "add it to --backend, or leave --compile-mode out",
        )


def first_task(model: str, words: Words) -> tuple[Task, dict[str, str]]:
    """What the live screen measures first: of every list the first. What is left open, backend or device, is "",
    which the engine chooses."""
    found = models.resolve(model, words.working_directory)
    words = dataclasses.replace(words, agreement=bool(words.agreement), control=bool(words.agreement))
    environments = interpreters.environments(words.python)
    choice = interpreters.first(words.backend, environments, _device(words.device))
    duration_s, requests = length(words, LIVE_DURATION_S)
    chosen = _combined(model, found, [choice], words)[:1]
    # A key press leads to any other backend, and to the options that were given for it.
    backend_options.check(chosen, [info.name for info in registry.all_backends()])
    configuration = load_options.with_limit(tuple(map(backend_options.fitted, chosen)), words.slo)[0]
    load_options.check_arrivals([configuration], duration_s)
    return Task(configuration, 0, _warmup(words.warmup), duration_s, requests), environments


def observed(model: str, words: Words, sessions_dir: str | None, command: list[str]) -> EngineSettings:
    """The engine whose observer effect on `model` is measured; the run itself has no end, and the session is not kept."""
    task, environments = first_task(model, dataclasses.replace(words, duration=None, requests=None))
    return EngineSettings(
        environments=environments,
        recording=False,
        sessions_dir=sessions_dir,
        interval_s=interval(words),
        command=command,
        telemetry=words.telemetry,
        task=task,
    )


def _combined(
    model: str, found: models.Model, choices: Sequence[Choice], words: Words
) -> tuple[Configuration, ...]:
    models.refuse_weights(found, words.weights)
    return combine(
        model,
        choices,
        _known(words.precision, KNOWN_PRECISIONS, "--precision") or [models.default_precision(found)],
        [None] if words.batch is None else units.parse_counts(words.batch, "--batch"),
        dims(words.dim),
        _known(words.data_path, DATA_PATHS, "--data-path") or ["pageable"],
        load_options.parse(words.load),
        options(words),
    )


def about_a_model(words: Words) -> str | None:
    """The first option given that says something of a measurement, for a command that has none yet."""
    plain = Words(cache_directory=words.cache_directory, working_directory=words.working_directory)
    for one in dataclasses.fields(Words):
        if one.name not in ("python", "interval", "telemetry") and getattr(words, one.name) != getattr(
            plain, one.name
        ):
            return f"--{one.name.replace('_', '-')}"
    return None


def full_name(name: str) -> str:
    """A backend's full name from the full or the short one. Raises MeasureError of kind `usage`."""
    return registry.resolve(name).name


def _device(text: str | None) -> str | None:
    """`cpu` or `cuda:N`; `cuda` is `cuda:0`."""
    if text is None or text == "cpu":
        return text
    found = re.fullmatch(r"cuda(?::(\d{1,3}))?", text)
    if found is None:
        raise MeasureError("usage", f"--device {text!r} is not known", "write cpu, cuda or cuda:N")
    return f"cuda:{found[1] or 0}"


def _known(text: str | None, known: Sequence[str], option: str) -> list[str]:
    """The parts of a comma list, each of which must be known."""
    words = [word.strip() for word in text.split(",")] if text is not None else []
    for word in words:
        if word not in known:
            near = registry.nearest(word, known)
            fix = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise MeasureError("usage", f"{option} {word!r} is not known", fix)
    return words


def dims(words: Sequence[str]) -> dict[str, list[int]]:
    """`NAME=N[,N…]`, repeated, as name → sizes. A past may be of 0: that is a prefill."""
    found: dict[str, list[int]] = {}
    for word in words:
        name, equals, sizes = word.partition("=")
        if not equals or not name.strip():
            raise MeasureError(
                "usage", f"--dim {word!r} is not NAME=N", "write it like seq=128 or seq=128,512"
            )
        if name.strip() in found:
            raise MeasureError("usage", f"--dim names {name.strip()!r} twice", f"write {name.strip()}=N,N")
        found[name.strip()] = units.parse_counts(sizes, f"--dim {name.strip()}", least=0)
    return found


def options(words: Words) -> Options:
    """What accompanies every configuration of the command."""
    affinity = processors.affinity(words.cpu_affinity)
    return Options(
        threads=processors.threads(words.threads, affinity),
        cpu_affinity=affinity,
        seed=words.seed,
        gc=words.gc,
        inputs=_file(words.inputs, "--inputs"),
        compile_mode=_compile_mode(words.compile_mode),
        input_shapes=dict(parse_input_shape(word) for word in words.input_shape),
        weights=_file(words.weights, "--weights"),
        asked_options=[backend_options.parse(word).text for word in words.backend_option],
        agreement=words.agreement is not False,
        control=words.control,
        tolerance=words.tolerance,
        trust_engine=words.trust_engine,
        working_directory=words.working_directory,
        cache_directory=words.cache_directory,
    )


def _compile_mode(text: str | None) -> str | None:
    """One mode: it belongs to the options that all configurations have, so that a list is refused rather than cut."""
    modes = _known(text, COMPILE_MODES, "--compile-mode")
    if len(modes) > 1:
        raise MeasureError(
            "usage", f"--compile-mode takes one mode, not {len(modes)}", "give each mode a command of its own"
        )
    return modes[0] if modes else None


def _file(text: str | None, option: str) -> str | None:
    if text is None:
        return None
    path = Path(text).expanduser()
    if not path.is_file():
        if path.exists():
            raise MeasureError("usage", f"{option} {text} is no file", "give the path of one")
        near = (
            registry.nearest(path.name, [p.name for p in path.parent.glob("*")])
            if path.parent.is_dir()
            else []
        )
        fix = f"did you mean {path.parent / near[0]}?" if near else "give the path of a file"
        raise MeasureError("usage", f"{option} {text}: there is no such file", fix)
    return os.path.abspath(path)


def _warmup(rule: str) -> str:
    try:
        parse_rule(rule)
    except ValueError as error:
        raise MeasureError("usage", f"--warmup: {error}") from error
    return rule


def length(words: Words, default_s: float) -> tuple[float | None, int | None]:
    """Measured seconds or requests: exactly one of the two."""
    if words.duration is not None and words.requests is not None:
        raise MeasureError("usage", "--duration and --requests exclude each other", "give one of them")
    if words.requests is not None:
        return None, units.parse_count(words.requests, "--requests")
    seconds = default_s if words.duration is None else units.parse_duration(words.duration, "--duration")
    if seconds <= 0:
        raise MeasureError("usage", "--duration must be longer than 0", "write it like 10s")
    return seconds, None


def interval(words: Words) -> float:
    """Seconds of one tick."""
    seconds = units.parse_duration(words.interval, "--interval")
    if not INTERVAL_S[0] <= seconds <= INTERVAL_S[1]:
        raise MeasureError("usage", f"--interval {words.interval} is out of range", "give 100ms to 1s")
    return seconds
