"""Each bottleneck provoked with a real model: what the verdict named, window by window, and what its remedy gained beside what was predicted.

`INFERTOP_BENCH_CASES=launch,compute` takes some of the cases (names below), `INFERTOP_BENCH_SESSIONS=DIR` keeps the recordings there, one
directory `KIND.WHAT` each, as `python -m infertop.tests.sessions.keep_recording DIR/KIND.WHAT` takes them. All cases take about 8 minutes on a GPU.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.sessions.headless import measure
from infertop.sessions.plan import Task
from infertop.sessions.proof import Terms, sentence
from infertop.sessions.settings import EngineSettings
from infertop.telemetry import gpu_facts
from infertop.telemetry.bottleneck import diagnose
from infertop.telemetry.nvml import Nvml
from infertop.tests.models import bottlenecks
from infertop.tests.sessions.recorded import records_of, windows_of, withheld

SECONDS = 21.0
"""Twenty windows: a window is a second, and the first and the last may be short of one."""

TERMS = Terms(pairs=3, block_s=1.0, warmup="0.2s")
CALIBRATION_S = 3.0
LOADED = 0.20
"""Of what a closed loop reaches, the open loop of `underload` asks for so much."""

FACTORIES = "infertop.tests.models.bottlenecks"


@dataclass(frozen=True)
class Case:
    """`kind` is what the verdict has to say; `what` the provocation, for the recording's name."""

    name: str
    kind: str
    what: str
    model: str
    backend: str = "torch-eager"
    precision: str = "native"
    batch: int | None = None
    data_path: str = "pageable"
    device: str = "cuda:0"
    threads: int | None = None
    beside: bool = False  # a second process hammers the GPU
    share: float | None = None  # an open loop at this share of what a closed one reaches


def factory(name: str) -> str:
    return f"{FACTORIES}:{name}"


