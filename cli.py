"""The commands. Everything else is imported when a command needs it: `--version` answers at once."""

from __future__ import annotations

import contextlib
import difflib
import errno
import functools
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TextIO, TypeVar

import click

from . import __version__
from .backends.errors import MeasureError

if TYPE_CHECKING:
    from .sessions.headless import Measured
    from .sessions.plan import Plan
    from .sessions.settings import EngineSettings
    from .sessions.sweep import Resumed

USAGE, INTERNAL, NOT_MEASURED, BROKEN_PIPE = 2, 70, 3, 141

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Numbers of an OSError by which a disk or a device says that it takes no more: no bug of ours."""

_LIVE = "[MODEL]"
"""Name of the command that opens the screen; nobody types it."""

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")


class Commands(click.Group):
    """`infertop smallcnn` is no command's name: whatever begins with none opens the screen."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names, "--version"):
            args = [_LIVE, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("infertop", "[MODEL] [OPTIONS]")
        formatter.write_usage("infertop", "COMMAND …", "       ")


class Live(click.Command):
    """The command without a name."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("infertop", "[MODEL] [OPTIONS]")


def _promptly(command: Callable[P, int]) -> Callable[P, int]:
    """A command that opens the screen looks for no garbage until it is there.

    Imports make hundreds of thousands of objects and no garbage: looking for some takes a tenth of the start.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **words: P.kwargs) -> int:
        gc.disable()
        try:
            return command(*arguments, **words)
        finally:
            gc.enable()

    return run


def say(text: str) -> None:
    """To the person, on standard error; where that takes no more there is nobody to tell."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"infertop: {text}\n")


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"infertop {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Measure a model under several runtimes, live: latency, throughput, and where the time goes.

    infertop MODEL opens the screen and measures; MODEL is a name (infertop models lists them), FILE.onnx, a directory with one, or
    package.module:factory. infertop run measures without a screen and prints. infertop --monitor measures nothing and watches the machine.
    """


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


def measuring_only_on_linux() -> None:
    """Viewing works elsewhere; a worker needs what only Linux has."""
    if sys.platform != "linux":
        raise MeasureError("platform", "measuring runs on Linux and WSL2 only", "infertop replay works here")


def _words(words: dict[str, Any]) -> Any:
    import platformdirs

    from .sessions.options import Words

    return Words(**words, cache_directory=str(platformdirs.user_cache_path("infertop")))


