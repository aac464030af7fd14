"""A CUDA graph of what was issued on a stream: captured once, launched for every request. Functions: cuda.h, 12 and 13."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_int, c_ulonglong, c_void_p

from .cuda import Driver
from .errors import MeasureError

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads' calls do not end the capture


class CapturedGraph:
    """Launches what `issue` issued on the stream with that address, with the addresses that it had then."""

    def __init__(self, driver: Driver, stream: int, issue: Callable[[], None], name: str) -> None:
        self._driver, self._stream = driver, c_void_p(stream)
        self._executable, graph = c_void_p(), c_void_p()
        driver.call("cuStreamBeginCapture_v2", self._stream, c_int(_THREAD_LOCAL))
        try:
            issue()
        except MeasureError:
            _end(driver, self._stream, graph)
            raise
        try:
            driver.call("cuStreamEndCapture", self._stream, byref(graph))
            driver.call("cuGraphInstantiateWithFlags", byref(self._executable), graph, c_ulonglong(0))
        except MeasureError as error:
            raise MeasureError(
                "unsupported",
                f"what {name} issues cannot be captured in a CUDA graph",
                "leave --backend-option cuda_graph out",
                error.detail,
            ) from error
        finally:
            if graph.value:
                driver.call("cuGraphDestroy", graph)

    def launch(self) -> None:
        self._driver.call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        if self._executable.value:
            self._driver.call("cuGraphExecDestroy", self._executable)
            self._executable = c_void_p()


def _end(driver: Driver, stream: c_void_p, graph: c_void_p) -> None:
    """Leave the capturing state, in which nothing else can be done on the stream; the capture itself is lost already."""
    try:
        driver.call("cuStreamEndCapture", stream, byref(graph))
    except MeasureError:
        return
    if graph.value:
        driver.call("cuGraphDestroy", graph)