CASES = (
    Case("transfer-h2d", "transfer-h2d", "large-input", factory("large_input")),
    Case("transfer-d2h", "transfer-d2h", "large-output", factory("large_output")),
    Case("launch", "launch", "many-small-operators", factory("launches")),
    Case("compute", "compute", "matmul-fp16", factory("matmul"), precision="fp16"),
    Case("throttled", "throttled-power", "random-matmul-fp16", factory("hot_matmul"), precision="fp16"),
    Case("memory", "memory-bandwidth", "elementwise", factory("elementwise")),
    Case("underload", "underload", "resnet18-at-a-fifth", "resnet18", batch=1, share=LOADED),
    Case("fallback", "fallback", "determinant-on-the-cpu", "", backend="onnxruntime-cuda", batch=8),
    Case("contended", "contended", "resnet18-beside-a-neighbour", "resnet18", batch=32, beside=True),
    # NumPy fills the pinned buffer with one thread, where torch does it with all.
    Case("host", "host", "resnet18-pinned", "resnet18", "onnxruntime-cuda", "tf32", 32, "pinned"),
    Case("python", "host", "python-in-forward", factory("prepared")),
    Case("cpu-full", "cpu", "smallcnn-on-all-cores", "smallcnn", backend="onnxruntime-cpu", batch=64, device="cpu"),
    Case("cpu-idle", "cpu", "small-operators-on-8-threads", factory("launches"), device="cpu", threads=8),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How often each kind was named in the windows of a case, as recorded and with GPM withheld; `proof` of its advice."""

    case: Case
    named: Counter[str]
    without: Counter[str]
    proof: dict[str, Any] | None
    text: str


def main() -> None:
    """Prints a line for each case as it is done, the confusion tables, and predicted against measured gains."""
    chosen = _chosen()
    gpu = _gpu()
    with tempfile.TemporaryDirectory() as directory:
        sessions = Path(os.environ.get("INFERTOP_BENCH_SESSIONS") or directory)
        outcomes = []
        for case in chosen:
            if case.device != "cpu" and gpu is None:
                print(f"{case.name}: not measured, no GPU")
                continue
            begun = time.monotonic()
            try:
                outcome = provoke(case, sessions, Path(directory), gpu)
            except MeasureError as error:
                print(f"{case.name}: not measured: {error}", flush=True)
                continue
            outcomes.append(outcome)
            _say(outcome, time.monotonic() - begun)
    confusion("as recorded", [(o.case.kind, o.named) for o in outcomes])
    confusion("GPM withheld", [(o.case.kind, o.without) for o in outcomes])
    gains(outcomes)


def _chosen() -> list[Case]:
    wanted = re.split(r"[,\s]+", os.environ.get("INFERTOP_BENCH_CASES", "").strip())
    unknown = set(wanted) - {case.name for case in CASES} - {""}
    if unknown:
        raise SystemExit(
            f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in CASES)}"
        )
    return [case for case in CASES if wanted == [""] or case.name in wanted]


def _gpu() -> str | None:
    """The first GPU's short name, as `h100`; None where there is none."""
    facts = gpu_facts.facts(Nvml())
    if not facts:
        return None
    words = re.findall(r"[a-z]*\d+[a-z]*", str(facts[0].get("name")).lower())
    return words[0] if words else "gpu"


def provoke(case: Case, sessions: Path, scratch: Path, gpu: str | None) -> Outcome:
    """Run a case, recorded, with the proof of its advice; the verdicts of its first run's windows."""
    task = Task(_configuration(case, scratch), warmup="1s", duration_s=SECONDS)
    if case.share is not None:
        (closed,) = _run([replace(task, duration_s=CALIBRATION_S)], scratch, "calibration").results
        rate = case.share * _throughput(closed)
        task = replace(task, configuration=replace(task.configuration, load=f"open:{rate:.4g}/s"))
    machine = f"{os.cpu_count()}-cores" if case.device == "cpu" else gpu
    name = f"{case.kind}.{machine}-{case.what}"
    with _neighbour() if case.beside else contextlib.nullcontext():
        measured = _run([task], sessions, name, TERMS)
    if not measured.results:
        raise SystemExit(f"{name}: ended from outside before anything was measured")
    (result,) = measured.results
    _refuse_failed(result)
    segment = max((sessions / name).glob("*.itlog.zst"))
    records = records_of(segment)
    first = int(result["run"])
    named = Counter(diagnose(w).kind for w in windows_of(records, first))
    without = Counter(diagnose(w).kind for w in windows_of(withheld(records), first))
    return Outcome(case, named, without, result["proof"], _first(result))


def _configuration(case: Case, scratch: Path) -> Configuration:
    model = case.model
    if not model:
        model = str(scratch / "fallback.onnx")
        bottlenecks.write_fallback(model)
    options = Options(threads=case.threads, cache_directory=str(scratch / "cache"))
    return Configuration(
        case.backend,
        model,
        case.precision,
        case.batch,
        {},
        case.data_path,
        device=case.device,
        options=options,
    )


def _run(tasks: list[Task], sessions: Path, name: str, terms: Terms | None = None) -> Any:
    settings = EngineSettings(sessions_dir=str(sessions), name=name, command=["infertop", "run"])
    return measure(tasks, settings, lambda progress: None, prove=terms)


def _first(result: dict[str, Any]) -> str:
    verdicts = result["verdicts"]
    return f"{verdicts[0]['kind']}: {verdicts[0]['text']}" if verdicts else "no verdict"


def _refuse_failed(result: dict[str, Any]) -> None:
    """Raises what ended a run that could not be measured."""
    if result["status"] not in ("ok", "fallback"):
        raise MeasureError(**{name: result["error"].get(name) or "" for name in ("kind", "message", "fix")})


def _throughput(result: dict[str, Any]) -> float:
    _refuse_failed(result)
    return float(result["throughput"]) / (result["batch"] or 1)


@contextlib.contextmanager
def _neighbour() -> Iterator[None]:
    """A process that keeps the GPU busy from before the run until after it: an orphan, since our own children count as infertop's."""
    command = [sys.executable, "-m", FACTORIES, "hammer", "300"]
    shell = subprocess.Popen(
        ["sh", "-c", '"$@" & echo $!', "sh", *command], stdout=subprocess.PIPE, text=True
    )
    assert shell.stdout is not None
    hammer = int(shell.stdout.readline())
    try:
        shell.stdout.readline()  # it says so when it computes
        yield
    finally:
        os.kill(hammer, signal.SIGKILL)
        shell.wait()


def _say(outcome: Outcome, seconds: float) -> None:
    case = outcome.case
    print(f"{case.name} ({case.what}, {seconds:.0f} s): {outcome.text}")
    print(f"  named {_counts(outcome.named)}; GPM withheld {_counts(outcome.without)}")
    if outcome.proof is not None:
        print(f"  {sentence(outcome.proof)}")
    sys.stdout.flush()


def _counts(named: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in named.most_common()) or "no window"


def confusion(title: str, rows: list[tuple[str, Counter[str]]]) -> None:
    """Provoked × named over windows, as Markdown."""
    total: dict[str, Counter[str]] = {}
    for kind, named in rows:
        total.setdefault(kind, Counter()).update(named)
    columns = list(dict.fromkeys([*total, *(kind for named in total.values() for kind in named)]))
    if not total:
        return
    print(f"\n### {title}\n\n| provoked | " + " | ".join(columns) + " | right |")
    print("|---|" + "---:|" * (len(columns) + 1))
    for kind, named in total.items():
        right = f"{named[kind]} of {named.total()}"
        print(f"| {kind} | " + " | ".join(str(named[c] or "") for c in columns) + f" | {right} |")


def gains(outcomes: list[Outcome]) -> None:
    """Of each remedy that a key tries: what was predicted, and what it gained."""
    print(
        "\n### Advice\n\n| provoked | remedy | predicted | measured | 95 % of the change |\n|---|---|---:|---:|---:|"
    )
    for outcome in outcomes:
        proof = outcome.proof
        if proof is None or not proof["action"]:
            continue
        name = f"{outcome.case.name} | {proof['action']} {proof['value']}"
        unit = " ms a sample" if proof["per"] == "sample" else " ms"
        predicted = (
            "–"
            if proof["predicted_ms"] is None
            else f"{'at most ' if proof['most'] else ''}{-proof['predicted_ms']:+.3g}{unit}"
        )
        if proof["change_ms"] is None:
            print(f"| {name} | {predicted} | – | {proof['error']} |")
            continue
        low, high = proof["change_share_ci95"]
        share = proof["change_share"]
        print(
            f"| {name} | {predicted} | {proof['change_ms']:+.3g}{unit}, {100 * share:+.0f} % | {100 * low:+.0f} to {100 * high:+.0f} % |"
        )


if __name__ == "__main__":
    main()
