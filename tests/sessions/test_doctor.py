"""What `infertop doctor` finds: on machines that are laid out for it, on scripted GPUs, and on this one."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
from infertop.backends.errors import MeasureError
from infertop.backends.probes import Availability
from infertop.sessions.doctor import backends, bytecode, gpu, host, terminal
from infertop.sessions.doctor.checks import Check, document, exit_code, table
from infertop.telemetry import host as telemetry_host
from infertop.telemetry.nvml import Nvml
from infertop.telemetry.nvml_source import NvmlSource
from infertop.tests.telemetry.fake_nvml import GPU_IS_LOST, NO_PERMISSION, Gpu, Machine, h100, l4, mig_slice


def by_id(checks: object) -> dict[str, Check]:
    return {check.id: check for check in checks}  # type: ignore[attr-defined]


# -- the host


def facts(**changes: object) -> dict[str, object]:
    found = {
        "os": "Debian 12", "kernel": "6.1", "python": "3.12.1", "cpu": "EPYC", "allowed_cores": [0, 1, 2, 3], "quota": None,
        "memory": 16 << 30, "memory_limit": None, "container": None,
    }  # fmt: skip
    return found | changes


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    found = facts()
    monkeypatch.setattr(telemetry_host, "facts", lambda root=None: found)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.2, 0.2, 0.2))
    return found


def test_a_quiet_host_is_well(machine: dict[str, object], tmp_path: Path) -> None:
    found = by_id(host.checks(str(tmp_path / "sessions"), tmp_path))
    assert {check.status for check in found.values()} <= {"ok"}
    assert exit_code(list(found.values())) == 0
    assert (tmp_path / "sessions").is_dir()
    assert "host.governor" not in found, "this machine does not tell one"


def test_what_disturbs_is_named_with_what_to_do(
    machine: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.update(quota=1.5, container="docker", memory_limit=2 << 30)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 1.0, 1.0))
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_governor").write_text("powersave\n")
    found = by_id(host.checks(str(tmp_path / "sessions"), tmp_path))
    assert (found["host.cores"].status, found["host.load"].status, found["host.governor"].status) == (
        "warn",
    ) * 3
    assert "--threads 1" in found["host.cores"].fix
    assert "performance" in found["host.governor"].fix
    assert "docker" in found["host.container"].text
    assert "2.1 GB" in found["host.memory"].text
    assert exit_code(list(found.values())) == 0, "it measures all the same"


def test_a_place_that_cannot_be_written_fails(machine: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = by_id(host.checks(str(tmp_path / "file" / "sessions"), tmp_path))
    assert found["host.sessions"].status == "fail"
    assert found["host.sessions"].fix
    assert exit_code(list(found.values())) == 1


def test_a_torch_that_is_compiled_anew_at_each_start_is_named(tmp_path: Path) -> None:
    """As container images have it that set PYTHONDONTWRITEBYTECODE."""
    torch, set_so = tmp_path / "torch" / "__init__.py", {"PYTHONDONTWRITEBYTECODE": "1"}
    torch.parent.mkdir()
    torch.write_text("")
    (check,) = bytecode.checks(set_so, torch)
    assert (check.status, check.fix) == ("warn", f"python -m compileall -q {torch.parent}")
    assert list(bytecode.checks({}, torch)) == [], "the first start will keep what it compiles"
    assert list(bytecode.checks(set_so, None)) == []
    py_compile.compile(str(torch), doraise=True)
    assert list(bytecode.checks(set_so, torch)) == []


# -- GPUs


def of(*gpus: Gpu, blind: str = "", **more: object) -> dict[str, Check]:
    fake = Machine(*gpus, **more)  # type: ignore[arg-type]
    source = NvmlSource(nvml=Nvml(fake), clock=fake.clock, sleep=fake.sleep, blind=blind)
    found = by_id(gpu.checks(source))
    assert not fake.up, "NVML is let go of"
    return found


def test_an_h100_alone_is_well() -> None:
    found = of(h100())
    assert found["gpu.driver"].text == "NVIDIA driver 580.159.04, for CUDA up to 13.0"
    assert found["gpu0"].text == "NVIDIA H100 80GB HBM3, 85.9 GB, compute capability 9.0"
    assert found["gpu0.processes"].status == "ok"
    assert found["gpu0.readings"].status == "ok"


def test_without_a_driver_the_reason_stands_there_and_nothing_has_failed() -> None:
    found = of(init_error=12)
    assert list(found) == ["gpu"]
    assert found["gpu"].status == "absent"
    assert "no NVIDIA driver is installed here" in found["gpu"].text
    assert exit_code(list(found.values())) == 0


def test_what_a_gpu_hides_is_counted_and_why() -> None:
    """An L4 has no GPM, which is nobody's fault; a reading that needs rights is worth a word."""
    plain = of(l4())
    assert plain["gpu0.readings"].status == "ok"
    assert "no GPM" in plain["gpu0.readings"].text or ":" in plain["gpu0.readings"].text
    denied = of(h100(errors={"nvmlDeviceGetTotalEnergyConsumption": NO_PERMISSION}))
    assert denied["gpu0.readings"].status == "warn"
    assert "energy" in denied["gpu0.readings"].text
    assert denied["gpu0.readings"].fix


def test_neighbours_mig_and_a_container_are_warned_of() -> None:
    found = of(
        h100("GPU-1", mig=True, slices=[mig_slice()]), h100("GPU-2", processes=[(999_999_001, 1 << 30)])
    )
    assert found["gpu0.mig"].status == "warn"
    assert "1g.10gb" in found["gpu0.mig"].text
    assert found["gpu1.processes"].status == "warn"
    assert "999999001" in found["gpu1.processes"].text
    blind = of(h100(), blind="other processes cannot be told apart")
    assert blind["gpu0.processes"].status == "warn"
    assert "cannot be told apart" in blind["gpu0.processes"].text


