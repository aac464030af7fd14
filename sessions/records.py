"""The records of a session's log. docs/session-format.md is the contract; this module is its only implementation."""

from __future__ import annotations

from typing import Any

import msgspec

from ..backends.configuration import Configuration

FORMAT = "1.0"

PHASES = (
    "start",
    "import",
    "export",
    "load",
    "build",
    "check",
    "control",
    "quiet",
    "warmup",
    "measure",
    "end",
)
"""What a run goes through, in order; `export` and `build` only where the backend has them, `check` where outputs are compared, `control`
where a plain call is timed beside the same request in steps, `quiet` (the worker loaded and idle) on a GPU."""

STAGES = ("host", "h2d", "compute", "d2h", "gap", "enqueue")

OUTSIDE = ("issue", "queue", "sync")
"""What the gap consists of, as far as it is known: backends.backend.StageTimes.outside."""


class Record(msgspec.Struct, tag_field="k", omit_defaults=True, frozen=True):
    """A line of the log."""


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of the header's metric table; its position is its place in every tick's `m`."""

    id: str  # "host.cpu", "worker.rss", "gpu0.power"
    unit: str  # "%", "B", "W", "MHz", "1", …
    resolution: float = 1.0  # values are rounded to multiples of it
    counter: bool = False  # cumulative; rates are derived by the reader
    status: str = "ok"  # "ok", "absent" (for ever, here), "permission"
    reason: str = ""  # why it is not ok, for a person
    source: str = ""  # which call or counter it comes from, where several could serve


class Clock(msgspec.Struct, frozen=True):
    """One instant on both clocks. A record's `t` is integer ns since the header's pair, on the monotonic clock."""

    monotonic: int
    unix: int


class Header(Record, tag="header", kw_only=True, frozen=True):
    format: str
    session: str
    segment: int
    clock: Clock
    interval: int  # ns of one tick
    metrics: list[Metric]
    infertop: str
    pid: int
    host: dict[str, Any] = {}
    gpus: list[dict[str, Any]] = []
    gpu_status: str = ""  # why `gpus` is empty, for a person
    driver: str | None = None
    command: list[str] = []
    recording: bool = True  # false: the segment lies in the runtime directory and goes with the engine
    telemetry: str = "full"  # how much is read at its beginning: "off", "light" or "full"
    monitor: bool = False  # true: nothing is measured, the session watches the machine


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run could not be measured: `message` one sentence, `fix` another, `detail` the runtime's own captured words."""

    kind: str
    message: str
    fix: str = ""
    detail: str = ""


class Run(Record, tag="run", kw_only=True, frozen=True):
    """A run entered `phase`. What is known only from some phase on is null before it and need not be repeated after it."""

    t: int
    run: int
    phase: str
    configuration: Configuration | None = None  # with "start"; again with "measure", sizes resolved
    repeat: int = 0
    progress: float | None = None  # 0 to 1, where the phase can tell
    note: str = ""  # e.g. "parked worker, ready at once"
    inputs: list[dict[str, Any]] | None = None  # with "warmup": name, dtype, shape
    assumed: dict[str, int] | None = None
    placement: dict[str, int] | None = None
    agreement: dict[str, Any] | None = None  # with "warmup", where outputs were compared: as in the result
    fallback: str | None = None  # what does not run where it was asked to, in one sentence
    gpu: str | None = (
        None  # the device's prefix in the metric table, as "gpu0"; None on the CPU and where it cannot be told
    )
    quiet: dict[str, Any] | None = None  # with "warmup", on a GPU: what it did while the worker was idle
    link: dict[str, float] | None = None  # what copies reach here, bytes/s: backends/link.py
    bytes_in: int | None = None  # of one request, copied to the GPU
    bytes_out: int | None = None
    work: dict[str, Any] | None = None  # what one request asks of the GPU: backends/cost.py
    peaks: dict[str, float] | None = None  # what the GPU can do at most: backends/peaks.py
    runtime: dict[str, Any] | None = (
        None  # what the runtime chose and turned out to do: compiled graphs, engine settings
    )
    control: dict[str, Any] | None = (
        None  # the plain call beside the same request in steps: backends/control.py
    )
    unbounded: str | None = (
        None  # with "measure", in an open loop: why the response latency has no percentiles
    )
    libraries: dict[str, str] | None = None
    threads: int | None = None
    cache: str | None = None
    cold_start: dict[str, float | None] | None = None  # s: import, export, load, build, first
    result: dict[str, Any] | None = None  # with "end": an element of `results` of `infertop.run/1`
    error: Fault | None = None  # with "end"
    calls: dict[str, list[float]] | None = None  # with "end": as in Key


