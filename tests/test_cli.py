"""The command line: sentences, exit codes, and what goes to which stream. The engine is played by a function."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from infertop import __version__, cli
from infertop.backends.errors import MeasureError
from infertop.backends.probes import Availability
from infertop.sessions.headless import Measured, Progress
from infertop.sessions.options import Words, check_compile_mode
from infertop.sessions.plan import Plan, Skipped, Task
from infertop.sessions.progress import ProgressLine
from infertop.sessions.records import FORMAT, Clock, Header
from infertop.sessions.results import blank_result
from infertop.sessions.settings import EngineSettings

Outcome = Callable[[Task], dict[str, Any]]


def measured(task: Task, **fields: Any) -> dict[str, Any]:
    """A result of 5000 requests at 4 ms."""
    return {
        **blank_result(task.configuration, "ok", run=1),
        "batch": task.configuration.batch or 1,
        "requests": 5000,
        "samples": 5000,
        "duration_s": 20.0,
        "throughput": 250.0,
        "latency_ms": {"mean": 4.0, "p50": 4.0, "p90": 4.2, "p95": 4.3, "p99": 4.8, "p99_9": 5.5, "max": 9.0},
        "latency_ci95_ms": {"p50": [3.9, 4.1], "p90": [4.1, 4.3], "p95": [4.2, 4.4], "p99": [4.6, 5.2], "p99_9": [5.0, 6.0]},
        "stability": "A",
        **fields,
    }  # fmt: skip


class Engine:
    """Stands for `sessions.headless.measure`, and keeps what it was given."""

    def __init__(self) -> None:
        self.outcome: Outcome = measured
        self.interrupted: int | None = None
        self.raises: BaseException | None = None
        self.tasks: Sequence[Task] = ()
        self.settings = EngineSettings()
        self.prove = False
        self.calls = 0

    def __call__(
        self,
        tasks: Sequence[Task],
        settings: EngineSettings,
        progress: Callable[[Progress], None],
        known: Sequence[dict[str, Any]] = (),
        prove: bool = False,
        say: Callable[[str], None] = print,
    ) -> Measured:
        self.tasks, self.settings, self.prove = tasks, settings, prove
        self.calls += 1
        progress(Progress("measuring", 0.5, 0, len(tasks)))
        if self.raises is not None:
            raise self.raises
        header = Header(
            format=FORMAT, session="smallcnn-1", segment=1, clock=Clock(0, 0), interval=250_000_000, metrics=[], infertop=__version__, pid=1,
            recording=settings.recording,
        )  # fmt: skip
        results = [self.outcome(task) for task in tasks]
        return Measured("smallcnn-1", header, results[:1] if self.interrupted else results, self.interrupted)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    engine = Engine()
    monkeypatch.chdir(tmp_path)
    usable = [
        Availability(
            "torch-eager", "torch", False, "torch is not installed", "pip install 'infertop[torch]'"
        ),
        Availability("onnxruntime-cpu", "ort-cpu", True, version="1.31"),
    ]
    monkeypatch.setattr("infertop.sessions.headless.measure", engine)
    monkeypatch.setattr("infertop.sessions.prober.probe", lambda python=None: usable)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("/cache"))
    return engine


class Run:
    """One command in this process: its exit code and what it wrote to each stream."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> SimpleNamespace:
        code = cli.execute(arguments)
        captured = self._capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    def refused(self, *arguments: str, code: int = 2) -> str:
        """The one sentence with which the command is refused."""
        done = self(*arguments)
        assert (done.code, done.out) == (code, "")
        assert re.fullmatch(r"infertop: [^\n]+\n", done.err), done.err
        return str(done.err)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], engine: Engine) -> Run:
    return Run(capsys)


def test_version(run: Run) -> None:
    assert run("--version").out == f"infertop {__version__}\n"


