"""What a check says, and all of them as a table and as a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ... import __version__
from .. import lines, texts

SCHEMA = "infertop.doctor/1"

Status = Literal["ok", "warn", "fail", "absent"]


@dataclass(frozen=True, slots=True)
class Check:
    """`warn`: it measures, but not as well as it could. `fail`: what infertop is for cannot be done. `absent`: it is not here, and nothing
    is wrong with that."""

    id: str  # "host.quota", "gpu0.mig", "backend.tensorrt"
    status: Status
    text: str  # what was found
    fix: str = ""


def exit_code(checks: Sequence[Check]) -> int:
    """1 where one failed, else 0."""
    return int(any(check.status == "fail" for check in checks))


def document(checks: Sequence[Check]) -> dict[str, Any]:
    return {"schema": SCHEMA, "infertop": __version__, "checks": [asdict(check) for check in checks]}


def table(checks: Sequence[Check]) -> list[str]:
    """Lines: what, how it is, what was found and what to do."""
    rows = [("check", "status", "what was found, and what to do")]
    rows += [
        (
            check.id,
            "–" if check.status == "absent" else check.status,
            texts.line(lines.sentence(check.text, check.fix)),
        )
        for check in checks
    ]
    return lines.table(rows, (False, False, False))
