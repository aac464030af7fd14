"""Looks by name: four hues (Okabe and Ito's, which colour-blind people tell apart) and greys, for dark, light, ANSI and no colour.

Every state also has a word or a glyph, so no hue carries anything alone. The hues lie near cells of the 256-colour palette, since
SSH seldom forwards COLORTERM.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rich.style import Style

from .render.cells import ASCII, BRAILLE, Glyphs

THEMES = ("dark", "light", "ansi", "mono")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours in Rich's notation. `band` is the ground of the first and last row. None: the terminal's own."""

    ground: str | None
    band: str | None
    text: str | None
    dim: str | None
    strong: str | None
    frame: str | None
    one: str | None  # the measured: p50, bars
    two: str | None  # the second series, attention
    three: str | None  # the third
    bad: str | None  # what failed
    heat: tuple[str | None, str | None, str | None, str | None]
    dims: bool = False  # grey by the terminal's dim attribute, where it has no grey that is sure to be seen


_PALETTES = {
    "dark": Palette(
        "#121212", "#262626", "#d0d0d0", "#949494", "#ffffff", "#4e4e4e", "#56b4e9", "#e69f00", "#cc79a7", "#ff8040",
        ("#005f87", "#0087af", "#56b4e9", "#afd7ff"),
    ),
    "light": Palette(
        "#fafafa", "#e4e4e4", "#303030", "#585858", "#000000", "#a8a8a8", "#005f9e", "#8a5000", "#913a6c", "#a83800",
        ("#afd7ff", "#5fafd7", "#0072b2", "#00396b"),
    ),
    "ansi": Palette(
        None, None, None, None, None, None, "bright_cyan", "yellow", "magenta", "bright_red",
        ("blue", "blue", "cyan", "bright_cyan"), dims=True,
    ),
    "mono": Palette(None, None, None, None, None, None, None, None, None, None, (None, None, None, None), dims=True),
}  # fmt: skip


def styles(theme: str) -> Mapping[str, Style]:
    """Every style name that a row may carry."""
    p = _PALETTES[theme]
    bands = p.band is None  # without a ground of its own a band is reversed

    def style(
        color: str | None,
        *,
        ground: str | None = p.ground,
        dim: bool = False,
        bold: bool | None = None,
        reverse: bool | None = None,
    ) -> Style:
        return Style(
            color=color,
            bgcolor=ground,
            dim=True if dim and p.dims else None,
            bold=bold or None,
            reverse=reverse or None,
        )

    mono = theme == "mono"
    return {
        "text": style(p.text),
        "dim": style(p.dim, dim=True),
        "strong": style(p.strong, bold=True),
        "title": style(p.strong, bold=True),
        "frame": style(p.frame, dim=True),
        "mark": style(p.three),
        "marked": style(p.strong, bold=True, reverse=mono),  # a bar or dot in a mark's column
        "one": style(p.one),
        "one-strong": style(p.one, bold=True),
        "two": style(p.two, bold=mono),
        "two-strong": style(p.two, bold=True),
        "three": style(p.three, dim=mono),
        "bad": style(p.bad, bold=True),
        "heat0": style(p.text),
        **{f"heat{i}": style(color) for i, color in enumerate(p.heat, start=1)},
        "head": style(p.text, ground=p.band, reverse=bands),
        "head-dim": style(p.dim, ground=p.band, reverse=bands),
        "head-strong": style(p.strong, ground=p.band, bold=True, reverse=bands),
        # A reversed hue would be a patch in the band.
        "head-one": style(None if bands else p.one, ground=p.band, bold=True, reverse=bands),
        "head-two": style(None if bands else p.two, ground=p.band, bold=True, reverse=bands),
        "key": style(p.one, bold=True),
        "active": Style(color=p.ground, bgcolor=p.one, bold=True)
        if p.ground
        else style(None, bold=True, reverse=True),
        "chosen": style(p.strong, ground=p.band, bold=True, reverse=bands),
        "chosen-dim": style(p.dim, ground=p.band, reverse=bands),
    }


def ground(theme: str) -> tuple[str, str]:
    """Ground and text colour for Textual's own surfaces, in its notation."""
    p = _PALETTES[theme]
    return p.ground or "ansi_default", p.text or "ansi_default"


def default_theme(color_system: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The theme to begin with: `INFERTOP_THEME`, else what the terminal can show and its ground, as far as it says."""
    asked = environment.get("INFERTOP_THEME", "")
    if asked in THEMES:
        return asked
    if "NO_COLOR" in environment or color_system is None:
        return "mono"
    if color_system in ("standard", "windows"):
        return "ansi"
    # Set by rxvt, Konsole and others: "foreground;background", 7 and 15 are white.
    if environment.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15"):
        return "light"
    return "dark"


def default_glyphs(environment: Mapping[str, str] = os.environ) -> Glyphs:
    """Braille where the locale is UTF-8 and the terminal is not the kernel's console, whose font has none."""
    asked = environment.get("INFERTOP_GLYPHS", "")
    if asked in ("ascii", "braille"):
        return ASCII if asked == "ascii" else BRAILLE
    if os.name == "nt":
        return BRAILLE
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    utf8 = locale.lower().replace("-", "").endswith("utf8") or ".utf8@" in locale.lower().replace("-", "")
    return BRAILLE if utf8 and environment.get("TERM") != "linux" else ASCII


# Terminals that show 24-bit colour, by their TERM, which SSH forwards; Rich knows the suffix -256color alone.
_DEEP = ("alacritty", "wezterm", "xterm-ghostty", "ghostty", "xterm-kitty", "foot", "contour", "rio")


def color_depth(environment: Mapping[str, str] = os.environ) -> str | None:
    """The depth to tell Textual where its own rule (COLORTERM, the suffix of TERM) knows less than TERM says; None: leave it."""
    if environment.get("COLORTERM") or environment.get("TEXTUAL_COLOR_SYSTEM"):
        return None
    return "truecolor" if environment.get("TERM", "").startswith(_DEEP) else None