def test_help_names_every_command(run: Run) -> None:
    text = run("--help").out
    assert all(name in text for name in ("run", "ls", "backends", "models", "replay", "attach", "stop"))
    assert "infertop [MODEL]" in text
    assert run("-h").out == text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "missing argument 'MODEL'"),
        (["run", "smallcnn", "--btach", "8"], "did you mean --batch?"),
        (["run", "smallcnn", "--duration", "10"], "has no unit"),
        (["run", "smallcnn", "--backend", "onnxruntime-cpo"], "did you mean onnxruntime-cpu"),
        (["run", "smallcnn", "--repeat", "0"], "--repeat"),
        (["run", "smallcnn", "--json", "-", "--csv", "-"], "cannot both"),
        (["run", "smallcnn", "--json", "/no/such/folder/x.json"], "no folder"),
        (["run", "smallcnn", "--gate", "p99<5"], "no unit"),
        (["run", "smallcnn", "--gate", "torch: p99<5ms"], "matches nothing"),
        (["run", "smallcnn", "--interval", "5s"], "100ms to 1s"),
        (["run", "--suite", "sed"], "there is no suite sed; did you mean seed?"),
        (["run", "smallcnn", "--suite", "seed"], "--suite seed names its models itself; leave smallcnn out"),
        (["run", "smallcnn", "--resume", "--no-record"], "--resume and --no-record exclude each other"),
        (["rnu"], "did you mean infertop run?"),
        (["rnu", "smallcnn"], "did you mean infertop run?"),
        (["smallcnn", "resnet18"], "there is no command smallcnn"),
        (["atach"], "did you mean infertop attach?"),
        (["smallcnn", "--batch", "0"], "--batch '0'"),
        (["smallcnn"], "infertop run smallcnn prints results"),
        (["--python", "/nosuch"], "no program"),
        (["--batch", "8"], "--batch needs a MODEL"),
        (["--input-shape", "x=3"], "--input-shape needs a MODEL"),
    ],
)
def test_usage_errors_are_one_sentence_and_nothing_is_measured(
    run: Run, engine: Engine, arguments: list[str], says: str
) -> None:
    assert says in run.refused(*arguments)
    assert engine.calls == 0


def test_a_model_that_does_not_exist_is_suggested(run: Run) -> None:
    assert "did you mean smallcnn?" in run.refused("run", "smalcnn", code=3)
    assert "did you mean smallcnn?" in run.refused("smalcnn", code=3)


@pytest.mark.parametrize(
    ("words", "level"), [((), "full"), (("--telemetry", "light"), "light"), (("--telemetry", "off"), "off")]
)
def test_how_much_is_read_meanwhile_reaches_the_engine(
    engine: Engine, run: Run, words: tuple[str, ...], level: str
) -> None:
    assert run("run", "smallcnn", *words).code == 0
    assert engine.settings.telemetry == level


def test_the_table_goes_to_standard_output_and_the_rest_to_the_other(run: Run) -> None:
    done = run("run", "smallcnn")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("configuration")
    assert "onnxruntime-cpu/fp32/1" in done.out
    assert done.err == "infertop: recorded as smallcnn-1\n"


def test_json_alone_on_standard_output(run: Run) -> None:
    done = run("run", "smallcnn", "--json", "-", "--gate", "p50<5ms")
    document = json.loads(done.out)
    assert document["schema"] == "infertop.run/1"
    assert document["session"] == "smallcnn-1"
    assert [g["outcome"] for g in document["gates"]] == ["passed"]
    assert "gate passed: p50<5ms" in done.err


def test_files_beside_the_table(run: Run, tmp_path: Path) -> None:
    names = {form: str(tmp_path / f"out.{form}") for form in ("json", "markdown", "csv")}
    done = run("run", "smallcnn", *(word for form, path in names.items() for word in (f"--{form}", path)))
    assert done.code == 0
    assert done.out.startswith("configuration")
    assert json.loads(Path(names["json"]).read_text())["results"][0]["requests"] == 5000
    assert Path(names["markdown"]).read_text().startswith("### smallcnn")
    assert Path(names["csv"]).read_text().startswith("run,backend")


