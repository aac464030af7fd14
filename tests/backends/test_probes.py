"""Probes: what is usable in an interpreter, said without importing a runtime."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import infertop
import numpy as np
import onnxruntime
import pytest
from infertop.backends import cuda, libraries, probes, registry
from infertop.tests.backends.fake_cuda import FakeCuda

PRELUDE = """
import sys
assert "torch" not in sys.modules and "onnxruntime" not in sys.modules
from infertop.backends import probes
probes.main()
loaded = {"torch", "torchvision", "onnxruntime", "onnx"} & set(sys.modules)
assert not loaded, loaded
"""


def probe_in(code: str, *flags: str) -> dict[str, dict[str, object]]:
    root = str(Path(infertop.__file__).parent)
    register = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("infertop", {root!r} + "/__init__.py", submodule_search_locations=[{root!r}])
sys.modules["infertop"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
    done = subprocess.run(
        [sys.executable, *flags, "-c", register + code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_whether_anything_is_usable_is_known_without_a_look_at_the_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def untouched() -> None:
        raise AssertionError("the driver was asked")

    monkeypatch.setattr(cuda, "load", untouched)
    assert probes.any_usable(), "onnxruntime and torch are installed here"


def test_a_base_installation_has_nothing_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    hidden = ("torch", "onnxruntime", "tensorrt", "tensorrt_rtx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in hidden else found(name))
    monkeypatch.setattr(
        probes, "all_backends", lambda: [i for i in registry.all_backends() if i.name in probes._PROBES]
    )
    assert not probes.any_usable()


def test_what_is_installed_is_usable_and_nothing_is_imported_to_know_it() -> None:
    found = probe_in(PRELUDE)
    assert found["onnxruntime-cpu"]["usable"]
    assert found["onnxruntime-cpu"]["version"]
    assert found["torch-eager"]["usable"]


def test_a_bare_interpreter_is_told_what_to_install() -> None:
    # Without site-packages, as a fresh virtual environment would be; numpy is not needed to probe.
    found = probe_in(PRELUDE, "-S", "-E")
    assert not any(line["usable"] for line in found.values())
    assert found["torch-eager"]["reason"] == "torch is not installed"
    assert found["torch-eager"]["fix"] == "pip install 'infertop[torch]'"
    assert found["onnxruntime-cpu"]["fix"] == "pip install 'infertop[onnx]'"


def test_probes_come_in_the_registry_s_order() -> None:
    names = [found.name for found in probes.probe_all()]
    assert names[:4] == ["torch-eager", "torch-compile", "onnxruntime-cpu", "onnxruntime-cuda"]


def capi(folder: Path, provider: bool) -> Path:
    folder.mkdir()
    (folder / "build_and_package_info.py").write_text("package_name = 'onnxruntime'\n__version__ = '9.9.9'\n")
    if provider:
        (folder / "libonnxruntime_providers_cuda.so").write_bytes(b"")
    return folder


def cuda_probe() -> probes.Availability:
    return probes.probe(registry.resolve("onnxruntime-cuda"))


def test_an_onnxruntime_without_cuda_is_told_from_two_that_hide_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = capi(tmp_path / "capi", provider=False)
    monkeypatch.setattr(probes, "onnxruntime_folder", lambda: folder)
    monkeypatch.setattr(probes, "version_of", lambda *names: "9.9.9" if names == ("onnxruntime",) else None)
    assert cuda_probe().reason == "this onnxruntime has no CUDA provider"
    monkeypatch.setattr(probes, "version_of", lambda *names: "9.9.9")
    found = cuda_probe()
    assert "both are installed" in found.reason
    assert found.fix.startswith("pip uninstall")
    assert found.version == "9.9.9"


def test_a_missing_cuda_library_and_a_missing_gpu_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = capi(tmp_path / "capi", provider=True)
    monkeypatch.setattr(probes, "onnxruntime_folder", lambda: folder)
    fake = FakeCuda()
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    monkeypatch.setattr(libraries, "missing", lambda path: [])
    assert cuda_probe().usable
    assert cuda_probe().device == "cuda:0"
    monkeypatch.setattr(libraries, "missing", lambda path: ["libcublasLt.so.13"])
    assert cuda_probe().reason == "libcublasLt.so.13 cannot be loaded"
    assert "pip install" in cuda_probe().fix
    assert cuda_probe().falls_back, "onnxruntime starts, and runs on the CPU"
    fake.devices = 0
    assert cuda_probe().reason == "CUDA sees no GPU"
    assert not cuda_probe().falls_back, "our worker asks the driver first"


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An onnxruntime-gpu whose provider does not list cuDNN among what it needs, on a machine with a GPU; its site-packages."""
    (tmp_path / "onnxruntime").mkdir()
    folder = capi(tmp_path / "onnxruntime" / "capi", provider=False)
    real = next(Path(np.__file__).parent.glob("_core/_multiarray_umath*.so"))
    (folder / "libonnxruntime_providers_cuda.so").write_bytes(real.read_bytes())
    monkeypatch.setattr(probes, "onnxruntime_folder", lambda: folder)
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(FakeCuda()))
    monkeypatch.setattr(libraries, "missing", lambda path: [])
    monkeypatch.setattr(libraries, "_loads", lambda name: False)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="ELF files are Linux's")