@cli.command(short_help="Measure without a screen, and print.")
@click.argument("model", required=False)
@options(WORDS)
@options(BUILDING)
@options(RECORDING)
@click.option("--json", metavar="FILE|-", help="Write the results as JSON (schema infertop.run/1).")
@click.option("--markdown", metavar="FILE|-", help="Write them as Markdown tables.")
@click.option("--csv", metavar="FILE|-", help="Write them as CSV.")
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Measure each so often, interleaved and shuffled.",
)
@click.option(
    "--suite",
    metavar="NAME",
    help="Instead of MODEL: seed measures smallcnn, resnet18 and mobilenet_v2, batch 32, everywhere.",
)
@click.option(
    "--resume",
    metavar="[SESSION]",
    is_flag=False,
    flag_value="last",
    help="Go on with the same command's interrupted session: what it measured is not measured again. [SESSION: last]",
)
@click.option(
    "--prove",
    is_flag=True,
    help="Put the advice to the proof: present and remedy in alternating blocks of 3 s, four each.",
)
@click.option(
    "--gate",
    metavar="COND",
    multiple=True,
    help="A condition that must hold, as 'p99<5ms' or 'ort-cpu/fp32/8: throughput>100/s'.",
)
@click.option(
    "--inconclusive",
    type=click.Choice(["fail", "pass"]),
    default="fail",
    show_default=True,
    help="What inconclusive gates do: fail is exit 4.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be measured, in which order and how long, and stop."
)
def run(
    model: str | None, json: str | None, markdown: str | None, csv: str | None, repeat: int, suite: str | None, resume: str | None,
    prove: bool, gate: tuple[str, ...], inconclusive: str, dry_run: bool, record: bool, sessions_dir: str | None, name: str | None, **words: Any,
) -> int:  # fmt: skip
    """Measure MODEL, or a suite of models, without a screen, print the results and exit.

    Exit: 0 all was measured and every gate passed, 1 a gate failed, 2 usage, 3 something named could not be measured, 4 a gate was
    inconclusive, 70 internal error, 129, 130 or 143 on signals.
    """
    from .sessions import gates, lines, output, prober
    from .sessions import options as chosen

    building, target = _building(words)
    targets = {"json": json, "markdown": markdown, "csv": csv}
    output.check_targets({f"--{option}": target for option, target in targets.items()})
    with _documented({} if building or dry_run else targets, model or suite or "", words["backend"]):
        names, typed = _models(model, suite, _words(words))
        interval_s = chosen.interval(typed)
        planned, interpreters = chosen.plan(names, typed, prober.probe, repeat)
        if suite is None:
            chosen.check_compile_mode(typed, planned)
        if building:
            from .sessions import building as engines

            return engines.run(planned.configurations, interpreters, target, json, say)
        conditions = [gates.parse(text, chosen.full_name) for text in gate]
        gates.check(conditions, planned.configurations)
        for skipped in planned.skipped:
            say(lines.sentence(f"{skipped.backend} is left out: {skipped.reason}", skipped.fix))
        for note in planned.notes:
            say(note)
        resumed = None
        if resume is not None:
            resumed = _resumed(resume, planned, interpreters, record, sessions_dir, name)
            planned = resumed.plan
        if dry_run:
            click.echo(_preview(planned, sessions_dir, len(resumed.results) if resumed else 0), nl=False)
            return 0
        measuring_only_on_linux()
        from .sessions.settings import EngineSettings

        settings = EngineSettings(
            environments=interpreters, recording=record, sessions_dir=sessions_dir, name=name, title=suite or "", interval_s=interval_s,
            fallback=typed.fallback == "auto", telemetry=typed.telemetry,
            command=["infertop", *sys.argv[1:]],
        )  # fmt: skip
        measured = _measure(planned, settings, resumed, prove)
    from .sessions.delivery import deliver

    return deliver(measured, planned, conditions, targets, pass_inconclusive=inconclusive == "pass", say=say)


@contextlib.contextmanager
def _documented(targets: Mapping[str, str | None], model: str, backend: str | None) -> Iterator[None]:
    """What fails before an engine begins ends in the documents that were asked for, as what fails after it does; wrong words do not."""
    try:
        yield
    except MeasureError as error:
        if error.kind != "usage":
            from .backends import registry
            from .sessions import delivery

            known = {name: info.name for info in registry.all_backends() for name in (info.name, info.short)}
            delivery.refuse(error, model, known.get(backend or "", backend), targets, say)
        raise


def _models(model: str | None, name: str | None, words: Any) -> tuple[Sequence[str], Any]:
    """What is measured: one model, or those of a suite with the words that it adds."""
    from .sessions import suite

    if name is None:
        if model is None:
            raise click.UsageError("Missing argument 'MODEL'.", click.get_current_context())
        return [model], words
    if model is not None:
        raise MeasureError("usage", f"--suite {name} names its models itself", f"leave {model} out")
    found = suite.resolve(name)
    return found.models, suite.completed(found, words)


def _resumed(
    session: str,
    planned: Plan,
    interpreters: dict[str, str],
    record: bool,
    sessions_dir: str | None,
    name: str | None,
) -> Resumed:
    from .sessions import sweep

    if name is not None or not record:
        option = "--no-record" if name is None else "--name"
        raise MeasureError("usage", f"--resume and {option} exclude each other", f"leave {option} out")
    return sweep.resume(session, planned, interpreters, sessions_dir)


def _preview(planned: Plan, sessions_dir: str | None, done: int) -> str:
    from .sessions.expected import earlier
    from .sessions.preview import preview
    from .telemetry.host import facts

    return preview(planned, earlier(sessions_dir, facts()), done)


