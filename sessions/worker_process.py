"""A worker process as the engine holds it: started, commanded, listened to, and ended with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..backends import boot, libraries, protocol, ring
from ..backends.errors import MeasureError
from ..telemetry import processes

CAPTURE_LIMIT = 8 << 20
"""Bytes of a runtime's output that are kept on disk; a model that prints each request would fill it."""

CAPTURE_SHOWN = 16 << 10
"""Bytes of it, from the end, that go into an error's detail."""


class WorkerProcess:
    """Start it from the engine's main thread only: the worker dies with the thread that started it (PR_SET_PDEATHSIG)."""

    def __init__(self, python: str = sys.executable) -> None:
        self._capture = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 (closed in `end`)
        descriptor = ring.create()
        self.ring = ring.RingReader(descriptor)
        try:
            self._process = subprocess.Popen(
                [python, "-X", "utf8", str(Path(boot.__file__)), "worker", str(descriptor), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._capture,
                pass_fds=(descriptor,),
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            self._capture.close()
            raise MeasureError(
                "python-missing",
                f"the interpreter {python} cannot be started: {error.strerror}",
                "give --python a Python 3.10 or later",
            ) from error
        finally:
            os.close(descriptor)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._lines = protocol.Lines()
        self.pid = self._process.pid

    def fileno(self) -> int:
        """For selectors: readable when a message or the worker's end has come."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, do: str, **fields: Any) -> None:
        """A worker that has died in the meantime is noticed by `receive`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), protocol.encode({"do": do, **fields}))

    def receive(self) -> list[protocol.Message]:
        """The messages that have come. Raises EOFError when the worker has ended, BlockingIOError never."""
        data = b""
        while True:
            try:
                piece = os.read(self.fileno(), 65536)
            except BlockingIOError:
                break
            if not piece:
                if data:
                    break
                raise EOFError
            data += piece
        return self._lines.feed(data)

    def activity(self) -> tuple[int, int]:
        """(bytes printed so far, CPU time of the worker and what it started, ns): both still means that it hangs."""
        printed = os.fstat(self._capture.fileno()).st_size
        if printed > CAPTURE_LIMIT:
            tail = self.captured().encode()
            os.ftruncate(self._capture.fileno(), 0)
            os.write(self._capture.fileno(), tail)
        used = [processes.usage(pid) for pid in (self.pid, *processes.descendants(self.pid))]
        return printed, sum(member.cpu_ns for member in used if member is not None)

    def captured(self) -> str:
        """The end of what the runtime printed."""
        size = os.fstat(self._capture.fileno()).st_size
        data = os.pread(self._capture.fileno(), CAPTURE_SHOWN, max(0, size - CAPTURE_SHOWN))
        return data.decode(errors="replace").strip()

    def death(self, doing: str) -> MeasureError:
        """What to tell a person of a worker whose pipe has closed while it was `doing` something."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        detail = self.captured()
        if code >= 0:
            last = detail.splitlines()[-1] if detail else "it printed nothing"
            return MeasureError(
                "worker-ended",
                f"the worker ended with exit code {code} while {doing}: {last[:300]}",
                "what it printed tells more",
                detail,
            )
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        # cuDNN aborts where a library of its own is missing: its last words stand before Python's traceback.
        last_words = detail.partition("Fatal Python error")[0].splitlines()[-3:]
        lacking = libraries.lack("\n".join(last_words)) if name == "SIGABRT" else None
        if lacking is not None:
            text = f"{lacking.words}: the runtime aborted while {doing}"
            return MeasureError("backend-missing", text, libraries.source(lacking.name), detail)
        if name == "SIGKILL":
            fix = "often the kernel does, for want of memory (dmesg tells): try a smaller batch"
        else:
            fix = "the runtime crashed: another backend or version may run it"
        return MeasureError("worker-killed", f"the worker was ended by {name} while {doing}", fix, detail)

    def kill(self) -> None:
        """End the worker and everything in its process group (compilers that it started)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, reap it and let its descriptors go."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._capture):
            if stream is not None:
                stream.close()