def test_a_gpu_that_is_lost_fails() -> None:
    found = of(h100(errors={"nvmlDeviceGetUtilizationRates": GPU_IS_LOST}), h100("GPU-2"))
    assert found["gpu0"].status == "fail"
    assert found["gpu1"].status == "ok"


# -- backends and the terminal


USABLE = Availability("onnxruntime-cpu", "ort-cpu", True, version="1.31.1")
MISSING = Availability(
    "torch-eager", "torch", False, "torch is not installed", "pip install 'infertop[torch]'"
)


def test_one_usable_backend_is_enough_and_the_rest_say_what_they_need() -> None:
    found = by_id(backends.checks({}, lambda path: [USABLE, MISSING]))
    assert found["backend.onnxruntime-cpu"].status == "ok"
    assert found["backend.torch-eager"].status == "absent"
    assert found["backend.torch-eager"].fix == "pip install 'infertop[torch]'"
    assert exit_code(list(found.values())) == 0


def test_a_backend_that_cannot_measure_every_model_is_a_warning_and_nothing_has_failed() -> None:
    partly = Availability(
        "onnxruntime-cuda", "ort-cuda", True, version="1.31.1", device="cuda:0", warning="no cuDNN: convolutions fail", fix="pip install it",
    )  # fmt: skip
    found = by_id(backends.checks({}, lambda path: [partly]))
    check = found["backend.onnxruntime-cuda"]
    assert (check.status, check.text, check.fix) == (
        "warn", "1.31.1, measures on cuda:0; no cuDNN: convolutions fail", "pip install it",
    )  # fmt: skip
    assert exit_code(list(found.values())) == 0


def test_without_any_backend_nothing_can_be_measured() -> None:
    found = by_id(backends.checks({}, lambda path: [MISSING]))
    assert found["backends"].status == "fail"
    assert exit_code(list(found.values())) == 1


def test_an_interpreter_that_is_none_fails_and_the_others_are_asked() -> None:
    def probe(path: str | None) -> list[Availability]:
        if path == "/no/python":
            raise MeasureError(
                "python-missing", "the interpreter /no/python cannot be started", "give a Python"
            )
        return [USABLE]

    found = by_id(backends.checks({"old": "/no/python", "new": "/a/python"}, probe))
    assert found["python.old"].status == "fail"
    assert found["python.new"].status == "ok"
    assert found["backend.onnxruntime-cpu"].status == "ok"
    assert found["backend.onnxruntime-cpu@new"].status == "ok"
    assert "backend.onnxruntime-cpu@old" not in found


@pytest.mark.parametrize(
    ("size", "environment", "encoding", "statuses"),
    [
        ((120, 40), {"TERM": "xterm-256color"}, "utf-8", {"terminal": "ok", "terminal.glyphs": "ok"}),
        ((40, 10), {"TERM": "xterm"}, "utf-8", {"terminal": "warn", "terminal.glyphs": "ok"}),
        ((120, 40), {"TERM": "dumb"}, "ascii", {"terminal": "fail", "terminal.glyphs": "warn"}),
        (None, {}, "utf-8", {"terminal": "absent"}),
    ],
)
def test_a_terminal_is_judged_by_what_the_screen_needs(
    size: tuple[int, int] | None, environment: dict[str, str], encoding: str, statuses: dict[str, str]
) -> None:
    found = by_id(terminal.checks(size, environment, encoding))
    assert {name: check.status for name, check in found.items()} == statuses


def test_the_smallest_terminal_is_the_screens_own() -> None:
    from infertop.tui.layout import SMALLEST

    assert terminal.SMALLEST == SMALLEST


# -- the command


def test_table_and_document_say_the_same() -> None:
    found = [Check("a", "ok", "well"), Check("b", "absent", "not here", "fetch it")]
    lines = table(found)
    assert lines[1].split() == ["a", "ok", "well"]
    assert "not here; fetch it" in lines[2]
    assert document(found)["checks"][1] == {
        "id": "b",
        "status": "absent",
        "text": "not here",
        "fix": "fetch it",
    }


def test_the_command_on_this_machine(tmp_path: Path) -> None:
    """Real probes, real NVML or none: the document is whole, and the table goes to the same place where it may."""
    file = tmp_path / "doctor.json"
    done = subprocess.run(
        [sys.executable, "-m", "infertop", "doctor", "--json", str(file), "--sessions-dir", str(tmp_path / "s")],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = json.loads(file.read_text())
    assert done.returncode == int(any(check["status"] == "fail" for check in found["checks"]))
    assert found["schema"] == "infertop.doctor/1"
    subjects = {check["id"].partition(".")[0] for check in found["checks"]}
    assert {"host", "python", "backend", "terminal"} <= subjects
    assert all(set(check) == {"id", "status", "text", "fix"} and check["text"] for check in found["checks"])
    assert done.stdout.startswith("check ")
    assert "Traceback" not in done.stderr


def test_words_that_say_nothing_are_refused(tmp_path: Path) -> None:
    for words, said in (
        (["smallcnn"], "smallcnn needs --observer beside it"),
        (["--batch", "8"], "--batch needs --observer beside it"),
        (["--observer", "--duration", "5s"], "too short"),
        (["--observer", "--duration", "30"], "has no unit"),
        (["--json", str(tmp_path)], "is a directory"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "infertop", "doctor", *words],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode, done.stdout) == (2, ""), words
        assert said in done.stderr