def _measure(planned: Plan, settings: EngineSettings, resumed: Resumed | None, prove: bool) -> Measured:
    from .sessions.headless import Measured, measure
    from .sessions.progress import ProgressLine
    from .sessions.proof import STANDARD

    known: Sequence[dict[str, Any]] = ()
    if resumed is not None:
        known = resumed.results
        say(f"{len(known)} of {len(planned.tasks)} runs are measured already, in {resumed.name}")
        if len(known) == len(planned.tasks):
            return Measured(resumed.name, resumed.header, known)
        settings = resumed.settings(settings)
    with ProgressLine(sys.stderr) as progress:
        return measure(
            planned.tasks, settings, progress, known, STANDARD if prove else None, progress.aside(say)
        )


def _building(words: dict[str, Any]) -> tuple[bool, str | None]:
    """Whether an engine is built only, and for which GPU; these two words leave `words`, and what says nothing to a build is refused."""
    building, target = words.pop("build_only"), words.pop("target")
    if not building:
        if target is not None:
            raise MeasureError(
                "usage", "--target needs --build-only beside it", "add it, or leave --target out"
            )
        return False, None
    for name in ("markdown", "csv", "gate", "repeat", "dry_run", "resume", "name", "duration", "requests"):
        if _given(name):
            option = f"--{name.replace('_', '-')}"
            raise MeasureError("usage", f"{option} says nothing to --build-only", f"leave {option} out")
    # What builds engines ahead of their GPU is what a person means who names nothing.
    words["backend"] = words["backend"] or "tensorrt-rtx"
    return True, target


@cli.command(_LIVE, cls=Live, hidden=True)
@click.argument("models", nargs=-1, metavar="[MODEL]")
@click.option("--monitor", is_flag=True, help="Measure nothing: watch GPUs, host and processes.")
@options(WORDS)
@options(RECORDING)
@_promptly
def live(
    models: tuple[str, ...],
    monitor: bool,
    record: bool,
    sessions_dir: str | None,
    name: str | None,
    **words: Any,
) -> int:
    """Open the screen and measure MODEL; without one, choose there. It takes the options of infertop run.

    With --monitor, and where no backend can be used, it watches the machine: GPUs, host and processes, recorded only with --record.
    """
    from .sessions import interpreters
    from .sessions import options as chosen
    from .sessions.settings import EngineSettings, watching

    if len(models) > 1:
        near = _near_command(models[0])
        raise MeasureError(
            "usage",
            f"there is no command {models[0]}",
            f"did you mean infertop {near}?" if near else "infertop --help lists the commands",
        )
    typed = _words(words)
    interval_s = chosen.interval(typed)
    task, environments = None, interpreters.environments(typed.python)
    useless = models[0] if models else chosen.about_a_model(typed)
    if monitor and useless:
        raise MeasureError(
            "usage",
            f"--monitor measures nothing: {useless} has no meaning beside it",
            "leave one of them out",
        )
    if models:
        try:
            task, environments = chosen.first_task(models[0], typed)
        except MeasureError as error:
            near = _near_command(models[0]) if error.kind == "model-not-found" else None
            if near is None:
                raise
            raise MeasureError(
                "usage", f"there is no command or model {models[0]}", f"did you mean infertop {near}?"
            ) from error
    elif needless := chosen.about_a_model(typed):
        raise MeasureError(
            "usage", f"{needless} needs a MODEL beside it", f"write infertop MODEL {needless} …"
        )
    measuring_only_on_linux()
    _needs_terminal(f"infertop run {models[0]}" if models else "infertop run MODEL")
    settings = EngineSettings(
        environments=environments, recording=record, sessions_dir=sessions_dir, name=name, interval_s=interval_s,
        command=["infertop", *sys.argv[1:]], task=task, stay=typed.duration is not None or typed.requests is not None,
        fallback=typed.fallback != "none", telemetry=typed.telemetry,
    )  # fmt: skip
    if monitor or (task is None and not environments):
        settings = watching(settings, asked=monitor, recorded=_given("record") and record)
    from .tui.start import run_live

    return run_live(settings)


