"""Text that a session file or a runtime brings, made safe to show: what a terminal would obey is taken out, lengths are capped.

A session may come from anyone. Escape sequences, control characters and those that reverse the direction of reading never reach a screen.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

LINE_LIMIT = 1000
BLOCK_LIMIT = 64 * 1024
_DEPTH_LIMIT = 32
_RECORD_LIMIT = 256 * 1024  # bytes of JSON; a larger record is capped piece by piece

_SEQUENCES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
# C0 but tab and newline, DEL, C1; zero width and direction; what is half of a character.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
# The same in JSON: escaped or as UTF-8.
_SUSPECT = re.compile(
    rb"\\[nrtbfu]|\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8b\x8e\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf"
)
_BLOCKS = ("detail",)  # keys of text that has lines of its own
_LINES = ("text", "message", "fix", "note", "reason")

T = TypeVar("T")


def line(text: str, limit: int = LINE_LIMIT) -> str:
    """`text` as one line without anything that a terminal would obey, at most `limit` characters."""
    if not text.isprintable():
        text = " ".join(_CONTROLS.sub("", _SEQUENCES.sub("", text).replace("\r", "\n")).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def block(text: str, limit: int = BLOCK_LIMIT) -> str:
    """The same for text of several lines: newlines and tabs stay, of what is too long the end does."""
    if not text.isprintable():
        text = _SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
        text = _CONTROLS.sub("", text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def plain(value: Any, key: str = "", depth: int = 0) -> Any:
    """JSON-like data with every text in it cleaned; what is nested too deeply becomes null."""
    if isinstance(value, str):
        if key in _BLOCKS:
            return block(value)
        return line(value, LINE_LIMIT if key in _LINES else BLOCK_LIMIT)
    if depth > _DEPTH_LIMIT:
        return None
    if isinstance(value, dict):
        return {line(str(k)): plain(v, str(k), depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, key, depth + 1) for v in value]
    return value


def cleaned(record: T) -> T:
    """The record with every text in it cleaned; itself where there is nothing to clean."""
    data = msgspec.json.encode(record)
    if len(data) <= _RECORD_LIMIT and _SUSPECT.search(data) is None and _longest(record) <= LINE_LIMIT:
        return record
    clean: T = msgspec.convert(plain(msgspec.to_builtins(record)), type(record))
    return clean


def _longest(record: object) -> int:
    fault = getattr(record, "error", None)
    texts = (getattr(part, name, "") for part in (record, fault) for name in _LINES)
    return max(len(text) for text in texts)