@pytest.mark.parametrize("library", ["libcudnn.so.9", "libcudnn.so"])
@pytest.mark.parametrize("place", ["nvidia/cudnn/lib", "onnxruntime/capi", "system", "loader"])
def test_a_cudnn_that_the_first_convolution_would_miss_is_a_warning(
    library: str, place: str, provider: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cuda_probe()
    assert found.usable, "a model without convolutions is measured"
    assert found.device == "cuda:0"
    assert (
        found.warning
        == "libcudnn.so.9 cannot be loaded: a model with convolutions fails at its first request"
    )
    assert "pip install 'nvidia-cudnn-cu13>=9,<10'" in found.fix
    if place == "loader":
        monkeypatch.setattr(libraries, "_loads", lambda name: name == library)
    else:
        folder = provider / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / library).touch()
        if place == "system":
            monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{folder}")
    found = cuda_probe()
    assert (found.usable, found.warning, found.fix) == (True, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="ELF files are Linux's")
def test_the_cudnn_to_install_is_that_of_the_build_s_cuda(provider: Path) -> None:
    with (provider / "onnxruntime" / "capi" / "build_and_package_info.py").open("a") as file:
        file.write("cuda_version = '12.8'\n")
    assert "nvidia-cudnn-cu12>=9,<10" in cuda_probe().fix


@pytest.mark.parametrize("needs", [[], ["libc.so.6", "libcudnn.so.9"]])
def test_a_provider_that_lists_its_cudnn_or_cannot_be_read_is_not_guessed_at(
    needs: list[str], provider: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader itself misses it then, and the provider does not start: that is `missing`'s to say."""
    monkeypatch.setattr(libraries, "needed", lambda path: needs)
    assert cuda_probe().warning == ""


def test_the_installed_provider_s_own_file_tells_how_it_finds_cudnn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime 1.31 opens it late; an earlier one lists it, and does not start without."""
    place = probes.onnxruntime_folder()
    library = place / "libonnxruntime_providers_cuda.so" if place else None
    if library is None or not library.is_file():
        pytest.skip("this onnxruntime has no CUDA provider")
    monkeypatch.setattr(libraries, "_loads", lambda name: False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    listed = any(name.startswith("libcudnn") for name in libraries.needed(library))
    warning, _ = probes._without_cudnn(tmp_path / "onnxruntime" / "capi", library)
    assert bool(warning) is not listed


@pytest.mark.skipif(
    not hasattr(onnxruntime, "preload_dlls"), reason="this onnxruntime finds no wheels by itself"
)
def test_the_installed_onnxruntime_looks_for_the_cudnn_that_the_probe_knows() -> None:
    assert f'"nvidia", "cudnn", "lib", "{probes._CUDNN[0]}"' in Path(onnxruntime.__file__).read_text()


@pytest.mark.parametrize(
    ("driver", "build", "usable"), [(12020, "12.8", True), (11080, "12.8", False), (12080, "13.0", False), (13000, "12.8", True)]
)  # fmt: skip
def test_a_driver_of_an_earlier_cuda_than_the_build_s_is_too_old(
    driver: int, build: str, usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a major version of CUDA an older driver does; "CUDA failure 35" comes from an earlier one."""
    folder = capi(tmp_path / "capi", provider=True)
    with (folder / "build_and_package_info.py").open("a") as file:
        file.write(f"cuda_version = '{build}'\n")
    monkeypatch.setattr(probes, "onnxruntime_folder", lambda: folder)
    monkeypatch.setattr(libraries, "missing", lambda path: [])
    fake = FakeCuda()
    fake.version = driver
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    found = cuda_probe()
    assert found.usable is usable
    if not usable:
        assert f"built for CUDA {build}" in found.reason
        assert "update the driver" in found.fix
        assert not found.falls_back


@pytest.mark.skipif(sys.platform != "linux", reason="ELF files are Linux's")
def test_needed_libraries_are_read_from_a_library_s_own_list() -> None:
    library = next(Path(np.__file__).parent.glob("_core/_multiarray_umath*.so"))
    assert "libc.so.6" in libraries.needed(library)
    assert "libc.so.6" not in libraries.missing(library)
    assert libraries.needed(Path(__file__)) == []


def test_torch_measures_on_the_gpu_where_it_has_one_and_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = registry.resolve("torch-eager")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    version = tmp_path / "torch" / "version.py"
    fake = FakeCuda()
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    version.write_text("__version__ = '2.14.1+cu130'\ncuda: Optional[str] = '13.0'\n")
    assert probes.probe(info).device == "cuda:0"
    fake.devices = 0
    assert probes.probe(info).device == "cpu"
    fake.devices = 1
    version.write_text("__version__ = '2.14.1+cpu'\ncuda: Optional[str] = None\n")
    assert probes.probe(info).device == "cpu"