def _given(name: str) -> bool:
    """Whether the person typed this option, as against its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _near_command(word: str) -> str | None:
    near = difflib.get_close_matches(word, [name for name in cli.commands if name != _LIVE], 1, 0.6)
    return near[0] if near else None


def _needs_terminal(instead: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise MeasureError("usage", "the screen needs a terminal", f"{instead} prints results without one")


@cli.command(short_help="Watch a session that is being measured.")
@click.argument("session", default="last")
@options(RECORDING[1:2])
@_promptly
def attach(session: str, sessions_dir: str | None) -> int:
    """Watch a SESSION that is being measured (a name, the beginning of one, or last)."""
    from .sessions import store

    place = store.resolve(session, sessions_dir)
    _needs_terminal("infertop ls")
    from .tui.start import run_attached

    return run_attached(place)


@cli.command(short_help="Play a recorded session.")
@click.argument("session", required=False)
@click.option(
    "--sample",
    is_flag=True,
    help="Play a recording that comes with infertop: h100-resnet18, or the one named.",
)
@options(RECORDING[1:2])
@_promptly
def replay(session: str | None, sample: bool, sessions_dir: str | None) -> int:
    """Play a recorded SESSION: a path, a name, the beginning of one, last (the default) or last~1."""
    from .sessions import store

    place = store.sample(session) if sample else store.resolve(session, sessions_dir)
    _needs_terminal("infertop ls")
    from .tui.start import run_replay

    return run_replay(place)


@cli.command(short_help="End the engine of a session.")
@click.argument("session", default="last")
@options(RECORDING[1:2])
def stop(session: str, sessions_dir: str | None) -> int:
    """End the engine of a SESSION that is being measured; what it recorded stays."""
    from .sessions import store
    from .sessions.commands import Client

    place = store.resolve(session, sessions_dir)
    client = Client(place.socket)
    client.send("end")
    client.close()
    say(f"{place.name} ends")
    return 0


@cli.command(name="ls")
@options(RECORDING[1:2])
def ls(sessions_dir: str | None) -> int:
    """List the sessions, newest first."""
    from .sessions import store, units

    rows = [
        (
            info.name,
            info.state,
            info.started,
            units.duration(info.duration_s),
            units.size(info.bytes),
            str(info.runs),
            info.headline,
        )
        for info in store.listing(sessions_dir)
    ]
    if not rows:
        say("there are no sessions yet; infertop MODEL and infertop run MODEL make one")
        return 0
    heading = ("session", "state", "started", "time", "size", "runs", "fastest, or what is wrong")
    return _print_table(heading, rows, right=("time", "size", "runs"))


@cli.command(short_help="List backends, and what the unusable ones need.")
@click.option("--python", metavar="[BACKEND=|LABEL=]PATH", multiple=True, help="Ask this interpreter.")
def backends(python: tuple[str, ...]) -> int:
    """List the backends, and what those that cannot be used here need."""
    from .sessions import prober
    from .sessions.interpreters import environments, listing
    from .sessions.lines import sentence

    rows = [
        (
            name,
            found.short,
            "yes" if found.usable else "no",
            found.version or "–",
            sentence(found.reason, found.fix),
        )
        for name, found in listing(environments(python), prober.probe)
    ]
    return _print_table(("backend", "short", "usable", "version", "why not, and what to do"), rows)


@cli.command(short_help="Check this machine, or measure what infertop itself costs.")
@click.argument("model", required=False)
@click.option(
    "--observer",
    is_flag=True,
    help="Measure what telemetry and the screen cost a run of MODEL: on and off in shuffled blocks.",
)
@click.option("--json", metavar="FILE|-", help="Write what was found as JSON.")
@options(WORDS)
@options(RECORDING[1:2])
def doctor(
    model: str | None, observer: bool, json: str | None, sessions_dir: str | None, **words: Any
) -> int:
    """Check the host, GPUs and driver, interpreters and backends, and the terminal: what is wrong, and what to do.

    With --observer: by how much telemetry and a screen change throughput, p50 and p99 of MODEL (smallcnn), with 95 % intervals beside
    a control; --duration is that of the whole [90s]. Exit: 0, 1 where a check failed or the effect is above its budget (1 %, p99 3 %), 3
    where it could not be measured.
    """
    from .sessions import options as chosen
    from .sessions import output

    output.check_targets({"--json": json})
    typed = _words(words)
    if not observer:
        if useless := model or chosen.about_a_model(typed):
            raise MeasureError("usage", f"{useless} needs --observer beside it", "add it, or leave it out")
        from .sessions.doctor import command

        return command.run(typed.python, sessions_dir, json)
    measuring_only_on_linux()
    from .sessions.doctor import effect

    settings = chosen.observed(model or "smallcnn", typed, sessions_dir, ["infertop", *sys.argv[1:]])
    return effect.run(settings, typed.duration, json)


@cli.command(short_help="List models by name, and model files here.")
def models() -> int:
    """List the models that infertop knows by name, and the model files below this directory."""
    from .backends import models as known

    rows = [(info.name, "x".join(map(str, info.shape)), info.summary) for info in known.listing()]
    kinds = {".onnx": "ONNX file here", ".pt2": "exported program of torch's here"}
    rows += [
        (path, "", kinds[os.path.splitext(path)[1].lower()]) for path in known.files_near(os.getcwd())[:50]
    ]
    rows += [
        ("torchvision:NAME", "", "any classification model of torchvision, random weights"),
        ("FILE.onnx, DIRECTORY", "", "an ONNX file, or a directory that holds one"),
        ("FILE.pt2", "", "a program that torch.export.save wrote"),
        ("FILE.plan, FILE.engine", "", "a TensorRT engine of your own, with --trust-engine"),
        ("DIRECTORY", "", "of transformers: config.json and safetensors"),
        (
            "package.module:factory",
            "",
            "a function without arguments that returns a torch Module, or (Module, example inputs)",
        ),
    ]
    return _print_table(("model", "sample", "what it is"), rows)


def _print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> int:
    from .sessions import lines, texts

    cells = [heading, *([texts.line(cell) for cell in row] for row in rows)]
    for line in lines.table(cells, [name in right for name in heading]):
        click.echo(line)
    return 0


def execute(arguments: Sequence[str]) -> int:
    """Run the command; every ending is an exit code and, where something is wrong, one sentence."""
    try:
        return _executed(arguments)
    finally:
        _settle(sys.stdout)


def _executed(arguments: Sequence[str]) -> int:
    try:
        # Not `cli.main`, which ends a broken pipe with 1: that would read as a failed gate.
        with cli.make_context("infertop", list(arguments)) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        say(_usage_sentence(error))
        return USAGE
    except MeasureError as error:
        from .sessions.lines import sentence

        say(sentence(error.message, error.fix))
        return USAGE if error.kind == "usage" else NOT_MEASURED
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            say(f"the output could not be written: {error.strerror}")
            return NOT_MEASURED
        say(_bug(error))
        return INTERNAL
    return code if isinstance(code, int) else 0


def _usage_sentence(error: click.UsageError) -> str:
    """Click's message in our tone, and where the options are listed."""
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        near = difflib.get_close_matches(error.option_name, error.possibilities, 1, 0.0)
        return f"there is no option {error.option_name}; did you mean {near[0]}?"
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path.removesuffix(f" {_LIVE}") if error.ctx else "infertop"
    return f"{message[:1].lower()}{message[1:]}; {path} --help lists the options"


def _settle(stream: TextIO) -> None:
    """What the stream does not take goes nowhere, so that the interpreter's end does not complain either."""
    try:
        stream.flush()
    except OSError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _bug(error: Exception) -> str:
    """Keep the traceback where it can be reported from, and say where."""
    import tempfile
    import traceback
    from pathlib import Path

    import platformdirs

    text = f"infertop {__version__}, Python {sys.version}, {sys.platform}\n{sys.argv}\n{''.join(traceback.format_exception(error))}"
    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in (platformdirs.user_log_path("infertop"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            continue
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        break
    else:
        return (
            f"this is a bug: {type(error).__name__}: {error}; nothing could be written to keep its traceback"
        )
    return f"this is a bug: {type(error).__name__}: {error}; please report it with {path}"


def main() -> NoReturn:
    """The program's entry."""
    for stream in (sys.stdout, sys.stderr):
        # A locale that has no ≥ must not end a measurement.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.exit(execute(sys.argv[1:]))