def test_the_engine_is_told_what_was_asked(run: Run, engine: Engine) -> None:
    run("run", "smallcnn", "--batch", "1,8", "--repeat", "3", "--seed", "4", "--requests", "50", "--warmup", "10x", "--no-record",
        "--name", "mine", "--interval", "100ms", "--python", sys.executable, "--sessions-dir", "/s")  # fmt: skip
    assert len(engine.tasks) == 6
    task = engine.tasks[0]
    assert (task.requests, task.duration_s, task.warmup) == (50, None, "10x")
    assert (task.configuration.options.seed, task.configuration.options.cache_directory) == (4, "/cache")
    settings = engine.settings
    assert (settings.recording, settings.name, settings.interval_s, settings.sessions_dir) == (
        False,
        "mine",
        0.1,
        "/s",
    )
    assert settings.environments == {"": sys.executable}
    assert settings.command[0] == "infertop"
    assert not engine.prove
    run("run", "smallcnn", "--prove")
    assert engine.prove


def test_sessions_are_kept_where_the_environment_says(
    run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERTOP_SESSIONS_DIR", "/elsewhere")
    run("run", "smallcnn", "--no-record")
    assert engine.settings.sessions_dir == "/elsewhere"


def test_nothing_is_said_to_be_recorded_when_it_is_not(run: Run) -> None:
    assert run("run", "smallcnn", "--no-record").err == ""


@pytest.mark.parametrize(
    ("arguments", "fields", "code"),
    [
        (["--gate", "p50<5ms"], {}, 0),
        (["--gate", "p50<3ms"], {}, 1),
        (["--gate", "p99<5ms"], {}, 4),
        (["--gate", "p99<5ms", "--inconclusive", "pass"], {}, 0),
        (["--gate", "p99<5ms", "--gate", "p50<3ms"], {}, 1),
        ([], {"status": "failed", "error": {"kind": "worker-killed", "message": "the worker was killed", "fix": "free memory"}}, 3),
        (["--gate", "p50<3ms"], {"status": "fallback"}, 3),
    ],
)  # fmt: skip
def test_exit_codes(
    run: Run, engine: Engine, arguments: list[str], fields: dict[str, Any], code: int
) -> None:
    engine.outcome = lambda task: measured(task, **fields)
    assert run("run", "smallcnn", *arguments).code == code


def test_what_failed_is_said_and_the_rest_is_printed(run: Run, engine: Engine) -> None:
    error = MeasureError(
        "worker-killed", "the worker was\x1b[2J killed", "free memory", "trace\n\x1b[1mback\n"
    )

    def outcome(task: Task) -> dict[str, Any]:
        return (
            blank_result(task.configuration, error=error) if task.configuration.batch == 8 else measured(task)
        )

    engine.outcome = outcome
    done = run("run", "smallcnn", "--batch", "1,8", "--json", "-")
    assert done.code == 3
    good, bad = json.loads(done.out)["results"]
    assert good["status"] == "ok"
    assert bad["status"] == "failed"
    assert bad["error"]["kind"] == "worker-killed"
    assert (
        "infertop: onnxruntime-cpu/fp32/8: the worker was killed; free memory\n  | trace\n  | back\n"
        in done.err
    )


def test_a_gate_that_turns_out_to_match_nothing_is_a_usage_error_with_the_results_printed(
    run: Run, engine: Engine
) -> None:
    engine.outcome = lambda task: measured(task, batch=4)
    done = run("run", "smallcnn", "--gate", "ort-cpu/fp32/1: p50<5ms")
    assert done.code == 2
    assert "onnxruntime-cpu/fp32/4" in done.out
    assert "matches nothing" in done.err


@pytest.mark.parametrize(("signal", "code"), [(1, 129), (2, 130), (15, 143)])
def test_a_signal_ends_it_with_what_was_measured(run: Run, engine: Engine, signal: int, code: int) -> None:
    engine.interrupted = signal
    done = run("run", "smallcnn", "--batch", "1,8", "--json", "-", "--gate", "ort-cpu/fp32/8: p50<5ms")
    assert done.code == code
    assert len(json.loads(done.out)["results"]) == 1


def test_all_leaves_out_what_cannot_be_used_and_says_so(run: Run, engine: Engine) -> None:
    done = run("run", "smallcnn", "--backend", "all")
    assert done.code == 0
    assert [t.configuration.backend for t in engine.tasks] == ["onnxruntime-cpu"]
    assert "torch-eager is left out: torch is not installed; pip install 'infertop[torch]'" in done.err


def test_a_dry_run_measures_nothing(run: Run, engine: Engine) -> None:
    done = run("run", "smallcnn", "--batch", "1,8", "--repeat", "2", "--dry-run")
    assert (done.code, engine.calls) == (0, 0)
    assert done.out.startswith("4 runs of 2 configurations of smallcnn\n")


def test_the_seeds_suite_is_three_models_under_all_that_is_usable(run: Run, engine: Engine) -> None:
    done = run("run", "--suite", "seed", "--json", "-")
    assert done.code == 0
    asked = [t.configuration for t in engine.tasks]
    assert {c.model for c in asked} == {"smallcnn", "resnet18", "mobilenet_v2"}
    assert {(c.backend, c.batch, c.precision, c.options.compile_mode) for c in asked} == {
        ("onnxruntime-cpu", 32, "fp32", "max-autotune")
    }
    document = json.loads(done.out)
    assert [r["model"] for r in document["results"]] == ["smallcnn", "resnet18", "mobilenet_v2"]
    assert [r["pareto"] for r in document["results"]] == [True, True, True]
    fix = "pip install 'infertop[torch]'"
    assert document["skipped"] == [{"backend": "torch-eager", "reason": "torch is not installed", "fix": fix}]
    assert done.err.count("torch-eager is left out: torch is not installed") == 1
    assert engine.settings.title == "seed"


def test_options_beside_a_suite_count_instead_of_its_own(run: Run, engine: Engine) -> None:
    done = run("run", "--suite", "seed", "--batch", "1,8", "--backend", "ort-cpu", "--dry-run")
    assert (done.code, engine.calls) == (0, 0)
    assert done.out.startswith("6 runs of 6 configurations of smallcnn, resnet18, mobilenet_v2\n")
    assert "mobilenet_v2 · onnxruntime-cpu · fp32 · batch 8" in done.out


def test_an_error_of_the_engine_is_a_sentence(run: Run, engine: Engine) -> None:
    engine.raises = MeasureError("disk", "no session can be made", "give --sessions-dir a directory")
    assert (
        run.refused("run", "smallcnn", code=3)
        == "infertop: no session can be made; give --sessions-dir a directory\n"
    )


def test_a_bug_names_the_file_with_its_traceback(
    run: Run, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_log_path", lambda name: tmp_path / "log")
    engine.raises = KeyError("gone")
    said = run.refused("run", "smallcnn", code=70)
    assert "this is a bug: KeyError: 'gone'" in said
    [log] = (tmp_path / "log").iterdir()
    assert str(log) in said
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_ctrl_c_before_the_engine_runs(run: Run, engine: Engine) -> None:
    engine.raises = KeyboardInterrupt()
    assert run("run", "smallcnn").code == 130


@pytest.mark.parametrize(
    ("words", "model", "backend", "kind"),
    [
        (["nofile.onnx"], "nofile.onnx", None, "model-not-found"),
        (["smallcn", "--backend", "ort-cpu"], "smallcn", "onnxruntime-cpu", "model-not-found"),
    ],
)
def test_what_fails_before_the_engine_begins_has_its_document(
    run: Run, engine: Engine, tmp_path: Path, words: list[str], model: str, backend: str | None, kind: str
) -> None:
    done = run("run", *words, "--json", "-", "--csv", "out.csv")
    assert (done.code, engine.calls) == (3, 0)
    assert done.err.count("infertop: ") == 1
    document = json.loads(done.out)
    (result,) = document["results"]
    assert (document["schema"], document["session"]) == ("infertop.run/1", None)
    assert (result["model"], result["backend"], result["status"]) == (model, backend, "failed")
    assert result["error"]["kind"] == kind
    assert result["error"]["message"] in done.err
    assert model in (tmp_path / "out.csv").read_text()
    assert "failed" in run("run", *words, "--markdown", "-").out


def test_a_probe_that_fails_and_a_session_that_cannot_be_made_have_theirs(
    run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.raises = MeasureError("disk", "no session can be made", "give --sessions-dir a directory")
    (result,) = json.loads(run("run", "smallcnn", "--json", "-").out)["results"]
    assert (result["status"], result["error"]["kind"]) == ("failed", "disk")

    def fails(python: str | None = None) -> NoReturn:
        raise MeasureError("probe-failed", "the interpreter could not be asked", "look at it")

    monkeypatch.setattr("infertop.sessions.prober.probe", fails)
    done = run("run", "smallcnn", "--json", "-")
    assert done.code == 3
    assert json.loads(done.out)["results"][0]["status"] == "unavailable"


def test_wrong_words_have_none(run: Run) -> None:
    run.refused("run", "smallcnn", "--backend", "nobody", "--json", "-")


class Screen:
    """Stands for the live screen, and keeps the settings that it was given."""

    def __init__(self) -> None:
        self.settings: list[EngineSettings] = []

    def __call__(self, settings: EngineSettings) -> int:
        self.settings.append(settings)
        return 0


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    found = Screen()
    monkeypatch.setattr("infertop.cli.screen.needs_terminal", lambda instead: None)
    monkeypatch.setattr("infertop.tui.start.run_live", found)
    return found


def test_the_monitor_measures_nothing_and_is_recorded_only_when_asked(run: Run, screen: Screen) -> None:
    assert run("--monitor").code == 0
    assert run("--monitor", "--record", "--name", "night", "--interval", "1s").code == 0
    first, second = screen.settings
    assert (first.monitor, first.task, first.recording, first.title, first.note) == (
        True,
        None,
        False,
        "monitor",
        "",
    )
    assert (second.monitor, second.recording, second.name, second.interval_s) == (True, True, "night", 1.0)


def test_where_no_backend_can_be_used_plain_infertop_watches_and_says_why(
    run: Run, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infertop.backends.probes.any_usable", lambda: False)
    assert run().code == 0
    assert run("--python", sys.executable).code == 0
    assert run("smallcnn").code == 0
    bare, elsewhere, named = screen.settings
    assert bare.monitor
    assert not bare.recording
    assert "no backend can be used here" in bare.note
    assert not elsewhere.monitor, "another interpreter may have one"
    assert not named.monitor, "what was named is tried, and refused with its reason"


def test_where_one_can_be_used_plain_infertop_chooses_a_model(
    run: Run, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infertop.backends.probes.any_usable", lambda: True)
    assert run().code == 0
    assert not screen.settings[0].monitor
    assert screen.settings[0].recording


def test_the_monitor_refuses_what_is_about_a_measurement(run: Run, screen: Screen) -> None:
    assert "--monitor measures nothing: smallcnn has no meaning beside it" in run.refused(
        "--monitor", "smallcnn"
    )
    assert "--batch has no meaning beside it" in run.refused("--monitor", "--batch", "8")
    assert not screen.settings


def test_the_doctor_is_a_command_and_no_model(run: Run) -> None:
    assert "smallcnn needs --observer beside it" in run.refused("doctor", "smallcnn")
    assert "--observer" in run("doctor", "--help").out


def test_measuring_needs_linux(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux and WSL2" in run.refused("run", "smallcnn", code=3)


def test_backends_lists_reasons(run: Run) -> None:
    lines = run("backends").out.splitlines()
    assert lines[1].split("  ")[0] == "torch-eager"
    assert "no" in lines[1]
    assert "torch is not installed; pip install" in lines[1]
    assert "yes" in lines[2]


def test_backends_lists_what_a_usable_one_does_not_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    partly = Availability(
        "onnxruntime-cuda", "ort-cuda", True, version="1.31", warning="no cuDNN", fix="pip install it"
    )
    monkeypatch.setattr("infertop.sessions.prober.probe", lambda python=None: [partly])
    line = run("backends").out.splitlines()[1]
    assert "yes" in line
    assert line.endswith("no cuDNN; pip install it")


def test_backends_of_a_labelled_interpreter(run: Run) -> None:
    out = run("backends", "--python", f"old={sys.executable}", "--python", f"ort-cpu={sys.executable}").out
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "torch-eager",
        "onnxruntime-cpu",
        "torch-eager@old",
        "onnxruntime-cpu@old",
    ]


def test_models_lists_names_and_files_here(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").touch()
    (tmp_path / "mine.pt2").touch()
    out = run("models").out
    named = ("smallcnn", "resnet18", "mobilenet_v2", "torchvision:NAME", "mine.onnx", "mine.pt2", "FILE.pt2")
    assert all(word in out for word in named)
    assert next(line for line in out.splitlines() if "mine.pt2" in line).endswith("torch's here")


def infertop(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "infertop", *arguments], stderr=subprocess.PIPE, **options)


def test_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    process = infertop("models", stdout=write)
    os.close(write)
    _, said = process.communicate()
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["models"], ["--help"]])
def test_a_full_disk_is_no_bug(command: list[str], unbuffered: str) -> None:
    with open("/dev/full", "wb") as full:
        process = infertop(*command, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
        _, said = process.communicate()
    assert (process.returncode, said) == (
        3,
        b"infertop: the output could not be written: No space left on device\n",
    )


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("option", "says"),
    [("--record", "smallcnn-1 holds the results"), ("--no-record", "nothing was recorded")],
)
def test_results_that_find_no_place_are_said_to_be_where_they_are(
    run: Run, monkeypatch: pytest.MonkeyPatch, option: str, says: str
) -> None:
    said = run("run", "smallcnn", option, "--json", "/dev/full")
    assert said.code == 3
    assert f"/dev/full could not be written: No space left on device; {says}" in said.err
    assert "onnxruntime-cpu/fp32/1" in said.out, "the rest is printed"
    monkeypatch.setattr(sys, "stdout", Full())
    said = run("run", "smallcnn", option)
    assert said.code == 3
    assert f"standard output could not be written: No space left on device; {says}" in said.err


def test_a_locale_without_our_characters_ends_nothing() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = infertop("run", "--help", stdout=subprocess.PIPE, env=environment)
    out, said = process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert b"--backend" in out


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_progress_line_is_written_over_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with ProgressLine(terminal) as progress:
        progress(Progress("loading", None, 1, 6))
        progress(Progress("loading", None, 1, 6))
        progress(Progress("measuring " + "x" * 99, 0.25, 1, 6))
    assert terminal.getvalue() == (
        f"\r2/6 loading\x1b[K\r{('2/6 █████░░░░░░░░░░░░░░░  25 % measuring ' + 'x' * 99)[:59]}\x1b[K\r\x1b[K"
    )


def test_no_progress_where_standard_error_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressLine(stream) as progress:
        progress(Progress("measuring", 0.5, 0, 1))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("words", [["--backend", "ort-cpu"], ["--backend", "ort-cpu,torch"]])
def test_a_compile_mode_that_nothing_takes_is_a_usage_error(
    run: Run, engine: Engine, words: list[str]
) -> None:
    done = run("run", "smallcnn", *words, "--compile-mode", "max-autotune")
    assert (done.code, engine.calls) == (2, 0)
    assert "--compile-mode is for torch-compile" in done.err


def test_a_compile_mode_of_a_backend_that_is_measured_or_was_left_out_is_none(run: Run) -> None:
    assert (
        run("run", "smallcnn", "--backend", "ort-cpu,torch-compile", "--compile-mode", "max-autotune").code
        == 0
    )
    check_compile_mode(Words(compile_mode="default"), Plan((), (), (Skipped("torch-compile", "no torch"),)))


@pytest.mark.parametrize(
    ("words", "auto"), [([], False), (["--fallback", "none"], False), (["--fallback", "auto"], True)]
)
def test_nothing_is_measured_in_the_place_of_something_else_unless_asked(
    run: Run, engine: Engine, words: list[str], auto: bool
) -> None:
    assert run("run", "smallcnn", *words).code == 0
    assert engine.settings.fallback is auto
