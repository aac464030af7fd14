"""`--backend-option KEY=VALUE` of the TensorRT backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import MeasureError
from .registry import nearest

NAMES = ("builder_optimization_level", "workspace_mib", "max_aux_streams", "cuda_graph")

_LEVELS = range(6)
_SWITCH = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


@dataclass(frozen=True)
class TrtOptions:
    """What decides an engine beside the model, and how it is run."""

    optimization_level: int | None = None  # 0 to 5; None: the library's own (3)
    workspace: int | None = None  # bytes of device memory that tactics may take; None: all
    max_aux_streams: int | None = None
    cuda_graph: bool = False  # of the run; the engine is the same

    def of_engine(self) -> dict[str, Any]:
        return {
            "optimization_level": self.optimization_level,
            "workspace": self.workspace,
            "max_aux_streams": self.max_aux_streams,
        }


def parse(asked: Mapping[str, str], backend: str) -> TrtOptions:
    """Raises MeasureError kind "usage" for what is not known."""
    level = workspace = streams = None
    graph = False
    for key, value in asked.items():
        if key == "builder_optimization_level":
            level = _number(key, value, _LEVELS.stop - 1)
        elif key == "max_aux_streams":
            streams = _number(key, value, 64)
        elif key == "workspace_mib":
            workspace = _number(key, value, 1 << 24) << 20
        elif key == "cuda_graph":
            if value.lower() not in _SWITCH:
                raise MeasureError("usage", f"--backend-option {key}={value} is not known", "give 1 or 0")
            graph = _SWITCH[value.lower()]
        else:
            near = nearest(key, NAMES)
            raise MeasureError(
                "usage",
                f"--backend-option {key}={value} is not known to {backend}",
                f"did you mean {near[0]}?" if near else f"known are {', '.join(NAMES)}",
            )
    return TrtOptions(level, workspace, streams, graph)


def _number(key: str, value: str, most: int) -> int:
    if not value.isdecimal() or int(value) > most:
        raise MeasureError("usage", f"--backend-option {key}={value} is not known", f"give 0 to {most}")
    return int(value)
