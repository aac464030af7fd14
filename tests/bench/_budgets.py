"""The budgets of a benchmark beside what was measured, in one table at its end. Said, not asserted: machines differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Budget(NamedTuple):
    """What was measured, and the most that it should be; `measured` is None where it could not be measured here."""

    what: str
    measured: float | None
    most: float
    unit: str


def table(budgets: Sequence[Budget]) -> None:
    """Prints one row for each budget."""
    width = max(len(budget.what) for budget in budgets)
    print(f"\n{'budget':{width}}  {'measured':>14}  {'at most':>12}")
    for what, measured, most, unit in budgets:
        if measured is None:
            print(f"{what:{width}}  {'–':>14}  {f'{most:g} {unit}':>12}  not measured")
            continue
        shown = f"{measured:,.2f} {unit}" if measured < 10 else f"{measured:,.0f} {unit}"
        print(
            f"{what:{width}}  {shown:>14}  {f'{most:g} {unit}':>12}  {'met' if measured <= most else 'not met'}"
        )
