"""Which verdict stood from when on: the timeline of a session, live as in a replay."""

from __future__ import annotations

from dataclasses import dataclass

from .records import Verdict
from .texts import cleaned


@dataclass(frozen=True, slots=True)
class Standing:
    """From `t` on (ns, session time) another verdict stands than before."""

    t: int
    kind: str
    run: int


def standing(before: Standing | None, t: int, verdict: Verdict) -> Standing | None:
    """What begins with this verdict; None where the same stands on, whichever run it was of."""
    kind = cleaned(verdict).kind
    return None if before is not None and before.kind == kind else Standing(t, kind, verdict.run)
