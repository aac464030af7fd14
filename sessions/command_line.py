"""The `infertop run …` line that measures a configuration again: the inverse of `options`, whose defaults it leaves out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from ..backends import backend_options, models, registry
from ..backends.configuration import Configuration, Options
from ..backends.errors import MeasureError
from . import interpreters, load_options, processors

COMPILES = "torch-compile"
"""The backend that takes a compile mode; beside others alone the command line refuses one."""

CARRIED = ("--warmup", "--duration", "--requests")
"""What a session's own command said of the measuring itself, and is no part of a configuration."""


def command(configuration: Configuration, recorded: Sequence[str] = ()) -> str:
    """The line; `recorded` is the command of the session, which knows the interpreters behind labels.

    A configuration that was resolved is written as it was resolved: its batch, sizes and threads, and its device where the backend alone
    does not decide it.
    """
    c = configuration
    words = ["infertop", "run", c.model]
    if c.backend:
        words += ["--backend", c.label]
    if c.precision != _default_precision(c):
        words += ["--precision", c.precision]
    if c.batch is not None:
        words += ["--batch", str(c.batch)]
    for name, size in c.dims.items():
        words += ["--dim", f"{name}={size}"]
    if c.data_path != "pageable":
        words += ["--data-path", c.data_path]
    if c.load != load_options.DEFAULT:
        words += ["--load", c.load]
    if c.device and c.device != _default_device(c):
        words += ["--device", c.device]
    words += [*_python(c, recorded), *_options(c.options), *_backend_options(c)]
    if c.options.compile_mode and c.backend in ("", COMPILES):
        words += ["--compile-mode", c.options.compile_mode]
    for option in CARRIED:
        for value in _values(recorded, option):
            words += [option, value]
    return shlex.join(words)


def _options(options: Options) -> Iterator[str]:
    """What accompanies the configuration."""
    plain = Options()
    single: tuple[tuple[str, object, object], ...] = (
        ("--slo", None if options.slo_ms is None else f"{options.slo_ms:.12g}ms", None),
        ("--threads", options.threads, plain.threads),
        (
            "--cpu-affinity",
            options.cpu_affinity and processors.ranges(options.cpu_affinity),
            plain.cpu_affinity,
        ),
        ("--seed", options.seed, plain.seed),
        ("--gc", options.gc, plain.gc),
        ("--inputs", options.inputs, plain.inputs),
        ("--weights", options.weights, plain.weights),
        ("--tolerance", options.tolerance, plain.tolerance),
    )
    for option, value, default in single:
        if value != default and value is not None:
            yield from (option, str(value))
    for name, shape in options.input_shapes.items():
        yield from ("--input-shape", f"{name}={shape}" if name else shape)
    if not options.agreement:
        yield "--no-agreement"  # `run` compares outputs where nobody says otherwise
    if options.trust_engine:
        yield "--trust-engine"


def _backend_options(configuration: Configuration) -> Iterator[str]:
    """Those that the backend takes, as they were asked for; what other backends take would be refused beside this one alone."""
    c = configuration
    asked = [backend_options.parse(word) for word in c.options.asked_options]
    meant = [one.text for one in asked if not c.backend or one.meant(c.backend)]
    if not asked or backend_options.fitted(c).options.backend_options != c.options.backend_options:
        meant = [f"{key}={value}" for key, value in c.options.backend_options.items()]
    for text in meant:
        yield from ("--backend-option", text)


def _default_precision(configuration: Configuration) -> str | None:
    """What the model is measured in where nobody says; None where it cannot be told here, as of a recording from elsewhere."""
    try:
        model = models.resolve(configuration.model, configuration.options.working_directory)
    except MeasureError:
        return None
    return models.default_precision(model)


def _default_device(configuration: Configuration) -> str | None:
    """Where the backend measures on any machine; None where that is the machine's to say."""
    try:
        device = registry.resolve(configuration.backend).device
    except MeasureError:
        return None
    return {"cpu": "cpu", "cuda": "cuda:0"}.get(device)


def _python(configuration: Configuration, recorded: Sequence[str]) -> list[str]:
    """The interpreter that ran it, by what the session's command said: that of its environment, else the one for all."""
    wanted = configuration.environment or ""
    for word in _values(recorded, "--python"):
        label, _ = interpreters.parts(word)
        if label == wanted:
            return ["--python", word]
    return ["--python", f"{wanted}=PATH"] if wanted else []


def _values(words: Sequence[str], option: str) -> Iterator[str]:
    """Every value of an option in a command line, written with a blank or with `=`."""
    for i, word in enumerate(words):
        if word == option and i + 1 < len(words):
            yield words[i + 1]
        elif word.startswith(f"{option}="):
            yield word.removeprefix(f"{option}=")
