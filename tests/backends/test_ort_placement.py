"""Where nodes run, proven: by the installed onnxruntime's own record, by what it refuses, and in its own words where a provider is missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
from infertop.backends import cuda, ort_placement, ort_session
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.backends.ort_cuda import OnnxRuntimeCuda
from infertop.backends.ort_model import SMALLCNN, ModelFile
from infertop.tests.backends.fake_cuda import FakeCuda

FILE = ModelFile(str(SMALLCNN), "smallcnn")


@pytest.fixture
def captured() -> Iterator[None]:
    """Descriptor 2 is a file, as it is in a worker."""
    before = os.dup(2)
    with tempfile.TemporaryFile(mode="a+b") as file:
        os.dup2(file.fileno(), 2)
        yield
        os.dup2(before, 2)
        os.close(before)


def starts_here() -> bool:
    session = onnxruntime.InferenceSession(FILE.path, providers=[ort_placement.CUDA, ort_placement.CPU])
    return ort_placement.CUDA in session.get_providers()


@pytest.mark.skipif(
    ort_placement.CUDA not in onnxruntime.get_available_providers() or starts_here(),
    reason="needs an onnxruntime-gpu whose CUDA provider cannot start",
)
def test_a_real_provider_that_cannot_start_is_said_with_its_cause(
    captured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed's own trap: the runtime goes on on the CPU, and says why only on a descriptor that nobody reads."""
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(FakeCuda()))
    backend = OnnxRuntimeCuda()
    loaded = backend.load(Configuration("onnxruntime-cuda", "smallcnn", device="cuda:0"), lambda phase: None)
    backend.close()
    assert loaded.fallback is not None
    assert loaded.fallback.message.startswith("the CUDA provider did not start (lib")
    assert loaded.fallback.message.endswith(" cannot be loaded): everything runs on the CPU")
    assert loaded.fallback.detail.startswith(
        "Failed to load library libonnxruntime_providers_cuda.so with error: lib"
    )
    assert "install" in loaded.fallback.fix
    assert loaded.placement is not None
    assert set(loaded.placement) == {ort_placement.CPU}


class Older:
    """An onnxruntime that keeps no record of the placement; `refuses` says whether it refuses a session with nodes on the CPU."""

    def __init__(self, version: str, refuses: bool) -> None:
        self.__version__ = version
        self.asked: list[bool] = []
        older = self

        class InferenceSession:
            def __init__(self, path: str, options: dict[str, str], **_: Any) -> None:
                strict = options.get(ort_placement.NO_CPU) == "1"
                older.asked.append(strict)
                if strict and refuses:
                    raise RuntimeError(
                        "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the default CPU EP,"
                        " but fallback to CPU EP has been explicitly disabled by the user."
                    )

            def disable_fallback(self) -> None: ...

        self.InferenceSession = InferenceSession


class Entries(dict[str, str]):
    def add_session_config_entry(self, key: str, value: str) -> None:
        self[key] = value


@pytest.mark.parametrize(
    ("version", "refuses", "asked", "proven"),
    [
        ("1.20.1", False, [True], True),  # it made one that takes nothing on the CPU: nothing is there
        ("1.20.1", True, [True, False], False),
        ("1.14.0", False, [False], False),  # it would have ignored the question
    ],
)
def test_without_a_record_the_runtime_is_asked_for_a_session_without_the_cpu(
    version: str, refuses: bool, asked: list[bool], proven: bool
) -> None:
    older = Older(version, refuses)
    _, unproven = ort_placement.create(older, FILE, Entries, [ort_placement.CUDA])
    assert older.asked == asked
    assert (unproven is None) is proven
    if unproven is not None:
        assert "unknown" in unproven
    session = SimpleNamespace(get_providers=lambda: [ort_placement.CUDA])
    assert ort_placement.fallen_back(session, None, None) is None


def test_the_installed_runtime_refuses_nodes_on_the_cpu_in_words_that_are_known() -> None:
    options = ort_session.session_options(onnxruntime, {ort_placement.NO_CPU: "1"}, 1)
    options.log_severity_level = 4
    with pytest.raises(MeasureError, match="run on the CPU") as caught:
        ort_session.create(onnxruntime, FILE, options, [ort_placement.CPU])
    assert caught.value.kind == "unsupported"
