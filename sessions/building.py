"""`infertop run --build-only`: engines built and kept, nothing measured. Works where there is no GPU, for one that is elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..backends import boot, trt_bindings
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..backends.trt_ahead import flavour_of
from . import output, texts, units
from .headless import Progress
from .lines import sentence, table
from .progress import ProgressLine

SCHEMA = "infertop.build/1"
NOT_BUILT = 3
_OUTPUT_SHOWN = 16 << 10  # bytes of what the library printed that go into an error's detail

Say = Callable[[str], None]
Build = dict[str, Any]


def run(
    configurations: Sequence[Configuration],
    environments: Mapping[str, str],
    target: str | None,
    json_target: str | None,
    say: Say,
) -> int:
    """Build each configuration's engine, print a table and, where asked, the document; 0, or 3 where one could not be built."""
    for configuration in configurations:
        flavour_of(configuration.backend)
    if target is not None:
        trt_bindings.parse_target(target)
    builds = []
    with ProgressLine(sys.stderr) as line:
        for index, configuration in enumerate(configurations):
            builds.append(_one(configuration, environments, target, line, index, len(configurations)))
    for build in builds:
        if build["error"]:
            said = sentence(build["error"]["message"], build["error"]["fix"])
            say(f"{build['backend']} · {build['model']} · {build['precision']}: {said}")
    document = json.dumps({"schema": SCHEMA, "infertop": __version__, "builds": builds}, indent=2) + "\n"
    if json_target == output.STDOUT:
        click.echo(document, nl=False)
    else:
        if json_target is not None:
            output.write(json_target, document)
        for text in _table([build for build in builds if not build["error"]]):
            click.echo(text)
    return NOT_BUILT if any(build["error"] for build in builds) else 0


def _one(
    configuration: Configuration, environments: Mapping[str, str], target: str | None, line: ProgressLine, index: int, count: int
) -> Build:  # fmt: skip
    """One build as the document has it. Raises MeasureError of kind "usage" alone: that is the command's fault."""
    title = f"{configuration.label} · {configuration.model} · {configuration.precision}"

    def progress(share: float | None) -> None:
        line(Progress(f"{title}: building", share, index, count))

    known = {
        "backend": configuration.label, "model": configuration.model, "precision": configuration.precision,
        "batch": configuration.batch, "target": target, "version": None, "inputs": None, "assumed": None,
        "build_s": None, "engine_bytes": None, "layers": None, "cache": None, "path": None,
    }  # fmt: skip
    try:
        progress(None)
        built = _ask(_python(configuration, environments), configuration, target, progress)
    except MeasureError as error:
        if error.kind == "usage":
            raise
        return {**known, "status": "failed", "error": error.as_dict()}
    found = {name: built[name] for name in known if name in built and name != "backend"}
    return {**known, **found, "engine_bytes": built["bytes"], "status": "ok", "error": None}


def _python(configuration: Configuration, environments: Mapping[str, str]) -> str:
    """As the engine chooses it for a worker."""
    return environments.get(configuration.environment or "", environments.get("", sys.executable))


def _ask(
    python: str, configuration: Configuration, target: str | None, progress: Callable[[float | None], None]
) -> dict[str, Any]:
    """Let that interpreter build, in a process of its own: a library that crashes costs this build only."""
    command = [python, "-X", "utf8", str(Path(boot.__file__)), "build", str(os.getpid())]
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, text=True
            )
        except OSError as error:
            raise MeasureError(
                "python-missing",
                f"the interpreter {python} cannot be started: {error.strerror}",
                "give --python a Python 3.10 or later",
            ) from error
        with process:
            try:
                answer = _listen(
                    process, {"configuration": configuration.as_dict(), "target": target}, progress
                )
            finally:
                process.kill()
        if answer is None:
            printed.seek(max(0, printed.seek(0, os.SEEK_END) - _OUTPUT_SHOWN))
            raise MeasureError(
                "worker-ended",
                f"the build of {configuration.model} ended without an answer (status {process.returncode})",
                "what it printed tells more",
                texts.line(printed.read().decode(errors="replace")),
            )
    if "error" in answer:
        raise MeasureError.from_dict(answer["error"])
    built: dict[str, Any] = answer["built"]
    return built


def _listen(
    process: subprocess.Popen[str], request: dict[str, Any], progress: Callable[[float | None], None]
) -> dict[str, Any] | None:
    """The last line that it says, which is its answer; None where it ended before."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it ended already: that it says nothing tells
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.close()
    for text in process.stdout:
        message: dict[str, Any] = json.loads(text)
        if "progress" not in message:
            return message
        progress(message["share"])
    process.wait()
    return None


def _table(builds: Sequence[Build]) -> list[str]:
    if not builds:
        return []
    heading = (
        "backend",
        "model",
        "precision",
        "batch",
        "target",
        "build",
        "engine",
        "layers",
        "cache",
        "kept as",
    )
    rows = [
        (
            build["backend"], texts.line(build["model"]), build["precision"], units.count(build["batch"]), build["target"],
            units.duration(build["build_s"]), units.size(build["engine_bytes"]), units.count(build["layers"]),
            build["cache"] or units.UNKNOWN, build["path"] or units.UNKNOWN,
        )
        for build in builds
    ]  # fmt: skip
    return table([heading, *rows], [name in ("batch", "build", "engine", "layers") for name in heading])
