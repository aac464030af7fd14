"""Which backends, and under which interpreters: what `--backend` and `--python` name, and what can be used there."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..backends import models, registry
from ..backends.errors import MeasureError
from ..backends.probes import Availability
from .plan import Choice, Skipped

Environments = Mapping[str, str]
"""Interpreters by label, as the engine gets them: "" is the default, a backend's full name that backend's,
any other word what
`backend@word` means."""

Probe = Callable[[str | None], Sequence[Availability]]


def environments(words: Sequence[str]) -> dict[str, str]:
    """`PATH` for all, `BACKEND=PATH` for one backend, `LABEL=PATH` for those written `backend@LABEL`.

    Paths are made absolute but links are kept: a virtual environment is found by the link that started it.
    """
    found: dict[str, str] = {}
    for word in words:
        key, path = parts(word)
        if word.startswith("=") or not re.fullmatch(r"[A-Za-z0-9_.-]*", key):
            raise MeasureError(
                "usage",
                f"--python {word!r}: {key!r} is no label",
                "letters, digits, dots, dashes and underscores",
            )
        if key in found:
            raise MeasureError(
                "usage", f"--python names {key or 'the default interpreter'} twice", "give each once"
            )
        found[key] = _interpreter(path)
    return found


def parts(word: str) -> tuple[str, str]:
    """A value of `--python` as the key of `Environments` and the path."""
    left, equals, path = word.partition("=")
    if not equals or "/" in left or "\\" in left:
        return "", word
    backends = {name: info.name for info in registry.all_backends() for name in (info.name, info.short)}
    return backends.get(left, left), path


def _interpreter(path: str) -> str:
    place = Path(path).expanduser()
    if place.is_dir():
        inside = place / "bin" / "python"
        fix = f"did you mean {inside}?" if inside.exists() else "give the interpreter itself"
        raise MeasureError("usage", f"--python {path} is a directory", fix)
    found = shutil.which(str(place))
    if found is None:
        raise MeasureError(
            "usage",
            f"--python {path}: there is no program of that name",
            "give the path of a Python 3.10 or later",
        )
    return os.path.abspath(found)


def choose(
    text: str | None,
    model: models.Model,
    interpreters: Environments,
    probe: Probe,
    device: str | None = None,
) -> tuple[list[Choice], list[Skipped]]:
    """The backends of a comma list, and those that `all` leaves out; None is the model's default among the usable."""
    probe = functools.cache(probe)
    if text is None:
        usable = {a.name for a in available("", interpreters, probe) if a.usable}
        return [_choice(models.default_backend(model, usable), "", interpreters, probe, device)], []
    choices: list[Choice] = []
    skipped: list[Skipped] = []
    for word in text.split(","):
        name, label = _word(word, interpreters)
        if name != "all":
            choices.append(_choice(name, label, interpreters, probe, device))
            continue
        for found in available(label, interpreters, probe):
            elsewhere = _runs_elsewhere(found.name, device)
            if elsewhere:
                skipped.append(Skipped(found.name, elsewhere))
            elif found.usable:
                choices.append(_choice(found.name, label, interpreters, probe, device))
            else:
                skipped.append(Skipped(found.name, found.reason, found.fix))
    if not choices:
        why = "; ".join(f"{s.backend}: {s.reason}" for s in skipped)
        raise MeasureError(
            "backend-missing", f"no backend can be used here: {why}", "infertop backends says what each needs"
        )
    return choices, skipped


def first(text: str | None, interpreters: Environments, device: str | None = None) -> Choice:
    """The first backend of the list. What is left open, backend or device, is "", and the engine chooses: the screen waits for no probe."""
    name, label = _word((text or "all").split(",")[0], interpreters)
    if name == "all":
        return Choice("", device or "", label or None)
    return Choice(name, device or "", _environment(name, label, interpreters))


def _word(word: str, interpreters: Environments) -> tuple[str, str]:
    """`NAME[@LABEL]` as (full name or "all", label or "")."""
    name, at, label = word.strip().partition("@")
    if at and label not in interpreters:
        near = registry.nearest(label, [known for known in interpreters if known])
        fix = f"did you mean {name}@{near[0]}?" if near else f"add --python {label or 'LABEL'}=PATH"
        raise MeasureError("usage", f"--backend {word.strip()}: @{label} names no interpreter", fix)
    return (name if name == "all" else registry.resolve(name).name), label


def _choice(name: str, label: str, interpreters: Environments, probe: Probe, device: str | None) -> Choice:
    info = registry.resolve(name)
    return Choice(
        info.name,
        device or _device(info, label, interpreters, probe),
        _environment(name, label, interpreters),
    )


def _environment(name: str, label: str, interpreters: Environments) -> str | None:
    return label or (name if name in interpreters else None)


def _device(info: registry.BackendInfo, label: str, interpreters: Environments, probe: Probe) -> str:
    """Where a backend measures when nobody named a device: what could use a GPU does, where the probe finds one."""
    if info.device != "any":
        return "cpu" if info.device == "cpu" else "cuda:0"
    found = available(label, interpreters, probe)
    return next((a.device for a in found if a.name == info.name), "cpu")


def _runs_elsewhere(backend: str, device: str | None) -> str:
    """Why `all` on that device does not mean this backend; empty where it does."""
    kind = registry.resolve(backend).device
    if device is None or kind in ("any", device.partition(":")[0]):
        return ""
    return f"it does not run on {device}"


def available(label: str, interpreters: Environments, probe: Probe) -> list[Availability]:
    """What can be used, each backend asked under the interpreter that would measure it."""
    found = list(probe(interpreters.get(label)))
    for i, backend in enumerate(found):
        if not label and backend.name in interpreters:
            own = probe(interpreters[backend.name])
            found[i] = next((a for a in own if a.name == backend.name), backend)
    return found


def listing(interpreters: Environments, probe: Probe) -> list[tuple[str, Availability]]:
    """Every backend as it would be named, `backend@label` included, and what its interpreter says of it."""
    own = {info.name for info in registry.all_backends()}
    labels = ["", *(label for label in interpreters if label and label not in own)]
    return [
        (f"{found.name}@{label}" if label else found.name, found)
        for label in labels
        for found in available(label, interpreters, probe)
    ]
