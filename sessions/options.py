"""From the words of the command line to a plan: which backends, under which interpreters, with which sizes
and options.

`infertop` and `infertop run` take the same words, and both go through here. Everything that is wrong with
them ends in a MeasureError.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..backends import models, registry
from ..backends.configuration import Configuration, Options
from ..backends.errors import MeasureError
from ..backends.load import parse_closed
from ..backends.probes import Availability
from ..telemetry.warmup import parse_rule
from . import units
from .plan import Choice, Plan, Skipped, Task, combine, make_tasks

PRECISIONS = ("native", "fp32")
DATA_PATHS = ("pageable",)

DEFAULT_DURATION_S = 10.0
LIVE_DURATION_S = 600.0
INTERVAL_S = (0.1, 1.0)

_SHAPE = re.compile(r"(?P<name>.+?)[=:](?P<shape>((B|\d+)(x(B|\d+))*)?(:\w+)?)")

Environments = Mapping[str, str]
"""Interpreters by label, as the engine gets them: "" is the default, a backend's full name that backend's,
any other word what
`backend@word` means."""

Probe = Callable[[str | None], Sequence[Availability]]


@dataclass(frozen=True)
class Words:
    """The options as they were typed; None or empty is *not given*."""

    backend: str | None = None
    precision: str | None = None
    batch: str | None = None
    dim: Sequence[str] = ()
    data_path: str | None = None
    load: str | None = None
    duration: str | None = None
    requests: str | None = None
    warmup: str = "auto"
    input_shape: Sequence[str] = ()
    inputs: str | None = None
    backend_option: Sequence[str] = ()
    python: Sequence[str] = ()
    threads: str | None = None
    cpu_affinity: str | None = None
    gc: str = "off"
    seed: int = 0
    interval: str = "250ms"
    cache_directory: str | None = None
    working_directory: str = field(default_factory=os.getcwd)


def plan(model: str, words: Words, probe: Probe, repeats: int = 1) -> tuple[Plan, dict[str, str]]:
    """The plan of `infertop run` and the interpreters that it needs. `probe` is asked only where the words
    leave the backend open."""
    found = models.resolve(model, words.working_directory)
    interpreters = environments(words.python)
    choices, skipped = _choices(words.backend, found, interpreters, probe)
    configurations = _combined(model, found, choices, words)
    duration_s, requests = length(words, DEFAULT_DURATION_S)
    tasks = make_tasks(
        configurations,
        repeats=repeats,
        seed=words.seed,
        warmup=_warmup(words.warmup),
        duration_s=duration_s,
        requests=requests,
    )
    return Plan(configurations, tasks, tuple(skipped)), interpreters


def first_task(model: str, words: Words) -> tuple[Task, dict[str, str]]:
    """What the live screen measures first: of every list the first. No backend named is a backend of "",
    which the engine chooses."""
    found = models.resolve(model, words.working_directory)
    interpreters = environments(words.python)
    name, label = _word((words.backend or "all").split(",")[0], interpreters)
    choice = Choice("", environment=label or None) if name == "all" else _choice(name, label, interpreters)
    duration_s, requests = length(words, LIVE_DURATION_S)
    configuration = _combined(model, found, [choice], words)[0]
    return Task(configuration, 0, _warmup(words.warmup), duration_s, requests), interpreters


def listing(interpreters: Environments, probe: Probe) -> list[tuple[str, Availability]]:
    """Every backend as it would be named, `backend@label` included, and what its interpreter says of it."""
    own = {info.name for info in registry.all_backends()}
    labels = ["", *(label for label in interpreters if label and label not in own)]
    return [
        (f"{found.name}@{label}" if label else found.name, found)
        for label in labels
        for found in available(label, interpreters, probe)
    ]


def _combined(
    model: str, found: models.Model, choices: Sequence[Choice], words: Words
) -> tuple[Configuration, ...]:
    return combine(
        model,
        choices,
        _known(words.precision, PRECISIONS, "--precision") or [models.default_precision(found)],
        [None] if words.batch is None else units.parse_counts(words.batch, "--batch"),
        dims(words.dim),
        _known(words.data_path, DATA_PATHS, "--data-path") or ["pageable"],
        _loads(words.load),
        options(words),
    )


def full_name(name: str) -> str:
    """A backend's full name from the full or the short one. Raises MeasureError of kind `usage`."""
    return registry.resolve(name).name


