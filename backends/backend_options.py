"""`--backend-option [BACKEND:]KEY=VALUE`: which backend takes which option, known without importing a runtime.

A configuration carries all that was asked, so that a switch to another backend finds its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import registry
from .configuration import Configuration
from .errors import MeasureError


@dataclass(frozen=True)
class Asked:
    """One option as it was asked for; `scope` is a backend's full name, or empty for all that know the key."""

    scope: str
    key: str
    value: str

    @property
    def text(self) -> str:
        return f"{self.scope}:{self.key}={self.value}" if self.scope else f"{self.key}={self.value}"

    def meant(self, backend: str) -> bool:
        return self.scope == backend if self.scope else knows(backend, self.key)


@dataclass(frozen=True)
class _Known:
    names: tuple[str, ...]
    prefixes: tuple[str, ...] = ()


@functools.cache
def _known() -> dict[str, _Known]:
    """Of our own backends; another distribution's takes what it likes. Imported when an option is given: a screen starts without."""
    from . import ort_options, ort_session, torch_eager, trt_options, trt_ort

    session, prefixes = ort_session.SESSION_OPTIONS, ort_session.SESSION_PREFIXES
    torch, tensorrt = _Known(torch_eager.OPTIONS), _Known(trt_options.NAMES)
    return {
        "torch-eager": torch,
        "torch-compile": torch,
        "onnxruntime-cpu": _Known(session, prefixes),
        "onnxruntime-cuda": _Known((*session, *ort_options.NAMES), prefixes),
        "onnxruntime-tensorrt": _Known((*session, *trt_ort.PROVIDER_OPTIONS), prefixes),
        "tensorrt": tensorrt,
        "tensorrt-rtx": tensorrt,
    }


def parse(word: str) -> Asked:
    """Raises MeasureError kind "usage"."""
    left, equals, value = word.partition("=")
    scope, colon, key = left.rpartition(":")
    if not equals or not key.strip() or (colon and not scope.strip()):
        raise MeasureError(
            "usage", f"--backend-option {word!r} is not [BACKEND:]KEY=VALUE", "write it like KEY=1"
        )
    return Asked(registry.resolve(scope.strip()).name if colon else "", key.strip(), value.strip())


def knows(backend: str, key: str) -> bool:
    known = _known().get(backend)
    return known is None or key in known.names or key.startswith(known.prefixes or ("\0",))


def fitted(configuration: Configuration) -> Configuration:
    """With those of the asked options that its backend takes; as it is where none was asked for."""
    options = configuration.options
    if not options.asked_options:
        return configuration
    asked = [parse(word) for word in options.asked_options]
    # A scoped one has the last word.
    found = {
        one.key: one.value
        for one in sorted(asked, key=lambda a: bool(a.scope))
        if one.meant(configuration.backend)
    }
    return dataclasses.replace(configuration, options=dataclasses.replace(options, backend_options=found))


def check(configurations: Sequence[Configuration], skipped: Sequence[str] = ()) -> None:
    """Raises MeasureError kind "usage" for an option that no backend here takes, and for a value that one would refuse.

    `skipped` are backends that may be meant too: that cannot be used here, or that come later. One that is left open ("") may be any.
    """
    if not configurations or not configurations[0].options.asked_options:
        return
    given = [(one.scope, one.key) for one in map(parse, configurations[0].options.asked_options)]
    for scope, key in given:
        if given.count((scope, key)) > 1:
            name = f"{scope}:{key}" if scope else key
            raise MeasureError("usage", f"--backend-option {name} is given twice", "give it one value")
    named = list(dict.fromkeys(c.backend for c in configurations))
    anything = [info.name for info in registry.all_backends()]
    possible = [*named, *skipped] if "" not in named else anything
    for one in map(parse, configurations[0].options.asked_options):
        if one.scope and one.scope not in possible:
            raise MeasureError(
                "usage",
                f"--backend-option {one.text} is for {one.scope}, which is not measured",
                f"add it to --backend, or leave the option out; measured: {', '.join(named)}",
            )
        takers = [one.scope] if one.scope else possible
        if not any(knows(backend, one.key) for backend in takers):
            raise _unknown(one, takers)
    for configuration in map(fitted, configurations):
        if configuration.backend in _known():
            _check_values(
                configuration.backend, configuration.precision, configuration.options.backend_options
            )


def notes(configurations: Sequence[Configuration]) -> list[str]:
    """Which backends of a command do without an option, a sentence for each."""
    found = []
    named = list(dict.fromkeys(c.backend for c in configurations))
    for one in map(parse, configurations[0].options.asked_options if configurations else ()):
        without = [backend for backend in named if not one.scope and not one.meant(backend)]
        if without:
            words = "has no such option and is" if len(without) == 1 else "have no such option and are"
            found.append(f"--backend-option {one.text}: {', '.join(without)} {words} measured without it")
    return found


def _unknown(one: Asked, takers: Sequence[str]) -> MeasureError:
    if one.key == "intra_op_num_threads" and any(name.startswith("onnxruntime") for name in takers):
        return MeasureError("usage", f"--backend-option {one.text} is what --threads sets", "use --threads N")
    from . import trt_ort

    if (refusal := trt_ort.refusal(one.key)) is not None:
        return refusal
    names = sorted({name for backend in takers if backend in _known() for name in _known()[backend].names})
    near = registry.nearest(one.key, names)
    who = takers[0] if len(takers) == 1 else f"any of {', '.join(takers)}"
    return MeasureError(
        "usage",
        f"--backend-option {one.text} is not known to {who}",
        f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}",
    )


def _check_values(backend: str, precision: str, asked: Mapping[str, str]) -> None:
    """What can be told of values without the runtime."""
    from . import ort_options, ort_session, torch_eager, trt_options, trt_ort

    if backend in ("torch-eager", "torch-compile"):
        torch_eager.switch("channels_last", asked.get("channels_last", "0"))
    elif backend in ("tensorrt", "tensorrt-rtx"):
        trt_options.parse(asked, backend)
    elif backend == "onnxruntime-cuda":
        for_session, for_provider = ort_session.split_options(asked, ort_options.NAMES)
        ort_options.checked(for_provider, precision)
        ort_session.check_session(for_session, ort_options.NAMES)
    else:
        provider = trt_ort.PROVIDER_OPTIONS if backend == "onnxruntime-tensorrt" else ()
        ort_session.check_session(ort_session.split_options(asked, provider)[0], provider)
