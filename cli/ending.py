"""How a command ends: an exit code and, where something is wrong, one sentence."""

from __future__ import annotations

import difflib
import errno
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

import click

from .. import __version__
from ..backends.errors import MeasureError
from .printing import say
from .screen import LIVE

USAGE, INTERNAL, NOT_MEASURED, BROKEN_PIPE = 2, 70, 3, 141

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Numbers of an OSError by which a disk or a device says that it takes no more: no bug of ours."""


def ended(command: Callable[[], object]) -> int:
    """Run the command and say how it ended."""
    try:
        return _code(command)
    finally:
        _settle(sys.stdout)


def _code(command: Callable[[], object]) -> int:
    try:
        code = command()
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        say(_usage_sentence(error))
        return USAGE
    except MeasureError as error:
        from ..sessions.lines import sentence

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
    path = error.ctx.command_path.removesuffix(f" {LIVE}") if error.ctx else "infertop"
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