def environments(words: Sequence[str]) -> dict[str, str]:
    """`PATH` for all, `BACKEND=PATH` for one backend, `LABEL=PATH` for those written `backend@LABEL`.

    Paths are made absolute but links are kept: a virtual environment is found by the link that started it.
    """
    found: dict[str, str] = {}
    backends = {name: info.name for info in registry.all_backends() for name in (info.name, info.short)}
    for word in words:
        left, equals, path = word.partition("=")
        label = left if equals and "/" not in left and "\\" not in left else None
        if label is None:
            path = word
        elif not re.fullmatch(r"[A-Za-z0-9_.-]+", label):
            raise MeasureError(
                "usage",
                f"--python {word!r}: {label!r} is no label",
                "letters, digits, dots, dashes and underscores",
            )
        key = backends.get(label, label) if label else ""
        if key in found:
            raise MeasureError(
                "usage", f"--python names {key or 'the default interpreter'} twice", "give each once"
            )
        found[key] = _interpreter(path)
    return found


def _interpreter(path: str) -> str:
    place = Path(path).expanduser()
    if place.is_dir():
        inside = place / "bin" / "python"
        fix = f"did you mean {inside}?" if inside.exists() else "give the interpreter itself"
        raise MeasureError("usage", f"--python {path} is a directory", fix)
    found = shutil.which(str(place))
    if found is None:
        raise MeasureError(
            "usage",
            f"--python {path}: there is no program of that name",
            "give the path of a Python 3.10 or later",
        )
    return os.path.abspath(found)


def _choices(
    text: str | None, model: models.Model, interpreters: Environments, probe: Probe
) -> tuple[list[Choice], list[Skipped]]:
    if text is None:
        usable = {a.name for a in available("", interpreters, probe) if a.usable}
        return [_choice(models.default_backend(model, usable), "", interpreters)], []
    choices: list[Choice] = []
    skipped: list[Skipped] = []
    for word in text.split(","):
        name, label = _word(word, interpreters)
        if name != "all":
            choices.append(_choice(name, label, interpreters))
            continue
        for found in available(label, interpreters, probe):
            if found.usable:
                choices.append(_choice(found.name, label, interpreters))
            else:
                skipped.append(Skipped(found.name, found.reason, found.fix))
    if not choices:
        why = "; ".join(f"{s.backend}: {s.reason}" for s in skipped)
        raise MeasureError(
            "backend-missing", f"no backend can be used here: {why}", "infertop backends says what each needs"
        )
    return choices, skipped


def _word(word: str, interpreters: Environments) -> tuple[str, str]:
    """`NAME[@LABEL]` as (full name or "all", label or "")."""
    name, at, label = word.strip().partition("@")
    if at and label not in interpreters:
        near = registry.nearest(label, [known for known in interpreters if known])
        fix = f"did you mean {name}@{near[0]}?" if near else f"add --python {label or 'LABEL'}=PATH"
        raise MeasureError("usage", f"--backend {word.strip()}: @{label} names no interpreter", fix)
    return (name if name == "all" else full_name(name)), label


def _choice(name: str, label: str, interpreters: Environments) -> Choice:
    info = registry.resolve(name)
    environment = label or (info.name if info.name in interpreters else None)
    return Choice(info.name, "cpu" if info.device == "any" else info.device, environment)


def available(label: str, interpreters: Environments, probe: Probe) -> list[Availability]:
    """What can be used, each backend asked under the interpreter that would measure it."""
    found = list(probe(interpreters.get(label)))
    for i, backend in enumerate(found):
        if not label and backend.name in interpreters:
            own = probe(interpreters[backend.name])
            found[i] = next((a for a in own if a.name == backend.name), backend)
    return found


