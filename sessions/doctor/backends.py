"""The interpreters, and what each backend's probe says under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...backends.errors import MeasureError
from ..interpreters import Probe, listing
from .checks import Check


def checks(environments: Mapping[str, str], probe: Probe) -> Iterator[Check]:
    """`environments` as --python named them: label → interpreter; without one it is infertop's own."""
    answers = {}
    for label in {"": None, **environments}:
        name, path = f"python{f'.{label}' if label else ''}", environments.get(label)
        try:
            answers[path] = probe(path)
        except MeasureError as error:
            yield Check(name, "fail", error.message, error.fix)
        else:
            yield Check(name, "ok", path or "infertop's own interpreter")
    asked = {label: path for label, path in environments.items() if path in answers}
    if not answers or environments.get("") not in answers:
        return
    found = listing(asked, lambda path: answers[path])
    for name, backend in found:
        if backend.usable:
            text = f"{backend.version or 'usable'}, measures on {backend.device}"
            if backend.warning:
                yield Check(f"backend.{name}", "warn", f"{text}; {backend.warning}", backend.fix)
            else:
                yield Check(f"backend.{name}", "ok", text)
        else:
            yield Check(f"backend.{name}", "absent", backend.reason, backend.fix)
    if not any(backend.usable for _, backend in found):
        fix = "pip install 'infertop[onnx]', or name an interpreter that has a runtime with --python"
        yield Check("backends", "fail", "no backend can be used here: nothing can be measured", fix)
