"""What a hostile session file says reaches no terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infertop.sessions import texts
from infertop.sessions.records import Event, Fault, Run
from infertop.tests.sessions.synthetic import configuration


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain µs – text", "plain µs – text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("bell\x07 nul\x00", "bell nul"),
        ("two\nlines\r\n\tmore", "two lines more"),
        ("\x9b31mC1", "C1"),
        ("abc\u202edcba", "abcdcba"),
        ("a\x1b[", "a"),
    ],
)
def test_a_line_holds_nothing_that_a_terminal_obeys(text: str, shown: str) -> None:
    assert texts.line(text) == shown


def test_a_block_keeps_its_lines() -> None:
    assert texts.block("Traceback:\n\tat x\r\n\x1b[1mboom\x1b[m\n") == "Traceback:\n\tat x\nboom\n"


def test_lengths_are_capped() -> None:
    assert texts.line("x" * 5000) == "x" * 999 + "…"
    long = texts.block("a" * 200_000 + "the end")
    assert len(long) == texts.BLOCK_LIMIT
    assert long.endswith("the end"), "what a runtime said last is what matters"


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    assert texts.line(text).isprintable() or not any(
        ord(c) < 32 or 127 <= ord(c) < 160 for c in texts.line(text)
    )
    assert not any(ord(c) < 32 and c not in "\n\t" for c in texts.block(text))


def test_records_are_cleaned_everywhere() -> None:
    event = texts.cleaned(Event(t=1, kind="fault\x1b[2J", text="a\nb", data={"k\x07": ["\x1b[1mv"]}))
    assert event == Event(t=1, kind="fault", text="a b", data={"k": ["v"]})
    run = texts.cleaned(
        Run(
            t=1,
            run=1,
            phase="end",
            configuration=configuration(dims={"se\x08q": 4}),
            error=Fault("x", "m\x1b[2K", "f", "one\ntwo\x00"),
        )
    )
    assert run.error == Fault("x", "m", "f", "one\ntwo")
    assert run.configuration == configuration(dims={"seq": 4})


def test_an_ordinary_record_is_left_alone() -> None:
    event = Event(t=1, kind="command", text="switching to ort-cpu · batch 1")
    assert texts.cleaned(event) is event


def test_nesting_is_cut() -> None:
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    assert "x" not in str(texts.plain(deep))