def _known(text: str | None, known: Sequence[str], option: str) -> list[str]:
    """The parts of a comma list, each of which must be known."""
    words = [word.strip() for word in text.split(",")] if text is not None else []
    for word in words:
        if word not in known:
            near = registry.nearest(word, known)
            fix = f"did you mean {near[0]}?" if near else f"this version knows {', '.join(known)}"
            raise MeasureError("usage", f"{option} {word!r} is not known", fix)
    return words


def _loads(text: str | None) -> list[str]:
    loads = [word.strip() for word in (text or "closed:1").split(",")]
    for load in loads:
        try:
            parse_closed(load)
        except MeasureError as error:
            raise MeasureError("usage", f"--load: {error.message}", error.fix) from error
    return loads


def dims(words: Sequence[str]) -> dict[str, list[int]]:
    """`NAME=N[,N…]`, repeated, as name → sizes."""
    found: dict[str, list[int]] = {}
    for word in words:
        name, equals, sizes = word.partition("=")
        if not equals or not name.strip():
            raise MeasureError(
                "usage", f"--dim {word!r} is not NAME=N", "write it like seq=128 or seq=128,512"
            )
        if name.strip() in found:
            raise MeasureError("usage", f"--dim names {name.strip()!r} twice", f"write {name.strip()}=N,N")
        found[name.strip()] = units.parse_counts(sizes, f"--dim {name.strip()}")
    return found


def options(words: Words) -> Options:
    """What accompanies every configuration of the command."""
    affinity = _affinity(words.cpu_affinity)
    return Options(
        threads=_threads(words.threads, affinity),
        cpu_affinity=affinity,
        seed=words.seed,
        gc=words.gc,
        inputs=_file(words.inputs, "--inputs"),
        input_shapes=dict(_shape(word) for word in words.input_shape),
        backend_options=dict(_backend_option(word) for word in words.backend_option),
        working_directory=words.working_directory,
        cache_directory=words.cache_directory,
    )


def _file(text: str | None, option: str) -> str | None:
    if text is None:
        return None
    path = Path(text).expanduser()
    if not path.is_file():
        near = (
            registry.nearest(path.name, [p.name for p in path.parent.glob("*")])
            if path.parent.is_dir()
            else []
        )
        fix = f"did you mean {path.parent / near[0]}?" if near else "give the path of a file"
        raise MeasureError("usage", f"{option} {text}: there is no such file", fix)
    return os.path.abspath(path)


def _backend_option(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key.strip():
        raise MeasureError("usage", f"--backend-option {word!r} is not KEY=VALUE", "write it like KEY=1")
    return key.strip(), value.strip()


def _shape(word: str) -> tuple[str, str]:
    found = _SHAPE.fullmatch(word)
    if found is None:
        raise MeasureError(
            "usage",
            f"--input-shape {word!r} is not NAME=AxBxC",
            "write it like input=Bx3x224x224 or ids=1x128:int64",
        )
    return found["name"], found["shape"]


def allowed_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _affinity(text: str | None) -> list[int] | None:
    if text is None:
        return None
    cores: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if found is None:
            raise MeasureError(
                "usage", f"--cpu-affinity {text!r} is not a list of cores", "write it like 0-3,8"
            )
        cores.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    allowed = allowed_cores()
    if not cores or not cores <= set(allowed):
        raise MeasureError(
            "usage",
            f"--cpu-affinity {text!r} names cores that are not allowed here",
            f"allowed are {_ranges(allowed)}",
        )
    return sorted(cores)


def _ranges(cores: Sequence[int]) -> str:
    """[0, 1, 2, 5] as 0-2,5."""
    spans: list[list[int]] = []
    for core in cores:
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def _threads(text: str | None, affinity: Sequence[int] | None) -> int | None:
    if text is None:
        return None
    return len(affinity or allowed_cores()) if text == "all" else units.parse_count(text, "--threads")


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
