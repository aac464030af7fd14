"""The options that commands share, in the order of the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _option(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, **settings)


WORDS = [
    _option("--backend", metavar="NAME[,NAME…]", help="Runtimes; NAME@LABEL under the interpreter of that label; all: all usable here."),
    _option("--device", metavar="DEVICE", help="cpu or cuda:N, for backends that could use either. [default: the first GPU, where there is one]"),
    _option("--precision", metavar="P[,P…]", help="native (as the file gives it), fp32 and others, as far as a backend has them."),
    _option("--batch", metavar="N[,N…]", help="Samples in a request. [default: 1]"),
    _option("--dim", metavar="NAME=N[,N…]", multiple=True, help="Size of a symbolic axis."),
    _option("--data-path", metavar="PATH", help="Where inputs and outputs lie: pageable, pinned, pinned-ready or device. [default: pageable]"),
    _option(
        "--load", metavar="LOAD[,LOAD…]",
        help="How requests come: closed:N keeps N in flight, pipelined:N lets copies overlap compute, open:RATE/s and poisson:RATE/s by a "
        "schedule, open:auto at the highest rate that --slo allows. [default: closed:1]",
    ),
    _option("--slo", metavar="TIME", help="Limit of p99 of the response latency, for --load open:auto."),
    _option("--duration", metavar="TIME", help="Measured time after warm-up. [default: 10s; on the screen 10m]"),
    _option("--requests", metavar="N", help="Measured requests, instead of a time."),
    _option("--warmup", metavar="RULE", default="auto", show_default=True, help="auto, a time (5s) or requests (100x)."),
    _option("--input-shape", metavar="NAME=AxBxC[:DTYPE]", multiple=True, help="Shape of an input; B stands for the batch."),
    _option("--inputs", metavar="FILE.npz", help="Inputs from a file instead of generated ones."),
    _option("--weights", metavar="FILE", help="Weights of a model that is known by name, instead of random ones."),
    _option("--compile-mode", metavar="MODE", help="Of torch-compile: default, reduce-overhead, max-autotune[-no-cudagraphs]. [default: default]"),
    _option(
        "--fallback", type=click.Choice(["none", "auto"]),
        help="Where a backend cannot be used: auto measures the nearest that can, and says so. [default: none; on the screen auto]",
    ),
    _option(
        "--backend-option", metavar="[BACKEND:]KEY=VALUE", multiple=True,
        help="A setting of the runtime's own, for the backends that know it, or for the one named.",
    ),
    _option(
        "--python", metavar="[BACKEND=|LABEL=]PATH", multiple=True,
        help="Interpreter that runs the model: for all backends, for one, or for those named NAME@LABEL.",
    ),
    _option("--threads", metavar="N|all", help="Threads of CPU backends. [default: the allowed cores less one]"),
    _option("--cpu-affinity", metavar="CORES", help="Cores of the worker, as 0-3,8."),
    _option("--gc", type=click.Choice(["off", "on"]), default="off", show_default=True, help="Python's own garbage collection while measuring."),
    _option(
        "--agreement/--no-agreement", default=None,
        help="Compare the outputs with a reference's on the CPU, before measuring. [default: in run, not on the screen]",
    ),
    _option(
        "--tolerance", type=click.FloatRange(0.0, min_open=True), metavar="X",
        help="Largest error accepted, as a share of the largest number. [default: by precision]",
    ),
    _option("--trust-engine", is_flag=True, help="Load a FILE.plan that infertop did not build: a TensorRT engine is native code."),
    _option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For inputs and the order of runs."),
    _option("--interval", metavar="TIME", default="250ms", show_default=True, help="One tick, 100ms to 1s."),
    _option(
        "--telemetry", type=click.Choice(["off", "light", "full"]), default="full", show_default=True,
        help="What is read of the machine meanwhile: light leaves out what costs more than microseconds, off opens no NVML.",
    ),
]  # fmt: skip

BUILDING = [
    _option("--build-only", is_flag=True, help="Build the TensorRT engine, keep it in the cache, and stop: no GPU needed with tensorrt-rtx."),
    _option("--target", metavar="sm_NN", help="With --build-only: the GPU to build for, as sm_89. [default: the one that is here]"),
]  # fmt: skip

RECORDING = [
    _option("--record/--no-record", default=True, help="Keep the session. [default: yes; with --monitor no]"),
    _option("--sessions-dir", envvar="INFERTOP_SESSIONS_DIR", metavar="DIR", help="Where sessions are kept."),
    _option("--name", metavar="NAME", help="Name of the session."),
]


def options(declared: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """All of them, in this order in the help."""

    def decorate(command: F) -> F:
        for option in reversed(declared):
            command = option(command)
        return command

    return decorate


def typed_words(words: dict[str, Any]) -> Any:
    import platformdirs

    from ..sessions.options import Words

    return Words(**words, cache_directory=str(platformdirs.user_cache_path("infertop")))


def given(name: str) -> bool:
    """Whether the person typed this option, as against its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
