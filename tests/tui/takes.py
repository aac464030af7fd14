"""Moments of the recordings that are kept here, as pictures that a screen shows as if they were now: real hardware, real verdicts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import infertop
from infertop.sessions.replay import ReplaySource
from infertop.sessions.store import SAMPLES
from infertop.sessions.view import View
from infertop.tests.tui.synthetic import BACKENDS, GPU_BACKENDS

FIXTURES = Path(infertop.__file__).parent / "tests/fixtures/verdicts"
COLUMNS = 240
"""Seconds of history that the widest screen asks for."""


class Take(NamedTuple):
    """A recording (of the samples, else of the fixtures by the beginning of its name) and a second of it."""

    recording: str
    second: float


TAKES = {
    "switched": Take("h100-keys", 28.8),  # ONNX Runtime on CUDA after torch.compile, its verdict found
    "compared": Take("h100-keys", 60),
    "building": Take("h100-keys", 11.6),  # torch.compile on its way, the results of another before it
    "unjudged": Take("h100-keys", 25.4),  # measuring, before there is a verdict
    "fallback": Take("h100-silent-fallback", 10.5),
    "advised": Take("h100-data-paths", 17),  # pageable copies, and the key that takes them away
    "paths": Take("h100-data-paths", 34),  # the same on the device, the best of four
    "transfer": Take("transfer-h2d@h100", 28),
    "throttled": Take("throttled-power@h100", 30),  # the power cap holds the clocks down
    "open": Take("underload@h100", 28),  # an open loop at a fifth of what it could
    "contended": Take("contended@2-cores", 13),  # no GPU
}


def path(recording: str) -> Path:
    """Where a recording lies."""
    sample = SAMPLES / recording
    return sample if sample.exists() else next(FIXTURES.glob(f"{recording}*"))


def take(name: str) -> View:
    """That moment as a live session's picture. Where a recording knows no backends of its machine those of the synthetic scenes stand in."""
    recording, second = TAKES[name]
    source = ReplaySource(path(recording))
    try:
        source.pause()
        source.need(COLUMNS)
        source.seek(round(second * 1e9))
        view = source.poll()
        counts = view.history.heat(COLUMNS) if view.history.heat is not None else None
    finally:
        source.close()
    assert view.header is not None
    history = dataclasses.replace(
        view.history, heat=None if counts is None else lambda columns: counts[-columns:]
    )
    backends = view.backends or (GPU_BACKENDS if view.header.gpus else BACKENDS)
    return dataclasses.replace(view, state="live", backends=backends, history=history)
