"""The windows of `open:auto` on a running worker: asks for one after another, and gathers its requests from the ring."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import units
from .slo import Search


class Trials:
    """`send` gives the worker an order, `say` tells a person which rate is tried."""

    def __init__(self, limit_ms: float, send: Callable[..., None], say: Callable[[str], None]) -> None:
        self.search = Search(limit_ms)
        self._send, self._say = send, say
        self._span: list[int] = []  # ns of the window's beginning and, once it is said, its end
        self._records: list[np.ndarray] = []

    def next(self) -> None:
        """Ask for the next window."""
        search = self.search
        self._span, self._records = [], []
        limit = f"p99 under {units.significant(search.limit_ms)} ms"
        if search.rate is None:
            self._say(f"{limit}: trying one request after another")
        else:
            self._say(f"{limit}: trying {units.rate(search.rate)} requests/s")
        self._send("window", rate=search.rate, requests=search.requests)

    def said(self, t: int) -> None:
        """The worker says that the window has begun or, the second time, that it has ended; monotonic ns."""
        self._span.append(t)

    def add(self, records: np.ndarray) -> bool:
        """Take what the ring gave; True once the last request of a window is among it and the search is over, else it goes on."""
        if not self.search.done:
            self._records.append(records)
        if len(self._span) < 2:
            return False
        taken = np.concatenate(self._records)
        start, service = taken["start"].astype(np.int64), taken["service"].astype(np.int64)
        begin, end = self._span
        if not len(taken) or int((start + service).max()) < end:
            return False  # said after the ring was looked at
        response = taken["response"].astype(np.int64)
        of_window = (start >= begin) & (start + service <= end)
        self.search.take(response[of_window], (response - service)[of_window])
        if self.search.done:
            self._span, self._records = [], []
            return True
        self.next()
        return False
