"""Symbolic sizes of a model's axes: sums evaluated, names understood, defaults for those that nobody bound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

SEQUENCE, IMAGE = 128, 224
"""Sizes assumed for an unbound sequence length, and for the height and width of an image."""

_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][\w.\[\]]*)|(//|[-+*/()]))")
_BATCH_NAME = re.compile(r"(.*[_.])?(batch|batch_?size|batches|bs)", re.IGNORECASE)
_SIDE_NAME = re.compile(r"(?:.*_)?(?:height|width|h|w)", re.IGNORECASE)


def symbols(text: str) -> list[str]:
    """The names in a size such as `past_length + sequence_length`; text that is no sum is one name as a whole."""
    tokens = _tokens(text)
    if tokens is None:
        return [text]
    return list(dict.fromkeys(token for token in tokens if token[0].isalpha() or token[0] == "_"))


def evaluate(text: str, values: Mapping[str, int]) -> int:
    """The size that `text` comes to; division rounds down. Every name of `symbols(text)` must be in `values`."""
    tokens = _tokens(text)
    if tokens is None:
        return values[text]
    return _Sum(tokens, values).value()


def is_batch_name(name: str) -> bool:
    """`batch`, `batch_size`, `text_batch_size`, …: an axis 0 of that name is the batch, whichever others there are."""
    return _BATCH_NAME.fullmatch(name) is not None


def is_length_name(name: str) -> bool:
    """`sequence_length`, `past`, …: never the batch, wherever it stands."""
    lower = name.lower()
    return not is_batch_name(name) and any(word in lower for word in ("seq", "len", "past"))


def default_size(symbol: str, values: Mapping[str, int], *, image: bool = False) -> int:
    """The size assumed for an unbound symbol: past 0, sequences 128, image sides 224, else 1.

    `values` are the sizes known so far: `total_X` is the sum of `past_X` and `X` where there are such.
    """
    lower = symbol.lower()
    if lower.startswith("total_"):
        parts = [size for name, size in values.items() if lower.endswith(name.lower().removeprefix("past_"))]
        if parts:
            return sum(parts)
    if "past" in lower:
        return 0
    if image or _SIDE_NAME.fullmatch(symbol):
        return IMAGE
    if "seq" in lower or "len" in lower:
        return SEQUENCE
    return 1


def _tokens(text: str) -> list[str] | None:
    """The tokens of a sum, or None where the text is not a well-formed one."""
    tokens: list[str] = []
    at = 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None:
            return None
        tokens.append(match[0].strip())
        at = match.end()
    try:
        _Sum(tokens, _Ones()).value()
    except (ValueError, ZeroDivisionError):
        return None
    return tokens


class _Ones(Mapping[str, int]):
    """Every name is 1: to try a sum's form."""

    def __getitem__(self, name: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Sum:
    """Recursive descent over + - * / // and brackets."""

    def __init__(self, tokens: list[str], values: Mapping[str, int]) -> None:
        self._tokens, self._values, self._at = tokens, values, 0

    def value(self) -> int:
        result = self._sum()
        if self._at != len(self._tokens):
            raise ValueError("something follows the sum")
        return result

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else ""

    def _sum(self) -> int:
        result = self._product()
        while self._next() in ("+", "-"):
            result = result + self._product() if self._take() == "+" else result - self._product()
        return result

    def _product(self) -> int:
        result = self._atom()
        while self._next() in ("*", "/", "//"):
            result = result * self._atom() if self._take() == "*" else result // self._atom()
        return result

    def _atom(self) -> int:
        token = self._take()
        if token == "(":
            result = self._sum()
            if self._take() != ")":
                raise ValueError("a bracket is open")
            return result
        if token == "-":
            return -self._atom()
        if token.isdigit():
            return int(token)
        if token and (token[0].isalpha() or token[0] == "_"):
            return self._values[token]
        raise ValueError("a size is missing")
