"""Suites: several models measured by one command, `infertop run --suite NAME`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..backends import registry
from ..backends.errors import MeasureError
from .options import Words


@dataclass(frozen=True, slots=True)
class Suite:
    """What `--suite` stands for; an option that is given beside it counts instead."""

    name: str
    models: tuple[str, ...]
    backend: str
    batch: str
    compile_mode: str


SUITES = (Suite("seed", ("smallcnn", "resnet18", "mobilenet_v2"), "all", "32", "max-autotune"),)
"""`seed` is the table that docs/seed.md compares: its published figures are of batch 32, and of torch.compile in the mode max-autotune."""


def resolve(name: str) -> Suite:
    """Raises MeasureError of kind `usage`."""
    names = [suite.name for suite in SUITES]
    if name not in names:
        near = registry.nearest(name, names)
        fix = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
        raise MeasureError("usage", f"there is no suite {name}", fix)
    return SUITES[names.index(name)]


def completed(suite: Suite, words: Words) -> Words:
    """The words with what the suite adds to them."""
    return replace(
        words,
        backend=words.backend or suite.backend,
        batch=words.batch or suite.batch,
        compile_mode=words.compile_mode or suite.compile_mode,
    )
