"""Whether torch is compiled anew at each start, as container images have it that keep no compiled files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import util
from pathlib import Path

from .checks import Check

VARIABLE = "PYTHONDONTWRITEBYTECODE"


def installed() -> Path | None:
    """torch's own file under this interpreter, without an import; None where there is none."""
    spec = util.find_spec("torch")
    return Path(spec.origin) if spec is not None and spec.origin else None


def checks(environment: Mapping[str, str], torch: Path | None) -> Iterator[Check]:
    """Nothing where torch is absent or compiled, or where the first start will keep what it compiles."""
    if not environment.get(VARIABLE) or torch is None or Path(util.cache_from_source(torch)).exists():
        return
    yield Check(
        "python.bytecode",
        "warn",
        # On an H100 machine torch took 8 to 11 s to import so, and 2 to 3 s compiled.
        f"{VARIABLE} is set and torch lies here uncompiled: each worker compiles it anew, and starts three times as slowly",
        f"python -m compileall -q {torch.parent}",
    )