class Tick(Record, tag="tick", kw_only=True, frozen=True):
    """A quarter of a second (the header's `interval`)."""

    t: int
    n: int
    run: int = 0  # 0: nothing is loaded or running
    done: int = 0  # requests completed in this tick, warm-up included
    q: list[int] | None = None  # service latency of those: p50, p99, max, ns; null without a request
    m: list[float | int | None]
    h: dict[str, str] | None = (
        None  # once a second: V2 blobs by name: service, response, stages; "warmup" before measuring
    )
    backlog: int | None = (
        None  # open loop, measuring: who had arrived and was not issued when the newest request was
    )
    s: list[str] | None = None  # with `h`, measuring: the grade of the run so far, then its reasons
    drops: int = 0  # ring records lost since the worker began
    late: int = 0  # ticks skipped before this one


class Event(Record, tag="event", kw_only=True, frozen=True):
    t: int
    kind: str
    text: str
    level: str = "info"  # "info", "warn", "error"
    id: str | None = None  # of the command that this answers
    run: int = 0
    data: dict[str, Any] = {}


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    signal: str
    value: float | None  # None: not known here
    unit: str
    threshold: float | None = None
    window: float | None = None  # s
    sense: str = ">="  # how the value has to stand to the threshold: ">=" or "<="


class Verdict(Record, tag="verdict", kw_only=True, frozen=True):
    t: int
    run: int
    kind: str
    confidence: float
    text: str
    evidence: list[Evidence] = []
    advice: dict[str, Any] | None = (
        None  # action, value, text, gain_ms, gain_share, most, per, assumed; measured
    )


class Key(Record, tag="key", kw_only=True, frozen=True):
    """What a reader needs to go on from here: the state of the fold over everything before."""

    t: int
    run: int
    phase: str
    clock: Clock
    requests: int = 0  # measured
    start: int | None = None  # t of the end of warm-up
    last: int | None = None  # t of the last measured completion
    h: dict[str, str] = {}  # the run's cumulative histograms, as in Tick
    m: list[float | int | None] = []  # newest value of each metric
    s: list[str] | None = None  # the run's newest grade, as in Tick
    opened: Run | None = None  # everything known of the run, merged into one record
    before: Run | None = None  # the same of the run before it, ended
    calls: dict[str, list[float]] | None = None  # NVML's name: calls so far, their mean and longest, ms


class Process(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process of the machine. What cannot be seen of it is absent."""

    pid: int
    name: str = ""
    gpus: dict[str, int | None] = {}  # "gpu0" → bytes of its memory; null: the driver does not say
    cpu: float | None = None  # % of one core since the record before
    rss: int | None = None  # bytes
    own: bool = False  # infertop's own


class Processes(Record, tag="processes", kw_only=True, frozen=True):
    """In a session that monitors, every 2 s: who is on the GPUs, and the busiest of the host."""

    t: int
    processes: list[Process] = []
    unknown: dict[str, str] = {}  # "gpu0" → why there may be others than are listed
    count: int | None = None  # processes of the host


class End(Record, tag="end", kw_only=True, frozen=True):
    t: int
    reason: str
    next: str | None = None  # the segment that goes on, where recording moved


AnyRecord = Header | Run | Tick | Event | Verdict | Key | Processes | End
