"""The help screen: the keys of this context, and what the numbers on the screen mean."""

from __future__ import annotations

from .actions import ACTIONS, GROUPS, Situation
from .render.cells import BRAILLE, EMPTY, Glyphs, Row, wrap

_MEANINGS = (
    ("service latency", "from the first call made for a request until the host knows that it is complete"),
    (
        "p50, p99",
        "percentiles of the service latency, from a histogram with 3 significant digits; warm-up is left out",
    ),
    (
        "95 %",
        "an interval that holds the true percentile with 95 % confidence whatever the distribution; ≥ or – where n is too small",
    ),
    ("grade", "A steady, B fair, C unsteady: whether the run's parts agree, and what disturbed it"),
    ("samples/s", "samples of the measured requests, from the end of the warm-up to the last completion"),
    (
        "stages",
        "means over the requests that were timed stage by stage; gap is what the stages do not explain",
    ),
    (
        "graph",
        "a column a second: the bar is p50, the dot the slowest request; ▲ is beyond the scale; ┊ another configuration",
    ),
    (
        "heat",
        "under the graph: a column a second, slow above fast, darker where more of the second's requests lie",
    ),
    (
        "at depth n",
        "with n requests in flight a request's latency holds its wait for those before it: compare throughput",
    ),
    (
        "response",
        "of an open loop: from when a request was due until it was complete; backlog: due, not yet issued",
    ),
    (
        "timeline",
        "of a replay: ┊ a run begins, ◆ another verdict, ▴ a warning, ✕ an error, · any other event",
    ),
    (
        "+38 % (37–39)",
        "a change of p50, and the range that the intervals of both runs leave; without a range it may be none",
    ),
    (
        "runs",
        "◆ no other run of the same model is better in both p50 and samples/s; ▲ FALLBACK and ✕ differs are never best",
    ),
    ("curve", "latency over percentiles, a decade of the tail a step; grey is the run before"),
    ("–", "not known; its reason stands beside it. 0 is always a reading"),
)

_MONITOR_MEANINGS = (
    (
        "util",
        "share of the time in which at least one kernel ran on the GPU: 100 % says nothing of how much of it was used",
    ),
    (
        "SM, tensor, DRAM",
        "share of the time in which those parts were active, from the GPU's own counters, where it has them",
    ),
    ("mem util", "without those counters: share of the time in which the memory was read or written at all"),
    ("PCIe RX, TX", "what the GPU receives and sends, against what its link can carry"),
    ("of it", "a process's share of the memory of the GPUs that it is on"),
    ("CPU", "of a process in % of one core, so that eight busy threads are 800 %"),
    ("waiting", "share of the last 10 s in which some task waited for a core"),
    ("infertop", "what the engine behind this screen uses, in % of one core"),
    ("–", "not known; its reason stands beside it. 0 is always a reading"),
)


def rows(situation: Situation, width: int, glyphs: Glyphs = BRAILLE) -> list[Row]:
    """The whole text of the help screen."""
    out: list[Row] = []
    for group, title in GROUPS:
        actions = [a for a in ACTIONS if a.group == group and situation.context in a.contexts and a.keys]
        if not actions:
            continue
        out.append(((title, "title"),))
        for action in actions:
            why = action.objection(situation)
            line: Row = (
                (f"  {glyphs.key(action.shown):<12}", "key"),
                (action.text, "dim" if why else "text"),
            )
            if why and len(action.text) + len(why) + 18 <= width:
                line = (*line, (f"  ({why})", "dim"))
            out.append(line)
        out.append(EMPTY)
    out.append((("What the numbers mean", "title"),))
    watched = situation.view.header is not None and situation.view.header.monitor
    for term, meaning in _MONITOR_MEANINGS if watched else _MEANINGS:
        for i, line_text in enumerate(wrap(meaning, max(20, width - 20))):
            out.append(((f"  {term if i == 0 else '':<17}", "key"), (line_text, "text")))
    return out
