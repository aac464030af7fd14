"""The one error that a person may cause: what happened, in one sentence, and what to do about it."""

from __future__ import annotations

from typing import Any

UNAVAILABLE = frozenset(
    {"unsupported", "backend-missing", "python-missing", "probe-failed", "no-gpu", "no-driver"}
)
"""Kinds of error that say that the configuration cannot exist here; any other is a failure of something that
might have worked."""

UNUSABLE = frozenset({"backend-missing", "no-driver"})
"""Those of them that say it of a part of the environment, whatever the backend is asked to measure: another may do without."""


class MeasureError(Exception):
    """Something named could not be measured.

    `kind` is a stable word for scripts (`model-not-found`, `shape`, `backend-missing`, `worker-killed`, …), `message` one sentence
    that says what and where, `fix` one sentence that says what to do, `detail` the runtime's own words (may be long or empty).
    """

    def __init__(self, kind: str, message: str, fix: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.fix = fix
        self.detail = detail

    def as_dict(self) -> dict[str, Any]:
        """The form in which it travels in messages, records and JSON."""
        return {"kind": self.kind, "message": self.message, "fix": self.fix, "detail": self.detail}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> MeasureError:
        return cls(value["kind"], value["message"], value.get("fix", ""), value.get("detail", ""))
