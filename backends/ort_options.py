"""Options of ONNX Runtime's CUDA provider that `--backend-option` passes on: which there are, and which values they take.

The provider itself ignores what it does not know, and reads a wrong value as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping

from .errors import MeasureError

SWITCH = {"1": "1", "0": "0", "true": "1", "false": "0"}

_CHOICES = {
    "cudnn_conv_algo_search": {name: name for name in ("EXHAUSTIVE", "HEURISTIC", "DEFAULT")},
    "arena_extend_strategy": {name: name for name in ("kNextPowerOfTwo", "kSameAsRequested")},
}
_NUMBERS = ("gpu_mem_limit", "sdpa_kernel")
_SWITCHES = (
    "cudnn_conv1d_pad_to_nc1d", "cudnn_conv_use_max_workspace", "do_copy_in_default_stream", "enable_cuda_graph",
    "enable_skip_layer_norm_strict_mode", "fuse_conv_bias", "prefer_nhwc", "tunable_op_enable",
    "tunable_op_tuning_enable", "use_ep_level_unified_stream", "use_tf32",
)  # fmt: skip

NAMES = tuple(sorted((*_CHOICES, *_NUMBERS, *_SWITCHES)))


def checked(asked: Mapping[str, str], precision: str) -> dict[str, str]:
    """Those of the options that are the provider's, as it spells their values. Raises MeasureError kind "usage"."""
    found: dict[str, str] = {}
    for key, value in asked.items():
        if key == "use_tf32" and precision != "native":
            raise MeasureError(
                "usage",
                f"--backend-option use_tf32 is decided by --precision {precision}",
                "use --precision tf32 or fp32 without it, or --precision native with it",
            )
        if key in _NUMBERS:
            if not value.isdecimal() or int(value) >= 1 << 63:
                raise MeasureError(
                    "usage", f"--backend-option {key}={value} is no number", f"write it like {key}=1000000000"
                )
            found[key] = value
        elif key in _CHOICES or key in _SWITCHES:
            choices = _CHOICES.get(key, SWITCH)
            spelled = {name.lower(): real for name, real in choices.items()}
            if value.lower() not in spelled:
                raise MeasureError(
                    "usage",
                    f"--backend-option {key}={value} is not known",
                    f"use one of {', '.join(choices)}",
                )
            found[key] = spelled[value.lower()]
    return found


def uses_graphs(asked: Mapping[str, str]) -> bool:
    """Whether requests are replays of a CUDA graph."""
    return SWITCH.get(asked.get("enable_cuda_graph", "0").lower()) == "1"
