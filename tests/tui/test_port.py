"""What the screen makes of a model that is chosen while another is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.sessions import launch
from infertop.sessions.plan import Task
from infertop.sessions.settings import EngineSettings
from infertop.tui.session_port import LivePort


def test_weights_of_one_model_do_not_go_to_a_file_that_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be refused, and nobody could take them away again on the screen."""

    def nothing_to_start(settings: Any) -> None:
        raise MeasureError("test", "no engine is needed here")

    monkeypatch.setattr(launch, "launch", nothing_to_start)
    (tmp_path / "m.onnx").touch()
    given = Options(weights="w.pt", seed=3, working_directory=str(tmp_path))
    port = LivePort(EngineSettings(task=Task(Configuration("torch-eager", "resnet18", options=given))))
    assert port.configuration("mobilenet_v2").options == given
    chosen = port.configuration("m.onnx").options
    assert (chosen.weights, chosen.seed) == (None, 3)
